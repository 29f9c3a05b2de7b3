"""`engine.check_plan` finds the mistakes in every text of a plan, and does not run the jobs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from bundled_repo import make_bundled_repo

import engine
from engine import check_plan, checker
from protocol.checks import CheckedText
from protocol.messages import Check

GOOD = "def main(state):\n    return state\n"

BAD_ADAPTORS = {
    "hangs": "import time\nwhile True: time.sleep(60)\n",
    "crashes": "import ctypes\nctypes.string_at(0)\n",
    "eats": "data = []\nwhile True: data.append(bytes(10_000_000))\n",
    "exits": "import os\nos._exit(7)\n",
    "raises": "raise RuntimeError('no license')\n",
    "connects": "import socket\nsocket.create_connection(('127.0.0.1', 1))\n",
    "writes": "open('/tmp/checked', 'w')\n",
    "broken": "def get(:\n",
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """The adaptors of this project, one with odd verbs, and some that cannot be imported."""
    root = tmp_path_factory.mktemp("repo")
    make_bundled_repo(root, "common", "rest")
    entries = json.loads((root / "repo.json").read_text())["adaptors"]
    odd = (
        "import functools\nfrom json import dumps\n"
        "def exact(a, b=1, /, c=2, *, d, e=3): return lambda state: state\n"
        "def loose(*args, **kwargs): return 1\n"
        "@functools.wraps(exact)\ndef wrapped(*args, **kwargs): return 1\n"
        "async def later(path): return path\n"
        "def value(x): return {'x': x}\n"
        "def perhaps(x): return x\n"
        "class Client:\n    def __init__(self, url): self.url = url\n"
    )
    for name, text in {"odd": odd, **BAD_ADAPTORS}.items():
        (root / name).mkdir()
        (root / name / f"{name}.py").write_text(text)
        entries.append({"name": name, "version": "1.0.0", "path": name})
    (root / "repo.json").write_text(json.dumps({"adaptors": entries}))
    return root


def plan(*steps, **workflow):
    return {"workflow": {"steps": list(steps), **workflow}}


def job(source, *adaptors, step_id="a", **more):
    return {"id": step_id, "expression": source, "adaptors": list(adaptors), **more}


def messages(problems):
    return [problem.message for problem in problems]


def test_a_good_plan_has_no_problem(repo):
    """The jobs have all forms, with conditions, globals, and a trigger."""
    conditions = {
        "b": {"condition": "not state.errors and len(state.data) > 1"},
        "c": "upstream_step_id == 'a' and true",
    }
    good = plan(
        {"id": "start", "next": {"a": "on_job_success"}},
        job(
            "get('x', query={'n': state.n})\neach(state.data, fn(helper))",
            "common",
            "rest",
            next=conditions,
        ),
        job("operations = [lambda state: state]", step_id="b"),
        job("import json\nasync def main(state): return json.dumps(state)", step_id="c"),
        globals="def helper(state): return tidy(state)\ndef tidy(s): return s\n",
    )
    assert check_plan(good, repo_dir=repo) == []


def test_every_text_of_a_plan_is_checked_and_nothing_hides_another(repo):
    """Each problem has path, step, line and column; problems of the plan itself come first."""
    problems = check_plan(
        plan(
            job(
                "def main(state) return state", next={"b": "state.x > ", "c": {"condition": "stat"}}
            ),
            job("x = eval('1')\nimport jsn\n", step_id="b"),
            job("é = 1; fnn('ü', unknwn)", "common", step_id="c", next="nowhere"),
            job("foo()", "nope", step_id="d"),
            globals="print('x')\nTOP = missing",
        ),
        repo_dir=repo,
    )
    found = {(p.path, p.step_id, p.line, p.column) for p in problems}
    assert found >= {
        ("workflow.steps[2].next", None, None, None),
        ("workflow.steps[3].adaptors[0]", "d", None, None),
        ("workflow.globals", None, 1, 1),
        ("workflow.steps[0].expression", "a", 1, 17),
        ("workflow.steps[0].next.c.condition", "a", 1, 1),
        ("workflow.steps[1].expression", "b", 1, 5),
        ("workflow.steps[1].expression", "b", 2, 1),
        ("workflow.steps[2].expression", "c", 1, 8),
        ("workflow.steps[2].expression", "c", 1, 17),
    }
    assert any(p.path == "workflow.steps[0].next.b" and "state.x >" in p.message for p in problems)
    assert {p.fix for p in problems} >= {"did you mean state?", "did you mean 'json'?"}
    assert all("\n" not in str(problem) for problem in problems)


WRONG = [
    ("rest.gett('x')", "no public name 'gett'", 1),
    ("from rest import gett\nfn(lambda s: s)", "cannot import 'gett'", 1),
    ("import rest as r\nr.gett('x')", "no public name 'gett'", 2),
    ("import rest\ndef main(state):\n    return rest.pots('x')(state)", "'pots'", 3),
    ("import json\ndef main(state): return json.loadz('1')", "'loadz'", 2),
    ("from json import loadz\ndef main(state): return state", "'loadz'", 1),
    ("import nothing_here\ndef main(state): return state", "'nothing_here'", 1),
    ("def main(state):\n    import os\n    return state", "'os'", 2),
    ("request('GET')", "needs the argument 'path'", 1),
    ("request('GET', '/', quer=1)", "no argument 'quer'", 1),
    ("rest.get('x', {})", "takes 1 positional argument, and 2 are given", 1),
    ("from rest import get as g\ng()", "needs the argument 'path'", 2),
    ("exact(1, 2, 3, 4, d=1)", "takes 3 positional arguments, and 4 are given", 1),
    ("exact(a=1, d=1)", "no argument 'a'", 1),
    ("exact(1)", "needs the argument 'd'", 1),
    ("exact(1, 2, 3, c=4, d=5)", "'c' twice", 1),
    ("def main(state):\n    return exact(1, e=1)(state)", "needs the argument 'd'", 2),
    ("fn(lambda state: valu(state))", "'valu' is not defined", 1),
    ("fn(missing)\nmissing = 1", "'missing' is used before it is defined on line 2", 1),
    ("x = state.data\nfn(lambda s: x)", "'state' is not defined", 1),
    ("def main(state):\n    y = x\n    x = 1\n    return y", "'x' is used before", 2),
    ("def main(state):\n    return of_another_job(state)", "'of_another_job'", 2),
    ("operations = 5", "`operations` must be a list", 1),
    ("operations = [fn(lambda s: s), {}]", "not a function of state", 1),
    ("main = 'x'", "not a function of state", 1),
    ("print('x')", "not an operation", 1),
    ("log('a')\nlen([1])", "len(...) at top level is not an operation", 2),
    ("log('a')\nlist(map(str, [1]))", "list(...) at top level is not an operation", 2),
    ("x = 1", "no operations", None),
    ("def main(state):\n    post('x')\n    return state", "post(...) on line 2", 2),
    ("x = rest.get('y')\nlog('a')", "rest.get(...) on line 1", 1),
    ("def send(s): return post('x')\ndef main(s):\n    send(s)\n    return s", "post(...)", 3),
    ("def main(state):\n    later('x')\n    return state", "later(...) on line 2", 2),
    ("def main(s):\n    post('x').then(log('y'))\n    return s", "post.then(...) on line 2", 2),
    ("get('x', {}, log('y'))", "takes 1 positional argument, and 3 are given", 1),
    ("len([1], value)", "len(...) at top level is not an operation", 1),
    ("put('x', 1).then(lgo('y'))", "'lgo' is not defined", 1),
]
"""Jobs with one mistake: the source, a part of the message, and the line."""

RIGHT = [
    "loose(1, 2, x=3)\nfn(value)",
    "def len(x): return fn(x)\nlen(value)",
    "from common import fn as print\nprint(value)",
    "wrapped(1, 2, 3, 4, 5)",
    "exact(*[1], **{'d': 1})",
    "exact(1, d=2)\nexact(1, 2, 3, d=4, e=5)",
    "get('x', anything=1)",
    "def get(a, b, c): return fn(a)\ndef main(state): return get(1, 2, 3)(state)",
    "try:\n    import numpy\nexcept ImportError:\n    numpy = None\ndef main(state): return numpy",
    "try:\n    limit\nexcept NameError:\n    limit = 1\nfn(lambda s: limit)",
    "def main(state):\n    if hasattr(rest, 'gett'): return rest.gett(state)\n    return state",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\nfn(lambda s: s)",
    "def main(state):\n    for i in range(3):\n        if i: print(j)\n        j = i\n    return state",
    "def main(state):\n    return later_defined(state)\ndef later_defined(s): return s",
    "class A:\n    x = 1\n    y = x\ndef main(state): return [A.y for _ in state]",
    "def main(state):\n    match state:\n        case {'a': b, **c}: return (b, c)\n    return state",
    "def main(state):\n    return [y := 1, y, *(z for z in [1] if (q := z)), q]",
    "def main(state):\n    try:\n        pass\n    except* ValueError as e:\n        print(e)\n    return state",
    "x: 'Unknown' = 1\ndef main(state):\n    n: int\n    n = 1\n    return n",
    "def f():\n    global g\n    g = 1\nf()\ndef main(state): return g",
    "def main(state):\n    def inner():\n        nonlocal n\n        n += 1\n    n = 0\n    inner()\n    return n",
    "def main(state):\n    value('x')\n    perhaps('y')\n    return state",
    "each([], combine(post('x'), fn_if(False, get('y'))))",
    "fn_if(state.ok, lambda state: post('x', state.data))",
    "fnIf(state.ok, post('x', state.data).then(log('y')).catch(lambda error, state: state))",
    "get('x', lambda state: state)\nget('x', callback=log('y'))\nexact(1, 2, 3, log('y'), d=1)",
    "beta.each(state.data, post('x', state.data))\ndef follow(op): return op.then(log('y'))",
    "operations = []\nfor path in ['a', 'b']:\n    operations.append(get(path))",
    "from __future__ import annotations\ndef main(state: Sate) -> Sate: return state",
]
"""Jobs whose mistake is uncertain."""


@pytest.fixture(scope="module")
def problems_of(repo):
    """The problems of each job above, by its source; one child has checked all of them."""
    sources = [*(source for source, _, _ in WRONG), *RIGHT]
    steps = [
        job(source, "common", "rest", "odd", step_id=f"s{n}", next=f"s{n + 1}")
        for n, source in enumerate(sources)
    ]
    del steps[-1]["next"]
    found = {source: [] for source in sources}
    for problem in check_plan(plan(*steps), repo_dir=repo):
        n = int(problem.step_id.removeprefix("s"))
        assert problem.path == f"workflow.steps[{n}].expression"
        found[sources[n]].append(problem)
    return found


@pytest.mark.parametrize(("source", "message", "line"), WRONG)
def test_one_thing_that_is_wrong_is_one_problem(problems_of, source, message, line):
    """Each mistake is found at its place, and only this mistake."""
    (problem,) = problems_of[source]
    assert message in problem.message
    assert problem.line == line


@pytest.mark.parametrize("source", RIGHT)
def test_what_may_be_right_is_no_problem(problems_of, source):
    """The check does not report code whose mistake is uncertain."""
    assert problems_of[source] == []


def test_globals_may_hide_a_built_in_function(repo):
    """A function in the globals that has the name of a built-in may make an operation."""
    helpers = "def print(text): return fn(lambda state: state)\n"
    bare = plan(job("print('x')", "common"), globals="def other(x): return x\n")
    assert check_plan(plan(job("print('x')", "common"), globals=helpers), repo_dir=repo) == []
    assert [p.line for p in check_plan(bare, repo_dir=repo)] == [1]


def test_globals_are_in_scope_and_are_checked(repo):
    """Functions in the globals may use names of a job; code that runs at once may not."""
    helpers = "LIMIT = 3\ndef helper(state):\n    return of_job(state, LIMIT)\n"
    text = "def of_job(state, n): return state\nfn(helper)\n"
    assert check_plan(plan(job(text, "common"), globals=helpers), repo_dir=repo) == []
    problems = check_plan(
        plan(
            job("get('x')", "rest"),
            job("fn(lambda s: s)", "common", step_id="b"),
            globals="a = get('x')\ndef f(): return get('y'), nowhere\nb = c\n",
        ),
        repo_dir=repo,
    )
    assert [(p.path, p.line, p.message) for p in problems] == [
        ("workflow.globals", 1, "the name 'get' is not defined"),
        ("workflow.globals", 2, "the name 'nowhere' is not defined"),
        ("workflow.globals", 3, "the name 'c' is not defined"),
    ]


@pytest.mark.parametrize("name", BAD_ADAPTORS)
def test_an_adaptor_that_cannot_be_imported_is_one_problem(repo, name, monkeypatch):
    """The adaptor may harm its process, but the steps after it are still checked."""
    if (
        name == "hangs"
    ):  # the other adaptors end by themselves, and on a busy machine all imports take long
        monkeypatch.setattr(checker, "TEXT_S", 4.0)
    problems = check_plan(
        plan(
            job("verb('x')", name, next="b"),
            job(f"import {name}\n{name}.verb(1)", "common", name, step_id="b", next="c"),
            job("rest.gett(1)", "rest", step_id="c"),
        ),
        repo_dir=repo,
        options=engine.RunOptions(memory_mb=200),
    )
    assert [(p.path, p.step_id) for p in problems] == [
        ("workflow.steps[0].adaptors[0]", "a"),
        ("workflow.steps[2].expression", "c"),
    ]
    assert f"adaptor {name}@1.0.0" in problems[0].message
    assert not Path("/tmp/checked").exists()


def test_an_adaptor_that_cannot_be_had_is_one_problem(repo, tmp_path):
    """The repo is not given, the repo is missing, or the version is not installed."""
    one = plan(job("get('x')", "rest", next="b"), job("get('y')", "rest", step_id="b"))
    (missing,) = check_plan(one, repo_dir=tmp_path / "nowhere")
    assert "repo.json" in missing.message
    assert {p.path for p in check_plan(one)} == {
        "workflow.steps[0].adaptors[0]",
        "workflow.steps[1].adaptors[0]",
    }
    (version,) = check_plan(plan({"adaptor": "rest@9", "expression": "get('x')"}), repo_dir=repo)
    assert (version.path, version.step_id) == ("workflow.steps[0].adaptor", "job-1")


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param("x = " + "lambda: " * 90_000 + "1", id="deep"),
        pytest.param("x = " + "-" * 900_000 + "1", id="deeper"),
        pytest.param("x = " + "(" * 900_000, id="brackets"),
        pytest.param("x = 1\0", id="NUL"),
        pytest.param("x = " + "1 + " * 200_000 + "1", id="long"),
    ],
)
def test_a_text_that_is_too_much_is_one_problem(bomb):
    """The text is a job, globals or a condition, and the texts after it are still checked."""
    problems = check_plan(plan(job(bomb, next={"b": "nam"}), job("eval('1')", step_id="b")))
    assert [p.path.rpartition(".")[0] for p in problems] == [
        "workflow.steps[0]",
        "workflow.steps[0].next",
        "workflow.steps[1]",
    ]
    assert all(len(str(problem)) < 2000 for problem in problems)
    (first, *_) = check_plan(plan(job("fn(x)"), globals=bomb))
    assert first.path == "workflow.globals"


def test_nothing_of_a_job_runs_and_no_credential_is_asked_for(repo):
    """A job that would never end is checked at once, and ids of credentials stay ids."""
    source = "while True: pass\ndef main(state): return state\n"
    steps = [job(source, "common", configuration="secret-id", state="state-id")]
    assert check_plan(plan(*steps, credentials="shared-id"), repo_dir=repo) == []


@pytest.mark.parametrize(
    "bad", [5, None, [], "{", b"\xff", {}, {"workflow": 1}, {"workflow": {"steps": [1, {"id": 2}]}}]
)
def test_what_is_no_plan_is_a_problem_and_no_exception(bad):
    """The problem has the JSON path from the reader of plans."""
    assert check_plan(bad)


def test_a_plan_may_be_the_source_of_a_job_or_a_file(tmp_path):
    """The function takes the same forms of a plan as `Engine.execute`."""
    assert check_plan(GOOD) == []
    (problem,) = check_plan("def main(state): return stat")
    assert (problem.path, problem.column) == ("workflow.steps[0].expression", 25)
    file = tmp_path / "job.py"
    file.write_text("eval('1')")
    assert len(check_plan(file)) == 1


def test_a_machine_without_walls_is_told_so():
    """Without walls the check does not run, and does not say that a plan is good."""
    request = engine.Policy().request(options=engine.RunOptions(), read_paths=[])
    text = CheckedText(kind="job", source=GOOD)
    # This layer is required, but cannot be put on.
    refused = msgspec.structs.replace(request, without=("landlock",))
    with pytest.raises(engine.EngineError, match="landlock"):
        checker.check_texts(Check(texts=(text,)), refused)


@pytest.mark.parametrize(
    ("condition", "fix"),
    [
        ("data.n == 1", "write state.data"),
        ("not errors", "write state.errors"),
        ("not on_job_failure", "on_job_failure must be the whole condition"),
        ("on_job_success and state.data", "on_job_success must be the whole condition"),
    ],
)
def test_a_name_of_the_state_in_a_condition_has_a_fix(condition, fix):
    """A condition sees only the state, and a named condition is not a variable."""
    steps = [{"id": "a", "next": {"b": condition}}, {"id": "b"}]

    (problem,) = check_plan({"workflow": {"steps": steps}})

    assert problem.fix is not None
    assert problem.fix.startswith(fix)
