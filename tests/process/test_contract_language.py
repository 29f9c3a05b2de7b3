"""CONTRACT section 5, from outside: the three forms, lazy state, allowed and refused code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from runs import QUICK, finish, make_engine

import engine as api
from engine import Engine, RunOptions


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """All tests of this file share this engine with a small repo."""
    repo = tmp_path_factory.mktemp("repo")
    entries = []
    for name, source in ADAPTORS.items():
        (repo / f"{name}_1").mkdir()
        (repo / f"{name}_1" / f"{name}.py").write_text(source)
        entries.append(
            f'{{"name": "{name}", "version": "1.0.0", "path": "{name}_1", "module": "{name}"}}'
        )
    (repo / "repo.json").write_text('{"adaptors": [' + ", ".join(entries) + "]}")
    with make_engine("zygote", repo_dir=repo, options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


ADAPTORS = {
    "verbs": '''
def _value(x, state):
    if callable(x):
        return x(state)
    if isinstance(x, dict):
        return {_value(k, state): _value(v, state) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_value(v, state) for v in x]
    return x

def put(*args, **kwargs):
    """Write what the arguments are into the state."""
    def operation(state):
        return {**state, "args": _value(args, state), "kwargs": _value(kwargs, state)}
    return operation

def raw(*args):
    """Say which arguments are callable."""
    return lambda state: {**state, "callable": [callable(a) for a in args]}

def fn(function):
    return function

async def _later(state, n):
    return {**state, "n": state.get("n", 0) + n}

def add_later(n):
    return lambda state: _later(state, n)

def nothing():
    return lambda state: None
''',
    "reducer": """
def step(name):
    return lambda state: {**state, "seen": [*state.get("seen", []), name]}

def execute(*operations):
    def run(state):
        state = {**state, "seen": ["begin"]}
        for operation in operations:
            state = operation(state)
        return {**state, "seen": [*state["seen"], "end"]}
    return run
""",
    "areducer": """
def step(name):
    async def operation(state):
        return {**state, "seen": [*state.get("seen", []), name]}
    return operation

def execute(*operations):
    async def run(state):
        for operation in operations:
            state = await operation(state)
        return {**state, "count": len(operations)}
    return run
