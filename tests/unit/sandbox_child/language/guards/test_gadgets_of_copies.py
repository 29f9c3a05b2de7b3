"""Gadgets that make classes, copy objects or plant names past the checks, each with its twin."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import typing

import pytest

GADGETS = {
    # Classes that make classes.
    "typing.Type as a base": """
import typing
class M(typing.Type):
    pass
return "PWNED " + str(M("C", (), {"__reduce_ex__": 1}))
""",
    "the metaclass in a cached annotation": """
import typing
T = typing.get_args(typing.List[type])[0]
return "PWNED " + str(T("C", (), {"__reduce_ex__": 1}))
""",
    # Patterns read the names in `__match_args__` without a check.
    "half made class on a named tuple": """
import typing
from abc import ABC
def g():
    yield 1
N = typing.NamedTuple("N", [("gi_frame", int)])
found = []
class Mixin:
    def __init_subclass__(cls):
        cls.x = 1
        cls.register(type(gen))
        match gen:
            case cls(frame):
                found.append(frame)
gen = g()
class A(Mixin, N, ABC):
    pass
return "PWNED " + str(found)
""",
    # Special methods of foreign bases.
    "an alias that forwards any name": """
import typing
class G(type(typing.List[int]), _root=True):
    def leak(self, name):
        return super().__getattr__(name)
def g():
    yield 1
return "PWNED " + str(G(g(), (int,), name="G").leak("gi_frame"))
""",
    "the constructor of a foreign base, for any object": """
from email.policy import compat32
class P(type(compat32)):
    pass
super(P, P).__init__(compat32, max_line_length=compat32.max_line_length)
return "PWNED"
""",
    "the same in a class method": """
from email.policy import compat32
class P(type(compat32)):
    @classmethod
    def poke(cls):
        super().__init__(compat32, max_line_length=compat32.max_line_length)
P.poke()
return "PWNED"
""",
    # Functions that copy an object show or write its inner parts.
    "deepcopy with a memo": """
import asyncio, copy
memo = {}
copy.deepcopy(asyncio.Lock(), memo)
return "PWNED " + str([part["_waiters"] for part in memo.values() if isinstance(part, dict)])
""",
    "special names by a partial function": """
import functools
from email.policy import default
p = functools.partial(default.clone)
p.keywords["__reduce_ex__"] = 5
return "PWNED" if p.keywords else "no"
""",
    "the same by super": """
import functools
class P(functools.partial):
    def poke(self):
        super().keywords["__reduce_ex__"] = 5
p = P(print)
p.poke()
return "PWNED" if p.keywords else "no"
""",
    "the same by an alias": """
import functools, types
p = functools.partial(print)
types.GenericAlias(p, ()).keywords["__reduce_ex__"] = 5
return "PWNED" if p.keywords else "no"
""",
    "the same by an alias of typing": """
import functools, typing
p = functools.partial(print)
type(typing.List[int])(p, (int,), name="x").keywords["__reduce_ex__"] = 5
return "PWNED" if p.keywords else "no"
""",
    "the object behind an error, by an alias": """
import types
try:
    CLIENT.missing
except AttributeError as error:
    return "PWNED " + str(types.GenericAlias(error, ()).obj)
""",
    "special names by __getattr__": """
from email.policy import default
class D:
    __slots__ = ()
    def __getattr__(self, name):
        return {"__reduce_ex__": 7}
default + D()
return "PWNED"
""",
    "special names by an assigned __getattr__": """
import functools
class D:
    __slots__ = ()
    __getattr__ = lambda self, name: {"planted": 7}
    def __call__(self):
        return 1
return "PWNED" if functools.cache(D()).planted else "no"
""",
    "asdict copies with special methods of an instance": """
import dataclasses
class Clone:
    def __init__(self):
        self.policy = PLANTED
@dataclasses.dataclass
class D:
    x: object
dataclasses.asdict(D(PLANTED))
return "no"
""",
    "private fields of a foreign dataclass": """
import dataclasses
return "PWNED " + str(dataclasses.asdict(CLIENT)["_token"]) + str(dataclasses.astuple(CLIENT))
""",
    # Defaults of fields are read from bases.
    "a private default": """
