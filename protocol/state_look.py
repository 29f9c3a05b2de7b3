"""Whether msgspec may be given a value as it is.

msgspec asks an object of a class that it does not know for its attributes, its items and its
iterator, and so runs code of that class.  No code of a job may run while its result is encoded,
so what msgspec is given consists of built-in types only.  That is found here without a call of
anything that belongs to the value: by exact type.
"""

from __future__ import annotations

import datetime as dt
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

BIG_INTEGER: Final = 1
"""Extension type of an integer that msgpack has no type for: two's complement, big endian."""

KEY_TYPES: Final = frozenset({str, bytes, int, float, bool, type(None)})
"""What can be a key of a map in a state."""

PLAIN: Final = "plain"
"""Built-in types only, with keys that are allowed."""

DATED: Final = "dated"
"""The same, and among it a date or a time that msgspec alone would not write as text."""

FOREIGN: Final = "foreign"
"""Something else as well, or a key that is not allowed."""

_BUFFERS: Final = frozenset({bytearray, memoryview})
_LEAVES: Final = KEY_TYPES | _BUFFERS
_CONTAINERS: Final = frozenset({dict, list, tuple, set, frozenset})
_DATES: Final = frozenset({dt.datetime, dt.date, dt.time, dt.timedelta})
_ZONED: Final = frozenset({dt.datetime, dt.time})

_FEW: Final = 400
"""So many values are looked at one by one; for more it pays to have C do it."""

_DEEP: Final = 10
"""From this level on what was seen is noted: a cycle comes by again for ever."""

_PICKLED_FOR_ENCODED: Final = 4
"""No value takes more than so many times its bytes in msgpack when it is pickled without a memo."""
_FRAME_BYTES: Final = 1 << 17


def is_key(key: object) -> bool:
    """Return whether *key* may be a key of a map in a state."""
    return type(key) in KEY_TYPES


def look(value: Any, max_bytes: int | None = None) -> str:
    """Return `PLAIN`, `DATED` or `FOREIGN`.

    Args:
        value: Anything.
        max_bytes: The caller has no use for a longer encoding.

    Raises:
        TooLargeError: It would be longer.  One that is not refused here may be longer too.

    """
    found = _look(value, _FEW)
    if found is None:
        found = _look_in_c(value, max_bytes) or _look(value, sys.maxsize)
    assert found is not None
    return found


def keys_are_plain(value: Any) -> bool:
    """Return whether all keys in a value of built-in types are allowed."""
    try:
        _encode_json(value)
    except (TypeError, ValueError, RecursionError):
        return _look(value, sys.maxsize) != FOREIGN
    return True


def _encode_json(value: Any) -> None:
    """Have msgspec refuse all keys but text and numbers, several times as fast as a loop does."""
    import msgspec.json  # a small state does without

    msgspec.json.encode(value)


def _look(value: Any, most: int) -> str | None:
    """Look at each value, level by level; return None if there are more than *most*."""
    if type(value) in _LEAVES:
        return PLAIN
    found = PLAIN
    level = [value]
    seen: dict[int, Any] = {}
    depth = 0
    while level:
        kinds = set(map(type, level))
        if not kinds <= _CONTAINERS:
            if not (_dated(level) and kinds <= _CONTAINERS | text_types()):
                return FOREIGN
            found = DATED
            level = [item for item in level if type(item) in _CONTAINERS]
        depth += 1
        # One container may stand in many places; without this the levels could grow for ever.
        fresh = {id(item): item for item in level}
        if depth > _DEEP:
            level = [item for number, item in fresh.items() if number not in seen]
            seen.update(fresh)
        else:
            level = list(fresh.values())
        maps = [item for item in level if type(item) is dict]
        others = [item for item in level if type(item) is not dict]
        most -= sum(map(len, level))
        if most < 0:
            return None
        if not KEY_TYPES.issuperset(set(map(type, chain.from_iterable(maps)))):
            return FOREIGN
        level = [item for one in maps for item in one.values() if type(item) not in _LEAVES]
        level += [item for one in others for item in one if type(item) not in _LEAVES]
    return found


def _look_in_c(value: Any, max_bytes: int | None) -> str | None:
    """Return `PLAIN` if that can be said at once, else None."""
    try:
        _exact_pickler(max_bytes).dump(value)
        # Nothing is kept of this, so that the memory is free again when the value is encoded.
        _encode_json(value)
    except (TypeError, ValueError, OverflowError, RecursionError, AttributeError):
        return None
    return PLAIN


_make_pickler: Callable[[int | None], Any] | None = None


def _exact_pickler(max_bytes: int | None) -> Any:
    """Return a pickler that refuses all but exact built-in types, and keeps nothing."""
    global _make_pickler  # noqa: PLW0603 - imported when first needed: small states need none
    if _make_pickler is None:
        _make_pickler = _define_pickler()
    return _make_pickler(max_bytes)


def _define_pickler() -> Callable[[int | None], Any]:
    from _pickle import Pickler

    class Sink:
        """Counts what is written.  A value that holds one list in many places has no end."""

        def __init__(self, max_bytes: int | None) -> None:
            self._left = sys.maxsize
            if max_bytes is not None:
                self._left = _PICKLED_FOR_ENCODED * max_bytes + _FRAME_BYTES

        def write(self, data: Any) -> int:
            self._left -= len(data)
            if self._left < 0:
                raise TooLargeError
            return len(data)

    class Exact(Pickler):
        def reducer_override(self, _value: object) -> Any:
            """Be called for whatever is not of an exact built-in type, in place of its own code."""
            raise TypeError

    def make(max_bytes: int | None) -> Any:
        pickler = Exact(Sink(max_bytes), 5)
        pickler.fast = True  # without a memo, which would be larger than the value
        return pickler

    return make


def text_types() -> frozenset[type]:
    """Return the types that msgspec writes as text by C code alone."""
    types = set(_DATES)
    # Who has not imported the module has no value of the type.
    for module, name in (("decimal", "Decimal"), ("uuid", "UUID")):
        loaded = sys.modules.get(module)
        if loaded is not None:
            types.add(getattr(loaded, name))
    return frozenset(types)


def _dated(level: list[Any]) -> bool:
    """Whether no time among these has a zone whose offset is told by code that is not Python's own."""
    return all(type(item.tzinfo) in own_zones() for item in level if type(item) in _ZONED)


def own_zones() -> frozenset[type]:
    """Return the classes of time zones that come with Python."""
    zones: set[type] = {type(None), dt.timezone}
    zoneinfo = sys.modules.get("zoneinfo")
    if zoneinfo is not None:
        zones.add(zoneinfo.ZoneInfo)
    return frozenset(zones)
