"""The redactor of one run: learns its secrets, and takes them out of whatever leaves the engine."""

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
"""An encoded container below this size is decoded whole, not item by item."""

_MAX_LEVELS: Final = 6
"""So many levels of large containers are opened item by item: each is read once more."""


class Redactor(Values):
    """Replaces the secrets of one run by ``[redacted]``.

    Without secrets it is not ``active`` and every method returns what it was given.  Used from
    one thread, the supervisor's.  What it is given is never changed: a value in which there was
    something to hide comes back as a copy.  Its repr shows no secret.

    Args:
        public_keys: Keys of a configuration whose values are no secrets, in any case.
        is_id: Whether a text is the id of a step or of an execution; such ids are not secrets
            where the engine itself writes them.
        named: Ids of credentials and states, which messages of the engine name.
        max_spellings: So many needles are looked for; later secrets only as they are.

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
        """Whether there is anything to look for."""
        super().__init__(is_id, named)
        self._public_keys = frozenset(key.casefold() for key in public_keys)
        self._secrets: set[str | bytes] = set()
        self._needles: set[bytes] = set()
        self._fresh: set[bytes] = set()
        """Needles that are not in a layer yet."""
        self._layers = Layers()
        self._finder: Matcher | Layers = self._layers
        self._spellings_left = max_spellings
        self._bytes_left = MAX_SPELLED_BYTES

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"

    def learn(self, configuration: object) -> None:
        """Add every secret of a configuration.

        What was emitted before stays as it was, so learn before anybody can use the value.
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
        """Return what `adopt` takes.  For any thread: it may take long."""
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
        """Drop every secret: the run is over."""
        self._secrets.clear()
        self._needles.clear()
        self._fresh.clear()
        self._layers = Layers()
        self._finder = self._layers
        self.active = False

    def text(self, text: str) -> str:
        """Return *text* with ``[redacted]`` in place of each secret; overlapping ones are one."""
        if not self.active or not self._current().may_be_in(_encoded(text)):
            return text
        return replace_spans(text, self.spans(text))

    def value(self, value: object) -> Any:
        """Return a decoded value with the strings, bytes and keys in it redacted.

        The same object if nothing was hit.  Keys that become equal are numbered: no entry is
        lost.  Objects of unknown types are left as they are.  What is nested too deep to be looked
        into becomes ``[redacted]`` as a whole.
        """
        if not self.active:
            return value
        try:
            return self._value(value)
        except RecursionError:
            return REDACTED

    def raw(self, data: bytes | msgspec.Raw, shape: Shape = Shape.USER) -> bytes | None:
        """Return encoded msgpack with its secrets redacted, or None if there is none in it.

        *shape* says which keys of it are the engine's; they stay.

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
            scrubbed = self._raw(data, spans, shape, 0)
        except (ValueError, TypeError, RecursionError, MemoryError, OverflowError):
            scrubbed = encode(REDACTED)
        finally:
            if collecting:
                gc.enable()
        return None if scrubbed == data else scrubbed

    def struct(self, obj: StructType) -> StructType:
        """Return a struct (an event, a report) with all that the user can put in it redacted.

        The same object if nothing was hit.  Left alone is what `engine.reporting.redaction.structure`
        calls the engine's own: ids, names of errors, keys of reports, fixed parts of messages.
        A `msgspec.Raw` in it is treated as by `raw`.
        """
        if not self.active:
            return obj
        redacted: StructType = self._value(obj)
        return redacted

    def records(self, is_own: Callable[[Any], bool] = lambda _: False) -> RecordRedactor[Any]:
        """Return a redactor for messages that may share a secret with the one before.

        *is_own* says of a record whether its message is the engine's.
        """
        return RecordRedactor(self, is_own)

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

    def _spans_in_bytes(self, data: bytes) -> list[tuple[int, int]]:
        return self._current().spans(data)

    def _current(self) -> Matcher | Layers:
        if self._fresh:
            self._layers = self._layers.and_also(self._fresh)
            self._finder = self._layers.finder
            self._fresh.clear()
        return self._finder

    def _raw(self, data: bytes, spans: list[tuple[int, int]], shape: Shape, level: int) -> bytes:
        """Redact an encoded item with needles at these places.

        Of a large container only the items with a needle are decoded; the others are skipped
        over, which is many times faster, and copied as they are.
        """
        container = Container.opened(data) if len(data) >= _SMALL_BYTES else None
        if container is None or level >= _MAX_LEVELS or shape is Shape.REPORT:
            if len(data) >= _SMALL_BYTES:
                check_keys(data)  # a child has chosen them: lists as keys would collide
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
