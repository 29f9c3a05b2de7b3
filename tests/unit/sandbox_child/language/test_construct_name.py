"""Names: `__x` and `_x_` belong to Python and to the guards, in every kind of binding."""

from __future__ import annotations

import pytest

from sandbox_child.language.compiler import compile_job

MAIN = "def main(state):\n    return state\n"

BINDINGS = [
    "{} = 1",
    "{}: int = 1",
    "{} += 1",
    "({}, y) = 1, 2",
    "[y, *{}] = 1, 2",
    "(x := ({} := 1))",
    "for {} in (): pass",
    "for x, ({}, y) in (): pass",
    "[0 for {} in ()]",
    "{{0: 0 for x in () for {} in ()}}",
    "with x as {}: pass",
    "with x as (y, {}): pass",
    "del {}",
    "import json as {}",
    "from json import dumps as {}",
    "def {}(): pass",
    "async def {}(): pass",
    "class {}: pass",
    "def f({}): pass",
    "def f({}, /): pass",
    "def f(*, {}): pass",
    "def f(*, {}=1): pass",
    "def f(*{}): pass",
    "def f(**{}): pass",
    "lambda {}: 0",
    "lambda {}, /: 0",
    "lambda *{}: 0",
    "async def f():\n    async for {} in x: pass",
    "async def f():\n    async with x as {}: pass",
    "async def f():\n    [0 async for {} in x]",
    "try: pass\nexcept Exception as {}: pass",
    "try: pass\nexcept* ValueError as {}: pass",
    "def f():\n    global {}",
    "def f():\n    {} = 1\n    def g():\n        nonlocal {}",
    "match 1:\n    case {}: pass",
    "match 1:\n    case int() as {}: pass",
    "match 1:\n    case [*{}]: pass",
    "match 1:\n    case {{**{}}}: pass",
    "match 1:\n    case int(real={}): pass",
]

NO_WILDCARD = {"match 1:\n    case int() as {}: pass", "match 1:\n    case {{**{}}}: pass"}
"""Patterns in which Python itself does not allow `_`."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["__x", "_attr_", "__builtins__", "__name__", "_\ufe4dwrite_"])
@pytest.mark.parametrize("binding", BINDINGS)
def test_no_statement_can_bind_a_reserved_name(refusal_of, binding, name):
    """The test covers every kind of parameter, target, pattern and clause, after normalisation."""
    report = refusal_of(MAIN + binding.replace("{}", name).replace("{{", "{").replace("}}", "}"))
    assert report.name == "SecurityError"
    assert "reserved" in report.message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["_", "_x", "__", "x_", "x__y", "état", "ﬁn"])
@pytest.mark.parametrize("binding", BINDINGS)
def test_every_other_name_is_free(binding, name):
    """A name with a single leading underscore belongs to the author, in any alphabet."""
    if name == "_" and binding in NO_WILDCARD:
        return
    source = binding.replace("{}", name).replace("{{", "{").replace("}}", "}")
    compile_job(MAIN + source, step_id="a")


@pytest.mark.parametrize("name", ["__import__", "__builtins__", "__x", "_attr_", "__file__"])
def test_reserved_names_cannot_be_read_either(refusal_of, name):
    """A job must not call the guards."""
    assert refusal_of(f"{MAIN}x = {name}").name == "SecurityError"


def test_the_name_of_the_module_can_be_read(result_of):
    """A script's `if __name__ == "__main__"` is false, but does not fail."""
    source = (
        "def main(state):\n    return [__name__ == '__main__', __debug__]\n"
        "if __name__ == '__main__':\n    main({})"
    )
    assert result_of(source) == [False, True]


@pytest.mark.parametrize(
    "name", ["eval", "exec", "compile", "dir", "globals", "locals", "vars", "open", "input", "breakpoint",
             "memoryview", "help", "exit", "quit"],
)  # fmt: skip
def test_a_builtin_that_does_not_exist_here_is_refused_before_the_job_runs(refusal_of, name):
    """The error gives the reason and a replacement, for a call and for a plain use of the name."""
    for use in (f"{name}('x')", f"f = {name}", f"map({name}, [])", f"lambda: {name}"):
        report = refusal_of(f"{MAIN}{use}")
        assert f"{name} does not exist in a job" in report.message
        assert report.fix


@pytest.mark.parametrize(
    "source",
    [
        "def open(path):\n    return path\ndef main(state):\n    return open('a')",
        "from common import compile\ndef main(state):\n    return compile",
        "def main(input):\n    return input",
        "operations = [lambda exit: exit]",
    ],
)
def test_a_job_may_use_such_a_name_for_something_of_its_own(source):
    """In such a job the name does not mean the built-in."""
    compile_job(source, step_id="a")


def test_ordinary_builtins_can_be_shadowed(result_of):
    """`id`, `list` and `type` are popular variable names."""
    assert result_of("def main(state):\n    id = list = 1\n    return id + list") == 2


def test_super_keeps_its_meaning(refusal_of):
    """Special methods of a base class are called through super."""
    assert refusal_of(f"{MAIN}super = 1").name == "CompileError"


def test_private_names_of_a_class_are_told_to_use_one_underscore(refusal_of):
    """`self.__x` is the most common private name; the hint says `_x`."""
    report = refusal_of(
        "class A:\n    def __init__(self):\n        self.__x = 1\n" + MAIN,
    )
    assert "_x" in report.fix
