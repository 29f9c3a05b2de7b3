"""A plan that passes `check_plan` does not crash while it is loaded, for all generated plans."""

from __future__ import annotations

import pytest
from bundled_repo import make_bundled_repo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import Engine, check_plan
from examples import examples

LOADING = {"RuntimeCrash", "CompileError", "SecurityError", "ImportError", "InputError"}
"""The errors of a run that cannot be loaded."""

SOUND = [
    "fn(lambda state: state)",
    "log('x')",
    "import json",
    "import json as helper",
    "from rest import post",
    "y = 1",
    "x = y = 2",
    "y = [z for z in [1]][0]",
    "for i in [1, 2]: y = i",
    "def helper(state): return state",
    "def main(state): return later(state) if False else state",
    "def later(state): return {**state, 'n': 1}",
    "operations = [fn(later)]",
    "class A: z = 1",
    "try:\n    import nothing\nexcept ImportError:\n    nothing = None",
    "each([], combine(log('a'), fn(lambda s: s)))",
    "fn(lambda state: state.data.nowhere)",
    "log(state.data.x)",
]
"""Statements that are right in most texts."""

DOUBTFUL = [
    "fn(helper)",
    "x = LIMIT",
    "x = y",
    "y = x + [z for z in [1]][0]",
    "if y: x = 1",
    "log(y, json)",
    "import jsn",
    "from rest import pots",
    "from json import dumps as helper",
    "async def main(state): return {**state, 'n': unknwn}",
    "operations = 5",
    "class A: z = y",
    "log(lambda s: missing)",
    "eval('1')",
    "x = (",
    "state.x = 1",
    "lambda: nowhere",
    "print('at the top')",
    "y: int = later",
]
"""Statements that are right only in some texts, or never."""

STATEMENTS = st.sampled_from(SOUND * 5 + DOUBTFUL)
JOBS = st.lists(STATEMENTS, min_size=1, max_size=5).map("\n".join)
CONDITIONS = st.sampled_from(
    [
        True,
        "state.data.x",
        "not state.errors",
        "stat.x",
        "x = 1",
        "state.x >",
        "len(state)",
        "nope()",
    ]
)
GLOBALS = st.sampled_from(
    [
        None,
        None,
        None,
        "LIMIT = 3",
        "def helper(state): return state",
        "LIMIT = y",
        "print(1)",
        "import jsn",
    ]
)


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo with the adaptors of this project."""
    root = tmp_path_factory.mktemp("repo")
    make_bundled_repo(root, "common", "rest")
    return root


@pytest.fixture(scope="module")
def runs(repo):
    """All runs share this engine."""
    with Engine(repo_dir=repo, max_runs=1) as engine:
        yield engine


@pytest.mark.slow
@settings(examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jobs=st.lists(
        st.tuples(JOBS, st.sampled_from([(), *[("common", "rest")] * 4])),
        min_size=1,
        max_size=3,
    ),
    condition=CONDITIONS,
    helpers=GLOBALS,
)
def test_a_plan_that_passes_can_be_loaded(repo, runs, jobs, condition, helpers):
    """The check finds each problem with names, imports and conditions on which a run would fail."""
    last = len(jobs) - 1
    steps = [
        {
            "id": f"s{number}",
            "expression": source,
            "adaptors": list(adaptors),
            "next": {f"s{number + 1}": condition if number == 0 else True} if number < last else {},
        }
        for number, (source, adaptors) in enumerate(jobs)
    ]
    plan = {"workflow": {"steps": steps, "globals": helpers}}
    problems = check_plan(plan, repo_dir=repo)
    if problems:
        return
    run = runs.execute(plan, {"data": {"x": 1}})
    error = run.result(60).error
    assert error is None or error.name not in LOADING, (plan, error)
    assert (
        error is None or error.name != "EdgeConditionError" or "cannot be used" not in error.message
    )
