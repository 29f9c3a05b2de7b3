"""The redactor of a run: learns its secrets, and takes them out of all output of the engine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

import msgspec

from engine.api import DEFAULT_PUBLIC_KEYS
from engine.reporting.redaction.container import Container, as_key, decode, encode
from engine.reporting.redaction.matcher import Layers, Matcher
from engine.reporting.redaction.records import RecordRedactor
from engine.reporting.redaction.spans import replace_spans
from engine.reporting.redaction.structure import IsId, Shape, below, keeps, of_result
from engine.reporting.redaction.study import MAX_SPELLED_BYTES, MAX_SPELLINGS, Studied, study
from engine.reporting.redaction.values import StructType, Values, distinct
from protocol.events import REDACTED
from protocol.packed import check_keys

Record = TypeVar("Record")

_SMALL_BYTES: Final = 4096
"""An encoded container below this size is decoded as a whole, not item by item."""

_MAX_LEVELS: Final = 6
"""Most levels of large containers that are opened item by item, because each level is read once
more."""


class Redactor(Values):
    """Replaces the secrets of one run by ``[redacted]``.

    Without secrets it is not ``active``, and every method returns its argument.  Only the
    supervisor's thread uses it.  An argument is never changed: a value with a secret comes back as
    a copy.  The repr does not show secrets.

    Args:
        public_keys: Keys of a configuration whose values are not secrets; upper and lower case are
            the same.
        is_id: Returns whether a text is the id of a step or of an execution; such ids are not
            secrets where the engine itself writes them.
        named: Ids of credentials and states that messages of the engine may name.
        max_spellings: Most needles; later secrets are only searched for as they are.

    """

    def __init__(
        self,
        *,
        public_keys: Collection[str] = DEFAULT_PUBLIC_KEYS,
        is_id: IsId = lambda _: False,
        named: Collection[str] = (),
        max_spellings: int = MAX_SPELLINGS,
    ) -> None:
        self.active = False
        """Whether the run has secrets."""
        super().__init__(is_id, named)
        self._public_keys = frozenset(key.casefold() for key in public_keys)
        self._secrets: set[str | bytes] = set()
        self._needles: set[bytes] = set()
        self._fresh: set[bytes] = set()
        """Needles that are not yet in a layer."""
        self._layers = Layers()
        self._finder: Matcher | Layers = self._layers
        self._spellings_left = max_spellings
        self._bytes_left = MAX_SPELLED_BYTES

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"

    def learn(self, configuration: object) -> None:
        """Add every secret of a configuration.

        Earlier output stays as it was, so the secrets must be learned before the value can be used.
        """
        self.adopt(
            study(
                configuration,
                self._public_keys,
                known=self._secrets,
                spellings_left=self._spellings_left,
                bytes_left=self._bytes_left,
            )
        )

    def study(self, configuration: object) -> Studied:
        """Return the argument of `adopt`.  Any thread may call this, because it may take long."""
        return study(configuration, self._public_keys)

    def adopt(self, studied: Studied) -> None:
        """Add the secrets of a configuration that was studied."""
        needles, matcher = studied.needles, studied.matcher
        if needles <= self._needles:
            return
        spelled = len(needles) > len(studied.parts)
        if spelled and (self._spellings_left <= 0 or self._bytes_left <= 0):
            needles, matcher = studied.parts, None  # the budget was used up meanwhile
        elif spelled:
            self._spellings_left -= len(needles)
            self._bytes_left -= studied.size
        if matcher is not None:
            self._layers = self._layers.with_layer(matcher)
            self._finder = self._layers.finder
        else:
            self._fresh |= needles - self._needles
        self._secrets |= studied.secrets
        self._needles |= needles
        self.active = True

    def forget(self) -> None:
        """Drop every secret, because the run is over."""
        self._secrets.clear()
        self._needles.clear()
        self._fresh.clear()
        self._layers = Layers()
        self._finder = self._layers
        self.active = False

    def text(self, text: str) -> str:
        """Return *text* with ``[redacted]`` for each secret; overlapping secrets count as one."""
        if not self.active or not self._current().may_be_in(_encoded(text)):
            return text
        return replace_spans(text, self.spans(text))

    def value(self, value: object) -> Any:
        """Return a decoded value with the strings, bytes and keys in it redacted.

        The result is the same object if it contains no secret.  Keys that become equal are
        numbered, so that entries are not lost.  Objects of unknown types stay as they are.  A value
        that is nested too deep to be searched becomes ``[redacted]`` as a whole.
        """
        if not self.active:
            return value
        try:
            return self._value(value)
        except RecursionError:
            return REDACTED

    def raw(self, data: bytes | msgspec.Raw, shape: Shape = Shape.USER) -> bytes | None:
        """Return encoded msgpack with its secrets redacted, or None if it contains no secret.

        Keys that are the engine's according to *shape* stay.

        Extension types (integers beyond 64 bits) come back as they were.  Data that contains a
        secret and cannot be decoded becomes ``[redacted]`` as a whole.
        """
        if not self.active:
            return None
        data = bytes(data)
        spans = self._current().spans(data)
        if not spans:
            return None
        # The garbage collector would take three times as long as the decoding.
        collecting = gc.isenabled()
        gc.disable()
        try:
            scrubbed = self._raw(data, spans, shape, 0)
        except (ValueError, TypeError, RecursionError, MemoryError, OverflowError):
            scrubbed = encode(REDACTED)
        finally:
            if collecting:
                gc.enable()
        return None if scrubbed == data else scrubbed

    def struct(self, obj: StructType) -> StructType:
        """Return a struct (an event, a report) with its user-supplied parts redacted.

        The result is the same object if it contains no secret.  The engine's own parts stay as
        `engine.reporting.redaction.structure` defines them: ids, names of errors, keys of reports,
        fixed parts of messages.  A `msgspec.Raw` in it is treated as by `raw`.
        """
        if not self.active:
            return obj
        redacted: StructType = self._value(obj)
        return redacted

    def records(self, is_own: Callable[[Any], bool] = lambda _: False) -> RecordRedactor[Any]:
        """Return a redactor for messages that may share a secret with earlier messages.

        *is_own* returns whether the message of a record is the engine's.
        """
        return RecordRedactor(self, is_own)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of secrets in *text*, in characters and in order."""
        if not self.active or not text:
            return []
        data = _encoded(text)
        spans = self._current().spans(data)
        if not spans or len(data) == len(text):
            return spans
        return _in_characters(data, spans)

    def settled(self, text: str) -> int:
        """Return the length of the part of *text* whose redaction cannot change with later text."""
        if not self.active or not text:
            return len(text)
        data = _encoded(text)
        end = self._current().opening(data)
        for start, stop in reversed(self._current().spans(data)):
            if start < end < stop:
                end = start
        return end if len(data) == len(text) else _in_characters(data, [(0, end)])[0][1]

    def _spans_in_bytes(self, data: bytes) -> list[tuple[int, int]]:
        return self._current().spans(data)

    def _current(self) -> Matcher | Layers:
        if self._fresh:
            self._layers = self._layers.and_also(self._fresh)
            self._finder = self._layers.finder
            self._fresh.clear()
        return self._finder

    def _raw(self, data: bytes, spans: list[tuple[int, int]], shape: Shape, level: int) -> bytes:
        """Redact an encoded item that has needles at *spans*.

        In a large container only the items with a needle are decoded.  The others are skipped over,
        which is many times faster, and copied as they are.
        """
        container = Container.opened(data) if len(data) >= _SMALL_BYTES else None
        if container is None or level >= _MAX_LEVELS or shape is Shape.REPORT:
            if len(data) >= _SMALL_BYTES:
                check_keys(data)  # a child may have chosen lists as keys, which would collide
            return encode(self._value(decode(data), shape))
        if shape is Shape.RESULT:
            shape = of_result(shape, list(map(decode, container.keys)), self._is_id)
        hit_keys = []
        for index, inside in container.locate(spans).items():
            if container.is_key(index):
                hit_keys.append(index)
                continue
            under = Shape.USER
            if container.is_map and shape is not Shape.USER:
                under = below(shape, decode(container.items[index - 1]), self._is_id)
            item = bytes(container.items[index])
            container.items[index] = self._raw(item, inside, under, level + 1)
        self._rename(container, hit_keys, shape)
        return container.head + b"".join(container.items)

    def _rename(self, container: Container, hit_keys: list[int], shape: Shape) -> None:
        names = {}
        for index in hit_keys:
            key = as_key(container.items[index])
            new = key if keeps(shape, key, self._is_id) else self._value(key)
            if new is not key:
                names[index] = new
        if names:
            indices = range(0, len(container.items), 2)
            taken = {as_key(container.items[i]) for i in indices if i not in names}
            for index, new in zip(names, distinct(names.values(), taken), strict=True):
                container.items[index] = encode(new)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _in_characters(data: bytes, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Convert places in UTF-8 bytes into places in the text."""
    places = []
    done = characters = 0
    for place in (place for span in spans for place in span):
        # Counts the first bytes of characters: a bytes secret may end within a character.
        characters += len(data[done:place].translate(None, _CONTINUATION))
        places.append(characters)
        done = place
    return list(zip(places[::2], places[1::2], strict=True))


_CONTINUATION: Final = bytes(range(0x80, 0xC0))