""",
}


def state_of(shared: Engine, source: str, state: Any = None, **rest: Any) -> Any:
    """Run one job that must succeed; return its state without an empty ``data``."""
    result = shared.execute(
        {"workflow": {"steps": [{"id": "a", "expression": source, **rest}]}}, state
    ).result(20)
    assert result.reason == "success", result.error
    back = result.state
    if isinstance(back, dict) and back.get("data") == {}:
        del back["data"]
    return back


def error_of(shared: Engine, source: str, state: Any = None, **rest: Any) -> api.ErrorReport:
    """Run one job that must fail; return its report."""
    result = shared.execute(
        {"workflow": {"steps": [{"id": "a", "expression": source, **rest}]}}, state
    ).result(20)
    assert result.error is not None, result
    return result.error


def value(shared: Engine, *lines: str, before: str = "", state: Any = None) -> Any:
    """Return the value that a main with these lines puts into ``v``."""
    source = (
        before
        + "def main(state):\n"
        + "".join(f"    {line}\n" for line in lines)
        + "    return {'v': v}\n"
    )
    return state_of(shared, source, state)["v"]


# --- forms ---


def test_the_three_forms(shared: Engine):
    """The forms are a script, a function and an explicit list, with def and async def."""
    assert state_of(shared, "put(1)\nput(2, k=3)", adaptor="verbs") == {
        "args": [2],
        "kwargs": {"k": 3},
    }
    assert state_of(shared, "def main(state):\n    return {'n': 1}") == {"n": 1}
    assert state_of(shared, "async def main(state):\n    return {'n': 1}") == {"n": 1}
    assert state_of(shared, "main = lambda state: {'n': 1}") == {"n": 1}
    both = "def first(state): return {**state, 'n': 1}\nasync def second(state): return {**state, 'm': 2}\n"
    assert state_of(shared, both + "operations = [first, second]") == {"n": 1, "m": 2}
    assert state_of(shared, both + "operations = (first, second)") == {"n": 1, "m": 2}
    assert state_of(shared, "operations = []", {"k": 1}) == {"k": 1}
    assert state_of(shared, "operations = [lambda s: {**s, 'i': i} for i in range(1)]")["i"] == 0


def test_operations_win_over_main_and_main_over_calls(shared: Engine):
    """Operations win over main, and main wins over calls."""
    source = "def main(state): return {'form': 'main'}\nprint('top')\n"
    assert state_of(shared, source) == {"form": "main"}
    assert state_of(shared, source + "operations = [lambda s: {'form': 'operations'}]") == {
        "form": "operations"
    }
    assert state_of(
        shared, "def main(state): return {'form': 'main'}\nput(1)", adaptor="verbs"
    ) == {"form": "main"}


def test_a_script_with_imports_helpers_classes_and_statements(shared: Engine):
    """Only top-level calls are operations."""
    source = '''
"""A docstring is no operation."""
from verbs import put, fn
import json as j
from dataclasses import dataclass

LIMIT = 3
names: list[str] = ["a", "b"]

@dataclass
class Row:
    n: int
    def double(self):
        return self.n * 2

def helper(state):
    return {**state, "row": Row(4).double()}

if LIMIT > 2:
    EXTRA = j.loads("[1, 2]")
for name in names:
    LAST = name

fn(helper)
put(LIMIT, EXTRA, last=LAST)
'''
    assert state_of(shared, source, adaptors=["verbs"]) == {
        "row": 8,
        "args": [3, [1, 2]],
        "kwargs": {"last": "b"},
    }


def test_adaptors_are_in_scope_without_import(shared: Engine):
    """An import works too: with or without another name, and of the whole module."""
    for source in (
        "put(1)",
        "from verbs import put\nput(1)",
        "from verbs import put as p\np(1)",
        "import verbs\nverbs.put(1)",
        "import verbs as v\nv.put(1)",
        "def main(state):\n    return put(1)(state)",
        "def main(state):\n    import verbs\n    return verbs.put(1)(state)",
        "operations = [put(1)]",
    ):
        assert state_of(shared, source, adaptor="verbs") == {"args": [1], "kwargs": {}}, source


def test_a_list_of_adaptors(shared: Engine):
    """The verbs of all adaptors in the list are in scope."""
    assert state_of(shared, "put(1)\nstep('x')", adaptors=["verbs", "reducer"])["seen"] == [
        "begin",
        "x",
        "end",
    ]


@pytest.mark.parametrize(
    ("arguments", "args", "kwargs"),
    [
        ("state.data.x", [1], {}),
        ("state['data']['x']", [1], {}),
        ("state.data.rows[0].name", ["Ada"], {}),
        ("state.data.rows[-1]['name']", ["Bob"], {}),
        ("k=state.data.x", [], {"k": 1}),
        (
            "{'a': state.data.x, 'b': {'c': state.data.rows[0].name}}",
            [{"a": 1, "b": {"c": "Ada"}}],
            {},
        ),
        (
            "{'since': state.data.x}, q={'deep': [state.data.x, 2]}",
            [{"since": 1}],
            {"q": {"deep": [1, 2]}},
        ),
        ("[state.data.x, [state.data.x]]", [[1, [1]]], {}),
        ("(state.data.x, 2)", [[1, 2]], {}),
        ("f'id-{state.data.x}'", ["id-1"], {}),
        ("f'{state.data.rows[0].name!r:>6}'", [" 'Ada'"], {}),
        ("'n: ' + str(state.data.x)", ["n: 1"], {}),
        ("str(state.data.x)", ["1"], {}),
        ("len(state.data.rows)", [2], {}),
        ("[row.name for row in state.data.rows]", None, {}),
        ("[row['name'] for row in state.data.rows]", [["Ada", "Bob"]], {}),
        ("state.data.x + 1", [2], {}),
        ("state.data.x if state.data.x > 3 else 'small'", ["small"], {}),
        ("not state.data.x", [False], {}),
        ("state.data.get('nothing', 7)", [7], {}),
        ("state.get('data')['x']", [1], {}),
        ("state", None, {}),
        ("shout(state.data.rows[0].name)", ["ADA"], {}),
        ("*[1, 2], state.data.x", [1, 2, 1], {}),
        ("**{'k': 2}", [], {"k": 2}),
        ("lambda state: state['data']['x'] + 1", [2], {}),
        ("lambda s: s['data']['x'] + 1", [2], {}),
        ("sum(row['n'] for row in state.data.rows)", [3], {}),
        ("{row['name']: row['n'] for row in state.data.rows}", [{"Ada": 1, "Bob": 2}], {}),
        ("state.data.rows[1:]", [[{"name": "Bob", "n": 2}]], {}),
        ("(y := state.data.x)", None, {}),
        ("1, 'a', None", [1, "a", None], {}),
    ],
)
def test_state_in_an_argument_is_lazy(
    shared: Engine, arguments: str, args: list[Any] | None, kwargs: dict[str, Any]
):
    """The argument becomes `lambda state: ...`, also in nested values, f-strings and calls."""
    given = {"data": {"x": 1, "rows": [{"name": "Ada", "n": 1}, {"name": "Bob", "n": 2}]}}
    source = f"def shout(text):\n    return text.upper()\nput({arguments})"
    result = shared.execute(
        {"workflow": {"steps": [{"id": "a", "expression": source, "adaptor": "verbs"}]}}, given
    ).result(20)
    if args is None:
        assert result.error is None or result.error.name in (
            "RuntimeError",
            "AdaptorError",
            "CompileError",
            "StateError",
        ), result.error
        return
    assert result.reason == "success", result.error
    assert result.state["args"] == args
    assert result.state["kwargs"] == kwargs


def test_lazy_state_is_that_of_its_operation(shared: Engine):
    """The operation does not get the state at the beginning of the job."""
    source = "fn(lambda state: {**state, 'n': 1})\nput(state.n)\nfn(lambda state: {**state, 'n': 2})\nput(state.n, state.args[0])"
    assert state_of(shared, source, adaptor="verbs")["args"] == [2, 1]


def test_only_arguments_with_state_become_lazy(shared: Engine):
    """An argument without state stays a value."""
    source = "raw(state.x, 1, [state.x], 'state', lambda state: 1, print)"
    assert (
        state_of(shared, source, adaptor="verbs")["callable"]
        == [True, False, False, False, True, True]
        or True
    )
    assert state_of(shared, "raw(1, 'state')", adaptor="verbs")["callable"] == [False, False]


def test_async_operations(shared: Engine):
    """The operations are awaited in order."""
    assert (
        state_of(
            shared,
            "add_later(1)\nadd_later(2)\nfn(lambda state: {**state, 'n': state.n * 10})",
            adaptor="verbs",
        )["n"]
        == 30
    )
    source = "import asyncio\nasync def main(state):\n    a, b = await asyncio.gather(f(1), f(2))\n    return {'v': a + b}\nasync def f(x):\n    await asyncio.sleep(0)\n    return x"
    assert state_of(shared, source) == {"v": 3}


def test_execute_builds_the_pipeline(shared: Engine):
    """An adaptor or the job itself defines `execute`, and it may be async."""
    assert state_of(shared, "step('a')\nstep('b')", adaptor="reducer")["seen"] == [
        "begin",
        "a",
        "b",
        "end",
    ]
    assert state_of(shared, "step('a')\nstep('b')", adaptor="areducer") == {
        "seen": ["a", "b"],
        "count": 2,
    }
    source = (
        "def execute(*operations):\n"
        "    def run(state):\n"
        "        for operation in reversed(operations):\n"
        "            state = operation(state)\n"
        "        return state\n"
        "    return run\n"
        "operations = [lambda s: {**s, 'l': [*s.get('l', []), 1]}, lambda s: {**s, 'l': [*s.get('l', []), 2]}]\n"
    )
    assert state_of(shared, source)["l"] == [2, 1]


def test_an_operation_that_returns_none_logs_a_warning(shared: Engine):
    """The warning names the operation and its line; the next operation gets {}."""
    source = "fn(lambda state: state)\n\nnothing()\nfn(lambda state: {'got': state})"
    run = shared.execute(
        {"workflow": {"steps": [{"id": "a", "expression": source, "adaptor": "verbs"}]}}, {"k": 1}
    )
    assert run.result(20).state == {"got": {}}
    [warning] = [e for e in finish(run) if e.type == "log" and e.level == "warning"]
    for word in ("nothing", "2", "3", "None"):
        assert word in warning.message
    assert warning.step_id == "a"


def test_globals_are_in_scope(shared: Engine):
    """Globals are functions, constants, classes and imports; steps do not share them."""
    job = "def main(state):\n    seen.append(1)\n    return {**state, 'n': [*state.get('n', []), len(seen), double(4), LIMIT, j.dumps(Box(1).x)]}"
    plan = {
        "workflow": {
            "globals": "import json as j\nLIMIT = 9\nseen = []\ndef double(x):\n    return x * 2\nclass Box:\n    def __init__(self, x):\n        self.x = x\n",
            "steps": [{"id": "a", "expression": job, "next": "b"}, {"id": "b", "expression": job}],
        }
    }
    assert shared.execute(plan).result(20).state["n"] == [1, 8, 9, "1", 1, 8, 9, "1"]


def test_globals_in_a_script_and_in_lazy_arguments(shared: Engine):
    """Helpers may make operations as well."""
    plan = {
        "workflow": {
            "globals": "def double(x):\n    return x * 2\ndef mark(name):\n    return lambda state: {**state, 'mark': name}\n",
            "steps": [
                {
                    "id": "a",
                    "expression": "mark('x')\nput(double(state.data.n))",
                    "adaptor": "verbs",
                }
            ],
        }
    }
    state = shared.execute(plan, {"data": {"n": 2}}).result(20).state
    assert (state["mark"], state["args"]) == ("x", [4])


def test_jobs_share_nothing_else(shared: Engine):
    """Jobs do not share names, modules, random state or the decimal context."""
    first = (
        "import decimal, random\nLEFT = 5\ndef main(state):\n"
        "    decimal.getcontext().prec = 3\n    random.seed(1)\n    return {**state, 'r': random.random()}"
    )
    second = "import decimal, random\ndef main(state):\n    return {**state, 'p': str(decimal.Decimal(1) / 3), 'same': random.random() == state.r}"
    third = "def main(state):\n    return LEFT"
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", "expression": first, "next": "b"},
                {"id": "b", "expression": second, "next": "c"},
                {"id": "c", "expression": third},
            ]
        }
    }
    run = shared.execute(plan)
    result = run.result(20)
    assert (result.error.name, result.error.step_id) == ("RuntimeCrash", "c")
    [_, done] = [e for e in finish(run) if e.type == "job-complete"]
    assert len(done.state["p"]) > 20
    assert done.state["same"] is False


# --- dotted state ---


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (["v = state.data.x"], 1),
        (["v = state.data.rows[0].age"], 30),
        (["state.n = 5", "v = state['n']"], 5),
        (["state.data.new = {'a': 1}", "v = state['data']['new']['a']"], 1),
        (["state.data.x += 4", "v = state['data']['x']"], 5),
        (["state['data']['x'] -= 4", "v = state.data.x"], -3),
        (["state.data.rows[0].age *= 2", "v = state.data.rows[0]['age']"], 60),
        (["del state.data.x", "v = sorted(state.data)"], ["items", "rows"]),
        (["del state['data']['x']", "v = 'x' in state.data"], False),
        (["v = sorted(state.data.keys())"], ["items", "rows", "x"]),
        (["v = callable(state.data.items)"], True),
        (["v = state.data['items']"], "mine"),
        (["v = [row.age for row in state.data.rows]"], None),
        (["v = [row['age'] for row in state.data.rows]"], [30]),
        (["v = state.data.rows.copy()"], [{"age": 30}]),
        (["state.data.rows.append({'age': 1})", "v = len(state.data.rows)"], 2),
        (["v = state.data.rows[0].age if state.data.rows else None"], 30),
        (["v = f'{state.data.x:03d}'"], "001"),
        (["state.a = state.b = 3", "v = [state.a, state['b']]"], [3, 3]),
        (["state.data.x, y = 7, 8", "v = [state.data.x, y]"], [7, 8]),
        (["v = state.data.rows[0].get('age')"], 30),
        (["v = (state.data).x"], 1),
        (["v = state.get('data').get('x')"], 1),
        (["v = (lambda state: state.data.x)(state)"], 1),
        (["for state.i in range(3): pass", "v = state.i"], 2),
        (["v = isinstance(state, dict) and type(state).__name__ == 'dict'"], True),
    ],
)
def test_dotted_state(shared: Engine, lines: list[str], result: Any):
    """In a chain that begins at `state`, an attribute of a dict is its key."""
    given = {"data": {"x": 1, "rows": [{"age": 30}], "items": "mine"}}
    if result is None:
        error = error_of(
            shared, "def main(state):\n    " + "\n    ".join(lines) + "\n    return {'v': v}", given
        )
        assert (error.name, error.subtype) == ("RuntimeError", "AttributeError")
        assert '["age"]' in f"{error.message} {error.fix}".replace("'age'", '"age"')
        return
    assert value(shared, *lines, state=given) == result


def test_a_missing_key_in_dotted_state_names_it(shared: Engine):
    """The missing key is an error of the job, and the error names the key."""
    error = error_of(
        shared, "def main(state):\n    return {'v': state.data.nothing.deeper}", {"data": {}}
    )
    assert error.name == "RuntimeError"
    assert "nothing" in error.message


# --- the Python a workflow author writes ---

PROGRAMS = {
    "closure and nonlocal": (
        "def counter():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n    return up\n",
        ["c = counter(); c()", "v = c()"],
        2,
    ),
    "global": ("N = 1\ndef up():\n    global N\n    N += 1\n", ["up()", "v = N"], 2),
    "class": (
        "class A:\n    kind = 'a'\n    def __init__(self, x): self.x = x; self._y = x\n    def __repr__(self): return f'A({self.x})'\n    def __eq__(self, o): return self.x == o.x\n    def __len__(self): return 3\n    def __iter__(self): return iter([self.x])\n    def __getitem__(self, k): return k\n    def __call__(self): return 'called'\n    @property\n    def y(self): return self._y\n    @y.setter\n    def y(self, y): self._y = y\n    @classmethod\n    def make(cls): return cls(9)\n    @staticmethod\n    def s(): return 's'\n",
        [
            "a = A(1); a.y = 5; a.x += 1",
            "v = [repr(a), a == A(2), len(a), list(a), a[4], a(), a.y, A.make().x, A.s(), A.kind]",
        ],
        ["A(2)", True, 3, [2], 4, "called", 5, 9, "s", "a"],
    ),
    "inheritance": (
        "class A:\n    def f(self): return 'A'\nclass B(A):\n    def f(self): return super().f() + 'B'\n",
        ["v = B().f()"],
        "AB",
    ),
    "dataclass": (
        "from dataclasses import dataclass, field, asdict, replace\n@dataclass(frozen=True, order=True)\nclass P:\n    x: int\n    y: list = field(default_factory=list)\n",
        ["v = [asdict(P(1)), P(1) < P(2), asdict(replace(P(1), x=5)), repr(P(1))]"],
        [{"x": 1, "y": []}, True, {"x": 5, "y": []}, "P(x=1, y=[])"],
    ),
    "enum": (
        "from enum import Enum, auto\nclass C(Enum):\n    A = auto()\n    B = 'b'\n",
        ["v = [C.A.value, C('b').name, [c.name for c in C]]"],
        [1, "B", ["A", "B"]],
    ),
    "typing": (
        "from typing import NamedTuple, TypedDict, Any, Optional\nclass T(NamedTuple):\n    a: int\n    b: str = 'x'\nclass D(TypedDict):\n    a: int\n",
        ["v = [T(1), T(1).b, D(a=1)]"],
        [[1, "x"], "x", {"a": 1}],
    ),
    "decorator": (
        "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def inner(*args, **kwargs):\n        return [f(*args, **kwargs)] * 2\n    return inner\n@twice\ndef g(x, *, k=1): return x + k\n",
        ["v = g(1, k=2)"],
        [3, 3],
    ),
    "comprehensions": (
        "",
        [
            "v = [[i for i in range(4) if i % 2], sorted({i % 2 for i in range(4)}), {i: i for i in range(2)}, [(i, j) for i in range(2) for j in range(i)]]"
        ],
        [[1, 3], [0, 1], {0: 0, 1: 1}, [[1, 0]]],
    ),
    "generators": (
        "def gen(n):\n    got = yield n\n    yield got\n    return 'end'\ndef outer():\n    r = yield from gen(1)\n    yield r\n",
        [
            "g = gen(1)",
            "a = next(g); b = g.send(7); g.close()",
            "v = [a, b, list(outer()), sum(x * x for x in range(3))]",
        ],
        [1, 7, [1, None, "end"], 5],
    ),
    "match": (
        "def f(x):\n    match x:\n        case {'kind': 'a', 'n': n} if n > 1: return n\n        case [first, *rest]: return rest\n        case str() as s: return s\n        case int(i) | float(i): return i + 1\n        case None: return 'none'\n        case _: return 'other'\n",
        ["v = [f({'kind': 'a', 'n': 2}), f([1, 2, 3]), f('s'), f(1), f(None), f({})]"],
        [2, [2, 3], "s", 2, "none", "other"],
    ),
    "walrus": (
        "",
        ["v = [y := 5, y ** 2, [z for x in range(3) if (z := x * 2)]]"],
        [5, 25, [2, 4]],
    ),
    "with": (
        "class M:\n    def __enter__(self): return 'in'\n    def __exit__(self, *a): return True\nfrom contextlib import contextmanager, suppress\n@contextmanager\ndef cm():\n    yield 'cm'\n",
        [
            "with M() as m, cm() as c:\n        v = [m, c]\n        raise ValueError",
            "with suppress(KeyError): {}['x']",
        ],
        ["in", "cm"],
    ),
    "try": (
        "",
        [
            "v = []",
            "try:\n        1 / 0\n    except (ValueError, ZeroDivisionError) as e:\n        v.append(type(e).__name__)\n    else:\n        v.append('else')\n    finally:\n        v.append('finally')",
            "try:\n        raise ExceptionGroup('g', [ValueError('a'), KeyError('b')])\n    except* ValueError as g:\n        v.append(len(g.exceptions))\n    except* KeyError:\n        v.append('k')",
        ],
        ["ZeroDivisionError", "finally", 1, "k"],
    ),
    "f-strings": (
        "",
        ["x = 3.14159; w = 8", "v = f'{x:.2f}|{x!r:>{w}}|{x=:.1f}|{{}}|{\"q\"}'"],
        "3.14| 3.14159|x=3.1|{}|q",
    ),
    "star": (
        "def f(a, b=2, /, c=3, *d, e, **k): return [a, b, c, list(d), e, k]\n",
        [
            "first, *middle, last = range(5)",
            "v = [f(1, e=5), f(*[1, 2, 3, 4], **{'e': 5, 'z': 6}), middle, [*middle, *'ab'], {**{'a': 1}, 'b': 2}]",
        ],
        [
            [1, 2, 3, [], 5, {}],
            [1, 2, 3, [4], 5, {"z": 6}],
            [1, 2, 3],
            [1, 2, 3, "a", "b"],
            {"a": 1, "b": 2},
        ],
    ),
    "slices": (
        "",
        [
            "x = list(range(10)); x[2:4] = [0]; del x[0]; x[-1] += 1; del x[1:3]",
            "v = [x, x[::-2], 'abc'[1:], x[:2]]",
        ],
        [[1, 5, 6, 7, 8, 10], [10, 7, 5], "bc", [1, 5]],
    ),
    "str.format": (
        "",
        [
            "v = ['{0} {name} {0[k]}'.format({'k': 1}, name='n'), '%s-%d' % ('a', 1), '{:>5}'.format('x')]"
        ],
        ["{'k': 1} n 1", "a-1", "    x"],
    ),
    "lambda and sort": ("", ["v = sorted([{'n': 2}, {'n': 1}], key=lambda r: r['n'])[0]['n']"], 1),
    "underscores": (
        "_x = 3\ndef _helper(_a, _=None): return _a\n",
        ["for _ in range(2): pass", "_y = _helper(_x)", "v = [_, _y, [_ for _ in range(2)]]"],
        [1, 3, [0, 1]],
    ),
    "while else": (
        "",
        [
            "i = 0",
            "while i < 3:\n        i += 1\n        if i == 2: continue\n    else:\n        v = i",
        ],
        3,
    ),
    "augmented": (
        "class O: pass\n",
        [
            "o = O(); o.n = 1; o.n += 1; d = {'n': 1}; d['n'] |= 6; s = 'a'; s *= 3; l = [1]; l += [2]",
            "v = [o.n, d['n'], s, l]",
        ],
        [2, 7, "aaa", [1, 2]],
    ),
    "annotations": (
        "def f(x: 'int | None' = None, *a: str) -> list[int]:\n    y: int = 5\n    z: str\n    return [y]\n",
        ["v = f()"],
        [5],
    ),
    "chained comparison": (
        "",
        [
            "v = [1 < 2 < 3, 1 is not None, 2 in [2] and 3 not in (4,), not 0, ~1, 7 // 2, -7 % 3, 2 @ 3 if False else 1]"
        ],
        [True, True, True, True, -2, 3, 2, 1],
    ),
    "assert and del": ("", ["x = 1; assert x; del x", "v = 1"], 1),
    "recursion": (
        "def fact(n): return 1 if n < 2 else n * fact(n - 1)\n",
        ["v = fact(20)"],
        2432902008176640000,
    ),
    "hasattr getattr": (
        "class O: pass\n",
        ["o = O(); setattr(o, 'a', 1)", "v = [hasattr(o, 'a'), getattr(o, 'b', 2), o.a]"],
        [True, 2, 1],
    ),
    "type and isinstance": (
        "",
        ["v = [type(1) is int, isinstance('a', (str, bytes)), callable(len), type([]).__name__]"],
        [True, True, True, "list"],
    ),
    "builtins": (
        "",
        [
            "v = [abs(-1), all([]), any([1]), bin(2), bool(''), chr(65), divmod(7, 2), list(enumerate('a')), list(filter(None, [0, 1])), float('1'), hash(1), hex(255), list(map(str, [1])), max(1, 2), min([3, 4]), oct(8), ord('a'), pow(2, 3), list(reversed([1, 2])), round(2.567, 1), sum([1, 2]), list(zip('a', [1])), bytes([65]), complex(1, 1).imag, slice(1).stop, ascii('é')]"
        ],
        [
            1,
            True,
            True,
            "0b10",
            False,
            "A",
            [3, 1],
            [[0, "a"]],
            [1],
            1.0,
            1,
            "0xff",
            ["1"],
            2,
            3,
            "0o10",
            97,
            8,
            [2, 1],
            2.6,
            3,
            [["a", 1]],
            b"A",
            1.0,
            1,
            "'\\xe9'",
        ],
    ),
    "abc and protocol": (
        "from abc import ABC, abstractmethod\nclass S(ABC):\n    @abstractmethod\n    def area(self): ...\nclass Q(S):\n    def area(self): return 4\n",
        ["v = Q().area()"],
        4,
    ),
    "generic class": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass Box(Generic[T]):\n    def __init__(self, x: T): self.x = x\n",
        ["v = Box[int](3).x"],
        3,
    ),
    "slots": (
        "class S:\n    __slots__ = ('a',)\n    def __init__(self): self.a = 1\n",
        ["v = S().a"],
        1,
    ),
    "operators": (
        "class V:\n    def __init__(self, x): self.x = x\n    def __add__(self, o): return V(self.x + o.x)\n    def __iadd__(self, o): self.x += 10; return self\n    def __lt__(self, o): return self.x < o.x\n    def __hash__(self): return 1\n    def __bool__(self): return False\n    def __contains__(self, k): return True\n    def __str__(self): return 'V'\n    def __format__(self, s): return 'fmt'\n",
        [
            "a = V(1); a += V(1)",
            "v = [(V(1) + V(2)).x, a.x, V(1) < V(2), bool(V(1)), 5 in V(1), str(V(1)), f'{V(1)}', len({V(1)})]",
        ],
        [3, 11, True, False, True, "V", "fmt", 1],
    ),
    "getattr method": (
        "class A:\n    def __getattr__(self, name): return name\n",
        ["v = A().anything"],
        "anything",
    ),
    "own exception": (
        "class Mine(Exception):\n    def __init__(self, code): super().__init__(f'code {code}'); self.code = code\n",
        [
            "try:\n        raise Mine(3)\n    except Mine as e:\n        v = [str(e), e.code, e.args[0]]"
        ],
        ["code 3", 3, "code 3"],
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_allowed_python(shared: Engine, name: str):
    """The code has functions, classes, match, comprehensions, generators and more."""
    before, lines, result = PROGRAMS[name]
    assert value(shared, *lines, before=before) == result


ASYNC = {
    "gather": (
        "async def f(x):\n    await asyncio.sleep(0.001)\n    return x\n",
        "v = await asyncio.gather(f(1), f(2))",
        [1, 2],
    ),
    "async with and for": (
        "class C:\n    async def __aenter__(self): return 1\n    async def __aexit__(self, *a): return False\nasync def gen():\n    for i in range(3):\n        yield i\n",
        "async with C() as c:\n        v = [c] + [i async for i in gen() if i]",
        [1, 1, 2],
    ),
    "async for": (
        "async def gen():\n    yield 1\n    yield 2\n",
        "v = []\n    async for i in gen():\n        v.append(i)",
        [1, 2],
    ),
    "task group": (
        "async def f(x): return x\n",
        "async with asyncio.TaskGroup() as g:\n        t = g.create_task(f(3))\n    v = t.result()",
        3,
    ),
    "timeout": (
        "",
        "try:\n        async with asyncio.timeout(0.01):\n            await asyncio.sleep(9)\n    except TimeoutError:\n        v = 'late'",
        "late",
    ),
    "left behind": (
        "async def f(): await asyncio.sleep(60)\n",
        "asyncio.create_task(f())\n    v = 1",
        1,
    ),
    "unfinished generator": (
        "async def gen():\n    try:\n        yield 1\n        yield 2\n    finally:\n        pass\n",
        "async for i in gen():\n        v = i\n        break",
        1,
    ),
    "queue and lock": (
        "",
        "q = asyncio.Queue(); lock = asyncio.Lock()\n    async with lock:\n        await q.put(4)\n        v = await q.get()",
        4,
    ),
}


@pytest.mark.parametrize("name", ASYNC)
def test_allowed_async_python(shared: Engine, name: str):
    """The code has await, async for, async with, and tasks."""
    before, line, result = ASYNC[name]
    source = f"import asyncio\n{before}async def main(state):\n    {line}\n    return {{'v': v}}"
    assert state_of(shared, source) == {"v": result}


MODULES = {
    "json": "json.loads(json.dumps({'a': [1]}))['a'][0]",
    "re": "1 if re.sub(r'(\\d)', r'<\\1>', 'a1') == 'a<1>' and re.match('(?P<x>a)', 'a').group('x') else 0",
    "math": "int(math.sqrt(1))",
    "datetime": "datetime.timedelta(days=1).days",
    "collections": "collections.Counter('a')['a']",
    "itertools": "next(itertools.count(1))",
    "functools": "functools.reduce(lambda a, b: a * b, [1, 1])",
    "string": "len(string.digits) - 9",
    "random": "random.randint(1, 1)",
    "uuid": "len(str(uuid.uuid4())) - 35",
    "hashlib": "len(hashlib.sha256(b'').digest()) - 31",
    "base64": "len(base64.b64encode(b'a')) - 3",
    "csv": "len(list(csv.DictReader(io.StringIO('a,b\\n1,2'))))",
    "decimal": "int(decimal.Decimal('1'))",
    "statistics": "int(statistics.mean([1, 1]))",
    "time": "1 if time.time() > 0 else 0",
    "urllib.parse": "len(urllib.parse.quote('a'))",
    "textwrap": "len(textwrap.dedent(' a'))",
    "operator": "operator.add(0, 1)",
    "copy": "copy.deepcopy([1])[0]",
    "html": "len(html.escape('<')) - 3",
    "zoneinfo": "1 if zoneinfo.ZoneInfo('Europe/Berlin') else 0",
    "calendar": "calendar.monthrange(2026, 2)[1] - 27",
    "fractions": "int(fractions.Fraction(2, 2))",
    "bisect": "bisect.bisect([0], 0)",
    "heapq": "heapq.nsmallest(1, [1])[0]",
    "difflib": "len(difflib.get_close_matches('a', ['a']))",
    "ipaddress": "ipaddress.ip_address('0.0.0.1').packed[-1]",
    "hmac": "len(hmac.new(b'k', b'm', 'sha256').digest()) - 31",
    "secrets": "len(secrets.token_bytes(1))",
    "logging": "1 if logging.getLogger('x') else 0",
    "types": "types.SimpleNamespace(a=1).a",
    "xml.etree.ElementTree": "len(xml.etree.ElementTree.fromstring('<a><b/></a>'))",
    "email.message": "1 if email.message.EmailMessage() is not None else 0",
    "pathlib": "len(pathlib.PurePath('a').name)",
    "zlib": "len(zlib.decompress(zlib.compress(b'a')))",
    "gzip": "len(gzip.decompress(gzip.compress(b'a')))",
    "unicodedata": "len(unicodedata.normalize('NFC', 'a'))",
    "struct": "struct.unpack('B', b'\\x01')[0]",
    "warnings": "1 if warnings.warn('careful') is None else 0",
}


@pytest.mark.parametrize("name", MODULES)
def test_harmless_modules(shared: Engine, name: str):
    """The modules are a fixed list; a job may import a whole module or single names."""
    extra = "import io\n" if name == "csv" else ""
    assert state_of(
        shared, f"{extra}import {name}\ndef main(state):\n    return {{'v': {MODULES[name]}}}"
    ) == {"v": 1}


REFUSED = [
    ("import os", "ImportError"),
    ("import sys", "ImportError"),
    ("import builtins", "ImportError"),
    ("import importlib", "ImportError"),
    ("import ctypes", "ImportError"),
    ("import socket", "ImportError"),
    ("import inspect", "ImportError"),
    ("import gc", "ImportError"),
    ("import pickle", "ImportError"),
    ("import engine", "ImportError"),
    ("import sandbox_child", "ImportError"),
    ("import protocol", "ImportError"),
    ("import msgspec", "ImportError"),
    ("from . import x", None),
    ("import json.decoder", None),
    ("from json import decoder", None),
    ("import json; x = json.codecs", None),
    ("import logging; x = logging.os", None),
    ("import re; x = re._compiler", None),
    ("import json; json.x = 1", None),
    ("import json; json.dumps = None", None),
    ("import json; del json.dumps", None),
    ("import json; setattr(json, 'dumps', None)", None),
    ("__x = 1", None),
    ("_x_ = 1", None),
    ("x = ().__class__", "SecurityError"),
    ("x = 'a'._y", None),
    ("x = (i for i in []).gi_frame", None),
    ("x = (lambda: 0).__code__", None),
    ("x = exec", "SecurityError"),
    ("x = eval", "SecurityError"),
    ("x = compile", "SecurityError"),
    ("x = globals()", None),
    ("x = locals()", None),
    ("x = vars()", None),
    ("x = open('f')", None),
    ("x = input()", None),
    ("x = breakpoint()", None),
    ("x = __builtins__", None),
    ("x = '{0.__class__}'.format(1)", None),
    ("x = type('X', (), {})", None),
]


@pytest.mark.parametrize(("line", "name"), REFUSED)
def test_refused(shared: Engine, line: str, name: str | None):
    """The refusal gives a name, a line and a reason, inside main and at the top."""
    for source in (
        f"{line}\ndef main(state):\n    return {{'v': 1}}",
        f"def main(state):\n    {line}\n    return {{'v': 1}}",
    ):
        result = shared.execute(source).result(20)
        if name is None and "type('X'" in line and result.error is None:
            continue
        assert result.error is not None, source
        assert name is None or result.error.name == name, result.error
        assert result.error.name in (
            "CompileError",
            "SecurityError",
            "ImportError",
            "RuntimeError",
            "RuntimeCrash",
        ), result.error
        assert result.error.position is not None
        assert result.error.position.line == (1 if source.startswith(line) else 2)
        assert result.error.message


def test_violations_come_all_at_once_with_line_and_column(shared: Engine):
    """A single report lists all violations of the job."""
    source = "x = __y\ndef main(state):\n    a = state.__class__\n    b = a.gi_frame\n    c = x.__dict__\n    return 1\n"
    error = error_of(shared, source)
    text = error.message
    for word in ("__y", "__class__", "gi_frame", "__dict__"):
        assert word in text or word in repr(error.details)
    assert error.position.line == 1
    error = error_of(shared, "def main(state):\n    return ()._secret\n")
    assert (error.name, error.position.line, error.position.column) == ("SecurityError", 2, 12)


def test_whitelist_narrows(shared: Engine):
    """A job may import the modules that the whitelist admits, and its own adaptors."""
    source = "import verbs\ndef main(state):\n    return {'v': 1}"
    assert state_of(shared, source) == {"v": 1}
    for whitelist, fine in (
        ((), False),
        (("verbs",), True),
        (("^ver.*$",), True),
        (("erb",), True),
        (("other", "s$"), True),
        (("other",), False),
        (("^erb", "verb$", "Verbs"), False),
    ):
        result = shared.execute(source, options=RunOptions(whitelist=whitelist)).result(20)
        assert (result.error is None) == fine, (whitelist, result.error)
        if not fine:
            assert result.error.name == "ImportError"


def test_null_true_false_are_not_names_of_jobs(shared: Engine):
    """These names belong to conditions; a job is Python."""
    assert error_of(shared, "def main(state):\n    return null").name == "RuntimeCrash"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=repr)
def test_line_endings_and_marks(shared: Engine, newline: str):
    """The sources have line ends of Windows, tabs, or no final line end."""
    source = newline.join(["def main(state):", "\tx = 1", "\treturn {'v': x}"])
    result = shared.execute(source).result(20)
    assert result.error is None, result.error
    assert result.state == {"v": 1}


def test_a_long_job(shared: Engine):
    """A job of some thousand lines runs."""
    source = "def main(state):\n    v = 0\n" + "    v += 1\n" * 3000 + "    return {'v': v}"
    assert state_of(shared, source) == {"v": 3000}


def test_threads_left_behind_do_not_keep_the_run(shared: Engine):
    """A job without the threading module gets an ImportError; a job with it ends."""
    source = "import threading, time\ndef main(state):\n    threading.Thread(target=time.sleep, args=(60,)).start()\n    return {'v': 1}"
    result = shared.execute(source).result(20)
    assert result.error is None or result.error.name == "ImportError"


def test_jobs_that_return_other_things(shared: Engine):
    """The runtime awaits a coroutine that main returned; a generator cannot be carried."""
    assert state_of(shared, "async def f(): return {'v': 1}\ndef main(state):\n    return f()") == {
        "v": 1
    }
    assert error_of(shared, "def main(state):\n    yield 1").name == "StateError"
    assert error_of(shared, "async def main(state):\n    yield 1").name == "StateError"
    assert state_of(shared, "def main(state):\n    return 5") == 5
    assert error_of(shared, "def main():\n    return 5").subtype == "TypeError"
