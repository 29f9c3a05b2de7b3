"""A state comes back equal to its input, and hostile bytes give at most a ValueError."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import tracemalloc
import uuid

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from examples import examples
from protocol.state import StateNotCarriedError, decode_state, encode_state

QUICK = examples(80)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
KEYS = st.one_of(
    st.text(max_size=5),
    st.integers(),
    st.integers(2**64, 2**70),
    st.binary(max_size=5),
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
ZONES = st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=2)), dt.timezone.min])
FIRST, LAST = dt.datetime(1900, 1, 2), dt.datetime(2200, 1, 1)  # noqa: DTZ001 - Hypothesis needs it
TIMES = st.datetimes(FIRST, LAST, timezones=ZONES)
TYPED = st.one_of(
    TIMES,
    st.dates(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.timedeltas(dt.timedelta(-999), dt.timedelta(999)),
)
ANYTHING = st.recursive(
    LEAVES | TYPED | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=3)
    ),
    max_leaves=20,
)


def plain(value):
    """Return the expected value, computed in another way."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, (dt.datetime, dt.date, uuid.UUID, decimal.Decimal, dt.timedelta)):
        return msgspec.json.decode(msgspec.json.encode(value))
    return value


def same(left, right):
    """Compare with types: True differs from 1, and so does 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return (
            len(left) == len(right)
            and all(map(same, left, right))
            and all(map(same, left.values(), right.values()))
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


@QUICK
@given(VALUES)
@example(2**64)
@example(-(2**63) - 1)
@example({-0.0: 2**70, "": -0.0}).via("a zero with a sign, as a key and as a value")
@example({2**64: 1, b"\xff": 2, None: 3, 1.5: 4})
@example([math.inf, -math.inf, -0.0])
@example("\0\ud7ff\U0010ffff")
def test_plain_data_comes_back_equal(value):
    """The state is equal in value, in type, and in the order of keys."""
    assert same(decode_state(encode_state(value)), value)


@QUICK
@given(ANYTHING)
@example([FIRST, dt.datetime(2024, 1, 1, tzinfo=dt.UTC), 2**70])
@example({"a": bytearray(b"x"), "b": 2**70}).via("bytes must not depend on what stands beside")
@example([memoryview(b"x").toreadonly().tobytes(), bytearray(), 2**64])
def test_typed_data_comes_back_plain(value):
    """Tuples and sets become lists; dates, numbers and ids become text, beside any other values."""
    assert same(decode_state(encode_state(value)), plain(value))


@QUICK
@given(ANYTHING)
def test_what_came_back_is_carried_unchanged(value):
    """The second round does not change a single byte."""
    encoded = encode_state(decode_state(encode_state(value)))
    assert encode_state(decode_state(encoded)) == encoded


def test_nan_comes_back_as_nan():
    """NaN is the only float that does not equal itself."""
    assert math.isnan(decode_state(encode_state([math.nan]))[0])


@QUICK
@given(TIMES, VALUES)
def test_a_date_is_text_wherever_it_stands(moment, beside):
    """Aware and naive dates, as a value, as a key and deep inside, never become a timestamp."""
    state = {"data": [beside, {"at": moment}], moment.isoformat() + "!": (moment,)}
    decoded = decode_state(encode_state(state))
    text = decoded["data"][1]["at"]
    assert type(text) is str
    assert dt.datetime.fromisoformat(text) == moment
    (key,) = decode_state(encode_state({moment: 1}))
    assert key == text


@QUICK
@given(
    st.lists(
        st.sampled_from([b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff", b"\xc1", b"\0"]), max_size=12
    ),
    st.integers(-4, 4),
)
def test_bytes_that_look_like_a_timestamp_are_left_alone(marks, shift):
    """The header of a timestamp also occurs in floats, integers, bytes and lengths of these."""
    data = b"".join(marks)
    number = int.from_bytes(data[:8].ljust(8, b"\xff"), "big")
    (real,) = msgspec.msgpack.decode(b"\x91\xcb" + data[:8].ljust(8, b"\0"), type=tuple[float])
    sizes = [b"\xff" * (0xD6 + shift), b"\xff" * (0xD7 + shift), "a" * (0xC7 + shift)]
    value = {"b": data, "n": number, "f": real, "x": {data: 1}, "sizes": sizes}
    assert repr(decode_state(encode_state(value))) == repr(value)
    del value[
        "x"
    ]  # text keys, and many values: msgspec writes the state, and the bytes are searched
    value["many"] = [0] * 2_500
    assert repr(decode_state(encode_state(value))) == repr(value)
    value["at"] = dt.datetime(2024, 5, 6, tzinfo=dt.UTC)
    assert decode_state(encode_state(value))["at"] == "2024-05-06T00:00:00Z"


def test_a_length_that_looks_like_a_timestamp_beside_a_date():
    """The two together are encoded in the slow way, with the same result."""
    value = [b"\xff" * 0xD6FF, dt.datetime(2024, 5, 6, tzinfo=dt.UTC), [0] * 0xD7FF]
    assert decode_state(encode_state(value)) == [value[0], "2024-05-06T00:00:00Z", value[2]]


@pytest.mark.slow
@QUICK
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x91" * 300_000 + b"\xc0").via("nesting deeper than the interpreter's stack")
@example(b"\x81\xa1a" * 100_000 + b"\xc0")
@example(b"\xd4\x05\x00").via("an extension that nobody knows")
@example(b"\xc7\x00\x01").via("an integer of no bytes")
@example(b"\xd7\xff" + b"\xff" * 8).via("a timestamp out of range")
@example(b"\x81\x80\xc0").via("a key that cannot be one")
@example(b"\xa2\xed\xa0").via("text that is not UTF-8")
@example(b"\xa3\xed\xa0\x80").via("a lone surrogate")
@example(b"\xc0\xc0").via("two values")
def test_hostile_bytes_are_a_value_or_a_value_error(data):
    """Bytes that a child calls a state have no other outcome."""
    try:
        decode_state(data)
    except ValueError:
        pass


@QUICK
@given(
    ANYTHING,
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_damaged_state_is_a_value_or_a_value_error(value, changes):
    """The same holds for bytes that are nearly a state."""
    encoded = bytearray(encode_state(value))
    for place, byte in changes:
        encoded[place % len(encoded)] = byte
    try:
        decode_state(encoded)
    except ValueError:
        pass


@pytest.mark.parametrize("code", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
def test_announced_items_take_no_memory(code):
    """The bytes announce an array, a map, text, bytes or an extension of 2**32 - 1 without items."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            decode_state(code + b"\xff\xff\xff\xff")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@QUICK
@given(st.integers(1, 3000), st.sampled_from(["list", "dict", "tuple"]))
@example(100_000, "list")
@example(200, "dict")
def test_deep_nesting_is_carried_or_refused_with_a_path(depth, kind):
    """200 levels always work; deeper values come back, or give an error with their path."""
    value = 0
    for _ in range(depth):
        value = {"a": value} if kind == "dict" else [value] if kind == "list" else (value,)
    refusal = ""
    try:
        decoded = decode_state(encode_state(value))
    except StateNotCarriedError as error:
        refusal = str(error)
    else:
        for _ in range(depth):
            decoded = decoded["a"] if kind == "dict" else decoded[0]
        assert decoded == 0
    assert not refusal or depth > 200
    assert not refusal or "nested deeper" in refusal
    assert len(refusal) < 500
