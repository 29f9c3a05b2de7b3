"""A state can hold some values, some values change on the way, and the rest gives an error."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import gc
import math
import threading
import uuid
from typing import NamedTuple

import msgspec
import pytest

from protocol.state import NIL, StateNotCarriedError, decode_state, encode_state


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Word(str):
    __slots__ = ()


class Pair(NamedTuple):
    a: int
    b: int


@dataclasses.dataclass
class Patient:
    name: str
    born: dt.date
    visits: list = dataclasses.field(default_factory=list)


class Record(msgspec.Struct):
    id: int
    at: dt.datetime


class Opaque:
    pass


UTC = dt.UTC
NAIVE = dt.datetime(2024, 5, 6, 7, 8)  # noqa: DTZ001 - jobs make such dates
CARRIED = [
    pytest.param((1, 2), [1, 2], id="tuple"),
    pytest.param({1}, [1], id="set"),
    pytest.param(frozenset({"a"}), ["a"], id="frozenset"),
    pytest.param(collections.deque([1]), [1], id="deque"),
    pytest.param(collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}, id="OrderedDict"),
    pytest.param(collections.Counter("aab"), {"a": 2, "b": 1}, id="Counter"),
    pytest.param(Pair(1, 2), [1, 2], id="namedtuple"),
    pytest.param(NAIVE, "2024-05-06T07:08:00", id="naive"),
    pytest.param(dt.datetime(2024, 5, 6, tzinfo=UTC), "2024-05-06T00:00:00Z", id="aware"),
    pytest.param(
        dt.datetime(2024, 5, 6, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "2024-05-06T00:00:00+02:00",
        id="offset",
    ),
    pytest.param(dt.date(2024, 5, 6), "2024-05-06", id="date"),
    pytest.param(dt.time(7, 8), "07:08:00", id="time"),
    pytest.param(dt.timedelta(seconds=90), "PT90S", id="timedelta"),
    pytest.param(decimal.Decimal("1.50"), "1.50", id="Decimal"),
    pytest.param(uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", id="UUID"),
    pytest.param(Colour.RED, "red", id="Enum"),
    pytest.param(Number.ONE, 1, id="IntEnum"),
    pytest.param(Word("w"), "w", id="subclass of str"),
    pytest.param(
        Patient("A", dt.date(2000, 1, 2), [(1,)]),
        {"name": "A", "born": "2000-01-02", "visits": [[1]]},
        id="dataclass",
    ),
    pytest.param(
        Record(1, dt.datetime(2024, 5, 6, tzinfo=UTC)),
        {"id": 1, "at": "2024-05-06T00:00:00Z"},
        id="Struct",
    ),
    pytest.param(bytearray(b"x"), b"x", id="bytearray"),
    pytest.param(memoryview(b"x"), b"x", id="memoryview"),
    pytest.param(2**64, 2**64, id="an integer beyond 64 bits"),
    pytest.param(-(2**63) - 1, -(2**63) - 1, id="a negative one"),
    pytest.param(10**5000, 10**5000, id="an integer of 5000 digits"),
    pytest.param(True, True, id="bool"),
    pytest.param(math.inf, math.inf, id="inf"),
]


@pytest.mark.parametrize("root", [dict, collections.OrderedDict])
@pytest.mark.parametrize(("value", "expected"), CARRIED)
def test_keys_are_left_out_beside_each_value(root: type, value: object, expected: object):
    """A configuration has secrets that the next step must not get, whatever else is in the state."""
    state = root({"configuration": {"password": "x"}, "data": value, Word("inputs"): 1})
    encoded = encode_state(state, without=("configuration", "inputs"))
    assert decode_state(encoded) == {"data": expected}


@pytest.mark.parametrize("beside", [None, 2**70, dt.datetime(2024, 1, 1, tzinfo=UTC)])
@pytest.mark.parametrize(("value", "expected"), CARRIED)
def test_a_value_becomes_its_plain_form(value, expected, beside):
    """A value beside it can change how the state is encoded, but not the decoded value."""
    decoded = decode_state(encode_state({"data": [value, beside]}))["data"][0]
    assert decoded == expected
    assert type(decoded) is type(expected)


@pytest.mark.parametrize("beside", [None, 2**70])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (1, 1),
        (2**64, 2**64),
        (-(2**70), -(2**70)),
        (None, None),
        (1.5, 1.5),
        (b"\xff", b"\xff"),
        (True, True),
        (-0.0, -0.0),
        (Number.ONE, 1),
        (Word("w"), "w"),
        (decimal.Decimal("1.50"), "1.50"),
        (dt.timedelta(hours=1), "PT3600S"),
        (dt.date(2024, 5, 6), "2024-05-06"),
        (dt.datetime(2024, 5, 6, tzinfo=UTC), "2024-05-06T00:00:00Z"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
    ],
    ids=repr,
)
def test_a_key_need_not_be_text(key, expected, beside):
    """Text, bytes, numbers, booleans and None come back; keys with a form in text become text."""
    assert decode_state(encode_state({key: beside})) == {expected: beside}


def cycle_of_lists():
    inner = [1]
    inner.append(inner)
    return {"a": inner}


def cycle_of_dicts():
    outer = {"data": {}}
    outer["data"]["me"] = outer
    return outer


def generator():
    yield 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(
            {"data": {"rows": [0, 0, 0, {"callback": lambda: 0}]}},
            "state.data.rows[3].callback: cannot carry a function",
            id="function",
        ),
        pytest.param({"a": len}, "state.a: cannot carry a function", id="built-in"),
        pytest.param({"a": [].append}, "state.a: cannot carry a function", id="method of a list"),
        pytest.param({"a": Opaque().__init__}, None, id="method"),
        pytest.param({"a": generator()}, "state.a: cannot carry a generator", id="generator"),
        pytest.param({"a": math}, "state.a: cannot carry a module", id="module"),
        pytest.param({"a": Opaque}, "state.a: cannot carry a class", id="class"),
        pytest.param({"a": Opaque()}, "state.a: cannot carry an Opaque", id="object"),
        pytest.param({"a": object()}, "state.a: cannot carry an object", id="bare object"),
        pytest.param({"a": 1j}, "state.a: cannot carry a complex", id="complex"),
        pytest.param({"a": ValueError("x")}, "state.a: cannot carry a ValueError", id="exception"),
        pytest.param({"a": range(3)}, "state.a: cannot carry a range (use list(...))", id="range"),
        pytest.param(
            {"a": {}.keys()}, "state.a: cannot carry a view of a dict (use list(...))", id="view"
        ),
        pytest.param({"a": iter([])}, "state.a: cannot carry a list_iterator", id="iterator"),
        pytest.param({"a": threading.Lock()}, "state.a: cannot carry a lock", id="lock"),
        pytest.param(cycle_of_lists(), "state.a[1]: cannot carry a cycle", id="cycle of lists"),
        pytest.param(cycle_of_dicts(), "state.data.me: cannot carry a cycle", id="cycle of dicts"),
        pytest.param(
            {"a": ["\ud800"]},
            "state.a[0]: cannot carry a string with a lone surrogate",
            id="lone surrogate",
        ),
        pytest.param(
            {"a b": {1: {"x-y": len}}},
            "state['a b'][1]['x-y']: cannot carry a function",
            id="keys that are no names",
        ),
        pytest.param({"é": {(1,): len}}, None, id="keys of other types"),
        pytest.param(
            {"a": {"\ud800": 1}},
            "state.a: cannot carry the key '\\ud800', a string with a lone surrogate",
            id="a key with a lone surrogate",
        ),
        pytest.param(len, "state: cannot carry a function", id="the state itself"),
    ],
)
def test_what_cannot_be_carried_is_named_with_its_path(value, said):
    """The job's author gets the path and the type of the first such value, in ASCII."""
    with pytest.raises(StateNotCarriedError) as caught:
        encode_state(value)
    text = str(caught.value)
    assert text.isascii() or "é" in text
    assert text.startswith("state")
    assert "cannot carry" in text
    if said is not None:
        assert text == said


