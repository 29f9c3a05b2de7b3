"""Calls whose values are thrown away: the places that are found, and the warnings of a run."""

from __future__ import annotations

import ast
import functools

import pytest

from sandbox_child.language import OPERATIONS, compile_globals, compile_job
from sandbox_child.language.scope import JobScope
from sandbox_child.language.text.dropped import find
from sandbox_child.language.text.forms import form_of

VERBS = {
    "post": lambda path, *_: lambda state: {**state, "path": path},
    "get": lambda path: lambda state: state,
    "fn": lambda function: lambda state: function(state),  # noqa: PLW0108 - the adaptor makes the same call
    "each": lambda items, operation: lambda state: state,
}
"""Verbs as adaptors have them: each call makes an operation."""


def run(source: str, *, language: bool = True, globals_: str = "", **more: object) -> list[str]:
    """Execute a job and its operations; return the warnings."""
    warned: list[str] = []
    names = {**VERBS, **more}
    scope = JobScope(
        step_id="s",
        language=language,
        resolve_import=lambda _: None,
        importable=list,
        in_scope=names,
        log=lambda *_: None,
        warn=warned.append,
    )
    job = compile_job(
        source,
        step_id="s",
        language=language,
        adaptor_names=frozenset(names),
        watch=True,
        workflow_globals=globals_,
    )
    try:
        if globals_:
            scope.execute(compile_globals(globals_, language=language, watch=True))
        scope.execute(job.code)
        state = {"data": {}, "ok": True}
        for operation in scope.globals[OPERATIONS]:
            state = scope.call(operation, state)
    finally:
        scope.close()
    return warned


LOST = {
    "a statement in main": "def main(state):\n    post('x')\n    return state",
    "a statement in an async helper": "async def f(s): post('x')\ndef main(state):\n    f(state)",
    "if at top": "fn(lambda s: s)\nif True:\n    post('x')",
    "elif and else": "fn(lambda s: s)\nif False: pass\nelif 1 > 2: pass\nelse:\n    post('x')",
    "for at top": "fn(lambda s: s)\nfor i in range(2):\n    post('x', i)",
    "while at top": "fn(lambda s: s)\nwhile True:\n    post('x')\n    break",
    "try at top": "fn(lambda s: s)\ntry:\n    post('x')\nfinally:\n    pass",
    "with at top": "import contextlib\nfn(lambda s: s)\nwith contextlib.nullcontext():\n    post('x')",
    "match": "fn(lambda s: s)\nmatch 1:\n    case 1: post('x')",
    "beside main": "post('x')\ndef main(state): return state",
    "beside operations": "post('x')\noperations = [fn(lambda s: s)]",
    "a comma at the end": "fn(lambda s: s)\npost('x'),",
    "a list": "fn(lambda s: s)\n[post('x'), get('y')]",
    "a comprehension": "fn(lambda s: s)\n[post('x', i) for i in range(2)]",
    "a dict comprehension": "fn(lambda s: s)\n{i: post('x') for i in range(2)}",
    "a generator": "fn(lambda s: s)\n(post('x', i) for i in range(2))",
    "map": "fn(lambda s: s)\nm = map(post, ['x'])",
    "list of map": "def main(state):\n    list(map(lambda p: post(p), ['x']))\n    return state",
    "a name nobody reads": "fn(lambda s: s)\nx = post('x')",
    "an annotated name": "fn(lambda s: s)\nx: object = post('x')",
    "a walrus nobody reads": "fn(lambda s: s)\n(x := post('x'))",
    "a walrus in a test": "def main(state):\n    if (x := post('x')): pass\n    return state",
    "a walrus in a walrus": "def main(state):\n    (x := (y := post('x')))\n    return state",
    "several names": "fn(lambda s: s)\na, b = 1, post('x')",
    "a list nobody reads": "def main(state):\n    ops = [post('x')]\n    return state",
    "a name read for such a list": "def main(state):\n    a = post('x')\n    ops = [a]\n    return state",
    "a list that is only filled": (
        "def main(state):\n    ops = []\n    for i in [1]:\n        ops.append(post('x'))\n    return state"
    ),
    "a dict that is only filled": "def main(state):\n    d = {}\n    d['a'] = post('x')\n    return state",
    "added to a list": "def main(state):\n    ops = []\n    ops += [post('x')]\n    return state",
    "iterated over": "def main(state):\n    for op in [post('x')]: pass\n    return state",
    "a conditional expression": "def main(state):\n    post('x') if state.ok else None\n    return state",
    "and as a statement": "def main(state):\n    state.ok and post('x')\n    return state",
    "and in a lambda": "fn(lambda state: post('x') and state)",
    "an index in a lambda": "fn(lambda state: (post('x'), state)[-1])",
    "a test": "def main(state):\n    if post('x'): pass\n    return state",
    "a comparison": "def main(state):\n    ok = post('x') == 200\n    return {'ok': ok}",
    "print": "def main(state):\n    print(post('x'))\n    return state",
    "an f-string": "def main(state):\n    print(f'{post(1)}')\n    return state",
    "operations that are replaced": "operations = [post('x')]\noperations = [fn(lambda s: s)]",
    "operations that are cut off": "operations = [fn(lambda s: s), post('x')][:1]",
    "a factory of the job": "def post(x): return lambda state: state\nfn(lambda s: s)\nif 1: post('x')",
    "a factory as a lambda": "post = lambda x: lambda s: s\ndef main(state):\n    post(1)\n    return state",
}


