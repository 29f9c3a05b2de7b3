"""A child that tries to keep the manager busy, to fill it, or to speak in the engine's name."""

from __future__ import annotations

import time

import pytest
from relay_world import command_without

import engine
from benchmarks.attackers import (
    ATTACKS,
    FLOODS,
    attacker,
    beside,
    honest_runs,
    network_options,
    server,
)
from engine.network import process
from engine.running import lane, share


@pytest.fixture(scope="module")
def ports():
    """The port that attackers may reach, and that of honest runs: each server is a process of its own."""
    with server() as attacked, server() as other:
        yield attacked, other


@pytest.fixture(scope="module")
def eng(ports):
    """Jobs here have no language wall: they write to the pipe of the engine by themselves."""
    with engine.Engine(policy=engine.Policy(language=False), max_runs=4) as made:
        # The thread that makes control groups begins with the first run that lasts, and ends with
        # the engine, as the relay does.
        lasting = "import time\ndef main(state):\n    time.sleep(0.6)\n    return state"
        made.execute({"workflow": {"steps": [{"id": "a", "expression": lasting}]}}, {}).result(60)
        honest_runs(made, 0, 2, port=ports[1])
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


@pytest.mark.parametrize(
    ("name", "network"),
    [("connections", True), ("bytes", True), ("garbage", True), ("bytes", False)],
    ids=["connections", "bytes", "garbage", "bytes beside runs without network"],
)
def test_honest_runs_beside_a_flood_of_the_network_hardly_notice_it(eng, ports, name, network):
    """The limits are those above, for a job that floods the relay or an allowed host."""
    attacked, other = ports
    port = other if network else None

    def measure():
        return honest_runs(eng, 0.2, 20, port=port)

    seen = []
    for _ in range(ATTEMPTS):
        calm = beside(eng, COMPUTES, measure, timeout_s=0.3)
        flooded = beside(eng, FLOODS[name], measure, timeout_s=0.5, port=attacked)
        if hardly_noticed(flooded, [calm], seen):
            return
    pytest.fail(f"median, 95th percentile, and seconds after the limit, of each attempt: {seen}")


@pytest.mark.parametrize("off", [False, True], ids=["whole", "without the limit"])
def test_a_job_that_takes_no_answers_stops_nobody_else(ports, monkeypatch, off):
    """In the twin the relay waits until the job takes its bytes, and each other connection waits with it."""
    if off:
        monkeypatch.setattr(process, "relay_command", lambda: command_without("go_on_with_others"))
    attacked, other = ports
    source = FLOODS["answers that nobody reads"].replace("PORT", str(attacked))
    limit_s = 3.0 if off else 60.0
    policy = engine.Policy(language=False)
    with engine.Engine(policy=policy, max_runs=4, start_mode="exec") as made:
        began = time.monotonic()
        attack = made.execute(
            attacker(source), {}, options=network_options(attacked, timeout_s=limit_s)
        )
        while not any(event.type == "log" for event in attack.poll(timeout_s=30)):
            assert not attack.done
        honest_runs(made, 0, 2, port=other)
        if off:
            assert time.monotonic() - began >= limit_s
        else:
            assert not attack.done
            attack.cancel("enough")
        attack.result(60)


def test_without_turns_and_shares_an_attacker_stops_the_others(eng, monkeypatch):
    """The twin: the same attack, but the engine reads the child for as long as it sends."""
    monkeypatch.setattr(lane, "SLICE_S", 60.0)
    monkeypatch.setattr(share, "SHARE", 1e9)
    attack = ATTACKS["batches of empty lines"]
    seen = []
    for _ in range(
        ATTEMPTS
    ):  # on a busy machine the attacker gets too little of a processor at times
        alone, _ = beside(eng, COMPUTES, lambda: honest_runs(eng, 0.3), timeout_s=0.4)
        times, _ = beside(eng, attack, lambda: honest_runs(eng, 0.8), timeout_s=1.0)
        seen.append(times.median / alone.median)
        if seen[-1] > 2:
            return
    pytest.fail(f"median beside the attack, compared with calm runs, of each attempt: {seen}")


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
