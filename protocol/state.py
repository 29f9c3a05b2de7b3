"""A state as bytes: what can be carried, what it becomes, and where it cannot be carried.

msgspec does the work.  Added to it are integers beyond 64 bits (an extension type), one form
for dates (msgspec alone would give ISO text for a naive and a timestamp for an aware one), and
an error that says where in the value the trouble is.
"""

from __future__ import annotations

import gc
import re
import threading
from collections import deque
from typing import Any, Final

import msgspec

BIG_INTEGER: Final = 1
"""Extension type of an integer that msgpack has no type for: two's complement, big endian."""

NIL: Final = b"\xc0"
"""None, encoded."""

_MAX_DEPTH: Final = 250
"""Levels that the walk follows, three calls each; msgspec alone carries some 900."""

_TOO_DEEP: Final = "that is nested deeper than the interpreter can follow"
_TIMESTAMP_CODE: Final = b"\xff"
_SHORT_TIMESTAMPS: Final = (0xD6, 0xD7)
_FEW: Final = 64
_LONG_TIMESTAMP: Final = b"\xc7\x0c"
_NO_OPCODE: Final = 0xC1
_LEAVES: Final = frozenset({type(None), bool, float, bytes})
_BYTES: Final = (bytes, bytearray, memoryview)
_INT64: Final = range(-(2**63), 2**64)


class StateNotCarriedError(Exception):
    """A value has no serialised form.

    Attributes:
        path: Where it is, from the root: ``state.data.rows[3]``.
        reason: What is wrong with it: ``cannot carry a function``.
        fix: What to write instead, if that is known.

    """

    def __init__(self, path: str, reason: str, fix: str | None = None) -> None:
        super().__init__(path, reason, fix)
        self.path = _shorten(path)
        self.reason = reason
        self.fix = fix

    def __str__(self) -> str:
        """Return path and reason in one line."""
        return f"{self.path}: {self.reason}"


def encode_state(value: Any, *, root: str = "state") -> bytes:
    """Return *value* as msgpack.

    Tuples and sets become lists; dates, decimals, UUIDs, enums and dataclasses the plain value
    that `msgspec.to_builtins` gives them.

    Args:
        value: Anything.
        root: What the path in an error begins with.

    Raises:
        StateNotCarriedError: The text is like
            ``state.data.rows[3].callback: cannot carry a function``.

    """
    try:
        encoded = _encode(value)
        if not _holds_timestamp(encoded):
            return encoded
        # Dates as text, by msgspec: several times as fast as the walk below.
        encoded = _encode(msgspec.to_builtins(value, builtin_types=_BYTES))
        if not _holds_timestamp(encoded):
            return encoded
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # the walk below finds a form for the value, or says what is wrong with it
    try:
        return _encode_walked(_Walk().plain(value, root, 0))
    except RecursionError:
        raise StateNotCarriedError(root, f"cannot carry a value {_TOO_DEEP}") from None


def decode_state(encoded: bytes | bytearray | memoryview | msgspec.Raw) -> Any:
    """Return a new copy of an encoded value.

    Raises:
        ValueError: *encoded* is not the encoding of a state (msgspec.DecodeError is one).

    """
    # Collecting garbage while millions of objects are born costs three times the decoding.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _decode(encoded)
    except RecursionError:
        return _decode_on_fresh_stack(encoded)
    except (TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"not an encoded state: {type(error).__name__}") from None
    finally:
        if collecting:
            gc.enable()


class _BigInteger:
    """Stands for an integer beyond 64 bits; unlike msgspec's Ext it can be a key."""

    def __init__(self, value: int) -> None:
        self.value = value


def _to_extension(big: _BigInteger) -> msgspec.msgpack.Ext:
    size = big.value.bit_length() // 8 + 1
    return msgspec.msgpack.Ext(BIG_INTEGER, big.value.to_bytes(size, "big", signed=True))


def restore_extension(code: int, data: memoryview) -> int:
    """Return the integer that an extension stands for; a hook for msgspec's decoders."""
    if code != BIG_INTEGER:
        raise ValueError(f"unknown extension type {code}")
    return int.from_bytes(data, "big", signed=True)


_encode = msgspec.msgpack.Encoder().encode
_encode_walked = msgspec.msgpack.Encoder(enc_hook=_to_extension).encode
_skip = msgspec.msgpack.Decoder(msgspec.Raw).decode
_decode = msgspec.msgpack.Decoder(ext_hook=restore_extension).decode


def _decode_on_fresh_stack(encoded: bytes | bytearray | memoryview | msgspec.Raw) -> Any:
    """Decode what is nested too deep for the caller's stack, though not for an empty one."""
    outcome: list[Any] = []
    failed: list[str] = []

    def decode() -> None:
        try:
            outcome.append(_decode(encoded))
        except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
            failed.append(type(error).__name__)  # not the error, whose traceback holds the state

    thread = threading.Thread(target=decode)
    thread.start()
    thread.join()
    if failed:
        raise ValueError(f"not an encoded state: {failed[0]}")
    return outcome[0]


