"""The encoder does not run code of a value's class."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import uuid
import zoneinfo

import msgspec
import pytest

from protocol.known_classes import all_are_known, know_all
from protocol.state import StateNotCarriedError, decode_state, encode_state

RAN = []


def trap(name):
    """Return a method that records its calls."""

    def method(self, *args, **kwargs):
        RAN.append(name)
        raise ArithmeticError(name)

    return method


# ruff: noqa: SIM905
LIKE_CONTAINERS = (
    "__iter__ __len__ __getitem__ __contains__ __reversed__ __missing__ keys items values"
).split()
LIKE_SCALARS = (
    "__str__ __repr__ __format__ __int__ __index__ __float__ __bool__ __eq__ __lt__ __buffer__"
    " __bytes__ __abs__ __trunc__ isoformat utcoffset tzname dst total_seconds as_tuple hex"
).split()
EVERYWHERE = (
    "__reduce__ __reduce_ex__ __getstate__ __copy__ __deepcopy__ __getattr__ __getattribute__"
    " __sizeof__ __dir__ __del_me__"
).split()


def trapped(base, *, special=()):
    """Return a subclass of *base* in which every method is a trap."""
    names = {*LIKE_CONTAINERS, *LIKE_SCALARS, *EVERYWHERE, *special}
    body = {name: trap(name) for name in names}
    body |= {name: property(trap(name)) for name in ("__class__", "__dict__", "value", "name")}
    return type(f"Trapped{base.__name__}", (base,), body)


@dataclasses.dataclass
class Person:
    name: str
    age: int = 3


class Struct(msgspec.Struct, tag="struct", rename="camel"):
    first_name: str
    rows: list = []


NAIVE = dt.datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - a job makes such a date
STAMP = dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC)


def build(base, *args, **kwargs):
    return trapped(base)(*args, **kwargs)


def make_decimal():
    return build(decimal.Decimal, "1.50")


CASES = [
    pytest.param(lambda: build(dict, {"a": 1}), {"a": 1}, id="dict"),
    pytest.param(lambda: build(list, [1, 2]), [1, 2], id="list"),
    pytest.param(lambda: build(tuple, (1, 2)), [1, 2], id="tuple"),
    pytest.param(lambda: build(set, {1}), [1], id="set"),
    pytest.param(lambda: build(frozenset, {1}), [1], id="frozenset"),
    pytest.param(lambda: build(collections.deque, [1, 2]), [1, 2], id="deque"),
    pytest.param(lambda: build(collections.OrderedDict, {"a": 1}), {"a": 1}, id="OrderedDict"),
    pytest.param(lambda: build(int, 7), 7, id="int"),
    pytest.param(lambda: build(int, 2**70), 2**70, id="big int"),
    pytest.param(lambda: build(float, 1.5), 1.5, id="float"),
    pytest.param(lambda: build(str, "x"), "x", id="str"),
    pytest.param(lambda: build(bytes, b"x"), b"x", id="bytes"),
    pytest.param(lambda: build(bytearray, b"x"), b"x", id="bytearray"),
    pytest.param(lambda: build(dt.date, 2024, 1, 2), "2024-01-02", id="date"),
    pytest.param(
        lambda: build(dt.datetime, 2024, 1, 2, 3, 4, 5, 6),
        "2024-01-02T03:04:05.000006",
        id="naive datetime",
    ),
    pytest.param(
        lambda: build(dt.datetime, 2024, 1, 2, tzinfo=dt.UTC),
        "2024-01-02T00:00:00Z",
        id="aware datetime",
    ),
    pytest.param(
        lambda: build(dt.datetime, 2024, 7, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        "2024-07-02T00:00:00+02:00",
        id="datetime of a zone",
    ),
    pytest.param(lambda: build(dt.time, 3, 4), "03:04:00", id="time"),
    pytest.param(lambda: build(dt.timedelta, days=1), "P1D", id="timedelta"),
    pytest.param(make_decimal, "1.50", id="Decimal"),
]


@pytest.fixture(autouse=True)
def _nothing_ran():
    know_all()  # a child does this before its first job
    RAN.clear()
    yield
    assert RAN == []


@pytest.mark.slow
@pytest.mark.parametrize("beside", [None, 2**70, STAMP], ids=["alone", "a big integer", "a date"])
@pytest.mark.parametrize(("make", "expected"), CASES)
def test_a_subclass_is_carried_as_its_base(make, expected, beside):
    """The value of the base class is encoded; methods of the subclass do not matter."""
    value = make()
    (carried,) = decode_state(encode_state([value, beside]))[:1]
    assert (carried, type(carried)) == (expected, type(expected))


@pytest.mark.slow
@pytest.mark.parametrize(("make", "expected"), CASES)
def test_a_subclass_among_many_values_is_carried_too(make, expected):
    """The encoder finds the subclass among thousands of plain values."""
    rows = [{"n": number} for number in range(2_000)]
    assert decode_state(encode_state([rows, make()])) == [rows, expected]


def test_a_dataclass_among_many_values_runs_no_code():
    """By itself, msgspec would ask the dataclass for its fields."""
    assert all_are_known()

    @dataclasses.dataclass
    class Trapped(Person):
        __getattribute__ = trap("__getattribute__")

    assert not all_are_known()
    rows = [{"n": number} for number in range(2_000)]
    assert decode_state(encode_state([rows, Trapped("Ada")])) == [rows, {"name": "Ada", "age": 3}]


def test_dates_among_many_values_are_text():
    """Dates that msgspec alone would write in another form are text, too."""
    rows = [{"n": number, "at": STAMP} for number in range(2_000)]
    assert decode_state(encode_state(rows))[-1] == {"n": 1_999, "at": "2024-01-02T03:00:00Z"}


def test_a_subclass_of_uuid_is_carried_as_its_base():
    """A UUID is a class written in Python, with a slot for its number."""

    class Id(uuid.UUID):
        __str__ = trap("__str__")
        hex = property(trap("hex"))

    value = Id(int=1)
    assert decode_state(encode_state([value])) == [str(uuid.UUID(int=1))]
    assert decode_state(encode_state({value: value})) == {
        str(uuid.UUID(int=1)): str(uuid.UUID(int=1))
    }


def test_a_fold_is_kept():
    """The second two o'clock of a night in October is another moment than the first."""

    class Stamp(dt.datetime):
        pass

    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    twice = [Stamp(2024, 10, 27, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1)]
    assert decode_state(encode_state(twice)) == [
        "2024-10-27T02:30:00+02:00",
        "2024-10-27T02:30:00+01:00",
    ]


