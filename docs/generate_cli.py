"""Write `docs/reference/cli.md` from the commands themselves: ``python docs/generate_cli.py``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.main import get_command

from jobcell.commands.app import app
from jobcell.commands.stored import app as store_app
from jobcell.repo.commands import app as repo_app
from jobcell.stored.schedules import app as schedule_app

APART = {"repo": repo_app, "schedule": schedule_app, "store": store_app}
"""Commands that get their sub-commands only when they run."""

PAGE = Path(__file__).parent / "reference" / "cli.md"
INTRODUCTION = """\
# Command line

`pip install '.[cli]'` in a clone of the repository installs the command `jobcell`, and `python -m jobcell` is the same
command.
`python docs/generate_cli.py` writes this page from the commands.

## Exit codes

These are the codes of `run`, `resume` and `result`. Any other command ends with 0 or 2, too, with 2 for bad input. `check` and
`repo verify` end with 1 if they find a problem, `validate` with 2, and `doctor` with 5.

| code | meaning |
|---|---|
| 0 | The run succeeded. |
| 1 | The run came to its end, but the job of a leaf failed. Its error is in the state. |
| 2 | Nothing was started: the plan, the state, an option or a file is wrong. |
| 3 | The run crashed: a job does not compile, an import is refused, or the child died. |
| 4 | The engine ended the run at a limit, or for a forbidden action. |
| 5 | The fault is not that of the job or its author. For commands of a store: it is out of reach or damaged. |
| 6 | `result`: the run is not over yet. |
| 130, 143 | Ctrl-C or SIGTERM cancelled the run. |
| 141 | The reader of the output has gone. |
"""


def make_page() -> str:
    """Return the text of the page."""
    return "\n".join([INTRODUCTION, *_describe("jobcell", get_command(app))]).rstrip() + "\n"


def _describe(name: str, command: Any) -> Iterator[str]:
    """Yield the section of a command, and after it those of its sub-commands."""
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    below = getattr(command, "commands", {})
    words = [name, *(_name_of_argument(item) for item in arguments)]
    words += ["[OPTIONS]"] * bool(options) + ["COMMAND"] * bool(below)
    yield f"## {name}\n\n{inspect.cleandoc(command.help or '')}\n\n```text\n{' '.join(words)}\n```\n"
    rows = [f"| `{_name_of_argument(item)}` | {_help(item)} |" for item in arguments]
    # The types come from the function: where the parameter keeps them differs between versions.
    types = get_type_hints(command.callback) if command.callback else {}
    rows += [
        f"| {_name_of_option(item, types.get(item.name))} | {_help(item)} |" for item in options
    ]
    if rows:
        yield "| argument or option | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    for word in sorted(word for word, one in below.items() if not one.hidden):
        # `jobcell repo` loads its own commands only when it is called.
        apart = APART.get(word) if name == "jobcell" else None
        command = below[word] if apart is None else get_command(apart)
        yield from _describe(f"{name} {word}", command)


def _name_of_argument(item: Any) -> str:
    name = (item.metavar or item.name.upper()).strip("[]")
    if item.nargs == -1:
        name += "..."
    return name if item.required else f"[{name}]"


def _name_of_option(item: Any, kind: Any) -> str:
    value = "" if getattr(item, "is_flag", False) else f" {item.metavar or _values(kind)}"
    return ", ".join(f"`{name}{value}`" for name in (*item.opts, *item.secondary_opts))


def _values(kind: Any) -> str:
    """Return what may be written for an option of type *kind* (``list[str] | None``, an enum)."""
    inner = [part for outer in get_args(kind) for part in (outer, *get_args(outer))]
    for part in (kind, *inner):
        if isinstance(part, type) and issubclass(part, Enum):
            return ", ".join(str(choice.value) for choice in part)
        if part in {int, float}:
            return "NUMBER"
    return "TEXT"


def _help(item: Any) -> str:
    text = " ".join((item.help or "").split())
    text = text.removesuffix(".")
    if item.envvar:
        text += f" (or `{item.envvar}` in the environment)"
    default = item.default
    if default is not None and not callable(default) and default not in ("", (), []):
        shown = getattr(default, "value", default)
        if not isinstance(shown, bool):
            text += f"; default: `{shown}`"
    return f"{text}." if text else ""


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
