"""Classes: ordinary ones, data classes, descriptors; no metaclass, special methods by list."""

from __future__ import annotations

import pytest

from sandbox_child.language.compiler import compile_job
from sandbox_child.language.guards.names import DEFINABLE_DUNDERS

MAIN = "def main(state):\n    return state\n"


def test_a_class_works_with_all_its_usual_parts(result_of):
    """Private attributes, properties, inheritance, super, operators and contexts all work."""
    source = """
from __future__ import annotations

class Base:
    registry = []

    def __init_subclass__(cls, tag=None, **kwargs):
        super().__init_subclass__(**kwargs)
        Base.registry.append((cls.__name__, tag))

    def __init__(self, n: int) -> None:
        self._n = n
        self.log = []

    @property
    def n(self):
        return self._n

    @n.setter
    def n(self, value):
        self._n = value

    @staticmethod
    def unit():
        return "u"

    @classmethod
    def make(cls):
        return cls(3)


class Thing(Base, tag="t"):
    __slots__ = ("a", "_b")
    __hash__ = None

    def __init__(self, n):
        super().__init__(n)
        self._b = 2

    def __add__(self, other):
        return Thing(self._n + other)

    __radd__ = __add__

    def __enter__(self):
        self.log.append("in")
        return self

    def __exit__(self, *error):
        self.log.append("out")

    def __iter__(self):
        yield from range(self._n)

    def __getattr__(self, name):
        return name.upper()


def main(state):
    thing = 1 + (Thing.make() + 1)
    with thing as t:
        t.n += 1
        t._b += 1
    return [thing.n, thing.log, list(thing), thing.unit(), thing.other, Base.registry, t._b]
"""
    assert result_of(source) == [
        6, ["in", "out"], [0, 1, 2, 3, 4, 5], "u", "OTHER", [("Thing", "t")], 3,
    ]  # fmt: skip


def test_keywords_of_a_class_statement_are_kept(result_of):
    """RestrictedPython 9 drops these keywords, but our policy keeps them."""
    source = (
        "tags = []\n"
        "class B:\n    def __init_subclass__(cls, tag): tags.append(tag)\n"
        "class C(B, tag=5): pass\n"
        "def main(state):\n    return tags"
    )
    assert result_of(source) == [5]


def test_the_line_of_a_class_is_kept():
    """RestrictedPython 9 gives line 1 for every class; our policy gives the real line."""
    code = compile_job("\n\n\nclass A:\n    x = 1\n" + MAIN, step_id="a").code
    body = next(constant for constant in code.co_consts if hasattr(constant, "co_name"))
    assert (body.co_name, body.co_firstlineno) == ("A", 4)


@pytest.mark.parametrize("keyword", ["metaclass=M", "**options", "tag=1, metaclass=M"])
def test_a_metaclass_is_refused(refusal_of, keyword):
    """A metaclass would decide what happens when a class is made."""
    assert refusal_of(f"{MAIN}class A(B, {keyword}): pass").name == "CompileError"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DEFINABLE_DUNDERS))
def test_the_listed_special_methods_can_be_defined(name):
    """In the body of a class, the method may be a function or an alias."""
    compile_job(f"{MAIN}class A:\n    def {name}(self): ...", step_id="a")
    compile_job(f"{MAIN}class A:\n    {name} = None", step_id="a")


@pytest.mark.parametrize("name", sorted(DEFINABLE_DUNDERS)[:5])
def test_only_in_the_body_of_a_class(refusal_of, name):
    """A function of that name outside of a class has another meaning."""
    for source in (
        f"def {name}(self): ...",
        f"{name} = 1",
        f"class A:\n    def f(self):\n        def {name}(): ...",
        f"class A:\n    def f(self):\n        {name} = 1",
        f"def f({name}): ...",
    ):
        assert refusal_of(f"{MAIN}{source}").name == "CompileError"


@pytest.mark.parametrize(
    "name",
    ["__getattribute__", "__setattr__", "__delattr__", "__new__", "__del__", "__reduce__",
     "__reduce_ex__", "__getstate__", "__instancecheck__", "__subclasshook__", "__prepare__",
     "__mro_entries__", "__class__", "__dict__", "__build_class__", "__deepcopy__", "__buffer__"],
)  # fmt: skip
def test_special_methods_that_change_the_rules_are_refused(refusal_of, name):
    """Python itself or our code would call these methods, at moments that the job chooses."""
    assert refusal_of(f"{MAIN}class A:\n    def {name}(self): ...").name == "SecurityError"
    assert refusal_of(f"{MAIN}class A:\n    {name} = None").name == "SecurityError"


@pytest.mark.parametrize("special", ["__slots__", "__match_args__"])
def test_lists_of_names_are_written_out(refusal_of, special):
    """Python reads attributes of these names without a call of a guard."""
    for value in ("('a', 'b')", "['a']", "'a'", "()"):
        compile_job(f"{MAIN}class A:\n    {special} = {value}", step_id="a")
    private = f"{MAIN}class A:\n    {special} = ('a', '_b')"
    if special == "__slots__":
        compile_job(private, step_id="a")
    else:  # otherwise a pattern would read the name from foreign objects, too
        assert "a pattern reads it" in refusal_of(private).message
    for value in ("names", "('__class__',)", "('a', '__dict__')", "('_x_',)", "f()", "('a', b)",
                  "(*a,)", "1"):  # fmt: skip
        assert refusal_of(f"{MAIN}class A:\n    {special} = {value}").details


def test_data_classes_work(result_of):
    """Fields, defaults, order, frozen, and annotations as text all work."""
    source = """
from __future__ import annotations
from dataclasses import dataclass, field, replace

@dataclass(order=True)
class P:
    x: int
    tags: list[str] = field(default_factory=list)
    _secret: int = 4

    def __post_init__(self):
        self.double = self.x * 2

@dataclass(frozen=True, slots=True)
class Q:
    x: int = 1

def main(state):
    p = P(2)
    p.tags.append("t")
    return [p.double, p.tags, p < P(3), replace(p, x=5).x, Q() == Q(1), p._secret]
"""
    assert result_of(source) == [4, ["t"], True, 5, True, 4]


def test_decorators_run_between_the_two_hooks(result_of):
    """When a decorator of the author runs, the class already belongs to the job."""
    source = (
        "def tag(cls):\n    cls.tag = cls._private = 1\n    return cls\n"
        "@tag\nclass A: pass\n"
        "def main(state):\n    return A.tag + A._private"
    )
    assert result_of(source) == 2


def test_an_enumeration_may_define_its_hooks(result_of):
    """With `_missing_` an enumeration accepts old spellings of its values."""
    source = """
from enum import Enum, auto

class Status(Enum):
    OPEN = "open"
    DONE = "done"

    @classmethod
    def _missing_(cls, value):
        return cls.OPEN if value == "new" else super()._missing_(value)

class Named(Enum):
    def _generate_next_value_(name, start, count, last_values):
        return name.lower()
    RED = auto()

def main(state):
    return [Status("new").value, Named.RED.value]
"""
    assert result_of(source) == ["open", "red"]
