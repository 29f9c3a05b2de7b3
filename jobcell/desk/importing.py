"""`jobcell import`: turns a project or a workflow of OpenFn into plans."""

from __future__ import annotations

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobcell.input.errors import BadInputError
from jobcell.moving.files import write_files
from jobcell.moving.model import TODO
from jobcell.moving.project import read_project
from jobcell.output.exit_codes import SUCCESS
from jobcell.output.wording import printable

if TYPE_CHECKING:
    from jobcell.moving.plans import Output

LEFT: Final = 1
"""Exit code: the files are written, and something is left to do by hand."""


_LIBRARIES: Final = ("tree_sitter", "tree_sitter_javascript")


def run(source: Path, target: Path, *, force: bool, json: bool) -> int:
    """Write the plans of the project in the file *source*; print what is left to do.

    Args:
        source: A project or a workflow of OpenFn, in YAML or JSON.
        target: The directory for the files.
        force: Replace files that are there already.
        json: Print one JSON object instead of lines.

    Returns:
        0, or 1 if something is left to do by hand.

    Raises:
        BadInputError: The project is wrong, or a file is in the way. Nothing was written.

    """
    try:
        from jobcell.moving.plans import make_output  # it needs the libraries of the extra
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        message = f"the library {error.name} is missing: pip install 'jobcell[import]'"
        raise BadInputError([message]) from None
    output = make_output(read_project(source))
    write_files(target, output.files, force=force)
    if json:
        print(json_text.dumps(_told(output, target), indent=2))
    else:
        for item in output.items:
            print(printable(f"{item.where}: {item.topic}: {item.text}"))
        _summarise(output, target)
    return LEFT if output.items else SUCCESS


def _told(output: Output, target: Path) -> dict[str, object]:
    return {
        "directory": str(target),
        "plans": output.plans,
        "files": sorted(output.files),
        "adaptors": sorted(output.adaptors),
        "steps": output.steps,
        "operations": output.operations,
        "untranslated": output.left,
        "todo": [
            {"topic": item.topic, "where": item.where, "text": item.text} for item in output.items
        ],
    }


def _summarise(output: Output, target: Path) -> None:
    counts = ", ".join(
        _count(number, noun)
        for number, noun in (
            (len(output.plans), "plan"),
            (output.steps, "job"),
            (output.operations, "operation"),
        )
    )
    left = f"{_count(len(output.items), 'thing')} left to do, see {target / TODO}"
    rest = left if output.items else "nothing is left to do"
    print(printable(f"{target}: {counts}; {rest}"), file=sys.stderr)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
