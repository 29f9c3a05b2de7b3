"""The tree of a job, and its pipeline, are freed at the end of the step, not by the collector later."""

from __future__ import annotations

import ast
import gc

import pytest
from scripted_walk import proceeding, run_walk, start_of

from protocol.plan import Retry
from sandbox_child.language import CompiledJob
from sandbox_child.running.operations import Pipeline

JOB = "def main(state):\n    return state\n"
SCRIPT = "fn(lambda state: state)\n"
FAILS = "def main(state):\n    return state.data.missing\n"


def alive():
    """Return the number of objects of each kind that a large job would keep alive."""
    kinds = (ast.AST, CompiledJob, Pipeline)
    # `isinstance` would ask the objects of other tests, and some of those raise errors.
    found = [type(one) for one in gc.get_objects()]
    return [sum(issubclass(one, kind) for one in found) for kind in kinds]


@pytest.fixture(autouse=True)
def _no_collector():
    gc.collect()
    gc.freeze()  # `gc.get_objects` then leaves out the objects of all other tests
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("text", [JOB, SCRIPT, FAILS], ids=["function", "script", "failure"])
def test_a_step_leaves_no_tree_and_no_pipeline_for_the_collector(text):
    """Otherwise each step would cost a part of a collection, and its memory would stay for a while."""
    start = start_of({"workflow": {"steps": [{"id": "a", "expression": text}]}})
    run_walk(start)  # what is imported late has trees and caches of its own
    before = alive()
    run_walk(start)
    assert alive() == before


def test_a_step_that_is_tried_again_leaves_none_either():
    """The compiled job is kept from attempt to attempt, and then dropped."""
    plan = {"workflow": {"steps": [{"id": "a", "expression": FAILS}]}}
    start = start_of(plan, steps={"a": {"retry": Retry(attempts=3, delay=0)}})
    run_walk(start, answer=proceeding)
    before = alive()
    run_walk(start, answer=proceeding)
    assert alive() == before