import asyncio, dataclasses
@dataclasses.dataclass
class D(asyncio.Lock):
    _get_loop: object
return "PWNED " + str(dataclasses.fields(D)[0].default)
""",
    "str.format as a default": """
import dataclasses
@dataclasses.dataclass
class D(str):
    format: object
return "PWNED " + dataclasses.fields(D)[0].default("{0.__class__}", 1)
""",
    # Behind a mapping proxy is a dict of other code.
    "metadata of fields": """
import dataclasses
class E:
    def __ror__(self, other):
        return other
@dataclasses.dataclass
class D:
    x: int
for found in (dataclasses.field(), dataclasses.fields(D)[0]):
    (found.metadata | E())["x"] = 1
    (dataclasses.field().metadata | E()).pop("x")
return "PWNED"
""",
    "groups of a pattern": """
import re
class E:
    def __ror__(self, other):
        return other
(re.compile("(?P<a>x)").groupindex | E())["b"] = 1
(re.compile("(?P<a>x)").groupindex | E()).pop("b")
return "PWNED"
""",
    "behind a view": """
class E:
    def __ror__(self, other):
        return other
given = {"a": 1}
(given.keys().mapping | E())["b"] = 2
return "PWNED" if "b" in given else "no"
""",
    # Marks on objects of other code.
    "abstractmethod": """
import abc, json
abc.abstractmethod(json.loads)
return "PWNED"
""",
    # Objects that the machinery passes to a class of the job.
    "the context of a task": """
import asyncio
found = []
async def wait():
    await asyncio.sleep(0)
async def go():
    task = asyncio.create_task(wait())
    class F(type(task)):
        def add_done_callback(self, call, *, context=None):
            found.append(context)
            return super().add_done_callback(call, context=context)
    await F(wait())
asyncio.run(go())
return "PWNED " + str(list(found[0].items()))
""",
    # A key that is read several times.
    "a time zone of any file": """
import zoneinfo
class Absolute(str):
    def __radd__(self, other):
        return "/etc/passwd"
class Key(str):
    def __radd__(self, other):
        return Absolute("x")
try:
    zoneinfo.ZoneInfo(Key("Europe/Nowhere"))
except zoneinfo.ZoneInfoNotFoundError:
    return "no"
except ValueError:  # the file was opened, and is no time zone
    return "PWNED"
""",
}


@dataclasses.dataclass
class Client:
    """An object that an adaptor may keep."""

    _token: str


class Planted:
    """An object whose attributes have special names."""

    def __init__(self) -> None:
        self.__dict__["__reduce_ex__"] = self._reduce

    def _reduce(self, _protocol: object) -> object:
        raise RuntimeError("PWNED: an attribute of the instance was asked")


def source_of(body: str) -> str:
    return "def main(state):\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())


def names() -> dict[str, object]:
    return {"CLIENT": Client("t0ken"), "PLANTED": Planted()}


def in_plain_python(body: str) -> object:
    scope = {"__name__": "plain", **names()}
    exec(compile(source_of(body), "<plain>", "exec", dont_inherit=True), scope)
    return scope["main"]({})


def outcome(run, body):
    try:
        return str(run(body))
    except Exception as error:
        return str(error)


@pytest.fixture(autouse=True)
def nothing_stays():
    """The twins leave marks on Python's own objects, which this removes."""
    yield
    json.loads.__dict__.pop("__isabstractmethod__", None)


@pytest.mark.parametrize("name", GADGETS)
def test_a_gadget_leads_nowhere(name, result_of):
    """The gadget is refused, raises, or gives a useless result."""
    typing.List[type]  # noqa: UP006 - an adaptor may have called this before
    got = outcome(lambda body: result_of(source_of(body), **names()), GADGETS[name])
    assert not got.startswith("PWNED")


@pytest.mark.parametrize("name", GADGETS)
def test_the_twin_in_plain_python_works(name):
    """The twin shows that the gadget is a real one."""
    assert outcome(in_plain_python, GADGETS[name]).startswith("PWNED")


