"""Encoded states are counted, and their keys are checked, before they are decoded."""

from __future__ import annotations

import datetime as dt
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from protocol.errors import TooManyItemsError
from protocol.packed import PackedError, check_keys, count_items
from protocol.state import BIG_INTEGER, MAX_COLLISIONS, decode_state, encode_state
from protocol.state_items import check_items, most_items
from protocol.state_look import as_json

PRIME = 2**61 - 1
"""Python's hash of an integer is its remainder by this number (sys.hash_info)."""

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
)
LONG = st.sampled_from(["x" * n for n in (31, 32, 95, 96, 255, 256, 70_000)] + [b"y" * 300])
KEYS = st.text(max_size=40) | st.integers() | st.binary(max_size=40) | st.none() | st.booleans()
VALUES = st.recursive(
    LEAVES | LONG,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(KEYS, inner, max_size=20),
    max_leaves=60,
)


def items_of(value):
    """Count the items in the plain way."""
    if isinstance(value, dict):
        return 1 + sum(1 + items_of(item) for item in value.values())
    if isinstance(value, list):
        return 1 + sum(map(items_of, value))
    return 1


def array(count, item):
    return b"\xdd" + count.to_bytes(4, "big") + item * count


def big(number):
    data = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    return bytes([0xC7, len(data), BIG_INTEGER]) + data


@examples(100)
@given(VALUES)
def test_the_count_is_that_of_the_items(value):
    """Bytes and value give the same count, and an ordinary state has allowed keys."""
    encoded = encode_state(value)
    count = items_of(value)
    assert count_items(encoded, count) == count
    check_items(value, count)
    check_keys(encoded)
    assert decode_state(encoded, max_items=count) == value
    if count > 1:
        with pytest.raises(TooManyItemsError):
            count_items(encoded, count - 1)
        with pytest.raises(TooManyItemsError):
            check_items(value, count - 1)


@examples(100)
@given(VALUES)
def test_a_value_has_no_more_items_than_its_json_has_marks(value):
    """An exact count is therefore needed only for a value near the limit."""
    json = as_json(value)
    if json is not None:
        assert most_items(json) >= items_of(value)


def test_the_marks_of_ordinary_rows_are_as_many_as_their_items():
    """Besides items, only marks within texts and marks of empty containers count."""
    rows = [{"id": n, "tags": ["a", "b"], "at": {"x": 1.5}} for n in range(50)]
    assert most_items(as_json(rows)) == items_of(rows)
    assert most_items(as_json([[], {}, "a, b"])) == items_of([[], {}, ""]) + 3


def test_marks_within_texts_do_not_count_against_the_limit():
    """If the marks leave a doubt, the items of a large state are counted one by one."""
    rows = [",,,,"] * 3_000
    assert decode_state(encode_state(rows, max_items=3_001)) == rows
    with pytest.raises(TooManyItemsError):
        encode_state(rows, max_items=3_000)


def test_what_is_left_out_of_a_large_state_does_not_count():
    """The limit counts only the items that are carried."""
    state = {"rows": list(range(300)) * 10, "secret": list(range(3_000))}
    assert encode_state(state, without=("secret",), max_items=3_003)
    with pytest.raises(TooManyItemsError):
        encode_state(state, without=("secret",), max_items=3_002)


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 15, 16, 31, 63, 64, 65, 255, 256, 257, 4095, 4097, 70_000])
@pytest.mark.parametrize("kind", ["list", "map", "rows"])
def test_containers_of_all_lengths(length, kind):
    """The count matches runs of items together, and still counts the items after the last run."""
    value = {
        "list": list(range(length)),
        "map": {f"key {n}": n for n in range(length)},
        "rows": [{"n": n, "x": ["y", b"z"], "text": "t" * (n % 300)} for n in range(length % 1000)],
    }[kind]
    encoded = encode_state(value)
    assert count_items(encoded, 10**9) == items_of(value)
    check_keys(encoded)
    with pytest.raises(PackedError):
        check_keys(encoded[:-1])
    with pytest.raises(PackedError):
        check_keys(encoded + b"\0")


@pytest.mark.parametrize(
    "key",
    [b"\x91\x01", b"\x80", b"\xdc\0\x01\x01", b"\xdf\0\0\0\0", b"\xd6\xff\0\0\0\0", b"\xd4\x02\0"],
    ids=["list", "map", "long list", "long map", "timestamp", "extension"],
)
@pytest.mark.parametrize("before", [0, 200])
def test_other_keys_are_refused_before_decoding(key, before):
    """The place of the map does not matter, nor does the number of good keys before it."""
    good = b"".join(msgspec.msgpack.encode(f"k{n}") + b"\0" for n in range(before))
    inner = b"\xde" + (before + 1).to_bytes(2, "big") + good + key + b"\0"
    for encoded in (inner, b"\x92" + b"\xda\x13\x88" + b"x" * 5000 + inner, b"\x91" * 20 + inner):
        with pytest.raises(PackedError):
            check_keys(encoded)
        with pytest.raises(ValueError, match=r"."):
            decode_state(encoded)