def test_a_coroutine_is_named_with_a_hint():
    """The usual cause is a forgotten await."""

    async def fetch():
        pass

    coroutine = fetch()
    with pytest.raises(StateNotCarriedError, match=r"a coroutine \(was an await forgotten\?\)"):
        encode_state({"data": coroutine})
    coroutine.close()


def test_the_same_value_twice_is_no_cycle():
    """Sharing is not a cycle; the value comes back as two values."""
    shared = [2**70]
    decoded = decode_state(encode_state({"a": shared, "b": [shared, shared]}))
    assert decoded == {"a": [2**70], "b": [[2**70], [2**70]]}
    assert decoded["a"] is not decoded["b"][0]


def test_a_path_has_the_root_it_was_given():
    """The path of a credential must not begin with "state"."""
    with pytest.raises(StateNotCarriedError, match=r"^credential\.token: cannot carry a function$"):
        encode_state({"token": len}, root="credential")


def test_a_path_is_cut_in_the_middle():
    """The path may be very deep, and its keys may be very long."""
    value = len
    for _ in range(100):
        value = {"k" * 1000: value}
    with pytest.raises(StateNotCarriedError) as caught:
        encode_state(value)
    assert len(str(caught.value)) < 500


def test_no_code_of_a_value_is_run_to_name_it():
    """The methods `__repr__` and `__str__` may be hostile, or take for ever."""

    class Hostile:
        def __repr__(self):
            raise SystemExit

        __str__ = __repr__

        def __hash__(self):
            return 1

    with pytest.raises(StateNotCarriedError, match="cannot carry a Hostile"):
        encode_state({"a": Hostile()})
    with pytest.raises(StateNotCarriedError, match=r"^state\.a: cannot carry a Hostile as a key;"):
        encode_state({"a": {Hostile(): 1}})


