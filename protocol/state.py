"""Encodes a state as bytes, and decodes it.

msgspec does most of the work.  This module adds integers beyond 64 bits (an extension type),
subclasses of the types that msgspec knows, and an error that names the place in the value.  It also
gives all dates one form, because msgspec writes ISO text for naive dates and timestamps for aware
ones.  Code of the value's own classes does not run, because msgspec never gets an instance of such
a class.
"""

from __future__ import annotations

import gc
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from protocol.errors import StateNotCarriedError
from protocol.state_look import (
    BIG_INTEGER,
    DATED,
    FOREIGN,
    MANY,
    PLAIN,
    as_json,
    is_key,
    look,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = [
    "BIG_INTEGER",
    "NIL",
    "StateNotCarriedError",
    "copy_state",
    "decode_state",
    "encode_state",
    "is_key",
    "join_states",
    "restore_extension",
    "with_member",
]

NIL: Final = b"\xc0"
"""The encoded None."""

_FEW: Final = 2_000
"""Number of values that are checked one by one before a faster way is tried."""

_LEVELS: Final = 2_000
"""A deeper value is left to the walk, which finds out in time whether it can be carried."""

_BYTES: Final = (bytes, bytearray, memoryview)

_HARMLESS_BYTES: Final = 4_096
"""In a value of this size colliding keys are harmless, because decoding takes a millisecond at
most."""

_STRICT_LEVELS: Final = 7

MAX_COLLISIONS: Final = 3_000
"""Largest number of integers beyond 64 bits that may share a hash with another; as keys they take
30 ms.  The powers of two up to 2**3000 have fewer collisions."""


def encode_state(
    value: Any,
    *,
    root: str = "state",
    without: Collection[str] = (),
    max_items: int | None = None,
) -> bytes:
    """Return *value* as msgpack.

    Tuples and sets become lists.  Dates, decimals, UUIDs, enums and dataclasses become the plain
    value that `msgspec.to_builtins` returns; a subclass becomes the same value as its base.

    Args:
        value: Anything.
        root: The name with which the path in an error begins.
        without: Top-level keys of *value* that are left out.
        max_items: The most items that *value* may have.

    Raises:
        TooManyItemsError: *value* has more items.
        StateNotCarriedError: *value* cannot be carried.  The text is like
            ``state.data.rows[3].callback: cannot carry a function``.

    """
    seen = look(value, _FEW)
    if seen is MANY:
        encoded = _encode_known(value, without, max_items)
        if encoded is not None:
            return encoded
        seen = look(value, levels=_LEVELS)
    if seen is not FOREIGN:
        value = _leave_out(value, without)
        try:
            if seen is DATED:
                value = msgspec.to_builtins(value, builtin_types=_BYTES)
            encoded = _encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass  # the walk finds another form for the value, or the reason of the error
        else:
            _check_items(value, encoded, max_items)
            return encoded
    from protocol.state_walk import (  # a state of plain data does not need it
        StateWalk,
        encode_walked,
    )

    try:
        encoded = encode_walked(StateWalk(root, without).plain(value))
    except RecursionError:
        reason = "cannot carry a value that is nested deeper than the interpreter can follow"
        raise StateNotCarriedError(root, reason) from None
    if max_items is not None and len(encoded) > max_items:
        from protocol.packed import count_items

        count_items(encoded, max_items)
    return encoded


def _check_items(value: Any, encoded: bytes, max_items: int | None) -> None:
    if max_items is not None and len(encoded) > max_items:  # no item has less than a byte
        from protocol.state_items import check_items

        check_items(value, max_items)


def _leave_out(value: Any, names: Collection[str]) -> Any:
    if names and type(value) is dict and any(name in value for name in names):
        return {key: item for key, item in value.items() if key not in names}
    return value


def _encode_known(value: Any, without: Collection[str], max_items: int | None) -> bytes | None:
    """Return the encoding of a large value, or None if each part has to be checked first.

    If all classes are known, none belongs to a job, so msgspec cannot run code of a job.
    """
    from protocol.known_classes import all_are_known

    json = as_json(value) if all_are_known() else None
    if json is None:
        return None
    from protocol.timestamps import holds_timestamp

    value = _leave_out(value, without)
    try:
        encoded = _encode(value)
        if holds_timestamp(encoded):
            # msgspec writes dates as text several times as fast as the walk.
            encoded = _encode(msgspec.to_builtins(value, builtin_types=_BYTES))
            if holds_timestamp(encoded):
                return None
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    if max_items is not None and len(encoded) > max_items:
        from protocol.state_items import most_items

        if most_items(json) > max_items:
            _check_items(value, encoded, max_items)
    return encoded


def decode_state(
    encoded: bytes | bytearray | memoryview | msgspec.Raw, *, max_items: int | None = None
) -> Any:
    """Return a new copy of an encoded value from an untrusted source.

    Two checks bound the cost of decoding: the number of items is limited, and lists as keys are
    refused.  As keys, lists would become tuples, whose hashes are not random.  A few thousand
    tuples that collide take seconds.

    Args:
        encoded: Bytes from a child.
        max_items: The most items that it may have: each key, value, list and map is an item.

    Raises:
        TooManyItemsError: The value has more items.
        ValueError: *encoded* is not the encoding of a state (msgspec.DecodeError is one).

    """
    view = memoryview(encoded)
    try:
        if max_items is not None and len(view) > max_items:  # no item has less than a byte
            from protocol.packed import count_items

            count_items(view, max_items)
        if len(view) <= _HARMLESS_BYTES:
            value = copy_state(encoded)
            if look(value) is not PLAIN:
                raise ValueError("not an encoded state: it has a key or a date that no state has")
            return value
        return _decode_strictly(view)
    except (TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"not an encoded state: {type(error).__name__}") from None


def _decode_strictly(view: memoryview) -> Any:
    """Decode a value, unless one of its keys is a list, a map or an unknown extension."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _strict_decoder().decode(view)
    except (msgspec.DecodeError, RecursionError):
        pass  # bytes, integers beyond 64 bits and deeper nesting come here too
    finally:
        if collecting:
            gc.enable()
    from protocol.packed import check_keys  # only a few large states need it

    check_keys(view)
    return copy_state(view, _Integers().restore)


@cache
def _strict_decoder() -> msgspec.msgpack.Decoder[Any]:
    """Return a decoder for a few levels of maps and lists, in which msgspec checks the keys.

    The type of such a decoder cannot refer to itself, and each level doubles its size.
    """
    scalar: Any = str | int | float | bool | None
    value = scalar
    for _ in range(_STRICT_LEVELS):
        value = scalar | list[value] | dict[scalar, value]  # type: ignore[valid-type]  # made here
    return msgspec.msgpack.Decoder(value)


class _Integers:
    """Restores integers beyond 64 bits, and raises an error if too many have the same hash.

    Python's hash of an integer is its remainder by 2**61 - 1.  Where such integers are keys, Python
    compares each with all earlier ones of the same hash.
    """

    def __init__(self) -> None:
        self._first: dict[int, int] = {}
        self._others: set[bytes] = set()

    def restore(self, code: int, data: memoryview) -> int:
        number = restore_extension(code, data)
        if self._first.setdefault(hash(number), number) != number:
            self._others.add(bytes(data))
            if len(self._others) > MAX_COLLISIONS:
                raise ValueError(f"not an encoded state: {MAX_COLLISIONS} integers collide")
        return number


def copy_state(
    encoded: bytes | bytearray | memoryview | msgspec.Raw,
    restore: Callable[[int, memoryview], int] | None = None,
) -> Any:
    """Return a new copy of a value that `encode_state` has encoded.

    Args:
        encoded: The value.
        restore: Turns an extension into an integer; `restore_extension` if not given.

    Raises:
        MemoryError: The memory is not enough.
        ValueError: See `decode_state`.

    """
    decode = _decode if restore is None else msgspec.msgpack.Decoder(ext_hook=restore).decode
    # The garbage collector would take three times as long as the decoding.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return decode(encoded)
    except RecursionError:
        return _decode_on_fresh_stack(encoded, decode)
    finally:
        if collecting:
            gc.enable()


def join_states(states: dict[str, bytes]) -> bytes:
    """Return the encoding of a map whose values are already encoded."""
    return _encode({name: msgspec.Raw(encoded) for name, encoded in states.items()})


def with_member(encoded: bytes, key: str, change: Callable[[Any], Any]) -> bytes:
    """Return an encoded state with one member changed; other members are not decoded.

    Args:
        encoded: A state.  None becomes an empty map; any other value that is not a map becomes the
            ``data`` of one.
        key: The name of the member.
        change: Called with the old value, or None if the member is missing; returns the new value.

    """
    members: dict[Any, Any]
    try:
        members = {} if encoded == NIL else _decode_members(encoded)
    except (msgspec.ValidationError, RecursionError):
        members = {"data": msgspec.Raw(encoded)}
    before = copy_state(members[key]) if key in members else None
    members[key] = msgspec.Raw(encode_state(change(before)))
    try:
        return _encode(members)
    except OverflowError:
        from protocol.state_walk import BigKey, encode_walked

        return encode_walked(
            {BigKey(name) if type(name) is int else name: item for name, item in members.items()}
        )


def restore_extension(code: int, data: memoryview) -> int:
    """Return the integer in an extension; a hook for msgspec's decoders."""
    if code != BIG_INTEGER:
        raise ValueError(f"unknown extension type {code}")
    return int.from_bytes(data, "big", signed=True)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=restore_extension).decode
_decode_members = msgspec.msgpack.Decoder(dict[Any, msgspec.Raw], ext_hook=restore_extension).decode


def _decode_on_fresh_stack(
    encoded: bytes | bytearray | memoryview | msgspec.Raw,
    decode_once: Callable[[bytes | bytearray | memoryview | msgspec.Raw], Any],
) -> Any:
    """Decode a value that is nested too deep for the caller's stack, but not for an empty one."""
    outcome: list[Any] = []
    failed: list[type[Exception]] = []

    def decode() -> None:
        try:
            outcome.append(decode_once(encoded))
        except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
            failed.append(type(error))  # not the error, whose traceback holds the state

    thread = threading.Thread(target=decode)
    thread.start()
    thread.join()
    if not failed:
        return outcome[0]
    if failed[0] is MemoryError:
        raise MemoryError
    if failed[0] is RecursionError:
        raise ValueError(
            "not an encoded state: it is nested deeper than the interpreter can follow"
        )
    raise ValueError(f"not an encoded state: {failed[0].__name__}")