ORDINARY = {
    "dataclasses": """
import dataclasses
@dataclasses.dataclass
class P:
    x: int = 1
    _y: list = dataclasses.field(default_factory=list, metadata={"unit": "m"})
@dataclasses.dataclass
class Q:
    format: str
    keywords: dict
    p: P
q = Q("csv", {"a": 1}, P())
names = [f.name for f in dataclasses.fields(Q)]
meta = dict(dataclasses.fields(P)[1].metadata)
return [dataclasses.asdict(q), dataclasses.astuple(q), names, meta, dataclasses.fields(P)[0].default]
""",
    "keywords of a partial function": """
from functools import partial
p = partial(dict, a=1)
class Page:
    def __init__(self):
        self.keywords = {}
from html.parser import HTMLParser
class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.keywords = {}
page = Page()
page.keywords["a"] = 1
parser = Parser()
parser.keywords["b"] = 2
return [p.keywords, p(b=2), page.keywords, parser.keywords, f"{p.keywords}", "{0.keywords}".format(p)]
""",
    "a pattern's groups": """
import re
return [dict(re.compile("(?P<a>x)").groupindex), {"a": 1}.keys().mapping["a"]]
""",
    "__getattr__": """
class Record:
    def __init__(self, data):
        self._data = data
    def __getattr__(self, name):
        try:
            return self._data[name]
        except KeyError:
            raise AttributeError(name)
class Other(Record):
    def __getattr__(self, name):
        return super().__getattr__(name.lower())
class Fixed:
    __getattr__ = lambda self, name: name.upper()
r = Record({"a": 1})
return [r.a, hasattr(r, "b"), getattr(r, "c", 3), Other({"a": 2}).A, Fixed().x]
""",
    "constructors of foreign bases": """
from html.parser import HTMLParser
class P(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []
    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
p = P()
p.feed("<a><b>")
class C:
    def __init__(self, x):
        self.x = x
class D(C):
    @classmethod
    def renew(cls, other):
        super().__init__(other, 3)
        return other.x
return [p.seen, D.renew(D(1))]
""",
    "abstract methods": """
import abc, contextlib
class A(abc.ABC):
    @property
    @abc.abstractmethod
    def x(self):
        return 1
    @abc.abstractmethod
    @contextlib.contextmanager
    def y(self):
        yield 1
try:
    A()
except TypeError:
    return "abstract"
""",
    "time zones": """
from zoneinfo import ZoneInfo
import copy, datetime
z = ZoneInfo("Europe/Berlin")
when = datetime.datetime(2024, 7, 1, 12, tzinfo=z)
return [repr(z), str(z), when.isoformat(), copy.deepcopy(z) is z, ZoneInfo("Europe/Berlin") is z]
""",
    "annotations of classes": """
import typing
def make(kind: typing.Type[int], other: type[str]) -> typing.Optional[type]:
    return kind
return [make(int, str) is int, typing.get_args(typing.Dict[str, int]), type(int) == type(str)]
""",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_use_is_as_in_plain_python(name, result_of):
    """Ordinary code near the gadgets still works."""
    assert result_of(source_of(ORDINARY[name])) == in_plain_python(ORDINARY[name])


def test_a_partial_function_and_a_copy_are_those_of_python(result_of):
    """The objects differ only in the attributes that a job can read."""
    assert result_of("from functools import partial\nfn(lambda s: partial)") is functools.partial
    assert copy.deepcopy({"a": [1]}) == result_of(
        "import copy\nfn(lambda s: copy.deepcopy({'a': [1]}))"
    )


LOGGED = {
    "a printer": """
import pprint
class P(pprint.PrettyPrinter):
    def pformat(self, value):
        return [1, 2]
P().pprint(1)
""",
    "a message": """
import logging
class T(str):
    def __mod__(self, other):
        return [1, 2]
    def __str__(self):
        return self
logging.info(T("%s"), 1)
""",
}


@pytest.mark.parametrize("name", LOGGED)
def test_what_a_job_logs_is_exactly_text(name, run_job):
    """If a method of a job should return a text, it may return any value."""
    ran = run_job(source_of(LOGGED[name] + "return 1"))
    assert len(ran.logged) == 1
    assert type(ran.logged[0][1]) is str
