"""The redactor of one run: learns its secrets, and takes them out of whatever leaves the engine."""

from __future__ import annotations

import gc
from collections.abc import Collection
from typing import Any, Final, Literal, TypeVar, get_origin

import msgspec

from engine.redaction.container import Container, decode, encode
from engine.redaction.matcher import Matcher
from engine.redaction.needles import DEFAULT_PUBLIC_KEYS, plain_spelling, secrets_of, spellings
from engine.redaction.stream import RecordRedactor, StreamRedactor, replace_spans
from protocol.events import REDACTED
from protocol.report import SEVERITY_BY_NAME, ErrorReport

StructType = TypeVar("StructType", bound=msgspec.Struct)
Record = TypeVar("Record")

_REDACTED_BYTES: Final = REDACTED.encode()

MAX_SPELLED_SECRETS: Final = 5000
"""So many secrets are looked for in all spellings, any more only as they are: all spellings of
100,000 strings would take the supervisor half a minute to learn."""

_SMALL_BYTES: Final = 4096
"""An encoded container below this size is decoded whole, not item by item."""

_MAX_LEVELS: Final = 6
"""So many levels of large containers are opened item by item: each is read once more."""


class Redactor:
    """Replaces the secrets of one run by ``[redacted]``.

    Without secrets it is not ``active`` and every method returns what it was given.  Used from
    one thread, the supervisor's.  What it is given is never changed: a value in which there was
    something to hide comes back as a copy.  Its repr shows no secret.

    Args:
        public_keys: Keys of a configuration whose values are no secrets, in any case.

    """

    def __init__(self, *, public_keys: Collection[str] = DEFAULT_PUBLIC_KEYS) -> None:
        self.active = False
        """Whether there is anything to look for."""
        self._public_keys = frozenset(key.casefold() for key in public_keys)
        self._secrets: set[str | bytes] = set()
        self._needles: set[bytes] = set()
        self._matcher: Matcher | None = None

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"

    def learn(self, configuration: object) -> None:
        """Add every secret of a configuration.

        What was emitted before stays as it was, so learn before anybody can use the value.
        """
        for secret in secrets_of(configuration, self._public_keys):
            if secret not in self._secrets:
                self._secrets.add(secret)
                many = len(self._secrets) > MAX_SPELLED_SECRETS
                self._needles |= plain_spelling(secret) if many else spellings(secret)
                self._matcher = None
        self.active = bool(self._needles)

    def forget(self) -> None:
        """Drop every secret: the run is over."""
        self._secrets.clear()
        self._needles.clear()
        self._matcher = None
        self.active = False

    def text(self, text: str) -> str:
        """Return *text* with ``[redacted]`` in place of each secret; overlapping ones are one."""
        if not self.active or not self._current().may_be_in(_encoded(text)):
            return text
        return replace_spans(text, self.spans(text))

    def value(self, value: object) -> Any:
        """Return a decoded value with the strings, bytes and keys in it redacted.

        The same object if nothing was hit.  Two keys that become equal leave one of them.
        Objects of unknown types are left as they are.  What is nested too deep to be looked
        into becomes ``[redacted]`` as a whole.
        """
        if not self.active:
            return value
        try:
            return self._value(value)
        except RecursionError:
            return REDACTED

    def raw(self, data: bytes | msgspec.Raw) -> bytes | None:
        """Return encoded msgpack with its secrets redacted, or None if there is none in it.

        Extension types (integers beyond 64 bits) come back as they were.  What contains a
        secret and cannot be decoded becomes ``[redacted]`` as a whole.
        """
        if not self.active:
            return None
        data = bytes(data)
        spans = self._current().spans(data)
        if not spans:
            return None
        # Collecting garbage while many objects are born costs three times the decoding.
        collecting = gc.isenabled()
        gc.disable()
        try:
            scrubbed = self._raw(data, spans, 0)
        except (ValueError, TypeError, RecursionError, MemoryError, OverflowError):
            scrubbed = encode(REDACTED)
        finally:
            if collecting:
                gc.enable()
        return None if scrubbed == data else scrubbed

    def struct(self, obj: StructType) -> StructType:
        """Return a struct (an event, a report) with all that the user can put in it redacted.

        The same object if nothing was hit.  Left alone are the words of the engine itself: the
        name of the struct, fields that take one of a few literals, the name of an error.  A
        `msgspec.Raw` in it is treated as by `raw`.
        """
        if not self.active:
            return obj
        try:
            return self._struct(obj)
        except RecursionError:
            return self._shallow(obj)

    def stream(self) -> StreamRedactor:
        """Return a redactor for text that arrives in pieces."""
        return StreamRedactor(self)

    def records(self) -> RecordRedactor[Any]:
        """Return a redactor for messages that may share a secret with the one before."""
        return RecordRedactor(self)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where there are secrets in *text*, in characters and in order."""
        if not self.active or not text:
            return []
        data = _encoded(text)
        spans = self._current().spans(data)
        if not spans or len(data) == len(text):
            return spans
        return _in_characters(data, spans)

    def settled(self, text: str) -> int:
        """Return up to where nothing that follows *text* can change how it is redacted."""
        if not self.active or not text:
            return len(text)
        data = _encoded(text)
        end = self._current().opening(data)
        for start, stop in reversed(self._current().spans(data)):
            if start < end < stop:
                end = start
        return end if len(data) == len(text) else _in_characters(data, [(0, end)])[0][1]

    def _current(self) -> Matcher:
        if self._matcher is None:
            self._matcher = Matcher(self._needles)
        return self._matcher

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            if self._current().may_be_in(_encoded(value)):
                return replace_spans(value, self.spans(value))
            return value
        if value is None or isinstance(value, (int, float)):
            return value
        if isinstance(value, dict):
            return self._dict(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            items = [self._value(item) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return items if isinstance(value, list) else _plain(value)(items)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        if isinstance(value, msgspec.Raw):
            scrubbed = self.raw(value)
            return value if scrubbed is None else msgspec.Raw(scrubbed)
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        return value

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        redacted = {}
        hit = False
        for key, item in value.items():
            new_key, new_item = self._value(key), self._value(item)
            hit = hit or new_key is not key or new_item is not item
            redacted[new_key] = new_item
        return redacted if hit else value

    def _bytes(self, value: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
        data = bytes(value)
        spans = self._current().spans(data)
        if not spans:
            return value
        pieces = []
        done = 0
        for start, end in spans:
            pieces += [data[done:start], _REDACTED_BYTES]
            done = end
        return b"".join([*pieces, data[done:]])

    def _struct(self, obj: StructType) -> StructType:
        changed = {}
        for name in _open_fields(type(obj)):
            value = getattr(obj, name)
            redacted = self._value(value)
            if redacted is not value:
                changed[name] = redacted
        if isinstance(obj, ErrorReport) and obj.name in SEVERITY_BY_NAME:
            changed.pop("name", None)
        return msgspec.structs.replace(obj, **changed) if changed else obj

    def _shallow(self, obj: StructType) -> StructType:
        """Redact a struct in one field of which a value is nested too deep to be looked into."""
        changed = {}
        for name in _open_fields(type(obj)):
            value = getattr(obj, name)
            redacted = self.value(value)
            if redacted is not value:
                changed[name] = redacted
        return msgspec.structs.replace(obj, **changed)

    def _raw(self, data: bytes, spans: list[tuple[int, int]], level: int) -> bytes:
        """Redact an encoded item with needles at these places.

        Of a large container only the items with a needle are decoded; the others are skipped
        over, which is many times faster, and copied as they are.
        """
        container = Container.opened(data) if len(data) >= _SMALL_BYTES else None
        if container is None or level >= _MAX_LEVELS:
            return encode(self._value(decode(data)))
        for index, inside in container.locate(spans).items():
            item = bytes(container.items[index])
            container.items[index] = self._raw(item, inside, level + 1)
        return container.head + b"".join(container.items)


_fields_by_struct: dict[type[msgspec.Struct], tuple[str, ...]] = {}


def _open_fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the fields of a struct that can hold text other than the engine's own words."""
    names = _fields_by_struct.get(struct)
    if names is None:
        closed = (bool, int, float, type(None))
        names = tuple(
            field.name
            for field in msgspec.structs.fields(struct)
            if get_origin(field.type) is not Literal and field.type not in closed
        )
        _fields_by_struct[struct] = names
    return names


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _plain(value: Collection[Any]) -> type[tuple[Any, ...] | set[Any] | frozenset[Any]]:
    """Return the built-in type of a collection: a named tuple's own takes other arguments."""
    return next(kind for kind in (tuple, set, frozenset) if isinstance(value, kind))


def _in_characters(data: bytes, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Turn places in UTF-8 bytes into places in the text."""
    places = []
    done = characters = 0
    for place in (place for span in spans for place in span):
        # Counts the bytes that begin one: a bytes secret may end within a character.
        characters += len(data[done:place].translate(None, _CONTINUATION))
        places.append(characters)
        done = place
    return list(zip(places[::2], places[1::2], strict=True))


_CONTINUATION: Final = bytes(range(0x80, 0xC0))
