"""A child that tries to keep the manager busy, to fill it, or to speak in the engine's name."""

from __future__ import annotations

import contextlib

import pytest
from relay_world import command_without
from runs import wait_for

import engine
from benchmarks.attackers import (
    ATTACKS,
    CALLER,
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


@pytest.fixture(scope="module")
def calm():
    """The newest times and delay beside runs that compute, for honest runs with a port and for those without (None)."""
    return {}


def hardly_noticed(attacked, calm, seen):
    """Compare the times and the delay beside an attack with those beside runs that compute."""
    times, missed_s = attacked
    median = times.median / max(other.median for other, _ in calm)
    late = times.late / max(other.late for other, _ in calm)
    more_s = missed_s - max(other_s for _, other_s in calm)
    seen.append((median, late, more_s))
    return median <= 2 and late <= 4 and more_s <= 0.5


def compare(eng, attack, calm, *, port=None, honest_port=None):
    """Fail if honest runs beside the attack take more than twice their time beside a run that only computes.

    That is the median; the 95th percentile may be four times as long. The attacker's own limit of time is at most half
    a second later than that of the run that computes.
    """

    def measure(source, seconds, port=None):
        # A run with a network takes three times as long as one without.
        least = 20 if honest_port is None else 10
        return beside(
            eng,
            source,
            lambda: honest_runs(eng, seconds, least, port=honest_port),
            timeout_s=seconds + 0.05,
            port=port,
        )

    seen = []
    before = calm.get(honest_port) or measure(COMPUTES, 0.1)
    for _ in range(ATTEMPTS):
        attacked = measure(attack, 0.2, port)
        calm[honest_port] = before
        if hardly_noticed(attacked, [before], seen):
            return
        # The machine may have become busier: the worse of the times before and after counts.
        calm[honest_port] = after = measure(COMPUTES, 0.1)
        if hardly_noticed(attacked, [before, after], seen):
            return
        before = after
    pytest.fail(f"median, 95th percentile, and seconds after the limit, of each attempt: {seen}")


@pytest.mark.parametrize("name", ["small frames", "empty lines to standard output", "large states"])
def test_honest_runs_beside_an_attacker_hardly_notice_it(eng, calm, name):
    """The limits are those of `compare`, for a job that floods the engine."""
    compare(eng, ATTACKS[name], calm)


@pytest.mark.parametrize(
    ("name", "network"),
    [("connections", True), ("bytes", True), ("garbage", True), ("bytes", False)],
    ids=["connections", "bytes", "garbage", "bytes beside runs without network"],
)
def test_honest_runs_beside_a_flood_of_the_network_hardly_notice_it(
    eng, ports, calm, name, network
):
    """The limits are those of `compare`, for a job that floods the relay or an allowed host."""
    attacked, other = ports
    compare(eng, FLOODS[name], calm, port=attacked, honest_port=other if network else None)


@pytest.fixture
def flooded(ports):
    """Give a function that starts an engine and a job that takes no answers, and waits until nobody takes more from the job."""
    source = FLOODS["answers that nobody reads"].replace("PORT", str(ports[0]))
    policy = engine.Policy(language=False)
    with engine.Engine(policy=policy, max_runs=4, start_mode="exec") as made:

        def start():
            options = network_options(ports[0], timeout_s=60)
            attack = made.execute(attacker(source), {}, options=options)
            while not any(event.type == "log" for event in attack.poll(timeout_s=30)):
                assert not attack.done
            return made, attack

        yield start


def test_a_job_that_takes_no_answers_stops_nobody_else(flooded, ports):
    """The relay goes on with the connections of other runs."""
    made, attack = flooded()
    honest_runs(made, 0, 2, port=ports[1])
    assert not attack.done
    attack.cancel("enough")
    attack.result(60)


def test_a_relay_without_the_limit_waits_for_a_job_that_takes_no_answers(
    flooded, ports, monkeypatch
):
    """The twin: the relay waits until the job takes its bytes, and each other connection waits with it."""
    monkeypatch.setattr(process, "relay_command", lambda: command_without("go_on_with_others"))
    made, attack = flooded()
    # On a busy machine 0.3 s without a free buffer do not mean that the relay waits: it may wait for a processor.
    while (waits := started_caller(made, ports[1])).done:
        assert not attack.done, "no other run had to wait for the attack"
    attack.cancel("enough")
    assert attack.result(60).error.name == "Cancelled"
    assert waits.result(60).reason == "success"


def started_caller(made, port):
    """Start an honest run with a connection; wait for its end, but at most a second after its job began."""
    run = made.execute(CALLER, {"port": port}, options=network_options(port))
    wait_for(run, "job-start")
    with contextlib.suppress(TimeoutError):
        run.result(1)
    return run


def test_without_turns_and_shares_an_attacker_stops_the_others(eng, monkeypatch):
    """The twin: the same attack, but the engine reads the child for as long as it sends."""
    monkeypatch.setattr(lane, "SLICE_S", 60.0)
    monkeypatch.setattr(share, "SHARE", 1e9)
    attack = ATTACKS["batches of empty lines"]
    seen = []
    for _ in range(
        ATTEMPTS
    ):  # on a busy machine the attacker gets too little of a processor at times
        alone, _ = beside(eng, COMPUTES, lambda: honest_runs(eng, 0.1), timeout_s=0.15)
        times, _ = beside(eng, attack, lambda: honest_runs(eng, 0.3), timeout_s=0.4)
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
