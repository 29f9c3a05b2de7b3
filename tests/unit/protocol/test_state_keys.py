"""A state may have only keys that come back as they were."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid

import pytest
from ids import short

from protocol.state import StateNotCarriedError, copy_state, decode_state, encode_state, is_key


@dataclasses.dataclass(frozen=True)
class Point:
    x: int


class Pair(enum.Enum):
    FIRST = (1, 2)
    TEXT = "text"
    NUMBER = 7


class Text(str):
    """A text that is not equal to any other value."""

    __slots__ = ()

    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return 1


@pytest.mark.parametrize("beside", [None, 2**70], ids=["msgspec", "the walk"])
@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (Point(1), "a Point"),
        (Pair.FIRST, "a Pair"),
        ((), "a tuple"),
        ((1, "a"), "a tuple"),
        (frozenset({1}), "a frozenset"),
        (memoryview(b"x"), "a memoryview"),
        (2j, "a complex"),
        (len, "a function"),
        (int, "a class"),
    ],
    ids=short,
)
def test_a_key_that_would_not_come_back_is_refused_with_its_path(key, kind, beside):
    """The error does not depend on the depth of the key or on the values beside it."""
    with pytest.raises(StateNotCarriedError) as caught:
        encode_state({"counts": [{"a": beside}, {"b": 1, key: 2}]})
    assert caught.value.path == "state.counts[1]"
    assert caught.value.reason.startswith(f"cannot carry {kind} as a key; a key is text, bytes,")


@pytest.mark.slow
def test_a_bad_key_among_many_rows_is_found():
    """The fast check does not know the path; the walk after it finds the path."""
    rows = [{"id": number, "tags": ["a", None]} for number in range(5_000)]
    assert decode_state(encode_state(rows)) == rows
    rows[4_000][1, 2] = 3
    with pytest.raises(
        StateNotCarriedError, match=r"^state\[4000\]: cannot carry a tuple as a key"
    ):
        encode_state(rows)


def test_many_keys_that_json_lacks_are_carried():
    """Any number of keys may be bytes, booleans or None."""
    state = {number: {None: 1, True: 2, b"x": 3, 2**70: 4, 0.5: 5} for number in range(3_000)}
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize(("key", "expected"), [(Pair.TEXT, "text"), (Pair.NUMBER, 7)])
def test_an_enum_with_a_plain_value_is_that_key(key, expected):
    """The encoder writes such a key as msgspec does."""
    assert decode_state(encode_state({key: 1})) == {expected: 1}


@pytest.mark.parametrize(
    "state",
    [
        {uuid.UUID(int=1): 1, str(uuid.UUID(int=1)): 2},
        {Pair.TEXT: 1, "text": 2},
        {Text("a"): 1, "a": 2},
        {Text(2**70): 1, Text(2**70): 2},
    ],
    ids=repr,
)
def test_two_keys_that_become_one_are_refused(state):
    """Otherwise one of the two values would be lost without an error."""
    with pytest.raises(StateNotCarriedError, match=r"^state: has two keys that become "):
        encode_state(state)


def test_nan_is_a_key():
    """NaN is a float; it is the reader's task that NaN is not equal to itself."""
    (key,) = decode_state(encode_state({math.nan: 1}))
    assert math.isnan(key)


def test_zero_keeps_its_sign_as_a_key():
    """Zero keeps its sign as a value as well."""
    (key,) = decode_state(encode_state({-0.0: 1}))
    assert math.copysign(1, key) == -1


@pytest.mark.parametrize("key", [True, 1, 1.0, 2**70, -(2**70), 2.0**70, None, b"", ""])
def test_a_key_keeps_its_type(key):
    """True does not become 1, and 1 does not become 1.0."""
    (decoded,) = decode_state(encode_state({key: 0}))
    assert (decoded, type(decoded)) == (key, type(key))
    assert is_key(key)


@pytest.mark.parametrize("encoded", [b"\x81\x90\x01", b"\x91\x81\x92\x01\x02\x01", b"\x81\x80\x01"])
def test_a_state_with_another_key_is_not_read_from_a_child(encoded):
    """Encoding and decoding have the same rule."""
    with pytest.raises(ValueError):
        decode_state(encoded)


def test_a_copy_is_made_without_another_look():
    """A state that this program has encoded itself needs no check."""
    assert copy_state(encode_state({None: {1: [True]}})) == {None: {1: [True]}}
