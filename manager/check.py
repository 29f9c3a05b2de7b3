"""`jobcell check`: compile a job in a throw-away process and print what is wrong with it.

Every violation is one line that an editor can jump to: ``file:line:column: kind: message``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.repo import Repo, RepoError
from manager.errors import BadInputError
from manager.exit_codes import SUCCESS
from manager.inputs import find_repo
from manager.json_text import encode_json
from manager.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.adaptor import AdaptorLink

VIOLATIONS: Final = 1
"""Exit code: the job is not in the job language."""

TIMEOUT_S: Final = 20.0
MAX_ANSWER_BYTES: Final = 10_000_000


def run(
    path: Path, adaptors: Sequence[str] = (), repo: Path | None = None, *, show: bool, json: bool
) -> int:
    """Check the job in the file *path*; print what was found.

    Args:
        path: A file of Python; ``-`` is standard input.
        adaptors: ``name`` or ``name@version`` of what the step will use.
        repo: Directory of installed adaptors.
        show: Print the form of the job and its operations as well.
        json: Print one JSON object instead of lines.

    Returns:
        0, or 1 if the job has violations.

    Raises:
        BadInputError: The file cannot be read or is no text, or there is no such adaptor.

    """
    request = {"source": _read_source(path), **_surroundings(adaptors, repo)}
    answer = _ask_child(request)
    violations = answer["violations"]
    if json:
        print(encode_json({"file": str(path), **answer}, indent=2).decode())
    else:
        for found in violations:
            print(_line(path, found))
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
        message = f"{path}: is not text: byte {error.start} is not UTF-8; a job is Python source"
        raise BadInputError([message]) from None


def _surroundings(adaptors: Sequence[str], repo: Path | None) -> dict[str, Any]:
    """Return what the job may use, as far as it is known without running anything."""
    repo = find_repo(repo)
    if repo is None:
        if adaptors:
            raise BadInputError([f"--adaptor {adaptors[0]} needs --repo, to look into it"])
        return {}
    try:
        installed = Repo.read(repo)
        links = [installed.resolve(spec) for spec in adaptors]
    except RepoError as error:
        raise BadInputError([f"{repo}: {error}"]) from None
    return {
        "adaptor_sources": [_adaptor_source(link) for link in links],
        "importable": sorted({link.module for link in [*installed.newest(), *links]}),
    }


def _adaptor_source(link: AdaptorLink) -> str:
    directory = Path(link.path)
    for file in (directory / link.module / "__init__.py", directory / f"{link.module}.py"):
        if file.is_file():
            return file.read_bytes().decode("utf-8", "replace")
    return ""  # an extension module: its names are not known here


def _ask_child(request: dict[str, Any]) -> dict[str, Any]:
    """Let a child compile the job; a child that dies over it is an answer as well."""
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", "sandbox_child.check"],
            input=msgspec.json.encode(request),
            capture_output=True,
            env={},
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _dead(f"compiling it took more than {TIMEOUT_S:.0f} s")
    except UnicodeEncodeError:
        return _dead("it contains half of a surrogate pair, which is no character")
    if child.returncode or len(child.stdout) > MAX_ANSWER_BYTES:
        end = f"signal {-child.returncode}" if child.returncode < 0 else f"exit {child.returncode}"
        return _dead(f"Python cannot compile it: the compiler's process ended with {end}")
    answer: dict[str, Any] = msgspec.json.decode(child.stdout)
    return answer


def _dead(message: str) -> dict[str, Any]:
    violation = {"kind": "CompileError", "message": message}
    return {"form": None, "operations": [], "violations": [violation]}


def _line(path: Path, found: dict[str, Any]) -> str:
    place = ":".join(str(n) for n in (found.get("line"), found.get("column")) if n is not None)
    fix = f" ({found['fix']})" if found.get("fix") else ""
    where = f"{path}:{place}" if place else str(path)
    return printable(f"{where}: {found['kind']}: {found['message']}{fix}")


def _print_operations(path: Path, answer: dict[str, Any]) -> None:
    if answer["form"] is None:
        return
    count = len(answer["operations"])
    told = f", {count} operation{'' if count == 1 else 's'}" if answer["form"] == "script" else ""
    print(f"form: {answer['form']}{told}")
    for operation in answer["operations"]:
        line = f"{operation['number']:4} {operation['name']}"
        print(printable(f"{line:30} {path}:{operation['line']}:{operation['column']}"))
