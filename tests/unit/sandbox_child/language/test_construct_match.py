"""match: every pattern works with checked names, and no pattern is rewritten."""

from __future__ import annotations

import pytest

MAIN = "def main(state):\n    return state\n"


@pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
def test_every_pattern_works(result_of, language):
    """The patterns are of every kind: literals, captures, sequences, mappings, classes and more."""
    source = """
from dataclasses import dataclass
from enum import Enum

class Color(Enum):
    RED = 1

@dataclass
class Point:
    x: int
    y: int = 0

def kind(value):
    match value:
        case None | True:
            return "singleton"
        case -1 | 1.5 | "a" | b"b":
            return "literal"
        case Color.RED:
            return "dotted"
        case Point(0, y=y) | Point(x=y):
            return ["point", y]
        case [1, *rest, 9]:
            return ["sequence", rest]
        case {"type": "user", "name": str(name), **others}:
            return ["mapping", name, others]
        case (a, b) if a == b:
            return "guard"
        case int() as n:
            return ["as", n]
        case _:
            return "other"

def main(state):
    return [kind(v) for v in (
        None, -1, "a", Color.RED, Point(0, 2), Point(3, 4), [1, 2, 3, 9],
        {"type": "user", "name": "x", "z": 1}, (5, 5), 7, object())]
"""
    assert result_of(source, language=language) == [
        "singleton", "literal", "literal", "dotted", ["point", 2], ["point", 3],
        ["sequence", [2, 3]], ["mapping", "x", {"z": 1}], "guard", ["as", 7], "other",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    ["int(__class__=c)", "A(gi_frame=f)", "A.__dict__", "A.__class__()", "{A.__doc: 1}",
     "A(_x_=1)", "[A.f_globals]", "A(x=B(__dict__=d))", "A.__x | B"],
)  # fmt: skip
def test_a_pattern_cannot_read_what_an_expression_cannot(refusal_of, pattern):
    """A class pattern and a dotted name both read attributes."""
    report = refusal_of(f"{MAIN}match 1:\n    case {pattern}: pass")
    assert report.name == "SecurityError"
    assert report.position.line == 4


@pytest.mark.parametrize("pattern", ["A(_private=x)", "A(format=f)", "A._x", "A(obj=o)"])
def test_a_pattern_cannot_read_what_needs_a_guard(refusal_of, pattern):
    """A pattern has no place for a guard, so the report says to use an `if`."""
    report = refusal_of(f"{MAIN}match 1:\n    case {pattern}: pass")
    assert report.name == "CompileError"
    assert "if" in report.fix


def test_guards_and_bodies_are_checked(refusal_of):
    """The code after a pattern is ordinary code."""
    source = f"{MAIN}match 1:\n    case x if x.__class__:\n        x.__dict__"
    assert len(refusal_of(source).details) == 2
