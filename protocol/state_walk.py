"""Turns a value into built-in types, item by item, or finds the item that cannot be carried.

This is the slow way to encode a state: for types that msgspec lacks, for objects of other classes,
and for errors with a path.  It does not run code of the value (see `protocol.static`).  It does not
call itself, so that it follows a value as deep as msgspec does.
"""

from __future__ import annotations

import datetime as dt
import enum
import sys
import types
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import msgspec

from protocol import static
from protocol.errors import StateNotCarriedError
from protocol.state_depth import FIRST_TRIED, try_depth
from protocol.state_fields import ComputedFieldError, fields_of
from protocol.state_look import BIG_INTEGER, KEY_TYPES, own_zones

KEYS_ARE: Final = "a key is text, bytes, an integer, a float, a boolean or None"

_INT64: Final = range(-(2**63), 2**64)
_LEAVES: Final = frozenset({type(None), bool, float, bytes})
_MAX_ENUMS: Final = 20
_OPEN: Final = object()
_ALL: Final = slice(None)


class BigKey:
    """Represents an integer beyond 64 bits; unlike msgspec's Ext it can be a key."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return type(other) is BigKey and other.value == self.value


def extend(big: BigKey) -> msgspec.msgpack.Ext:
    """Return the written form of a key; a hook for msgspec's encoder."""
    return to_extension(big.value)


def to_extension(value: int) -> msgspec.msgpack.Ext:
    """Return the written form of an integer beyond 64 bits."""
    size = value.bit_length() // 8 + 1
    return msgspec.msgpack.Ext(BIG_INTEGER, value.to_bytes(size, "big", signed=True))


class _Level:
    """A container whose items are being walked."""

    __slots__ = ("add", "at", "items", "named", "number")

    def __init__(
        self, number: int, items: Iterator[tuple[Any, Any]], add: Callable[[Any, Any], None]
    ) -> None:
        self.number = number
        """The id of the container."""
        self.items = items
        self.add = add
        self.at: Any = None
        """The key or the index of the item that is being walked."""
        self.named = True
        """Whether `at` is a key and not an index."""