@pytest.mark.parametrize("language", [True, False], ids=["with the wall", "without"])
@pytest.mark.parametrize("case", LOST)
def test_an_operation_that_is_thrown_away_is_reported_once(case, language):
    """The warning has the verb and the line, at any place."""
    source = LOST[case]
    warned = run(source, language=language)
    number = next(
        n for n, line in enumerate(source.splitlines(), 1) if "post" in line.split("def post")[0]
    )
    if "factory" in case:
        number = len(source.splitlines()) - ("lambda" in case)
    if case == "a statement in an async helper":
        assert warned == ["f(...) on line 3 was never run; write await before it"]
        return
    if case == "map":
        assert warned[0].startswith("post(...) on line 2 was never run")
        return
    told = f"post(...) on line {number} was never run"
    assert [line.partition(";")[0] for line in warned if "post" in line] == [told]


KEPT = {
    "an operation of a script": "post('x')",
    "an argument": "each([], post('x'))",
    "a branch not taken": "fn(lambda state: post('x')(state) if not state.ok else state)",
    "called with state": "def main(state):\n    return post('x')(state)",
    "a list of operations": "a = post('x')\noperations = [a]",
    "filled and used": "operations = []\nfor i in [1]:\n    operations.append(post(i))",
    "read by another function": "op = post('x')\ndef main(state): return op(state)",
    "a list of the caller": (
        "def add(rows): rows.append(post('x'))\nrows = []\nadd(rows)\noperations = rows"
    ),
    "an alias": "rows = []\nmore = rows\nmore.append(post('x'))\noperations = rows",
    "popped": "ops = [post('x'), post('y')]\ndef main(state):\n    ops.pop()\n    return ops[0](state)",
    "registered": (
        "known = []\ndef register(f):\n    known.append(f)\n    return f\n"
        "def main(state):\n    register(lambda s: s)\n    return known[0](state)"
    ),
    "tested and used": "op = post('x')\nfn(lambda state: op(state) if op else state)",
    "a function without parameters": "def off(): return lambda: 1\ndef main(state):\n    off()\n    return state",
    "a plain value": "def main(state):\n    len('x')\n    sorted([2, 1])\n    return state",
    "an attribute of a class": "class A:\n    op = post('x')\ndef main(state): return A.op(state)",
    "a generator that is used": "def main(state):\n    return {'n': sum(1 for _ in map(post, 'ab'))}",
    "a generator that has begun": (
        "def g():\n    yield 1\n    yield 2\ndef main(state):\n    next(g())\n    return state"
    ),
    "a global": "op = None\ndef f():\n    global op\n    op = post('x')\nf()\ndef main(state): return op(state)",
    "walrus": "def main(state):\n    return op(state) if (op := post('x')) else state",
    "a walrus that is passed on": "each([], (x := post('x')))",
    "a walrus that is read later": "fn(lambda s: s)\n(op := post('x'))\nfn(lambda state: op(state))",
    "a walrus whose value is returned": "def main(state):\n    return (x := post('x'))(state)",
    "a walrus in a class": "class A:\n    (op := post('x'))\ndef main(state): return A.op(state)",
    "a step that fails before": "def main(state):\n    ops = [post('x')]\n    return ops[0](state)",
}


