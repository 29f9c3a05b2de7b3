"""YAML of a user as plain data, with the place of each value.

The values are those of the core schema of YAML 1.2, so ``on``, ``no`` and a date are text. PyYAML
only splits the text into events. Its loaders follow YAML 1.1, and they follow aliases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from engine.api import PlanError
from engine.plan import join_path, read_text_file
from jobcell.input.errors import BadInputError
from protocol.suggestion import shorten

if TYPE_CHECKING:
    from pathlib import Path

YAML_SUFFIXES: Final = frozenset((".yaml", ".yml"))
MAX_BYTES: Final = 4 * 1024 * 1024
"""A larger text takes a minute where PyYAML comes without its C half."""
MAX_VALUES: Final = 500_000
"""The places of more values would take more memory than the values."""
MAX_DEPTH: Final = 100

Place = tuple[int, int]
"""Line and column, both from 1."""

_STR_TAG: Final = "tag:yaml.org,2002:str"
_INT: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INDEX: Final = re.compile(r"\[([0-9]+)\]")
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


class Places:
    """The place of a value, and the places of the values in it.

    Attributes:
        here: The place of the value itself.
        parts: The places of the items of a list by number, or of the values of an object by key.
        keys: The places of the keys of an object.

    """

    __slots__ = ("here", "keys", "parts")

    def __init__(self, here: Place) -> None:
        self.here: Place = here
        self.parts: dict[Any, Places] = {}
        self.keys: dict[str, Place] = {}

    def find(self, path: str) -> Places:
        """Return the places of the value at a path such as ``steps[0].next``, or of the nearest one around it."""
        found, before = self, ""
        while (step := found._step(path, before)) is not None:
            found, before = step
        return found

    def _step(self, path: str, before: str) -> tuple[Places, str] | None:
        index = _INDEX.match(path, len(before))
        if index is not None and int(index[1]) in self.parts:
            return self.parts[int(index[1])], path[: index.end()]
        for key in self.keys:
            longer = join_path(before, key)
            if path == longer or path.startswith((f"{longer}.", f"{longer}[")):
                return self.parts[key], longer
        return None


class YamlData(NamedTuple):
    """The value of a YAML text."""

    value: Any
    places: Places

    def place_of(self, path: str) -> Place:
        """Return the place of a value, or of the nearest value around it."""
        return self.places.find(path).here


class _Open:
    """A list or an object whose end has not come yet."""

    def __init__(self, places: Places, *, is_list: bool) -> None:
        self.value: Any = [] if is_list else {}
        self.places = places
        self.key: str | None = None
        """The key whose value comes next."""

    def add(self, value: Any, places: Places) -> None:
        if isinstance(self.value, list):
            self.places.parts[len(self.value)] = places
            self.value.append(value)
        else:
            assert self.key is not None
            self.places.parts[self.key] = places
            self.value[self.key] = value
            self.key = None


def read_yaml_file(path: Path) -> YamlData:
    """Return the value of a YAML file, and the places of its parts.

    Raises:
        BadInputError: The file cannot be read, or `read_yaml` refuses its text.

    """
    try:
        text = read_text_file(path)
    except PlanError as error:
        raise BadInputError(map(str, error.problems)) from None
    return read_yaml(text, origin=str(path))


def read_yaml(
    text: str, *, origin: str, is_secret: bool = False, max_bytes: int = MAX_BYTES
) -> YamlData:
    """Return the value of a YAML text, and the places of its parts.

    Args:
        text: One document.
        origin: The name of the file, for messages.
        is_secret: Whether messages must not quote the text.
        max_bytes: The largest size of the text in UTF-8.

    Raises:
        BadInputError: The text is not YAML, is too long or too deep, or has an alias, a tag or a second
            document. Or an object has the same key twice, or a key that is not text. The message
            begins with ``FILE:LINE:COLUMN:``.

    """
    if len(text.encode(errors="replace")) > max_bytes:
        message = f"has more than {max_bytes // 1024 // 1024} MB; write a larger file as JSON"
        raise BadInputError([f"{origin}: {message}"])
    found = _UNPRINTABLE.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise _wrong(origin, f"has the control character {found[0]!a}", (line, column))
    return _Reader(origin, is_secret=is_secret).read(text)


class _Reader:
    """Makes a value of the events of a text."""

    def __init__(self, origin: str, *, is_secret: bool) -> None:
        self._origin = origin
        self._is_secret = is_secret
        self._open: list[_Open] = []
        self._root = YamlData(None, Places((1, 1)))
        self._documents = 0
        self._values = 0

    def read(self, text: str) -> YamlData:
        for event in _events(text, self._origin, is_secret=self._is_secret):
            self._take(event)
        return self._root

    def _take(self, event: Any) -> None:
        kind = type(event).__name__
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise self._error("has a second document; a file has one", place)
        elif kind == "AliasEvent":
            name = self._quote(event.anchor)
            raise self._error(f"has an alias{name}; write the value again", place)
        elif kind == "ScalarEvent":
            self._take_scalar(event, place)
        elif kind in {"SequenceStartEvent", "MappingStartEvent"}:
            self._begin(event, place, is_list=kind == "SequenceStartEvent")
        elif kind in {"SequenceEndEvent", "MappingEndEvent"}:
            ended = self._open.pop()
            self._add(ended.value, ended.places)

    def _add(self, value: Any, places: Places) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            message = f"has more than {MAX_VALUES:,} values; write a larger file as JSON"
            raise self._error(message, places.here)
        if self._open:
            self._open[-1].add(value, places)
        else:
            self._root = YamlData(value, places)

    def _begin(self, event: Any, place: Place, *, is_list: bool) -> None:
        if event.tag is not None:
            raise self._tag_error(event.tag, place)
        if self._is_key():
            raise self._error("has a list or an object as a key; a key is text", place)
        if len(self._open) >= MAX_DEPTH:
            raise self._error(f"is nested more than {MAX_DEPTH} levels deep", place)
        self._open.append(_Open(Places(place), is_list=is_list))

    def _take_scalar(self, event: Any, place: Place) -> None:
        if event.tag not in {None, _STR_TAG}:
            raise self._tag_error(event.tag, place)
        is_plain = event.tag is None and event.implicit[0]
        if self._is_key():
            self._take_key(event.value, place, is_plain=is_plain)
            return
        try:
            value = _resolve(event.value) if is_plain else event.value
        except ValueError:
            raise self._error("has a number with too many digits", place) from None
        self._add(value, Places(place))

    def _take_key(self, key: str, place: Place, *, is_plain: bool) -> None:
        holder = self._open[-1]
        if key in holder.value:
            raise self._error(f"has the same key{self._quote(key)} twice in one object", place)
        if is_plain and not (key and isinstance(_resolve(key[:100]), str)):
            message = f"has a key{self._quote(key)} that is not text; write it in double quotes"
            raise self._error(message, place)
        holder.key = key
        holder.places.keys[key] = place

    def _is_key(self) -> bool:
        return (
            bool(self._open)
            and isinstance(self._open[-1].value, dict)
            and (self._open[-1].key is None)
        )

    def _tag_error(self, tag: str, place: Place) -> BadInputError:
        return self._error(f"has a tag{self._quote(tag)}; only plain values are read", place)

    def _quote(self, text: str) -> str:
        return "" if self._is_secret else f" {shorten(text)}"

    def _error(self, message: str, place: Place) -> BadInputError:
        return _wrong(self._origin, message, place)


def _resolve(text: str) -> Any:
    """Return the value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite is not None:
        return float(f"{infinite[1]}inf")
    return text


def _events(text: str, origin: str, *, is_secret: bool) -> Iterator[Any]:
    try:
        import yaml  # late: most plans are JSON
    except ModuleNotFoundError:
        message = "YAML needs one more package: pip install 'jobcell[cli]'"
        raise BadInputError([f"{origin}: {message}"]) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        reason = "" if is_secret else f": {error.problem or error.context}"
        raise _wrong(origin, f"is not YAML{reason}", place) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "" if is_secret else f": {str(error)[:200]}"
        raise BadInputError([f"{origin}: is not YAML{reason}"]) from None


def _wrong(origin: str, message: str, place: Place) -> BadInputError:
    line, column = place
    return BadInputError([f"{origin}:{line}:{column}: {message}"])