class StateWalk:
    """Walks one value, once."""

    def __init__(self, root: str, without: Collection[str]) -> None:
        self._root = root
        self._without = without
        self._levels: list[_Level] = []
        self._open: set[int] = set()
        self._tried_at = FIRST_TRIED

    def plain(self, value: Any) -> Any:
        """Return *value* converted to types that msgpack has.

        Raises:
            RecursionError: *value* is nested deeper than msgspec follows.
            StateNotCarriedError: A part of *value* cannot be carried.

        """
        result: list[Any] = []
        root = _Level(0, iter(()), lambda _key, item: result.append(item))
        levels = self._levels
        try:
            self._put(root, None, value)
            while levels:
                level = levels[-1]
                for key, item in level.items:
                    level.at = key
                    if self._put(level, key, item):
                        break
                else:
                    self._open.discard(levels.pop().number)
        finally:
            levels.clear()  # after an error: each level refers to this walk, and to its values
        return result[0]

    def _put(self, level: _Level, key: Any, value: Any) -> bool:
        """Add the plain form of an item to *level*; return whether the item opens a new level."""
        for _ in range(_MAX_ENUMS):
            plain = self._scalar(value)
            if plain is not _OPEN:
                level.add(key, plain)
                return False
            if not issubclass(type(value), enum.Enum):
                break
            value = static.attributes(value).get("_value_")
        else:
            raise self._refused(value)
        if id(value) in self._open:
            raise self._error("cannot carry a cycle")
        opened, container = self._enter(value)
        level.add(key, container)
        self._open.add(id(value))
        self._levels.append(opened)
        if len(self._levels) == self._tried_at:
            self._tried_at = try_depth(self._tried_at)
        return True

    def _enter(self, value: Any) -> tuple[_Level, Any]:
        """Return the level of a container, and the container that it becomes."""
        kind = type(value)
        number = id(value)
        if issubclass(kind, dict):
            members: dict[Any, Any] = {}
            # Decided now: the generator begins when the level of this container is there.
            left_out = () if self._levels else self._without
            return _Level(number, _members(value, left_out), self._adder(members)), members
        for base in (list, tuple, set, frozenset, deque):
            if issubclass(kind, base):
                return self._sequence(number, base.__iter__(value))
        fields = self._fields(value)
        if isinstance(fields, list):
            return self._sequence(number, fields)
        named: dict[Any, Any] = {}
        return _Level(number, iter(fields.items()), named.__setitem__), named

    def _sequence(self, number: int, values: Iterable[Any]) -> tuple[_Level, list[Any]]:
        items: list[Any] = []
        level = _Level(number, enumerate(values), lambda _index, item: items.append(item))
        level.named = False
        return level, items

    # --- keys ---

    def _adder(self, members: dict[Any, Any]) -> Callable[[Any, Any], None]:
        def add(key: Any, item: Any) -> None:
            plain = self._key(key)
            if plain in members:
                raise self._error(f"has two keys that become {_quote(plain)}", above=True)
            members[plain] = item

        return add

    def _key(self, key: Any) -> Any:
        plain = key
        for _ in range(_MAX_ENUMS):
            if not issubclass(type(plain), enum.Enum) or issubclass(type(plain), (int, str)):
                break
            plain = static.attributes(plain).get("_value_", _OPEN)
        if not issubclass(type(plain), (bytearray, memoryview)):
            plain = self._scalar(plain, is_key=True)
            if type(plain) in KEY_TYPES or type(plain) is BigKey:
                return plain
        kind = describe(key)
        raise self._error(f"cannot carry {kind} as a key; {KEYS_ARE}", above=True)

    # --- values that hold no others ---

    def _scalar(self, value: Any, *, is_key: bool = False) -> Any:
        """Return the plain form of a value without parts, or `_OPEN` for any other value."""
        kind = type(value)
        if kind in _LEAVES:
            return value
        if issubclass(kind, int):
            number = int.__index__(value)
            if number in _INT64:
                return number
            return BigKey(number) if is_key else to_extension(number)
        if issubclass(kind, str):
            return self._text(str.__str__(value), is_key=is_key)
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, bytes):
            return bytes.__getitem__(value, _ALL)
        if issubclass(kind, bytearray):
            return bytes(bytearray.__getitem__(value, _ALL))
        if kind is memoryview:
            return self._buffer(value)
        return self._written(value)

    def _buffer(self, value: memoryview) -> bytes:
        try:
            return value.tobytes()
        except ValueError:
            raise self._error("cannot carry a memoryview that was released") from None

    def _text(self, value: str, *, is_key: bool) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            where = f"the key {_quote(value)}, " if is_key else ""
            raise self._error(
                f"cannot carry {where}a string with a lone surrogate", above=is_key
            ) from None
        return value

    def _written(self, value: Any) -> Any:
        """Return the text of a value that is written as text, in the form of its base class."""
        kind = type(value)
        base: Any
        if issubclass(kind, dt.datetime):
            if static.class_name(kind) == "NaTType":  # of pandas: a datetime that is not a time
                raise self._error("cannot carry NaT, which is not a time (use None)")
            base = self._zoned(value, dt.datetime, _DATETIME)
        elif issubclass(kind, dt.date):
            base = dt.date(*(read(value) for read in _DATE))
        elif issubclass(kind, dt.time):
            base = self._zoned(value, dt.time, _TIME)
        elif issubclass(kind, dt.timedelta):
            base = dt.timedelta(*(read(value) for read in _TIMEDELTA))
        else:
            return _other_text(value)
        try:
            return msgspec.to_builtins(base)
        except Exception:  # noqa: BLE001 - the code of a time zone may raise anything
            name = static.class_name(type(base.tzinfo))
            raise self._error(
                f"cannot carry {describe(value)} whose time zone ({name}) gives no offset"
            ) from None

    def _zoned(self, value: Any, base: Any, fields: tuple[Callable[[Any], Any], ...]) -> Any:
        zone = base.tzinfo.__get__(value)
        if not _comes_from_a_module(type(zone)):
            name = static.class_name(type(zone))
            raise self._error(
                f"cannot carry {describe(value)} with a time zone of the job's own class {name}"
                " (use astimezone(timezone.utc))"
            )
        return base(*(read(value) for read in fields), tzinfo=zone, fold=base.fold.__get__(value))

    def _fields(self, value: Any) -> dict[str, Any] | list[Any]:
        """Return the plain form of an object with fields, one level deep."""
        try:
            fields = fields_of(value)
        except ComputedFieldError as error:
            raise self._error(
                f"cannot carry {describe(value)} whose field {_quote(error.args[0])} is computed;"
                " no code of a class runs while a state is encoded"
            ) from None
        except Exception:  # noqa: BLE001 - an object that was only half made, say
            fields = None
        if fields is None:
            raise self._refused(value)
        return fields

    # --- errors ---

    def _refused(self, value: Any) -> StateNotCarriedError:
        return self._error(f"cannot carry {describe(value)}", fix=fix_for(value))

    def _error(
        self, reason: str, *, above: bool = False, fix: str | None = None
    ) -> StateNotCarriedError:
        """Return the error for the item that is being walked, or the container *above* it."""
        levels = self._levels[:-1] if above else self._levels
        path = self._root + "".join(
            _step(level.at) if level.named else f"[{level.at}]" for level in levels
        )
        return StateNotCarriedError(path, reason, fix)


