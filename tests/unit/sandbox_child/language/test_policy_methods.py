"""`self` is checked once, on entry: the rest is plain Python, and as safe as before."""

from __future__ import annotations

import dis
import types

import pytest

from sandbox_child.language.compiler import compile_job


class Foreign:
    """A class of an adaptor: a job must not use its private names."""

    _token = "secret-token"

    def __init__(self):
        self._key = "secret-key"

    def touch(self):
        return len(self._key) + len(self._token)


def code_of(method: str) -> types.CodeType:
    """Return the code of one method of a class."""
    code = compile_job(f"class A:\n{method}\ndef main(state): ...\n", step_id="a").code
    body = next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == "A")
    return next(c for c in body.co_consts if isinstance(c, types.CodeType))


def guards_in(method: str) -> list[str]:
    """Return the guards that a method loads, in order, each once."""
    guards = ("_own_", "_write_", "_attr_", "_open_")
    return [name for name in code_of(method).co_names if name in guards]


def checks_in(method: str) -> int:
    """Return how often a method checks whether an object belongs to the job."""
    return sum(i.argval == "_open_" for i in dis.get_instructions(code_of(method)))


class TestCode:
    """The compiled code of a method."""

    def test_one_check_covers_all_uses(self):
        """The check covers any number of reads of private names and of stores."""
        method = (
            "    def f(self, n):\n        '''Text.'''\n        self._n += n\n        self.m = n\n"
            "        return self._n + self._m + (lambda: self._n)()\n"
        )
        assert guards_in(method) == ["_open_", "_own_"]

    def test_stores_alone_ask_whether_the_object_may_be_written_to(self):
        """An object of a class with a foreign base may still keep attributes of the job."""
        assert guards_in("    def f(self):\n        self.a = self._b = 1\n") == [
            "_open_",
            "_write_",
        ]

    def test_public_reads_need_no_check(self):
        """The rule is the same outside of methods."""
        assert guards_in("    def f(self):\n        return self.a + self.b()\n") == []

    @pytest.mark.parametrize(
        "line",
        ["self = n", "for self in n: pass", "del self", "lambda self: self", "[self for self in n]",
         "def g(self): pass", "import json as self", "with n as self: pass", "(self := n)",
         "def g():\n            nonlocal self", "class self: pass",
         "match n:\n            case [self]: pass", "try: pass\n        except E as self: pass"],
    )  # fmt: skip
    def test_where_the_name_means_something_else_each_use_is_guarded(self, line):
        """The check on entry would be about another object."""
        stores = "        self.a = 1\n        self.b = 1\n"
        assert checks_in(f"    def f(self, n):\n{stores}        {line}\n") == 2
        assert checks_in(f"    def f(self, n):\n{stores}        n = 1\n") == 1


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("def f(self): return self._token", id="read"),
        pytest.param("def f(self): self._token += Spy(); return seen[0]", id="augmented"),
        pytest.param("def f(self): return (lambda: self._key)()", id="closure"),
        pytest.param("def f(self): return [self._key for _ in (1,)][0]", id="comprehension"),
        pytest.param("def f(self):\n        self._mine = 1\n        return self._mine and self._key",
                     id="after a name of its own"),
        pytest.param("def f(self, other=None):\n        self = other or self\n        return self._key",
                     id="rebound"),
        pytest.param("def f(self):\n        class B:\n            def g(this):\n"
                     "                nonlocal self\n                self = foreign\n"
                     "        B().g()\n        return self._key", id="rebound from inside"),
        pytest.param("def f(self): return next(self.g())\n    def g(self): yield self._key",
                     id="generator"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", ["Own()", "foreign"])
def test_private_names_of_a_foreign_object_stay_private(report_of, method, start):
    """Neither a subclass nor a call of a method with a foreign object gives access."""
    base = "(Foreign)" if start == "Own()" else ""
    source = (
        "seen = []\n"
        "class Spy:\n    def __radd__(self, other):\n        seen.append(other)\n        return 1\n"
        f"class Own{base}:\n    {method}\n"
        f"def main(state):\n    raise Exception(Own.f({start}))"
    )
    report = report_of(source, Foreign=Foreign, foreign=Foreign())
    assert "secret" not in report.message
    assert report.name in ("SecurityError", "RuntimeError")


@pytest.mark.parametrize(
    "rebinding",
    [
        pytest.param("self = foreign", id="assignment"),
        pytest.param("for self in [foreign]: pass", id="loop"),
        pytest.param("[self := x for x in [foreign]]", id="walrus"),
        pytest.param("def g():\n            nonlocal self\n            self = foreign\n        g()",
                     id="inner function"),
        pytest.param("class B:\n            def g(this):\n                nonlocal self\n"
                     "                self = foreign\n        B().g()", id="inner method"),
        pytest.param("class B:\n            def g(this):\n                class C:\n"
                     "                    def h(that):\n                        nonlocal self\n"
                     "                        self = foreign\n                C().h()\n"
                     "        B().g()", id="method of an inner class"),
        pytest.param("match foreign:\n            case self: pass", id="capture"),
    ],
)  # fmt: skip
def test_an_object_put_in_the_place_of_self_is_not_taken_for_it(report_of, rebinding):
    """The check on entry was about the object of the call."""
    source = (
        f"class Own:\n    def f(self):\n        self.a = 1\n        {rebinding}\n"
        "        return self._key\n"
        "def main(state):\n    raise Exception(Own().f())"
    )
    report = report_of(source, foreign=Foreign())
    assert report.name == "SecurityError"
    assert "secret" not in report.message


def test_a_default_is_evaluated_outside_of_the_method(report_of):
    """In a default, `self` has the meaning that it has around the class."""
    source = (
        "self = foreign\n"
        "class A:\n    def f(self, n=self._key):\n        self.x = 1\n        return n\n"
        "def main(state):\n    raise Exception(A().f())"
    )
    assert "secret" not in report_of(source, foreign=Foreign()).message


def test_a_subclass_of_an_adaptors_class_keeps_its_own_things(result_of):
    """Attributes may be public and private, in ordinary methods."""
    source = (
        "class Mine(Foreign):\n"
        "    def __init__(self):\n        super().__init__()\n        self.count = 0\n"
        "        self._calls = []\n"
        "    def call(self):\n        self.count += 1\n        self._calls.append(self.count)\n"
        "        return self.touch() + self.count\n"
        "def main(state):\n    m = Mine()\n    m.call()\n    return m.call()"
    )
    assert result_of(source, Foreign=Foreign) == 24


def test_docstrings_and_positions_survive(report_of, result_of):
    """The check comes after the docstring, at the position of the first use."""
    source = "class A:\n    def f(self):\n        '''Text.'''\n        self.n = 1\n        return self._m\n"
    assert result_of(source + "def main(state):\n    return A.f.__doc__") == "Text."
    report = report_of(source + "def main(state):\n    A().f()")
    assert (report.subtype, report.position.line, report.position.column) == (
        "AttributeError", 5, 16,
    )  # fmt: skip


def test_every_kind_of_method_works(result_of):
    """Properties, class methods, generators, async, nested functions and classes all work."""
    source = """
from functools import cached_property, wraps

def twice(f):
    @wraps(f)
    def inner(self, *args):
        return f(self, *args) * 2
    return inner

class A:
    _made = 0

    def __init__(self):
        self._n = 1
        self._rows = [1, 2]

    @property
    def n(self):
        return self._n

    @n.setter
    def n(self, value):
        self._n = value

    @cached_property
    def total(self):
        return sum(self._rows)

    @classmethod
    def make(cls):
        cls._made += 1
        return cls()

    @staticmethod
    def of(row):
        return row._n

    @twice
    def double(self):
        return self._n

    def rows(self):
        for row in self._rows:
            yield row + self._n

    def nested(self):
        class B:
            def __init__(self, a):
                self._a = a
            def n(self):
                return self._a._n
        return B(self).n()

    async def later(self):
        return self._n

async def main(state):
    a = A.make()
    a.n += 1
    return [a.n, a.total, A._made, A.of(a), a.double(), list(a.rows()), a.nested(), await a.later()]
"""
    assert result_of(source) == [2, 3, 1, 2, 4, [3, 4], 2, 2]
