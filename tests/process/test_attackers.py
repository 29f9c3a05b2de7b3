"""A child that tries to keep the manager busy, to fill it, or to speak in the engine's name."""

from __future__ import annotations

import pytest

import engine
from benchmarks.attackers import ATTACKS, attacker, beside, honest_runs
from engine.running import lane, share


@pytest.fixture(scope="module")
def eng():
    """Jobs here have no language wall: they write to the pipe of the engine by themselves."""
    with engine.Engine(policy=engine.Policy(language=False), max_runs=4) as made:
        # The thread that makes control groups begins with the first run that lasts, and ends with
        # the engine.
        lasting = "import time\ndef main(state):\n    time.sleep(0.6)\n    return state"
        made.execute({"workflow": {"steps": [{"id": "a", "expression": lasting}]}}, {}).result(60)
        yield made


COMPUTES = "while True: pass"
"""A job that takes a processor as an attack does, and says nothing: on a busy machine both cost as much."""


ATTEMPTS = 10
"""Other programs can only make an attempt worse, so one good attempt is enough."""


def hardly_noticed(attacked, calm, seen):
    """Compare the times and the delay beside an attack with those beside runs that compute."""
    times, missed_s = attacked
    median = times.median / max(other.median for other, _ in calm)
    late = times.late / max(other.late for other, _ in calm)
    more_s = missed_s - max(other_s for _, other_s in calm)
    seen.append((median, late, more_s))
    return median <= 2 and late <= 4 and more_s <= 0.5


@pytest.mark.parametrize("name", ["small frames", "empty lines to standard output", "large states"])
def test_honest_runs_beside_an_attacker_hardly_notice_it(eng, name):
    """At most twice their time beside a run that only computes (median), or four times (95th percentile).

    The attacker's own limit of time is at most half a second later than that of the run that computes.
    """
    seen = []
    calm = [beside(eng, COMPUTES, lambda: honest_runs(eng, 0.3, 20), timeout_s=0.4)]
    for _ in range(ATTEMPTS):
        attacked = beside(eng, ATTACKS[name], lambda: honest_runs(eng, 0.6, 20), timeout_s=0.7)
        if hardly_noticed(attacked, calm, seen):
            return
        # The machine may have become busier: the worse of the times before and after counts.
        calm.append(beside(eng, COMPUTES, lambda: honest_runs(eng, 0.3, 20), timeout_s=0.4))
        if hardly_noticed(attacked, calm, seen):
            return
        del calm[0]
    pytest.fail(f"median, 95th percentile, and seconds after the limit, of each attempt: {seen}")


def test_without_turns_and_shares_an_attacker_stops_the_others(eng, monkeypatch):
    """The twin: the same attack, but the engine reads the child for as long as it sends."""
    monkeypatch.setattr(lane, "SLICE_S", 60.0)
    monkeypatch.setattr(share, "SHARE", 1e9)
    alone, _ = beside(eng, COMPUTES, lambda: honest_runs(eng, 0.3), timeout_s=0.4)
    attack = ATTACKS["batches of empty lines"]
    times, _ = beside(eng, attack, lambda: honest_runs(eng, 0.8), timeout_s=1.0)
    assert times.median > 2 * alone.median


def run(eng, source, **options):
    handle = eng.execute(attacker(source), {}, options=engine.RunOptions(timeout_s=5, **options))
    return handle.result(60), handle.poll(after=0)


def test_a_job_with_too_many_items_ends_with_an_error_that_says_so(eng):
    """The child finds the error, because the child knows the step."""
    source = "def main(state):\n    return {'data': [{}] * 300}"
    plan = {"workflow": {"steps": [{"id": "a", "expression": source}]}}
    options = engine.RunOptions(state_items=303)
    assert eng.execute(plan, {}, options=options).result(60).reason == "success"
    result = eng.execute(plan, {}, options=engine.RunOptions(state_items=302)).result(60)
    assert (result.reason, result.error.name, result.error.option) == (
        *("kill", "StateTooLargeError", "state_items"),
    )
    assert result.error.step_id == "a"
    assert "has 303 items or more; allowed: 302 (state_items)" in result.error.message


def test_a_child_that_does_not_count_the_items_of_its_state_gains_nothing(eng):
    """The manager counts the items before it decodes the state."""
    result, events = run(
        eng,
        "x = pack([Raw(b'\\x80')] * 300)\n"
        "write(frame(type='job-complete', state=x, state_bytes=len(x), next=[], duration_ms=1)"
        " + frame(type='workflow-complete', state=None, state_of='a'))\n"
        "time.sleep(9)",
        state_items=300,
    )
    assert (result.error.name, result.error.option, result.state) == (
        *("StateTooLargeError", "state_items", None),
    )
    assert all(
        event.redacted
        for event in events
        if event.type.endswith("-complete") and hasattr(event, "redacted")
    )


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        *(("ConfinementError", "exception"), ("TimeoutError", "kill"), ("JobError", "exception")),
        *(("Cancelled", "kill"), ("SecurityError", "fail"), ("Unheard", "fail")),
    ],
)
def test_a_child_cannot_claim_an_error_that_is_not_its_own(eng, name, severity):
    """A reader of events would take such an error for a finding of the engine."""
    error = {"name": name, "message": "forged", "severity": severity}
    result, events = run(
        eng,
        f"write(frame(type='job-error', error={error}, state=None, state_bytes=0, next=[],"
        " duration_ms=1))\ntime.sleep(9)",
    )
    assert result.error.name == "ProtocolError"
    assert "forged" not in str(events)


def test_a_child_cannot_speak_as_the_engine_in_the_log(eng):
    """Only warnings of the runtime are accepted; the engine itself reads the streams."""
    entries = [["warning", "runtime", "all is well"], ["error", "runtime", "was never run; x"]]
    _, events = run(eng, f"write(frame(type='log-batch', entries={entries}))\nos._exit(0)")
    assert [event.source for event in events if event.type == "log"] == ["job", "job"]
    forged = [["info", "stdout", "forged"]]
    result, events = run(eng, f"write(frame(type='log-batch', entries={forged}))\ntime.sleep(9)")
    assert result.error.name == "ProtocolError"
    assert "forged" not in str(events)


def test_a_credential_that_could_not_be_had_is_not_asked_for_again(eng):
    """The engine asks the resolver only once, however often the child asks."""
    asked = []

    def vault(name):
        asked.append(name)
        raise PermissionError("denied")

    plan = attacker(
        "write(frame(type='job-complete', state=None, state_bytes=1, next=[], duration_ms=0)\n"
        "  + frame(type='init-start', step_id='a', step_run_id='a-1'))\n"
        "while True:\n"
        "    write(frame(type='load-credential', step_id='a', step_run_id='a-1', id='vault'))\n"
        "    os.read(10, 65536)"
    )
    plan["workflow"]["steps"].append({"id": "b", "expression": "x = 1", "configuration": "vault"})
    handle = eng.execute(
        plan,
        {},
        options=engine.RunOptions(timeout_s=10),
        resolvers=engine.Resolvers(credential=vault),
    )
    assert handle.result(60).error.name == "ProtocolError"
    assert asked == ["vault"]