@pytest.mark.parametrize("beside", [None, 2**70], ids=["alone", "a big integer"])
def test_a_dataclass_gives_its_fields_and_no_more(beside):
    """The encoder reads the attributes where they are stored."""

    @dataclasses.dataclass
    class Trapped(Person):
        __getattribute__ = trap("__getattribute__")
        __iter__ = trap("__iter__")
        __eq__ = trap("__eq__")
        __hash__ = trap("__hash__")
        __repr__ = trap("__repr__")

    value = Trapped("Ada")
    assert decode_state(encode_state([value, beside]))[0] == {"name": "Ada", "age": 3}


def test_a_dataclass_with_slots_gives_its_fields():
    """Only the slots with a value count."""

    @dataclasses.dataclass(slots=True)
    class Slotted:
        a: int
        b: int = dataclasses.field(init=False)
        c: dataclasses.InitVar[int] = 3

    assert decode_state(encode_state(Slotted(1))) == {"a": 1}


def test_a_computed_field_is_refused():
    """Only code of the class knows the value of the field."""

    @dataclasses.dataclass
    class Computed:
        a: int
        b: int = 0

    Computed.b = property(trap("b"))
    value = Computed.__new__(Computed)
    value.a = 1
    with pytest.raises(StateNotCarriedError, match=r"^state\.x: .* field 'b' is computed"):
        encode_state({"x": value})


def test_a_struct_is_written_as_msgspec_writes_it():
    """The struct keeps its tag and its renamed fields; the values in it are walked."""
    value = Struct("Ada", [Person("B"), trapped(list)([1])])
    assert decode_state(encode_state(value)) == {
        "type": "struct",
        "firstName": "Ada",
        "rows": [{"name": "B", "age": 3}, [1]],
    }


def test_an_enum_gives_its_stored_value():
    """A property of the class does not change the value."""

    class Colour(enum.Enum):
        RED = "red"
        BOTH = ("red", 1)
        value = property(trap("value"))
        __hash__ = trap("__hash__")

    assert decode_state(encode_state([Colour.RED, Colour.BOTH])) == ["red", ["red", 1]]


def test_a_class_is_not_asked_for_its_name():
    """Reading the name would run code of the metaclass."""

    class Meta(type):
        __name__ = property(trap("__name__"))
        __mro__ = property(trap("__mro__"))
        __getattribute__ = trap("a class's __getattribute__")
        __instancecheck__ = trap("__instancecheck__")
        __subclasscheck__ = trap("__subclasscheck__")

    class OfMeta(metaclass=Meta):
        pass

    value = type.__call__(OfMeta)
    with pytest.raises(StateNotCarriedError, match=r"^state\.a\[0\]: cannot carry an OfMeta$"):
        encode_state({"a": [value]})
    with pytest.raises(StateNotCarriedError, match=r"^state\.a: cannot carry an OfMeta as a key;"):
        encode_state({"a": {value: 1}})


def test_a_time_zone_of_the_job_is_refused():
    """Only code of the job knows the offset of such a time zone."""

    class Zone(dt.tzinfo):
        utcoffset = trap("utcoffset")
        dst = trap("dst")

    for value in (NAIVE.replace(tzinfo=Zone()), dt.time(1, tzinfo=Zone())):
        with pytest.raises(StateNotCarriedError, match="time zone of the job's own class Zone"):
            encode_state({"at": value})


def test_keys_are_compared_by_no_code_of_theirs():
    """A key with the same hash does not run code in the comparison either."""

    class Key(str):
        __slots__ = ()

        def __hash__(self):
            return hash("configuration")

        __eq__ = trap("__eq__")

    value = {}
    dict.__setitem__(value, Key("k"), 1)
    assert decode_state(encode_state(value, without=("configuration",))) == {"k": 1}


def test_left_out_keys_are_those_of_the_state_itself():
    """The same keys are left out where the state is walked."""
    for beside in (1, 2**70):
        value = {"configuration": 1, "data": {"configuration": beside}}
        encoded = encode_state(value, without=("configuration",))
        assert decode_state(encoded) == {"data": {"configuration": beside}}
