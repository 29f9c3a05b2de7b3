"""The files that a user names: read and checked before anything is started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from engine.errors import PlanError
from engine.plan_source import name_type, read_json, read_text_file
from manager.errors import BadInputError

__all__ = ["BadInputError", "OutputFile", "check_repo", "read_credentials", "read_json_file"]


def read_json_file(path: Path) -> Any:
    """Return the value in a JSON file; ``-`` is standard input.

    Raises:
        BadInputError: It cannot be read, or is not JSON.

    """
    file = Path("/dev/stdin") if str(path) == "-" else path
    try:
        return read_json(read_text_file(file), origin=str(path))
    except PlanError as error:
        raise BadInputError(str(problem) for problem in error.problems) from None


def read_credentials(path: Path) -> dict[str, dict[str, Any]]:
    """Return the credentials in a JSON file by their ids.

    Raises:
        BadInputError: It is not an object of objects.  The message shows no value.

    """
    found = read_json_file(path)
    wanted = "must be an object of credential id to configuration"
    if not isinstance(found, dict):
        raise BadInputError([f"{path}: {wanted}, not {name_type(found)}"])
    wrong = [key for key, value in found.items() if not isinstance(value, dict)]
    if wrong:
        raise BadInputError(
            f"{path}: {wanted}; {key!r} is {name_type(found[key])}" for key in wrong
        )
    return found


def check_repo(path: Path) -> Path:
    """Return the directory of installed adaptors.

    Raises:
        BadInputError: It is none.

    """
    if not path.is_dir():
        reason = "is not a directory" if path.exists() else "does not exist"
        raise BadInputError([f"{path}: {reason}; --repo takes a directory of adaptors"])
    if not (path / "repo.json").is_file():
        raise BadInputError([f"{path}: has no repo.json; jobcell repo init {path} makes a repo"])
    return path


class OutputFile:
    """A file that will be written when the run is over.

    It is opened before the run is started, because an hour later is too late to hear that a
    directory does not exist; what is in it stays until there is something better.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BadInputError: It cannot be written.

        """
        self.path = path
        self._is_new = not path.exists()
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise BadInputError([f"{path}: cannot be written: {error.strerror}"]) from None

    def write(self, content: bytes) -> None:
        """Replace what is in the file."""
        if self.path.is_file():  # not a pipe or /dev/null, which have no length
            os.truncate(self._file.fileno(), 0)
        self._file.write(content)
        self._is_new = False
        self._file.close()

    def close(self) -> None:
        """Leave the file as it was before, if nothing was written."""
        self._file.close()
        if self._is_new:
            self.path.unlink(missing_ok=True)