@pytest.mark.parametrize("case", KEPT)
def test_an_operation_that_may_still_be_called_is_not_reported(case):
    """A false alarm would be worse than a missing warning."""
    assert run(KEPT[case]) == []


def test_a_name_that_the_globals_read_is_not_thrown_away():
    """The functions of the globals see the names of the job."""
    helper = "def go(state):\n    return op(state)\n"
    assert run("op = post('x')\nfn(go)", globals_=helper) == []
    assert len(run("other = post('x')\nfn(lambda s: s)", globals_=helper)) == 1


def test_the_globals_are_looked_at_as_well():
    """Jobs read names in the globals, but operations that their functions throw away are lost."""
    helper = "kept = post('x')\ndef go(state):\n    post('y')\n    return state\n"
    (warned,) = run("fn(go)", globals_=helper)
    assert warned.startswith("post(...) on line 3 of the globals was never run")


class _Builder:
    def limit(self, n):
        return self


class _Call:
    def __call__(self, state):
        return state


class _Session:
    def __call__(self, path):
        return path


def _wrapped(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


_held = []


def _register(x):
    _held.append(lambda state: state)
    return _held[-1]


@functools.cache
def _memoised(x):
    return lambda state: state


@pytest.mark.parametrize(
    ("verb", "lost"),
    [
        pytest.param(lambda x: _Call(), True, id="an object that takes state"),
        pytest.param(lambda x: _Call().__call__, True, id="a bound method"),
        pytest.param(lambda x: functools.partial(lambda a, state: state, x), True, id="partial"),
        pytest.param(lambda x: _wrapped(lambda state: state), True, id="a decorated function"),
        pytest.param(lambda x: _Builder(), False, id="a builder"),
        pytest.param(lambda x: _Session(), False, id="a session that can be called"),
        pytest.param(lambda x: {"id": x}, False, id="a value"),
        pytest.param(lambda x: None, False, id="nothing"),
        pytest.param(_register, False, id="registered by the adaptor"),
        pytest.param(_memoised, False, id="remembered by the adaptor"),
        pytest.param(lambda x: lambda a, b: a, False, id="two parameters"),
        pytest.param(lambda x: lambda *a: a, False, id="any number of parameters"),
        pytest.param(lambda x: _Call, False, id="a class"),
    ],
)
def test_what_is_taken_for_an_operation(verb, lost):
    """A value counts if it takes one argument, and if no other code can still call it."""
    assert bool(run("def main(state):\n    verb('x')\n    return state", verb=verb)) is lost


def test_the_guard_changes_nothing_for_the_job():
    """The job gets the same objects that the verb has returned."""
    source = "def main(state):\n    a = 0\n    if same(verb): a = 1\n    return {'a': (verb(1), verb(1) is verb(1))[1]}"
    assert run(source, verb=_memoised, same=callable) == []


def test_what_is_found_does_not_depend_on_the_depth_of_the_text():
    """The search is a loop, so a deep text does not use up the stack."""
    source = "fn(lambda s: s)\nx = " + "1 + " * 800 + "1\n"
    tree = ast.parse(source)
    assert find(tree, form_of(tree)) == []
