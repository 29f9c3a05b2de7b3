"""`jobcell check`: compile a job in a confined child and print what is wrong with it.

Every violation is one line that an editor can jump to: ``file:line:column: kind: message``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.checks import check_job
from jobcell.input.errors import BadInputError
from jobcell.input.inputs import find_repo
from jobcell.input.yaml_text import YAML_SUFFIXES
from jobcell.output.exit_codes import SUCCESS
from jobcell.output.json_text import encode_json
from jobcell.output.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.checks import Finding

VIOLATIONS: Final = 1
"""Exit code: something is wrong with the job."""


def run(
    path: Path, adaptors: Sequence[str] = (), repo: Path | None = None, *, show: bool, json: bool
) -> int:
    """Check the job in the file *path*; print what was found.

    Args:
        path: A file of Python; ``-`` is standard input.
        adaptors: ``name`` or ``name@version`` of what the step will use.
        repo: Directory of installed adaptors; None: that of JOBCELL_REPO, else ``./repo``.
        show: Print the form of the job and its operations as well.
        json: Print one JSON object instead of lines.

    Returns:
        0, or 1 if something is wrong with the job.

    Raises:
        BadInputError: The file cannot be read, is not text, or the repo lacks an adaptor.
        EngineError: This machine cannot start a confined child.

    """
    if path.suffix in {".json", *YAML_SUFFIXES}:
        raise BadInputError([f"{path}: is a plan; write jobcell validate {path}"])
    source = _read_source(path)
    repo = find_repo(repo)
    if adaptors and repo is None:
        raise BadInputError([f"--adaptor {adaptors[0]} needs --repo, the directory that has it"])
    problems, answer = check_job(source, adaptors, repo_dir=repo)
    if problems:
        raise BadInputError(str(problem) for problem in problems)
    violations = [found for found in answer.findings if not found.note]
    notes = [found for found in answer.findings if found.note]
    if json:
        told = {"form": answer.form, "operations": answer.operations}
        shown = {"file": str(path), **told, "violations": violations, "notes": notes}
        print(encode_json(msgspec.to_builtins(shown), indent=2).decode())
        return VIOLATIONS if violations else SUCCESS
    for violation in violations:
        print(_line(path, violation))
    for note in notes:
        print(_line(path, note, kind="note"), file=sys.stderr)
    if show:
        _print_operations(path, answer)
    return VIOLATIONS if violations else SUCCESS


def _read_source(path: Path) -> str:
    file = Path("/dev/stdin") if str(path) == "-" else path
    try:
        # Line breaks stay as they are: the compiler counts lines by itself.
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInputError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        message = (
            f"{path}: is not text: byte {error.start + 1} is not UTF-8; a job is Python source"
        )
        raise BadInputError([message]) from None


def _line(path: Path, found: Finding, kind: str | None = None) -> str:
    place = ":".join(str(n) for n in (found.line, found.column) if n is not None)
    fix = f" ({found.fix})" if found.fix else ""
    where = f"{path}:{place}" if place else str(path)
    return printable(f"{where}: {kind or found.kind}: {found.message}{fix}")


def _print_operations(path: Path, answer: Any) -> None:
    if answer.form is None:
        return
    count = len(answer.operations)
    told = f", {count} operation{'' if count == 1 else 's'}" if answer.form == "script" else ""
    print(f"form: {answer.form}{told}")
    for operation in answer.operations:
        line = f"{operation.number:4} {operation.name}"
        print(printable(f"{line:30} {path}:{operation.line}:{operation.column}"))
