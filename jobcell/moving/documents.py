"""Reads the files of a project: YAML, JSON and scripts.

A file may come from anybody.  A file that is too large, an alias that makes a small file large, a key
that is there twice, and a path that leads out of the directory of the project are errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobcell.input.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 16_000_000
"""The largest file of a project."""
MAX_SCRIPT_BYTES: Final = 8_000_000
"""The largest script of a job."""
MAX_VALUES: Final = 500_000
"""Most values of a file, after its aliases."""
MAX_DEPTH: Final = 60

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Document(dict[str, Any]):
    """An object of a file, which knows where it is.

    Attributes:
        file: The file, as the user has named it.
        line: Its line; None in JSON.
        lines: The line of each key.

    """

    file: str = ""
    line: int | None = None
    lines: dict[str, int]

    def where(self, key: str | None = None) -> str:
        """Return the place of this object, or of one of its keys."""
        line = self.lines.get(key, self.line) if key is not None else self.line
        return self.file if line is None else f"{self.file}:{line}"


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
        raise BadInputError([f"{where}: {name}is not UTF-8 text: byte {error.start}"]) from None


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
        found.file, found.lines = file, {}
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
        raise BadInputError([f"{file}: has more than {MAX_VALUES:,} values, with its aliases"])


def from_yaml(text: str, file: str) -> Any:
    """Return the content of a text in YAML 1.2, of which only the core types are read.

    Raises:
        BadInputError: The text is not YAML, or is refused.

    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise BadInputError(
            [f"{file}: needs the library yaml: pip install 'jobcell[import]'"]
        ) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(file).build(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = (
            getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        )
        raise BadInputError([f"{file}{line}: is not YAML: {problem}"]) from None


class _Builder:
    """Builds values from the events of YAML, without recursion."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: list[tuple[Any, str | None, int]] = []
        """Containers that are not complete, each with its anchor and the count before it."""
        self._keys: list[str | None] = []
        """The key of each of them that waits for its value."""
        self._documents: list[Any] = []

    def build(self, events: Iterator[Any]) -> Any:
        for event in events:
            kind = type(event).__name__
            line = event.start_mark.line + 1
            if kind in ("MappingStartEvent", "SequenceStartEvent"):
                self._begin(kind, event, line)
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                value, anchor, before = self._open.pop()
                self._keys.pop()
                if anchor is not None:
                    self._anchors[anchor] = value, self._count - before
                self._add(value, line)
            elif kind == "ScalarEvent":
                self._scalar(event, line)
            elif kind == "AliasEvent":
                self._alias(event, line)
        if len(self._documents) > 1:
            raise self._error(1, "has more than one document")
        return self._documents[0] if self._documents else None

    def _error(self, line: int, message: str) -> BadInputError:
        return BadInputError([f"{self._file}:{line}: {message}"])

    def _begin(self, kind: str, event: Any, line: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self._error(line, f"values are nested more than {MAX_DEPTH} deep")
        if self._wants_key():
            raise self._error(line, "a key must be a text")
        value: Any = []
        if kind == "MappingStartEvent":
            value = Document()
            value.file, value.line, value.lines = self._file, line, {}
        if event.tag is not None:
            raise self._error(line, f"the tag {event.tag!r} is not read")
        self._open.append((value, event.anchor, self._count))
        self._keys.append(None)
        self._counted(1)

    def _scalar(self, event: Any, line: int) -> None:
        self._counted(1)
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._error(line, f"the tag {event.tag!r} is not read")
        if self._wants_key():
            self._set_key(event.value, line)
            return
        plain = event.style is None or event.style == ""
        value = _plain(event.value) if plain and event.tag is None else event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = value, 1
        self._add(value, line)

    def _alias(self, event: Any, line: int) -> None:
        if self._wants_key():
            raise self._error(line, "an alias cannot be a key")
        if event.anchor not in self._anchors:
            raise self._error(line, f"the alias *{event.anchor} has no anchor before it")
        value, count = self._anchors[event.anchor]
        self._counted(count)
        self._add(value, line)

    def _counted(self, count: int) -> None:
        self._count += count
        _check_count(self._count, self._file)

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], dict) and self._keys[-1] is None

    def _set_key(self, key: str, line: int) -> None:
        mapping = self._open[-1][0]
        if key == "<<":
            raise self._error(line, "the merge key << is not read; write the keys themselves")
        if key in mapping:
            raise self._error(line, f"the key {key!r} is there twice")
        mapping.lines[key] = line
        self._keys[-1] = key

    def _add(self, value: Any, _: int) -> None:
        if not self._open:
            self._documents.append(value)
            return
        container = self._open[-1][0]
        if isinstance(container, dict):
            container[self._keys[-1]] = value
            self._keys[-1] = None
        else:
            container.append(value)


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
