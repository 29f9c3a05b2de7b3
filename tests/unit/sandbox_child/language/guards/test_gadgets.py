"""Gadgets of the standard library that an attacker used, each with the twin in plain Python.

A gadget is refused, or has no use.  The twin shows that the same text works where the language wall
is off.
"""

from __future__ import annotations

import pytest

GADGETS = {
    # A class of the job on a foreign base: names that the base uses stay foreign.
    "defined name of a foreign base": """
import asyncio
class L(asyncio.Lock):
    _loop = None
return "PWNED " + str(L()._loop)
""",
    "below a class of the job": """
import asyncio
class L(asyncio.Lock):
    _get_loop = None
    def leak(self):
        return super()._get_loop
return "PWNED " + str(L().leak())
""",
    "below, by getattr": """
import asyncio
class L(asyncio.Lock):
    _get_loop = None
    def leak(self):
        return getattr(super(), "_get_loop")
return "PWNED " + str(L().leak())
""",
    "named by text in the base": """
import csv
class R(csv.DictReader):
    _fieldnames = None
r = R(["a,b"])
r.fieldnames
return "PWNED " + str(r._fieldnames)
""",
    "below a class of the engine": """
import io
import xml.etree.ElementTree as ET
class T(ET.ElementTree):
    pass
out = io.BytesIO()
super(ET.ElementTree, T(ET.Element("a"))).__init__()
return "PWNED"
""",
    "super as a value": """
import asyncio
s = super
return "PWNED " + str(s(asyncio.Lock, asyncio.Lock())._get_loop)
""",
    # Special methods of an instance.
    "deepcopy of a namespace": """
import copy
from types import SimpleNamespace
n = SimpleNamespace(**{"__reduce_ex__": lambda p: (lambda: "PWNED", ())})
return copy.deepcopy(n)
""",
    "deepcopy, name by a mapping": """
import copy
from types import SimpleNamespace
class Names:
    def keys(self):
        return ["__deepcopy__"]
    def __getitem__(self, key):
        return lambda memo: "PWNED"
return copy.deepcopy(SimpleNamespace(**Names()))
""",
    "deepcopy, name by a subclass of str": """
import copy
from types import SimpleNamespace
class S(str):
    pass
return copy.deepcopy(SimpleNamespace(**{S("__deepcopy__"): lambda memo: "PWNED"}))
""",
    "a clone of a policy": """
import copy
from email.policy import default
return copy.deepcopy(default.clone(**{"__reduce_ex__": lambda p: (lambda: "PWNED", ())}))
""",
    "a foreign cached_property": """
import copy, functools
class CP(functools.cached_property):
    pass
class N:
    pass
n = N()
cp = CP(lambda i: lambda memo: "PWNED")
cp.attrname = "__deepcopy__"
N.cp = cp
n.cp
return copy.deepcopy(n)
""",
    "descriptors of a foreign base": """
import functools
class CP(functools.cached_property):
    def poke(self, target):
        return super().__get__(target, None)
class N:
    pass
n = N()
cp = CP(lambda i: "PWNED")
cp.attrname = "planted"
cp.poke(n)
return n.planted
""",
    "property of enum": """
import enum
return "PWNED" if hasattr(enum.property, "__set_name__") and enum.property is not property else "no"
""",
    # A name that becomes code.
    "TypedDict": """
import dataclasses, typing
T = typing.TypedDict("T", {"a=print('x')": int})
return "PWNED"
""",
    "TypedDict with a special name": """
import typing
return "PWNED " + str(typing.TypedDict("T", {"__class__": int}))
""",
    "a class that only bears the name": """
import dataclasses, typing
T = typing.NamedTuple("T", [("a", int)])
D = typing.TypedDict("D", {"a": int})
dataclasses.dataclass(D)
return "PWNED"
""",
    "match_args before the hook": """
class Base:
    def __init_subclass__(cls):
        Base.seen = cls.__name__
class A(Base):
    __match_args__ = ("_x",)
return "PWNED"
""",
    # Annotations as text.
    "singledispatch": """
import functools
@functools.singledispatch
def f(x):
    return x
@f.register
def g(x: "_type_"):
    return x
return "PWNED " + str(len(f.registry))
""",
}


