"""Reads the files of a project: YAML, JSON and scripts.

A file may come from anybody.  A file that is too large, a key that is there twice, and a path that leads
out of the directory of the project are errors.  `jobcell.input.yaml_text` has more of them for YAML.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jobcell.input.errors import BadInputError
from jobcell.input.yaml_text import Place, Places, read_yaml

MAX_BYTES: Final = 16_000_000
"""The largest file of a project."""
MAX_SCRIPT_BYTES: Final = 8_000_000
"""The largest script of a job."""
MAX_VALUES: Final = 500_000
"""Most values of a JSON file."""


class Document(dict[str, Any]):
    """An object of a file, which knows where it is.

    Attributes:
        file: The file, as the user has named it.
        place: Its line and column; None in JSON.
        places: The place of each key.

    """

    file: str = ""
    place: Place | None = None
    places: dict[str, Place]

    def where(self, key: str | None = None) -> str:
        """Return the file with the line and column of this object, or of one of its keys."""
        place = self.places.get(key, self.place) if key is not None else self.place
        return self.file if place is None else f"{self.file}:{place[0]}:{place[1]}"


class Folder:
    """A directory from which files are read, and no others.

    Args:
        root: The directory.

    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def text(self, path: str, base: Path, where: str, *, limit: int = MAX_SCRIPT_BYTES) -> str:
        """Return the text of a file that a project names.

        Args:
            path: The path in the project, relative to *base*.
            base: The directory of the file that names it.
            where: The place of the path, for errors.
            limit: The largest size in bytes.

        Raises:
            BadInputError: The path leads out of the directory, or the file cannot be read.

        """
        return read_text(self.find(path, base, where), where, limit=limit, shown=path)

    def find(self, path: str, base: Path, where: str) -> Path:
        """Return the path of a file or a directory that a project names."""
        if "\0" in path or Path(path).is_absolute() or path.startswith("~"):
            raise BadInputError(
                [f"{where}: {path!r} must be relative to the directory of the project"]
            )
        found = (base / path).resolve()
        if found != self._root and self._root not in found.parents:
            raise BadInputError([f"{where}: {path!r} is outside of the directory of the project"])
        return found


def read_text(path: Path, where: str, *, limit: int, shown: str | None = None) -> str:
    """Return the text of a file.

    Raises:
        BadInputError: It cannot be read, is too large, or is not UTF-8.

    """
    name = repr(shown) + " " if shown is not None else ""
    try:
        if not path.is_file():
            raise BadInputError(
                [
                    f"{where}: {name}is not a file"
                    if path.exists()
                    else f"{where}: {name}does not exist"
                ]
            )
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadInputError([f"{where}: {name}cannot be read: {error.strerror}"]) from None
    if len(content) > limit:
        raise BadInputError([f"{where}: {name}has more than {limit:,} bytes, which is the limit"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError([f"{where}: {name}is not UTF-8 text: byte {error.start + 1}"]) from None


def read_document(path: Path) -> Any:
    """Return the content of a file of YAML or JSON.

    Raises:
        BadInputError: It is not such a file, or is refused.

    """
    text = read_text(path, str(path), limit=MAX_BYTES)
    if path.suffix == ".json":
        return _from_json(text, str(path))
    return from_yaml(text, str(path))


def _from_json(text: str, file: str) -> Any:
    count = 0

    def make(pairs: list[tuple[str, Any]]) -> Document:
        nonlocal count
        count += len(pairs) + 1
        _check_count(count, file)
        found = Document(pairs)
        found.file, found.places = file, {}
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            double = next(key for key in keys if keys.count(key) > 1)
            raise BadInputError([f"{file}: the key {double!r} is there twice in one object"])
        return found

    try:
        return json.loads(text, object_pairs_hook=make, parse_constant=_refuse(file))
    except json.JSONDecodeError as error:
        raise BadInputError([f"{file}:{error.lineno}: is not JSON: {error.msg}"]) from None
    except RecursionError:
        raise BadInputError([f"{file}: values are nested too deep"]) from None
    except ValueError as error:
        raise BadInputError([f"{file}: {error}"]) from None


def _refuse(file: str) -> Callable[[str], Any]:
    def refuse(word: str) -> Any:
        raise BadInputError([f"{file}: {word} is not JSON"])

    return refuse


def _check_count(count: int, file: str) -> None:
    if count > MAX_VALUES:
        raise BadInputError([f"{file}: has more than {MAX_VALUES:,} values"])


def from_yaml(text: str, file: str) -> Any:
    """Return the content of a text in YAML.

    Raises:
        BadInputError: `read_yaml` refuses the text.

    """
    read = read_yaml(text, origin=file, max_bytes=MAX_BYTES)
    return _with_places(read.value, read.places, file)


def _with_places(value: Any, places: Places, file: str) -> Any:
    """Return a value of YAML with a document for each object in it; its depth has a limit already."""
    if isinstance(value, list):
        return [_with_places(item, places.parts[i], file) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    made = Document((key, _with_places(v, places.parts[key], file)) for key, v in value.items())
    made.file, made.place, made.places = file, places.here, places.keys
    return made
