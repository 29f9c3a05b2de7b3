"""The completion of commands, options, names of steps and ids of runs, for shells.

A shell calls ``jobcell complete SHELL WORD...`` at each press of the key. Nothing is run or made for it:
a plan is only read, and a store is opened only if it was named. Errors give no candidates.
"""

from __future__ import annotations

import os
import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from typer.main import get_command

from jobcell.input.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BASH: Final = """\
_jobcell() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("${COMP_WORDS[0]}" complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -o bashdefault -F _jobcell jobcell
"""
_ZSH: Final = """\
#compdef jobcell
_jobcell() {
    local -a found
    found=("${(@f)$("${words[1]}" complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -- "${found[@]}"
    else
        _files
    fi
}
compdef _jobcell jobcell
"""
_FISH: Final = """\
function __jobcell_complete
    set -l before (commandline -opc)
    jobcell complete fish $before[2..-1] (commandline -ct) 2>/dev/null
end
complete -c jobcell -a '(__jobcell_complete)'
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_STEP_OPTIONS: Final = frozenset({"--only", "--from", "--start", "--end"})
_RUN_COMMANDS: Final = frozenset({"cancel", "events", "report", "result", "retry"})
"""Commands whose argument may be the id of a run."""
_PLANS: Final = (".json", ".yaml", ".yml")
_MAX_RUNS: Final = 200


def complete(app: Any, shell: str, words: Sequence[str]) -> list[str]:
    """Return the candidates for the last word, as the shell takes them.

    Args:
        app: The commands.
        shell: ``bash``, ``zsh`` or ``fish``.
        words: The words after ``jobcell``, up to the one at the cursor, which may be empty.

    """
    *before, typed = words or [""]
    quote = typed[:1] if shell == "bash" and typed[:1] in {"'", '"'} else ""
    wanted = typed[1:] if quote else _unquoted(typed) if shell == "bash" else typed
    found = [text for text in _candidates(app, before, wanted) if "\n" not in text]
    matching = [text for text in dict.fromkeys(found) if text.startswith(wanted)]
    if shell != "bash":
        return matching
    return [_quoted(text, quote) for text in matching]


def _unquoted(word: str) -> str:
    try:
        return "".join(shlex.split(word))
    except ValueError:  # a quote or a backslash at its end
        return word


def _quoted(text: str, quote: str) -> str:
    if quote:
        return text if quote in text else f"{quote}{text}{quote}"
    safe = shlex.quote(text)
    if safe == text or "'" in text:
        return safe
    return "".join(char if char.isalnum() or char in "-_./@%+=:," else f"\\{char}" for char in text)


def _candidates(app: Any, before: Sequence[str], wanted: str) -> Iterable[str]:
    command, rest = _find_command(get_command(app), list(before))
    if command is None:
        return []
    options = {
        name: item
        for item in command.params
        if item.param_type_name == "option"
        for name in (*item.opts, *item.secondary_opts)
    }
    waiting = options.get(rest[-1]) if rest else None
    if waiting is not None and not getattr(waiting, "is_flag", False):
        return _values(rest[-1], waiting.name, rest, command)
    if wanted.startswith("-"):
        return [name for name in options if name.startswith("--")] + ["--help"]
    below = getattr(command, "commands", None)
    if below:
        return [name for name, one in below.items() if not one.hidden]
    if command.name in _RUN_COMMANDS:
        return _runs(rest)
    return []


def _find_command(root: Any, words: list[str]) -> tuple[Any, list[str]]:
    """Return the command of these words, and the words after it; None for an unknown command."""
    command = root
    while words and getattr(command, "commands", None):
        word = words.pop(0)
        if word.startswith("-"):
            continue
        found = command.commands.get(word)
        if found is None:
            return None, []
        command = _apart(word) or found if command is root else found
    return command, words


def _apart(word: str) -> Any:
    """Return the commands of `jobcell repo`, and others that are loaded only when they run."""
    if word == "repo":
        from jobcell.repo import app as found
    elif word == "schedule":
        from jobcell.stored.schedules import app as found
    elif word == "store":
        from jobcell.commands.stored import app as found
    else:
        return None
    return get_command(found)


def _values(option: str, name: str, rest: Sequence[str], command: Any) -> Iterable[str]:
    # The type comes from the function: where the option keeps it differs between versions of Typer.
    kind = get_type_hints(command.callback).get(name)
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, Enum):
            return [str(choice.value) for choice in part]
    if option in _STEP_OPTIONS and command.name != "retry":
        return _steps(rest)
    return []


def _steps(rest: Sequence[str]) -> Iterable[str]:
    """Return the ids and names of the steps of the first plan among the words."""
    from jobcell.input.plan_file import read_plan_file  # late: most candidates are options

    for word in rest:
        path = Path(word)
        if path.suffix not in _PLANS or not path.is_file():
            continue
        try:
            source = read_plan_file(path).source
        except BadInputError:
            continue
        workflow = source.get("workflow", source)
        steps = workflow.get("steps", workflow.get("jobs")) if isinstance(workflow, dict) else None
        if not isinstance(steps, list):
            continue
        found = [step for step in steps if isinstance(step, dict)]
        names = [step.get(key) for key in ("id", "name") for step in found]
        return [name for name in names if isinstance(name, str) and name.isprintable()]
    return []


def _runs(rest: Sequence[str]) -> Iterable[str]:
    """Return the ids of the newest runs of a store, if the store was named."""
    places = [number for number, word in enumerate(rest[:-1]) if word == "--store"]
    url = rest[places[-1] + 1] if places else os.environ.get("JOBCELL_STORE")
    if not url:
        return []  # to open the store of the directory could make one
    from jobcell.stored.opening import open_store

    try:
        with open_store(url) as store:
            return [run.id for run in store.runs(limit=_MAX_RUNS)]
    except Exception:  # noqa: BLE001 - a key press must not print an error
        return []
