"""`import jobcell_context` says which attempt of which step runs, to adaptors and to jobs."""

from __future__ import annotations

import json

import pytest
from runs import QUICK, finish, make_engine

from engine import Policy

ADAPTOR = r"""
import asyncio
import threading

import jobcell_context

IMPORTED = jobcell_context.step_id
NAMES = ("run_id", "step_id", "attempt", "idempotency_key")


def facts():
    return {name: getattr(jobcell_context, name) for name in NAMES}


def known():
    return lambda state: {**state, "data": {**state["data"], jobcell_context.step_id: facts()}}


def first_import():
    return lambda state: {**state, "data": IMPORTED}


def in_callbacks():
    async def run(state):
        seen = []
        thread = threading.Thread(target=lambda: seen.append(facts()))
        thread.start()
        thread.join()
        called = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: called.set_result(facts()))
        seen.append(await called)
        return {**state, "data": seen}
    return run


def spoil():
    def run(state):
        refused = []
        for deed in (
            lambda: setattr(jobcell_context, "step_id", "forged"),
            lambda: setattr(jobcell_context, "more", 1),
            lambda: delattr(jobcell_context, "step_id"),
        ):
            try:
                deed()
            except AttributeError as error:
                refused.append(str(error))
        vars(jobcell_context)["step_id"] = "forged"
        import sys
        sys.modules["jobcell_context"] = sys
        type(jobcell_context).attempt = 99
        return {**state, "data": {"refused": refused, "now": jobcell_context.step_id}}
    return run
"""

JOB = """\
import jobcell_context
from jobcell_context import attempt

def main(state):
    return {"data": [jobcell_context.run_id, jobcell_context.step_id, attempt, jobcell_context.idempotency_key]}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    repo = tmp_path_factory.mktemp("repo")
    entries = []
    for name in ("ctx", "other"):
        (repo / name).mkdir()
        (repo / name / f"{name}.py").write_text(ADAPTOR)
        entries.append({"name": name, "version": "1.0.0", "path": name, "module": name})
    (repo / "repo.json").write_text(json.dumps({"adaptors": entries}))
    with make_engine(repo_dir=repo, options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def step(step_id, expression, following=None, adaptor="ctx"):
    return {"id": step_id, "expression": expression, "adaptor": adaptor, "next": following or {}}


def result_of(engine, *steps):
    run = engine.execute({"id": "run-7", "workflow": {"steps": list(steps)}}, {"data": {}})
    finish(run)
    assert run.result().reason == "success", run.result()
    return run.result().state


def test_an_adaptor_knows_the_run_the_step_and_its_key(shared):
    """A step that runs twice has a key for each of its runs."""
    steps = [
        step("a", "known()", {"b": True, "c": True}),
        step("b", "known()", "d"),
        step("c", "known()", "d"),
        step("d", "known()"),
    ]
    state = result_of(shared, *steps)
    assert state["d"]["data"]["b"] == {
        "run_id": "run-7",
        "step_id": "b",
        "attempt": 1,
        "idempotency_key": "run-7:b",
    }
    assert state["d"]["data"]["d"]["idempotency_key"] == "run-7:d"
    assert state["d-1"]["data"]["d"]["idempotency_key"] == "run-7:d-1"


def test_an_adaptor_that_is_kept_from_step_to_step_sees_the_step_that_runs(shared):
    """At its import it has seen the first one."""
    assert result_of(shared, step("a", "known()", "b"), step("b", "first_import()"))["data"] == "a"


def test_callbacks_and_threads_see_the_step_that_runs(shared):
    """Not only code that an operation calls."""
    seen = result_of(shared, step("a", "known()", "b"), step("b", "in_callbacks()"))["data"]
    assert [facts["step_id"] for facts in seen] == ["b", "b"]


def test_what_an_adaptor_does_to_the_module_reaches_nobody_else(shared):
    """Neither the job, nor another adaptor, nor a later step of its own."""
    last = (
        "import jobcell_context as known\n"
        "def main(state): return {'data': [state.data, known.attempt, known.step_id]}"
    )
    steps = [
        step("a", "spoil()", "b"),
        step("b", "known()", "c", adaptor="other"),
        step("c", last, adaptor="other"),
    ]
    data, attempt, step_id = result_of(shared, *steps)["data"]
    assert data["refused"] == [
        f"jobcell_context cannot be changed: {name!r}" for name in ("step_id", "more", "step_id")
    ]
    assert data["now"] == "a"
    assert data["b"]["attempt"] == 1
    assert (attempt, step_id) == (1, "c")


def test_a_job_may_import_it(shared):
    """As a module, and its names."""
    assert result_of(shared, step("a", JOB))["data"] == ["run-7", "a", 1, "run-7:a"]


def test_a_job_cannot_change_it(shared):
    """As no module."""
    source = "import jobcell_context\ndef main(state):\n    jobcell_context.attempt = 3\n    return state"
    run = shared.execute({"workflow": {"steps": [step("a", source)]}})
    finish(run)
    assert run.result().reason != "success"


def test_a_job_without_the_language_wall_may_import_it(tmp_path):
    """The same names."""
    with make_engine(policy=Policy(language=False), options=QUICK) as engine:
        plan = {"id": "r", "workflow": {"steps": [{"id": "a", "expression": JOB}]}}
        run = engine.execute(plan)
        finish(run)
        assert run.result().state["data"] == ["r", "a", 1, "r:a"]