def _holds_timestamp(encoded: bytes) -> bool:
    """Whether msgspec has written a date as an extension, in place of text.

    The bytes of its header also occur inside numbers.  So each place where they stand is
    overwritten with an opcode that does not exist, and the whole is skipped over once: that
    fails only where an item begins at such a place.
    """
    places = _timestamp_marks(encoded)
    if not places:
        return False
    overwritten = bytearray(encoded)
    for place in places:
        overwritten[place] = _NO_OPCODE
    try:
        _skip(overwritten)
    except ValueError:
        return True
    return False


def _timestamp_marks(encoded: bytes) -> list[int]:
    """Return where the header of a timestamp may stand.

    All three end in a byte that text never has, and searching for one byte is several times
    faster than for two, unless it is everywhere: a list of -1 consists of it.
    """
    count = encoded.count(_TIMESTAMP_CODE)
    if not count:
        return []
    if count < _FEW + (len(encoded) >> 8):
        places = []
        end = encoded.find(_TIMESTAMP_CODE, 1)
        while end >= 0:
            if encoded[end - 1] in _SHORT_TIMESTAMPS:
                places.append(end - 1)
            elif encoded[max(0, end - 2) : end] == _LONG_TIMESTAMP:
                places.append(end - 2)
            end = encoded.find(_TIMESTAMP_CODE, end + 1)
        return places
    marks = (*(bytes((first,)) for first in _SHORT_TIMESTAMPS), _LONG_TIMESTAMP)
    return [
        match.start()
        for mark in marks
        for match in re.finditer(re.escape(mark + _TIMESTAMP_CODE), encoded)
    ]


class _Walk:
    """Turns one value into built-in types that msgpack has, or finds what cannot be."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def plain(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind in _LEAVES:
            return value
        if issubclass(kind, int):
            number = int.__index__(value)
            return number if number in _INT64 else _BigInteger(number)
        if issubclass(kind, str):
            return self._text(str.__str__(value), path)
        if issubclass(kind, float):
            return float.__float__(value)
        if issubclass(kind, _BYTES):
            return bytes(memoryview(value))
        if depth > _MAX_DEPTH:
            raise StateNotCarriedError(path, f"cannot carry a value {_TOO_DEEP}")
        if id(value) in self._open:
            raise StateNotCarriedError(path, "cannot carry a cycle")
        self._open.add(id(value))
        try:
            return self._container(value, path, depth)
        finally:
            self._open.discard(id(value))

    def _container(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if issubclass(kind, dict):
            return {
                self._key(key, path, depth): self.plain(item, _below(path, key), depth + 1)
                for key, item in dict.items(value)
            }
        if issubclass(kind, (list, tuple, set, frozenset, deque)):
            return [
                self.plain(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(kind.__iter__(value))
            ]
        fields = getattr(kind, "__dataclass_fields__", None)
        if type(fields) is dict:
            return {
                name: self.plain(getattr(value, name, None), f"{path}.{name}", depth + 1)
                for name in fields
            }
        return self._other(value, path, depth)

    def _other(self, value: Any, path: str, depth: int) -> Any:
        """Ask msgspec for the plain form of one value of a type of its own."""
        try:
            plain = msgspec.to_builtins(value, builtin_types=(bytes,))
        except Exception:  # noqa: BLE001 - an enum's or a struct's own code may raise anything
            plain = value
        if plain is value or type(value) is msgspec.msgpack.Ext:
            raise StateNotCarriedError(path, f"cannot carry {_describe(value)}", _fix_for(value))
        return self.plain(plain, path, depth + 1)

    def _key(self, key: Any, path: str, depth: int) -> Any:
        where = f"{_shorten(path)}: key {_quote(key)}"
        plain = self.plain(key, where, depth + 1)
        try:
            return _as_key(plain)
        except TypeError:
            raise StateNotCarriedError(where, f"cannot carry {_describe(key)} as a key") from None

    def _text(self, value: str, path: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise StateNotCarriedError(
                path, "cannot carry a string with a lone surrogate"
            ) from None
        return value


def _as_key(plain: Any) -> Any:
    """Return a plain value as what can be a key: arrays as tuples, at every level.

    Raises:
        TypeError: It is or holds a dict.

    """
    if type(plain) is dict:
        raise TypeError
    return tuple(map(_as_key, plain)) if type(plain) is list else plain


def _below(path: str, key: Any) -> str:
    if type(key) is str and key.isidentifier():
        return f"{path}.{key}"
    return f"{path}[{_quote(key)}]"


def _quote(key: Any) -> str:
    """Show a key without running code of its class."""
    if type(key) in (str, int, float, bool, bytes, type(None)):
        return f"{key!r:.60}".encode("ascii", "backslashreplace").decode()
    return f"<{type(key).__name__}>"


def _shorten(path: str) -> str:
    return path if len(path) <= 300 else f"{path[:150]} ... {path[-150:]}"


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


def _describe(value: Any) -> str:
    if isinstance(value, type):
        return "a class"
    name = type(value).__name__
    if name in _WELL_KNOWN:
        return _WELL_KNOWN[name]
    name = name[:80].encode("ascii", "backslashreplace").decode()
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _fix_for(value: Any) -> str | None:
    """Return what to write in place of a value that got into a state by a slip."""
    kind = type(value)
    if kind.__name__ == "coroutine":
        return "write await before the call"
    if kind is type(len) and type(value.__self__) is dict:
        return (
            f'write ["{value.__name__}"] for the key: a method of dict wins over a key of its name'
        )
    return None