@pytest.mark.parametrize("byte", [0xC1, 0xC8, 0xDA, 0xDB, 0xDD, 0xDF, 0xCF])
def test_what_is_cut_off_is_refused(byte):
    """The last item has only its head."""
    for look in (check_keys, lambda data: count_items(data, 10**9)):
        with pytest.raises(PackedError):
            look(bytes([byte]) + b"\x01")


def colliding_lists(count):
    """Return a map of *count* keys that are lists, which become tuples with one hash.

    The second item cancels the effect of the first (xxHash, as in CPython's tupleobject.c).
    """
    first, second, fifth = 11400714785074694791, 14029467366897019727, 2870177450012600261
    mask = (1 << 64) - 1
    inverse = pow(second, -1, 1 << 64)
    keys, number = [], 0
    while len(keys) < count:
        number += 1
        lane = (fifth + number * second) & mask
        lane = ((((lane << 31) | (lane >> 33)) & mask) * first) & mask
        other = ((12345 - lane) * inverse) & mask
        if other < PRIME:
            keys.append((number, other))
    assert len(set(map(hash, keys))) == 1
    pairs = b"".join(msgspec.msgpack.encode(key) + b"\0" for key in keys)
    return b"\xdf" + count.to_bytes(4, "big") + pairs


@pytest.mark.slow
def test_keys_that_collide_are_not_decoded():
    """The twin is msgspec alone: its time grows with the square of the number of keys."""
    encoded = colliding_lists(3_000)
    began = time.thread_time()
    with pytest.raises(ValueError, match="a key is neither"):
        decode_state(encoded)
    refused = time.thread_time() - began
    began = time.thread_time()
    msgspec.msgpack.decode(encoded)
    assert time.thread_time() - began > 4 * refused


@pytest.mark.slow
def test_integers_that_collide_are_counted():
    """3,000 integers are decoded in milliseconds; there are fewer powers of two up to 2**3000."""

    def state(count):
        pairs = b"".join(big(5 + PRIME * (2**70 + n)) + b"\0" for n in range(count))
        return b"\xdf" + count.to_bytes(4, "big") + pairs

    assert len(decode_state(state(MAX_COLLISIONS + 1))) == MAX_COLLISIONS + 1
    with pytest.raises(ValueError, match="collide"):
        decode_state(state(MAX_COLLISIONS + 2))
    powers = [2**power for power in range(3_000)]
    assert decode_state(encode_state(powers)) == powers
    same = [2**100] * 5_000  # equal integers do not collide, for any number of them
    assert decode_state(encode_state(same)) == same


@pytest.mark.slow
def test_a_state_of_many_items_is_refused_before_it_is_decoded():
    """Six million empty maps take six megabytes here, and hundreds of megabytes in memory."""
    encoded = array(6_000_000, b"\x80")
    with pytest.raises(TooManyItemsError, match="allowed: 5000000"):
        decode_state(encoded, max_items=5_000_000)


def test_an_object_in_many_places_counts_in_each():
    """A value can be small although its encoding is large."""
    ten = [[]] * 10
    hundred = [ten] * 10
    assert items_of(hundred) == 111
    check_items(hundred, 111)
    with pytest.raises(TooManyItemsError):
        check_items(hundred, 110)
    with pytest.raises(TooManyItemsError):
        encode_state({"data": hundred}, max_items=100)


@pytest.mark.parametrize(
    "cut", [b"\xc7", b"\xc8", b"\xc9\0", b"\xd4", b"\xd8", b"\xc7\x09", b"\xd7\x4d"]
)
@pytest.mark.parametrize("before", [b"\x81", b"\x82\x01\x01"])
def test_a_state_that_ends_within_a_key_is_told_as_one_that_is_cut_off(cut, before):
    """A child may send it as its last state; the manager's `result()` must not raise."""
    large = b"\x92" + msgspec.msgpack.encode("-" * 70_000)
    with pytest.raises(PackedError, match="cut off"):
        check_keys(large + before + cut)
    with pytest.raises(ValueError, match="cut off"):
        decode_state(large + before + cut)


STAMPS = [
    msgspec.msgpack.encode(dt.datetime(*date, tzinfo=dt.UTC))
    for date in ((1970, 1, 1), (2026, 1, 2, 3, 4, 5, 6), (1800, 1, 1))
]
"""The three forms that msgpack has for a time."""


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("levels", [0, 2, 9])
@pytest.mark.parametrize("filler", ["", "-" * 70_000])
def test_a_state_holds_no_timestamp(stamp, levels, filler):
    """A date in a state is text; JSON could not carry the timestamp of a child."""
    text = msgspec.msgpack.encode(filler)
    for value in (stamp, b"\x81\xa1k" + stamp, b"\x81" + stamp + b"\xc0"):
        with pytest.raises(ValueError, match=r"not an encoded state|extension type"):
            decode_state(b"\x92" + text + b"\x91" * levels + value)
