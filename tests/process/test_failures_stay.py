"""A failure is reported as it was, and the input of a step is kept with it."""

from __future__ import annotations

import pytest
from runs import finish, make_engine, types_of

from engine import Engine, Resolvers, RunOptions


@pytest.fixture(scope="module")
def shared():
    """All tests of this file share this engine."""
    with make_engine("zygote", max_runs=1) as engine:
        assert engine.execute("import time\ndef main(state): time.sleep(0.3)").result(20)
        yield engine


def plan(*steps, **more):
    return {"workflow": {"steps": list(steps), **more}}


SPOILS = """
def main(state):
    state["configuration"]["deep"]["list"].append("spoiled")
    state["configuration"].clear()
    state["data"]["rows"].append(state["data"])
    return {"data": {"rows": []}}
"""
SHOWS = (
    "def main(state): return {'data': {'c': state['configuration'], 'rows': state['data']['rows']}}"
)
GIVEN = {"deep": {"list": [1]}}


@pytest.mark.parametrize("lazily", [False, True], ids=["inline", "by id"])
@pytest.mark.parametrize("where", ["credentials", "configuration"])
def test_what_a_plan_gives_is_given_to_each_execution_anew(shared: Engine, where, lazily):
    """A step that is reached twice, and the next step, see no change of the first execution."""
    value = "the-id" if lazily else GIVEN
    of_step = {"configuration": value} if where == "configuration" else {}
    of_workflow = {"credentials": value} if where == "credentials" else {}
    default = {"state": {"data": {"rows": ["own"]}}}
    work = plan(
        {"id": "t", "next": {"a": True, "b": True}},
        {"id": "a", "expression": SPOILS, "next": {"z": True}, **of_step, **default},
        {"id": "b", "expression": SPOILS, "next": {"z": True}, **of_step, **default},
        {"id": "z", "expression": SHOWS, **of_step},
        **of_workflow,
    )
    result = shared.execute(
        work, resolvers=Resolvers(credential=lambda _id: GIVEN), options=RunOptions()
    ).result(20)
    assert result.error is None
    for leaf in ("z", "z-1"):
        assert result.state[leaf]["data"] == {"c": GIVEN, "rows": []}


@pytest.mark.parametrize("spare", [0, 300, 3_000])
@pytest.mark.parametrize("text", ["x", "x" * 2_000])
def test_a_state_near_its_limit_does_not_hide_the_failure(shared: Engine, spare, text):
    """The state has a short report, or the verdict names the failure."""
    state = {"data": "x" * (1_000_000 - spare)}
    source = f"def main(state): raise ValueError({text!r})"
    run = shared.execute(source, state, RunOptions(state_mb=1))
    events = finish(run)
    result = run.result()
    assert types_of(events)[-3:-1] == ["job-start", "job-error"]
    if result.reason == "fail":
        assert result.error.name == "RuntimeError"
        assert result.state["errors"]["job-1"]["message"].startswith("x")
    else:
        assert result.error.name == "StateTooLargeError"
        assert "failed with RuntimeError: x" in result.error.message
    assert result.reason == {0: "kill", 3_000: "fail"}.get(spare, result.reason)


def test_the_input_is_what_remains_of_a_state_that_cannot_be_carried(shared: Engine):
    """The input includes the default state of the step, and no change by the job."""
    source = "def main(state):\n    state['data'].clear()\n    state['f'] = len\n    return state\n"
    work = plan({"id": "a", "expression": source, "state": {"k": 2, "data": {"x": 1}}})
    result = shared.execute(work, {"data": {"y": 2}}).result(20)
    assert result.error.name == "StateError"
    errors = result.state.pop("errors")
    assert result.state == {"k": 2, "data": {"x": 1, "y": 2}}
    assert list(errors) == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        "def __str__(self): raise RecursionError",
        "def __str__(self): raise MemoryError",
        "def __str__(self): return self.nothing",
        "def __repr__(self): return 7",
        "args = 5",
        "def __str__(self): return 'x' * 10**7",
    ],
)
def test_an_exception_that_breaks_its_own_report_is_reported(shared: Engine, body):
    """The report is an error of the job, with the class of the exception."""
    source = f"class Bad(Exception):\n    {body}\n\ndef main(state): raise Bad('text')"
    result = shared.execute(source).result(20)
    assert (result.reason, result.error.name, result.error.subtype) == ("fail", "JobError", "Bad")


@pytest.mark.parametrize("key", ["Point(1)", "(1, 2)", "Kind.A", "frozenset([1])"])
def test_a_key_that_would_not_come_back_is_a_state_error(shared: Engine, key):
    """The step that made the key fails, with the path of its map; the next step is not started."""
    source = (
        "from dataclasses import dataclass\nfrom enum import Enum\n"
        "@dataclass(frozen=True)\nclass Point:\n    x: int\n"
        "class Kind(Enum):\n    A = (1, 2)\n"
        f"def main(state): return {{'data': [{{{key}: 1}}]}}\n"
    )
    result = shared.execute(source).result(20)
    assert (result.reason, result.error.name) == ("fail", "StateError")
    assert result.error.message.startswith("state.data[0]: cannot carry a")
    assert "as a key" in result.error.message


def test_a_byte_order_mark_is_no_column(shared: Engine):
    """In a job and in globals, an error on the first line has the column that an editor shows."""
    work = plan(
        {"id": "a", "expression": "\ufeffdef main(state): return {'data': twice(2)}"},
        globals="\ufeffdef twice(n): return n * 2\n",
    )
    assert shared.execute(work).result(20).state == {"data": 4}
    position = shared.execute("\ufeffdef main(state): return nope").result(20).error.position
    plain = shared.execute("def main(state): return nope").result(20).error.position
    assert position == plain


def test_several_leaves_may_be_too_large_together(shared: Engine):
    """Each state is within the limit, but the result is not."""
    leaf = "def main(state): return 'x' * 1_500_000"
    work = plan(
        {"id": "t", "next": {"a": True, "b": True, "c": True, "d": True}},
        *({"id": name, "expression": leaf} for name in "abcd"),
    )
    result = shared.execute(work, options=RunOptions(state_mb=2, payload_mb=2)).result(20)
    assert (result.reason, result.error.name) == ("kill", "StateTooLargeError")
    assert "the final state takes 6.0 MB; allowed: 2 MB (state_mb)" in result.error.message


@pytest.mark.parametrize("rows", [1, 5_000])
def test_no_code_of_a_job_runs_while_its_result_is_encoded(shared: Engine, rows):
    """Properties, iterators and texts of a job's classes do not run, whatever the size."""
    source = f"""
from dataclasses import dataclass

class Rows(list):
    def __iter__(self):
        print("ran")
        return iter([])

class Words(set):
    def __iter__(self):
        print("ran")
        return iter([])

@dataclass
class Person:
    name: str

    def __eq__(self, other):
        print("ran")

    def __str__(self):
        print("ran")

def main(state):
    return {{"rows": Rows([1]), "words": Words(["a"]), "p": Person("Ada"), "n": [0] * {rows}}}
"""
    run = shared.execute(source)
    events = finish(run)
    state = run.result().state
    assert (state["rows"], state["words"], state["p"]) == ([1], ["a"], {"name": "Ada"})
    assert [event.message for event in events if event.type == "log"] == []