def _members(value: Any, left_out: Collection[str]) -> Iterator[tuple[Any, Any]]:
    """Yield the keys and items of a dict, without the keys that are left out."""
    for key, item in dict.items(value):
        if not (left_out and issubclass(type(key), str) and str.__str__(key) in left_out):
            yield key, item


def _step(key: Any) -> str:
    if type(key) is str and key.isidentifier():
        return f".{key}"
    return f"[{_quote(key)}]"


def _readers(kind: type, names: str) -> tuple[Callable[[Any], Any], ...]:
    return tuple(kind.__dict__[name].__get__ for name in names.split())


_DATE: Final = _readers(dt.date, "year month day")
_CLOCK: Final = "hour minute second microsecond"
_DATETIME: Final = (*_DATE, *_readers(dt.datetime, _CLOCK))
_TIME: Final = _readers(dt.time, _CLOCK)
_TIMEDELTA: Final = _readers(dt.timedelta, "days seconds microseconds")


def _other_text(value: Any) -> Any:
    """Return the text of a decimal or a UUID, or `_OPEN` for any other value."""
    kind = type(value)
    # A value of the type exists only if the job has imported the module.
    decimal, uuid = sys.modules.get("decimal"), sys.modules.get("uuid")
    if decimal is not None and issubclass(kind, decimal.Decimal):
        return decimal.Decimal.__str__(value)
    if uuid is not None and issubclass(kind, uuid.UUID):
        number = static.attribute(value, "int", static.attributes(value))
        if type(number) is int and 0 <= number < 1 << 128:
            return str(uuid.UUID(int=number))
    return _OPEN


def _comes_from_a_module(kind: type) -> bool:
    """Whether all code of a class belongs to modules; a job is not a module."""
    for base in static.mro(kind):
        if base in own_zones() or base in (object, dt.tzinfo):
            continue
        defined = static.members(base)
        name = defined.get("__module__")
        module = sys.modules.get(name) if type(name) is str else None
        known = isinstance(module, types.ModuleType) and any(
            item is base for item in vars(module).values()
        )
        # Libraries make classes at run time that hold data only, such as one for each zone.
        if not known and any(isinstance(item, _CODE) for item in defined.values()):
            return False
    return True


encode_walked: Final = msgspec.msgpack.Encoder(enc_hook=extend).encode
"""Encode the result of `StateWalk.plain`."""

FUNCTION_FIX: Final = (
    "a state holds data only: define the function at the top of the job, and call it by its name"
)
"""The hint for a function in a state."""

_CODE: Final = (types.FunctionType, property, classmethod, staticmethod)


def _quote(key: Any) -> str:
    """Show a key without running code of its class."""
    if type(key) is BigKey:
        key = key.value
    if type(key) is int and key not in _INT64:
        return "an integer beyond 64 bits"
    if type(key) in KEY_TYPES:
        return f"{key!r:.60}".encode("ascii", "backslashreplace").decode()
    return f"<{static.class_name(type(key))}>"


_WELL_KNOWN: Final = {
    "function": "a function",
    "builtin_function_or_method": "a function",
    "method": "a method",
    "generator": "a generator",
    "coroutine": "a coroutine (was an await forgotten?)",
    "async_generator": "an async generator",
    "module": "a module",
    "type": "a class",
    "object": "an object",
    "range": "a range (use list(...))",
    "dict_keys": "a view of a dict (use list(...))",
    "dict_values": "a view of a dict (use list(...))",
    "dict_items": "a view of a dict (use list(...))",
}


def describe(value: Any) -> str:
    """Return a value's kind for an error, such as `a function`."""
    if issubclass(type(value), type):
        return "a class"
    name = static.class_name(type(value))
    if name in _WELL_KNOWN:
        return _WELL_KNOWN[name]
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def fix_for(value: Any) -> str | None:
    """Return a hint for a value that probably got into a state by mistake."""
    kind = type(value)
    if kind is types.CoroutineType:
        return "write await before the call"
    if kind is types.BuiltinMethodType and type(value.__self__) is dict:
        return (
            f'write ["{value.__name__}"] for the key: a method of dict wins over a key of its name'
        )
    return FUNCTION_FIX if kind in (types.FunctionType, types.MethodType) else None