def source_of(body: str) -> str:
    return "def main(state):\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())


def in_plain_python(body: str) -> object:
    scope = {"__name__": "plain", "_type_": type}
    exec(compile(source_of(body), "<plain>", "exec", dont_inherit=True), scope)
    return scope["main"]({})


@pytest.mark.parametrize("name", GADGETS)
def test_a_gadget_leads_nowhere(name, result_of):
    """The gadget is refused, raises, or gives a useless result."""
    try:
        got = str(result_of(source_of(GADGETS[name])))
    except Exception as error:
        got = str(error)
    assert not got.startswith("PWNED")


@pytest.mark.parametrize("name", GADGETS)
def test_the_twin_in_plain_python_works(name):
    """The twin shows that the gadget is a real one."""
    try:
        got = in_plain_python(GADGETS[name])
    except ValueError as error:
        if "no signature found" not in str(error):
            raise
        pytest.skip("a dataclass of this Python needs a signature, which a TypedDict does not have")
    assert str(got).startswith("PWNED")


def test_a_method_of_a_file_is_asked_for_once(result_of):
    """A second answer could differ, and ElementTree would then take the object for a path."""
    assert (
        result_of(
            source_of("""
import xml.etree.ElementTree as ET
class F(str):
    looks = 0
    @property
    def write(self):
        F.looks += 1
        if F.looks > 1:
            raise AttributeError("write")
        return lambda text: None
ET.ElementTree(ET.Element("a")).write(F("/nonexistent/x"))
return F.looks
""")
        )
        == 1
    )


def test_print_takes_no_class_that_bears_the_name_of_a_file(result_of):
    """The class itself is compared, and not its name."""
    with pytest.raises(TypeError, match=r"io\.StringIO"):
        result_of(
            source_of("class StringIO:\n    write = 1\nprint('x', file=StringIO())\nreturn 1")
        )


ORDINARY = {
    "subclass of a tree": """
import io
import xml.etree.ElementTree as ET
class T(ET.ElementTree):
    def text(self):
        out = io.BytesIO()
        super().write(out)
        return out.getvalue().decode()
return T(ET.Element("a")).text()
""",
    "descriptors of the job's own": """
class D:
    def __get__(self, instance, owner):
        return 1
class E(D):
    def __get__(self, instance, owner):
        return super().__get__(instance, owner) + 1
class N:
    x = E()
return N().x
""",
    "super with arguments": """
class A:
    def f(self):
        return 1
class B(A):
    def f(self):
        return super(B, self).f() + 1
return B().f()
""",
    "cached_property": """
from functools import cached_property
class A:
    calls = 0
    @cached_property
    def x(self):
        self.calls += 1
        return self.calls
a = A()
return [a.x, a.x, A.x is not None]
""",
    "namespaces": """
from types import SimpleNamespace as N
import copy
n = N(a=1, **{"b": [2]})
m = copy.deepcopy(n)
m.b.append(3)
return [repr(n), n == N(a=1, b=[2]), m.b, repr(copy.copy(n))]
""",
    "typed": """
import typing
class P(typing.NamedTuple):
    x: int
    y: int = 2
Q = typing.NamedTuple("Q", [("a", int)])
class T(typing.TypedDict, total=False):
    a: int
U = typing.TypedDict("U", {"a": int})
match P(1):
    case P(x, y):
        return [x, y, Q(1).a, T(a=1), U(a=2), P(3)._asdict()]
""",
    "dataclass patterns": """
from dataclasses import dataclass
@dataclass(slots=True)
class P:
    x: int
    y: int
@dataclass(match_args=False)
class Q:
    x: int
match P(1, 2):
    case P(x, y):
        return [x, y, P.__name__, repr(P(1, 2)), P(1, 2) == P(1, 2)]
""",
    "keywords by a mapping": """
from collections import UserDict
def f(**given):
    return given
return [f(**{"a": 1}, **UserDict(b=2)), dict(**{"__typename": 3}), "{x}".format(**{"x": 4})]
""",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_use_is_as_in_plain_python(name, result_of):
    """Ordinary code near the gadgets still works."""
    assert result_of(source_of(ORDINARY[name])) == in_plain_python(ORDINARY[name])
