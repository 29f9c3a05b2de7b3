"""Steps that are tried again: what an adaptor's exception says of it, and which attempt it knows."""

from __future__ import annotations

import json

import pytest
from runs import QUICK, make_engine

ADAPTOR = r"""
import os

import jobcell_context


class Busy(Exception):
    pass


class Final(Exception):
    retryable = False


class Hostile(Exception):
    @property
    def retryable(self):
        raise SystemExit(3)

    @property
    def retry_after_s(self):
        raise KeyboardInterrupt


def flaky(until, error="Busy", **found):
    def run(state):
        state["data"]["changed"] = state["data"].get("changed", 0) + 1
        if jobcell_context.attempt < until:
            if error == "exit":
                os._exit(7)
            raised = globals()[error]("not yet")
            vars(raised).update(found)
            raise raised
        known = [jobcell_context.attempt, jobcell_context.idempotency_key]
        return {**state, "data": {**state["data"], "known": known}}
    return run
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    repo = tmp_path_factory.mktemp("repo")
    (repo / "ad").mkdir()
    (repo / "ad" / "ad.py").write_text(ADAPTOR)
    entry = {"name": "ad", "version": "1.0.0", "path": "ad", "module": "ad"}
    (repo / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    with make_engine(repo_dir=repo, options=QUICK, max_runs=1) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def attempts_of(engine, expression, retry, **keys):
    """Run a step; return its result, and attempt, error and delay of each of its ends."""
    steps = [
        {
            "id": "a",
            "adaptor": "ad",
            "expression": expression,
            "retry": {"delay": 1, **retry},
            "next": {"alarm": "on_job_failure"},
            **keys,
        },
        {"id": "alarm", "expression": "def main(state): return state"},
    ]
    run = engine.execute({"id": "r", "workflow": {"steps": steps}}, {"data": {}})
    run.result(30)
    ends = [
        (event.attempt, event.error.name if event.type == "job-error" else None)
        for event in run.poll(after=0)
        if event.type in ("job-error", "job-complete") and event.step_id == "a"
    ]
    delays = [event.retry_in_ms for event in run.poll(after=0) if event.type == "job-error"]
    return run.result(), ends, delays


def test_an_adaptor_s_error_is_retried_with_the_same_input_and_the_same_key(shared):
    """Three attempts; the change of the state in the first two is gone."""
    result, ends, _ = attempts_of(shared, "flaky(3)", {"attempts": 3})
    assert ends == [(1, "AdaptorError"), (2, "AdaptorError"), (3, None)]
    assert result.state["data"] == {"changed": 1, "known": [3, "r:a"]}


def test_the_delay_that_an_exception_asks_for_has_priority(shared):
    """Over the delay and the largest delay of the plan."""
    retry = {"attempts": 2, "delay": 60_000, "max_delay": 60_000}
    _, ends, delays = attempts_of(shared, "flaky(2, retry_after_s=0.02)", retry)
    assert ends[-1] == (2, None)
    assert delays == [20]


@pytest.mark.parametrize("value", ["-1", "float('nan')", "float('inf')", "'soon'", "True"])
def test_a_delay_that_makes_no_sense_is_ignored(shared, value):
    """The delay of the plan is taken: 1 ms."""
    _, ends, delays = attempts_of(shared, f"flaky(2, retry_after_s={value})", {"attempts": 2})
    assert ends[-1] == (2, None)
    assert delays == [1]


def test_an_exception_that_cannot_be_retried_fails_the_step_at_once(shared):
    """Though the plan retries errors of adaptors."""
    result, ends, _ = attempts_of(shared, "flaky(2, 'Final')", {"attempts": 5})
    assert ends == [(1, "AdaptorError")]
    assert list(result.state["errors"]) == ["a"]


def test_an_exception_that_can_be_retried_is_though_the_plan_does_not_name_it(shared):
    """As long as there are attempts."""
    retry = {"attempts": 2, "on": ["timeout"]}
    assert attempts_of(shared, "flaky(2, retryable=True)", retry)[1][-1] == (2, None)
    assert attempts_of(shared, "flaky(2)", retry)[1] == [(1, "AdaptorError")]


def test_a_property_that_raises_an_exit_changes_nothing(shared):
    """The step is retried as the plan has it, and the child lives on."""
    result, ends, _ = attempts_of(shared, "flaky(2, 'Hostile')", {"attempts": 2})
    assert ends == [(1, "AdaptorError"), (2, None)]
    assert result.children == 1


def test_an_attempt_after_a_death_knows_its_number_and_has_the_same_key(shared):
    """In another child."""
    retry = {"attempts": 3, "on": ["death"]}
    result, ends, _ = attempts_of(shared, "flaky(3, 'exit')", retry)
    assert ends == [(1, "ExitError"), (2, "ExitError"), (3, None)]
    assert result.state["data"] == {"changed": 1, "known": [3, "r:a"]}
    assert result.children == 3


def test_after_the_last_death_the_step_has_failed_with_its_input(shared):
    """The run goes on with the edges."""
    retry = {"attempts": 2, "on": ["death"]}
    result, ends, _ = attempts_of(shared, "flaky(9, 'exit')", retry, on_death="fail")
    assert ends == [(1, "ExitError"), (2, "ExitError")]
    assert result.state["data"] == {}
    assert result.state["errors"]["a"]["name"] == "ExitError"
