"""RestrictedPython compiles the code of the child, and its refusals stay."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from restricted_oracle import refused_by_default
from RestrictedPython import RestrictingNodeTransformer, compile_restricted_eval
from RestrictedPython import compile_restricted_exec as restricted_exec

from sandbox_child.language import LanguageError, compile_condition, compile_globals, compile_job
from sandbox_child.language.name_rules import NameRules
from sandbox_child.language.rules import LanguageRules
from sandbox_child.language.text import parsing
from sandbox_child.language.text.walker import Walker

ADR = Path(__file__).parents[4] / "docs/adr/0208-jobs-are-compiled-by-restrictedpython.md"
MAIN = "def main(state):\n    return state\n"


def test_every_text_is_compiled_by_the_public_functions(monkeypatch):
    """Jobs, globals and conditions are compiled, each with our policy."""
    called = []

    def recorded(function):
        def record(tree, *args, policy, **options):
            called.append((function.__name__, policy))
            return function(tree, *args, policy=policy, **options)

        return record

    assert parsing.compile_restricted_exec is restricted_exec
    assert parsing.compile_restricted_eval is compile_restricted_eval
    for function in (restricted_exec, compile_restricted_eval):
        monkeypatch.setattr(parsing, function.__name__, recorded(function))
    compile_job(MAIN, step_id="a")
    compile_globals("x = 1")
    compile_condition("state.x")
    compile_job(MAIN, step_id="a", language=False)
    assert called == [
        ("compile_restricted_exec", LanguageRules),
        ("compile_restricted_exec", LanguageRules),
        ("compile_restricted_eval", LanguageRules),
        ("compile_restricted_exec", None),
    ]


def test_the_adr_lists_every_override():
    """A later developer finds the reason for each method that differs from RestrictedPython's."""
    listed = {
        name
        for line in ADR.read_text().splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    public = {
        name
        for kind in (LanguageRules, NameRules, Walker)
        for name in vars(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }
    assert listed == public


def test_the_methods_of_restrictedpython_run(monkeypatch):
    """If a later release refuses more in a method that our policy keeps, it is refused here."""
    monkeypatch.setattr(
        RestrictingNodeTransformer, "visit_Assert", lambda policy, node: policy.not_allowed(node)
    )

    class Later(LanguageRules):
        """A policy made after the release."""

    monkeypatch.setattr("sandbox_child.language.compiler.LanguageRules", Later)
    with pytest.raises(LanguageError, match="Assert"):
        compile_job(f"{MAIN}assert True", step_id="a")


def test_annotations_stay_what_the_author_wrote():
    """Annotations become text only if the job itself asks for it."""
    scope = {"_type_": type}
    source = "def main(state: int) -> str:\n    return state\n"
    exec(compile_job(source, step_id="a").code, scope)
    assert scope["main"].__annotations__ == {"state": int, "return": str}
    asked = f"from __future__ import annotations\n{source}"
    scope = {"__import__": __import__}
    exec(compile_job(asked, step_id="a").code, scope)
    assert scope["main"].__annotations__ == {"state": "int", "return": "str"}


@pytest.mark.parametrize(
    "source",
    [
        "x: y__roles__ = 1",
        "a: int = eval",
        "def f(a: x.f_back): ...",
        "def f() -> x.__class__: ...",
    ],
)
def test_annotations_are_judged(source):
    """An annotation is evaluated, so it is code like any other."""
    with pytest.raises(LanguageError):
        compile_job(MAIN + source, step_id="a")


@pytest.mark.parametrize(
    "source",
    [
        "x__roles__ = 1",
        "x = y__roles__",
        "x = y.z__roles__",
        "x.z__roles__ = 1",
        "del x.z__roles__",
        "def f(a__roles__): ...",
        "f = lambda *, a__roles__: 1",
        "dict(a__roles__=1)",
        "class a__roles__: ...",
        "import json as a__roles__",
        "from json import a__roles__",
        "for a__roles__ in x: ...",
        "match x:\n    case A(b__roles__=1): ...",
        "match x:\n    case a__roles__: ...",
        "def f():\n    global a__roles__",
        "x = state.data.a__roles__",
    ],
)
def test_names_that_end_in_roles_are_refused(source):
    """The refusal is the same as in RestrictedPython, also in constructs that it does not have."""
    with pytest.raises(LanguageError, match="__roles__"):
        compile_job(MAIN + source, step_id="a")


REFUSALS = [
    "_a = 1\n__a = 1",
    "x = __a",
    "x = a._b_",
    "x = a.__b__",
    "x = a.__b",
    "a.__b = 1",
    "del a.__b",
    "def __f(): ...",
    "def f(__a): ...",
    "def f(*__a): ...",
    "def f(**__a): ...",
    "def f(*, __a): ...",
    "def f(__a, /): ...",
    "x = lambda __a: 1",
    "x = [__a for __a in b]",
    "x = {__a: 1 for __a in b}",
    "with a as __b: ...",
    "for __a in b: ...",
    "try: ...\nexcept E as __e: ...",
    "class __A: ...",
    "class A(metaclass=B): ...",
    "import __a",
    "import a as __b",
    "from a import __b",
    "from a import b as __c",
    "from a import *",
    "exec('1')",
    "eval('1')",
    "(x := __a)",
    *(f"x = a.{name}" for name in ("f_back", "gi_frame", "cr_code", "ag_await", "tb_next", "co_code")),
]  # fmt: skip


@pytest.mark.parametrize("source", REFUSALS)
def test_documented_refusals_of_restrictedpython_are_refused(source):
    """Its default policy and our policy both refuse each of them."""
    assert refused_by_default(source)
    with pytest.raises(LanguageError):
        compile_job(MAIN + source, step_id="a")


def test_the_oracle_knows_what_is_allowed_on_purpose():
    """Each exception of the written list is used, so the list is not too wide."""
    allowed = (
        "async def f(a):\n    await a\n    async for b in a: ...\n    async with a: ...\n"
        "def g():\n    c = 1\n    def h():\n        nonlocal c\n"
        "match c:\n    case [1, *d]: ...\n"
        "x: int = 1\nx.y += 1\nx[1] += 1\n_p = 1\nprinted = 1\n"
        "try: ...\nexcept* E: ...\n"
        "class A:\n    def __repr__(self): return self._p\n"
    )
    assert not restricted_exec(allowed).code
    assert not refused_by_default(allowed)
    assert ast.parse(allowed)
    compile_job(MAIN + allowed, step_id="a")
