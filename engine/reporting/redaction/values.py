"""Redacts values, events and reports, except the parts that the engine wrote itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from engine.reporting.redaction.own_words import own_words
from engine.reporting.redaction.spans import replace_spans
from engine.reporting.redaction.structure import (
    DETAIL_FIELDS,
    QUOTING_NAMES,
    REPORT_FIELDS,
    IsId,
    Shape,
    below,
    is_group,
    is_name_in_code,
    is_own,
    is_word,
    keeps,
    of_result,
    open_fields,
)
from protocol.events import REDACTED, JobComplete, JobError, WorkflowComplete
from protocol.report import ErrorReport, OperationRef, Position, StackFrame
from protocol.state import decode_state, encode_state
from protocol.words import NAMED_CONDITIONS

StructType = TypeVar("StructType", bound=msgspec.Struct)

_REDACTED_BYTES: Final = REDACTED.encode()

_MAX_OWN_PLACES: Final = 50
"""Largest number of secrets in a message that are compared with the engine's own words; all further
secrets are hidden."""

_PART_FIELDS: Final = frozenset(
    OperationRef.__struct_fields__ + Position.__struct_fields__ + StackFrame.__struct_fields__
)


class Values(ABC):
    """Redacts decoded values.  A subclass finds the secrets in texts and bytes."""

    def __init__(self, is_id: IsId, named: Collection[str]) -> None:
        self._is_id = is_id
        self._named = frozenset(named)

    @abstractmethod
    def text(self, text: str) -> str:
        """Return *text* with ``[redacted]`` in place of each secret."""

    @abstractmethod
    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of secrets in *text*, in characters and in order."""

    @abstractmethod
    def raw(self, data: bytes | msgspec.Raw, shape: Shape = Shape.USER) -> bytes | None:
        """Return encoded msgpack with its secrets redacted, or None if it holds no secret."""

    @abstractmethod
    def _spans_in_bytes(self, data: bytes) -> list[tuple[int, int]]: ...

    def own_spans(self, text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the *spans* that must be hidden in *text*, a message of the engine.

        The other spans are in fixed parts of the message, or are ids and names that it may show.
        """
        return [
            (start, stop)
            for number, (start, stop) in enumerate(spans)
            if number >= _MAX_OWN_PLACES or not self._is_own(text, start, stop)
        ]

    def _is_own(self, text: str, start: int, stop: int) -> bool:
        return (
            is_own(text[start:stop], self._is_id)
            or text[start:stop] in self._named
            or own_words().cover(text, start, stop)
            or own_words().frame_number(text, start, stop)
        )

    def _value(self, value: Any, shape: Shape = Shape.USER) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, (int, float)):
            return value
        if isinstance(value, dict):
            return self._report(value) if shape is Shape.REPORT else self._dict(value, shape)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._items(value, self._value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        if isinstance(value, msgspec.Raw):
            scrubbed = self.raw(value, shape)
            return value if scrubbed is None else msgspec.Raw(scrubbed)
        if isinstance(value, ErrorReport):
            return self._report(value)
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        return value

    def _dict(self, value: dict[Any, Any], shape: Shape) -> dict[Any, Any]:
        if shape is Shape.USER:
            return self._user_dict(value)
        shape = of_result(shape, list(value), self._is_id) if value else shape
        return self._map(
            value,
            keeps=lambda key: keeps(shape, key, self._is_id),
            item=lambda key, item: self._value(item, below(shape, key, self._is_id)),
        )

    def _user_dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        """Redact a map without keys of the engine; nearly all maps are of this kind."""
        redact = self._value
        redacted = {}
        hit = False
        for key, old in value.items():
            if redact(key) is not key:
                return self._map(value, keeps=lambda _: False, item=lambda _, item: redact(item))
            new = redact(old)
            hit = hit or new is not old
            redacted[key] = new
        return redacted if hit else value

    def _map(
        self,
        value: dict[Any, Any],
        *,
        keeps: Callable[[Any], bool],
        item: Callable[[Any, Any], Any],
    ) -> dict[Any, Any]:
        """Redact a map, with special treatment for the engine's keys and items.

        No entry is lost, because a key that becomes equal to another gets a number.
        """
        names = {}
        for key in value:
            new = key if keeps(key) else self._value(key)
            if new is not key:
                names[key] = new
        if names:
            taken = value.keys() - names.keys()
            names = dict(zip(names, distinct(names.values(), taken), strict=True))
        redacted = {}
        hit = bool(names)
        for key, old in value.items():
            new = item(key, old)
            hit = hit or new is not old
            redacted[names.get(key, key)] = new
        return redacted if hit else value

    def _items(self, value: Collection[Any], item: Callable[[Any], Any]) -> Any:
        items = [item(old) for old in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return items if isinstance(value, list) else _plain(value)(items)

    def _bytes(self, value: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
        data = bytes(value)
        spans = self._spans_in_bytes(data)
        if not spans:
            return value
        pieces = []
        done = 0
        for start, end in spans:
            pieces += [data[done:start], _REDACTED_BYTES]
            done = end
        return b"".join([*pieces, data[done:]])

    def _struct(self, obj: StructType) -> StructType:
        """Redact an event, except its ids and the other fields that the engine sets."""
        states = isinstance(obj, WorkflowComplete | JobComplete | JobError)
        changed = {}
        for name in open_fields(type(obj)):
            value = getattr(obj, name)
            if name == "condition" and value in NAMED_CONDITIONS:
                continue
            shape = Shape.STATE if states and name == "state" else Shape.USER
            if shape is Shape.STATE and isinstance(obj, WorkflowComplete):
                shape = Shape.RESULT
            redacted = self._guarded(partial(self._value, shape=shape), value)
            if redacted is not value:
                changed[name] = redacted
        return msgspec.structs.replace(obj, **changed) if changed else obj

    def _report(self, report: Any) -> Any:
        """Redact a report, which is a struct or, inside a state, a map."""
        name = report.get("name") if isinstance(report, dict) else report.name
        own_message = isinstance(name, str) and name not in QUOTING_NAMES

        def field(key: str, value: Any) -> Any:
            if isinstance(value, str):
                if is_word(key, value, self._is_id):
                    return value
                if key == "fix" or (key == "message" and own_message):
                    return self._own_text(value)
            if key == "details" and isinstance(value, msgspec.Raw):
                return self._raw_details(value, lambda details: field(key, details))
            if key == "details" and (name != "AdaptorError" or is_group(value)):
                return self._details(value, own=own_message)
            if key in {"operation", "position"}:
                return self._part(value)
            if key == "stack" and isinstance(value, (list, tuple)):
                return self._items(value, self._part)
            return self._value(value)

        return self._fields(report, REPORT_FIELDS, field)

    def _part(self, part: Any) -> Any:
        """Redact an operation, a position or a frame, whose names come from code."""

        def field(key: str, value: Any) -> Any:
            if isinstance(value, str) and (
                (key in {"name", "function"} and is_name_in_code(value))
                or (key == "module" and self._is_id(value))
            ):
                return value
            return self._value(value)

        return self._fields(part, _PART_FIELDS, field)

    def _raw_details(
        self, details: msgspec.Raw, redact: Callable[[Any], Any]
    ) -> msgspec.Raw | None:
        """Redact details that are still encoded; they are decoded only if they contain a secret."""
        if not self._spans_in_bytes(bytes(details)):
            return details
        try:
            plain = decode_state(details)
        except ValueError:
            return None
        return msgspec.Raw(encode_state(redact(plain)))

    def _details(self, details: Any, *, own: bool) -> Any:
        """Redact details that the engine itself has written, as a list of maps."""

        def field(key: str, value: Any) -> Any:
            if isinstance(value, str):
                if key == "type" and is_word("subtype", value, self._is_id):
                    return value
                if own and key in {"message", "fix"}:
                    return self._own_text(value)
            return self._value(value)

        if not isinstance(details, (list, tuple)):
            return self._value(details)
        return self._items(details, lambda one: self._fields(one, DETAIL_FIELDS, field))

    def _fields(self, value: Any, names: Collection[str], field: Callable[[str, Any], Any]) -> Any:
        """Redact the fields of a struct, or of a map that has the same names as keys."""
        if isinstance(value, dict):
            return self._map(
                value,
                keeps=lambda key: isinstance(key, str) and key in names,
                item=lambda key, item: field(key, item) if key in names else self._value(item),
            )
        if not isinstance(value, msgspec.Struct):
            return self._value(value)
        changed = {}
        for name in value.__struct_fields__:
            old = getattr(value, name)
            new = self._guarded(partial(field, name), old)
            if new is not old:
                changed[name] = new
        return msgspec.structs.replace(value, **changed) if changed else value

    def _guarded(self, redact: Callable[[Any], Any], value: Any) -> Any:
        """Redact a field; a value that is nested too deep to be searched is hidden as a whole."""
        try:
            return redact(value)
        except RecursionError:
            return REDACTED

    def _own_text(self, text: str) -> str:
        return replace_spans(text, self.own_spans(text, self.spans(text)))


def distinct(names: Iterable[Any], taken: Collection[Any]) -> Iterator[Any]:
    """Yield *names*, with a number after each name that is taken: ``[redacted] (2)``."""
    used = set(taken)
    numbers: dict[Any, int] = {}
    for name in names:
        new = name
        while new in used:
            numbers[name] = numbers.get(name, 1) + 1
            new = _numbered(name, numbers[name])
        used.add(new)
        yield new


def _numbered(name: Any, number: int) -> Any:
    if isinstance(name, str):
        return f"{name} ({number})"
    if isinstance(name, bytes):
        return name + b" (%d)" % number
    return (name, number)  # a tuple


def _plain(value: Collection[Any]) -> type[tuple[Any, ...] | set[Any] | frozenset[Any]]:
    """Return the built-in base of a collection, because a named tuple takes other arguments."""
    return next(kind for kind in (tuple, set, frozenset) if isinstance(value, kind))