def test_a_false_timestamp_in_a_float_takes_the_fast_way():
    """Bytes that only look like a date do not change the encoded form."""
    (number,) = msgspec.msgpack.decode(b"\x91\xcb\xd6\xff\0\0\0\0\0\0")
    value = {"data": [number, b"\xd7\xff12345678", 0xD6FF0000, "é"]}
    assert encode_state(value) == msgspec.msgpack.encode(value)


@pytest.mark.slow
@pytest.mark.parametrize("leaf", [1, 2**70, dt.date(2024, 5, 6)], ids=type)
def test_too_deep_a_value_is_refused_in_one_way(leaf):
    """The error does not depend on the innermost value, or on the depth of the stack."""
    value = leaf
    for _ in range(10_000):
        value = [value]

    def at_depth(depth):
        return at_depth(depth - 1) if depth else encode_state(value)

    for depth in (0, 600, 850):
        with pytest.raises(StateNotCarriedError, match="nested deeper than the interpreter"):
            at_depth(depth)


class Real(float):
    __slots__ = ()


def test_a_subclass_of_a_number_is_that_number():
    """The number is the same beside a value that needs the slow way."""
    decoded = decode_state(encode_state([Real(1.5), 2**70]))
    assert (decoded, type(decoded[0])) == ([1.5, 2**70], float)


def test_none_is_nil():
    """A step that returned nothing has this state."""
    assert encode_state(None) == NIL
    assert decode_state(NIL) is None


def test_decoding_gives_a_copy_of_its_own_each_time():
    """Only these copies isolate the steps from each other."""
    encoded = encode_state({"data": {"rows": [1]}})
    first, second = decode_state(encoded), decode_state(encoded)
    first["data"]["rows"].append(2)
    assert second == {"data": {"rows": [1]}}


@pytest.mark.parametrize("collecting", [True, False])
@pytest.mark.parametrize("encoded", [b"\x90", b"\xc1", b"\x91" * 100_000])
def test_decoding_leaves_the_collector_as_it_was(collecting, encoded):
    """The collector is as before after a success, after an error, and on the fresh stack."""
    try:
        (gc.enable if collecting else gc.disable)()
        try:
            decode_state(encoded)
        except ValueError:
            pass
        assert gc.isenabled() is collecting
    finally:
        gc.enable()


def test_what_was_encoded_on_a_shallow_stack_is_decoded_on_a_deep_one():
    """The place in the program where a state is read does not decide whether it can be read."""
    value = 0
    for _ in range(600):
        value = [value]
    encoded = encode_state(value)

    def at_depth(depth):
        return at_depth(depth - 1) if depth else decode_state(encoded)

    decoded = at_depth(700)
    for _ in range(600):
        (decoded,) = decoded
    assert decoded == 0


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a: b": object()}, "state['a: b']"),
        ({": cannot carry ": object()}, "state[': cannot carry ']"),
        ({"x": [{"y: z": {"q": object()}}]}, "state.x[0]['y: z'].q"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_path_and_reason_are_facts_of_their_own(value, path):
    """A key may look like the end of a path, so a caller must not search the text for it."""
    with pytest.raises(StateNotCarriedError) as caught:
        encode_state(value)

    assert (caught.value.path, caught.value.reason) == (path, "cannot carry an object")
    assert str(caught.value) == f"{path}: cannot carry an object"
