"""A hostile child holds its own ends of the protocol, but it can only harm its own run."""

from __future__ import annotations

import pytest

import engine
from protocol import codec, messages
from protocol.framing import header
from protocol.limits import ANSWERS_FD, REQUESTS_FD
from protocol.state import encode_state

CALM = "def main(state):\n    return {**state, 'calm': True}"


def frame(message) -> bytes:
    body = codec.encode(message)
    return header(len(body)) + body


def complete(state) -> bytes:
    return frame(messages.WorkflowComplete(state=memoryview(encode_state(state))))


FORGERIES = {
    "end_of_the_run": complete({"forged": True}),
    "ready_again": frame(messages.Hello(version=1)),
    "refusal_afterwards": frame(
        messages.ConfineFailed(layer="seccomp", reason="forged", remedy="none")
    ),
    "length_of_four_gigabytes": b"\xff\xff\xff\xff" + b"x" * 100,
    "length_zero": b"\0\0\0\0" * 100,
    "no_message": header(5) + b"\xc1\xc1\xc1\xc1\xc1",
    "half_a_frame": header(1000) + b"x",
    "deep_nesting": header(300_000) + b"\x91" * 300_000,
    "many_logs": frame(
        messages.LogBatch(entries=(messages.LogEntry("info", "job", "forged"),) * 1000)
    )
    * 20,
    "unknown_credential": frame(
        messages.LoadCredential(id="of-another-run", step_id="x", step_run_id="x")
    ),
}


@pytest.fixture(scope="module")
def eng():
    with engine.Engine(
        max_runs=2,
        policy=engine.Policy(language=False),
        options=engine.RunOptions(timeout_s=5, memory_mb=200),
    ) as made:
        made.execute(CALM).result(timeout_s=30)
        yield made


def job(data: bytes, *, then: str = "import os; os._exit(0)") -> str:
    return f"""
def main(state):
    import os
    data = {data!r}
    while data:
        data = data[os.write({ANSWERS_FD}, data):]
    {then}
"""


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_frame_ends_its_own_run_only(eng, name):
    """The run ends with one last event that reports a failure, and other runs are not affected."""
    neighbour = eng.execute(CALM)

    hostile = eng.execute(job(FORGERIES[name]))

    result = hostile.result(timeout_s=30)
    events = hostile.poll(after=0)
    ends = [e for e in events if isinstance(e, engine.WorkflowComplete | engine.WorkflowError)]
    assert events[-1:] == ends
    assert result.reason in ("crash", "kill", "exception"), result
    assert neighbour.result(timeout_s=30).state["calm"] is True
    assert eng.execute(CALM).result(timeout_s=30).state["calm"] is True


def test_a_child_that_reads_its_own_orders_finds_nobody_elses(eng):
    """The pipe from the engine contains only the messages for this run."""
    source = f"""
def main(state):
    import os
    os.set_blocking({REQUESTS_FD}, False)
    try:
        return {{"read": os.read({REQUESTS_FD}, 1000000)}}
    except BlockingIOError:
        return {{"read": None}}
"""
    secret = {"data": {"token": "of another run"}}
    neighbour = eng.execute(CALM, secret)
    result = eng.execute(source).result(timeout_s=30)
    neighbour.result(timeout_s=30)

    assert result.state is None or result.state["read"] in (None, b"")


def test_a_child_that_closes_its_pipes_has_ended_for_the_engine(eng):
    """A child that goes on without its pipes does not keep a run open: the engine ends it."""
    closing = f"""
def main(state):
    import os, signal
    for number in ({REQUESTS_FD}, {ANSWERS_FD}, 1, 2):
        os.close(number)
    while True:
        signal.pause()
"""
    result = eng.execute(closing).result(timeout_s=30)

    assert result.reason in ("crash", "kill", "exception")


def test_two_runs_at_once_cannot_see_each_other(eng):
    """Both runs have one engine, but neither finds a process, file or descriptor of the other."""
    looking = """
def main(state):
    import os
    seen = []
    for number in range(3, 64):
        try:
            os.fstat(number)
        except OSError:
            continue
        if number not in (10, 11):
            seen.append(f"descriptor {number}")
    for pid in range(os.getpid() - 50, os.getpid() + 50):
        if pid != os.getpid():
            try:
                os.kill(pid, 0)
            except OSError:
                pass
            else:
                seen.append(f"process {pid}")
    return {"seen": seen}
"""
    runs = [eng.execute(looking) for _ in range(2)]

    for run in runs:
        assert run.result(timeout_s=30).state == {"seen": []}
