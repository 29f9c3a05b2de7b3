"""Decides whether msgspec may be given a value as it is.

msgspec asks an object of a class that it does not know for its attributes, its items and its
iterator, and so runs code of that class.  Code of a job must not run while its result is encoded,
so msgspec is given built-in types only.  This module looks at exact types, which does not call
anything that belongs to the value.
"""

from __future__ import annotations

import datetime as dt
import sys
from itertools import chain
from typing import Any, Final

BIG_INTEGER: Final = 1
"""Extension type of an integer that is too large for msgpack: two's complement, big endian."""

KEY_TYPES: Final = frozenset({str, bytes, int, float, bool, type(None)})
"""Types of the keys that a map in a state may have."""

PLAIN: Final = "plain"
"""The value has built-in types and allowed keys only."""

DATED: Final = "dated"
"""The same, but with a date or a time that msgspec alone would not write as text."""

FOREIGN: Final = "foreign"
"""The value has another type as well, or a key that is not allowed."""

MANY: Final = "many"
"""The value has more parts than the caller wants to look at."""

_BUFFERS: Final = frozenset({bytearray, memoryview})
_LEAVES: Final = KEY_TYPES | _BUFFERS
_CONTAINERS: Final = frozenset({dict, list, tuple, set, frozenset})
_DATES: Final = frozenset({dt.datetime, dt.date, dt.time, dt.timedelta})
_ZONED: Final = frozenset({dt.datetime, dt.time})

_MAPS: Final = frozenset({dict})

_SMALL: Final = 50
"""Number of parts of a small value."""

_DEEP: Final = 10
"""From this level on, containers that were seen are noted: in a cycle they come again for ever."""


def is_key(key: object) -> bool:
    """Return whether *key* may be a key of a map in a state."""
    return type(key) in KEY_TYPES


def as_json(value: Any) -> bytes | None:
    """Return *value* as JSON; None if it has a key that is neither text nor a number.

    None, bytes and booleans may be keys of a state, too.  msgspec refuses all other keys several
    times as fast as a loop finds them.
    """
    import msgspec.json  # a small state does not need it

    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def look(value: Any, most: int = sys.maxsize, levels: int = sys.maxsize) -> str:
    """Return `PLAIN`, `DATED` or `FOREIGN`, after one look at each value, level by level.

    If there are more than *most* values, `MANY` may be returned, and `FOREIGN` for more *levels*.
    """
    if type(value) in _LEAVES or _is_small_and_plain(value):
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
        # The same container may be in many places; without this the levels could grow for ever.
        if depth > _DEEP:
            if depth > levels:
                return FOREIGN
            fresh = {id(item): item for item in level}
            level = [item for number, item in fresh.items() if number not in seen]
            seen.update(fresh)
        elif len(level) > 1 and len(set(map(id, level))) < len(level):
            level = list({id(item): item for item in level}.values())
        if kinds == _MAPS:
            maps, others = level, []
        else:
            maps = [item for item in level if type(item) is dict]
            others = [item for item in level if type(item) is not dict]
        most -= sum(map(len, level))
        if most < 0:
            return MANY
        if not KEY_TYPES.issuperset(set(map(type, chain.from_iterable(maps)))):
            return FOREIGN
        level = [item for one in maps for item in one.values() if type(item) not in _LEAVES]
        level += [item for one in others for item in one if type(item) not in _LEAVES]
    return found


def _is_small_and_plain(value: Any) -> bool:
    """Whether a value has few parts and is `PLAIN`; `look` decides about all other values.

    Most states are small, and sets of their types would take several times as long.
    """
    left = _SMALL
    waiting = [value]
    while waiting:
        container = waiting.pop()
        kind = type(container)
        if kind not in _CONTAINERS:
            return False
        left -= len(container)  # a container that is in itself also comes to an end
        if left < 0:
            return False
        if kind is dict:
            for key, item in container.items():
                if type(key) not in KEY_TYPES:
                    return False
                if type(item) not in _LEAVES:
                    waiting.append(item)
        else:
            waiting += [item for item in container if type(item) not in _LEAVES]
    return True


def text_types() -> frozenset[type]:
    """Return the types that msgspec writes as text with C code only."""
    types = set(_DATES)
    # A value of the type exists only if the job has imported the module.
    for module, name in (("decimal", "Decimal"), ("uuid", "UUID")):
        loaded = sys.modules.get(module)
        if loaded is not None:
            types.add(getattr(loaded, name))
    return frozenset(types)


def _dated(level: list[Any]) -> bool:
    """Whether the zones of all times among these come from Python itself."""
    return all(type(item.tzinfo) in own_zones() for item in level if type(item) in _ZONED)


def own_zones() -> frozenset[type]:
    """Return the classes of time zones that come with Python."""
    zones: set[type] = {type(None), dt.timezone}
    zoneinfo = sys.modules.get("zoneinfo")
    if zoneinfo is not None:
        zones.add(zoneinfo.ZoneInfo)
    return frozenset(zones)
