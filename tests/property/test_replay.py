"""A walk that is cut after any step and goes on in another child ends as one that was not cut."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import graphs
from scripted_walk import Walked, proceeding, run_walk, start_of

from examples import examples
from protocol import messages as m
from protocol.report import make_report

QUICK = examples(60)


def start(steps: list[dict[str, Any]], end: str | None, **fields: Any) -> m.Start:
    if end not in {step["id"] for step in steps}:
        end = None
    options = {"start": "s0", **({"end": end} if end else {})}
    return start_of({"workflow": {"steps": steps}, "options": options}, whole=True, **fields)


def shown(frames: list[bytes]) -> list[Any]:
    """Return messages without the times in them."""
    decoded = [msgspec.msgpack.decode(frame) for frame in frames]
    return [{key: value for key, value in one.items() if key != "duration_ms"} for one in decoded]


def after_end(walked: Walked, count: int) -> list[bytes]:
    """Return what a walk has sent after the end of a number of jobs, and after their edges."""
    if not count:
        return walked.frames
    ends = [n for n, x in enumerate(walked.sent) if isinstance(x, m.JobComplete | m.JobError)]
    step_id = walked.of(m.InitStart)[count - 1].step_id
    first = ends[count - 1] + 1
    rest = walked.sent[first:]
    while rest and isinstance(rest[0], m.EdgeResolved) and rest[0].from_step_id == step_id:
        rest, first = rest[1:], first + 1
    return walked.frames[first:]


@pytest.mark.slow
@QUICK
@given(graphs(), st.sampled_from([None, None, "s2"]), st.booleans(), st.data())
def test_a_walk_that_is_cut_anywhere_goes_on_as_if_it_was_not(steps, end, barrier, data):
    """The next child sends exactly the rest, under the same names, and ends with the same state."""
    whole = run_walk(
        start(steps, end, barrier=barrier), answer=proceeding if barrier else lambda _: ()
    )
    cut = data.draw(st.integers(0, len(whole.step_runs)))
    replays = whole.replays()[:cut]
    resumed = run_walk(
        start(steps, end, barrier=barrier, replay=cut),
        answer=proceeding if barrier else lambda _: (),
        script=replays,
    )
    assert shown(resumed.frames) == shown(after_end(whole, cut))
    assert resumed.state == whole.state
    assert getattr(resumed.last.error, "message", None) == getattr(
        whole.last.error, "message", None
    )


@pytest.mark.slow
@QUICK
@given(graphs(), st.data())
def test_a_step_that_died_has_failed_and_the_walk_goes_on(steps, data):
    """Whichever step it is: its state is its input with the report in it, and its edges are followed."""
    whole = run_walk(start(steps, None))
    if not whole.step_runs:
        return
    cut = data.draw(st.integers(0, len(whole.step_runs) - 1))
    report = make_report("RuntimeError", "the child died")
    resume = m.Resume(step_run_id=whole.step_runs[cut], attempt=1, died=report)
    resumed = run_walk(start(steps, None, replay=cut, resume=resume), script=whole.replays()[:cut])

    [died] = resumed.of(m.StepDied)
    assert died.step_run_id == whole.step_runs[cut]
    assert whole.step_runs[cut] not in resumed.step_runs
    step = next(step for step in steps if step["id"] == died.step_id)
    end = resumed.of(m.JobComplete, m.JobError)[0]
    assert end.error.message == "the child died"
    assert set(end.next) == {
        target for target, edge in step["next"].items() if edge is True or edge == "on_job_failure"
    } | {
        target
        for target, edge in step["next"].items()
        if edge == "state.data.count > 2"
        and resumed.states[died.step_run_id]["data"].get("count", 0) > 2
    }
    assert resumed.states[died.step_run_id]["errors"][died.step_id]["name"] == "RuntimeError"
