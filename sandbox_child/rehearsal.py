"""Runs a workflow of our own, so that the first workflow of a user runs fast.

The zygote rehearses: the interpreter adapts its bytecode, and caches are filled, before its memory
is shared.  Memory that is written later is copied, page by page, in every child.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from protocol import messages as m
from protocol.codec import encode
from protocol.confinement import ConfinementReport
from protocol.framing import FrameReceiver, header
from protocol.limits import MAX_FRAME_BYTES
from protocol.plan import Edge, Step, Workflow
from protocol.state import encode_state
from sandbox_child.language import compile_job
from sandbox_child.pipes.channel import Channel

_T = TypeVar("_T")

_JOB: Final = """\
def main(state):
    state.data.x += 1
    return {**state, "seen": [row["name"] for row in state.data.rows]}
"""

_SMALL_JOB: Final = """\
def main(state):
    state.data.x += 1
    return state
"""

_ANSWER_BYTES: Final = 1 << 16
"""More than the size of all answers, but not more than a pipe takes, because they are read only at
the end."""


def rehearse(
    serve: Callable[[Channel, Callable[[], ConfinementReport], _T, Callable[[], object]], int],
    loaded: _T,
) -> None:
    """Serve a run of two small jobs, like a real run but without walls.

    Args:
        serve: Serves one run: `sandbox_child.bootstrap.serve_forked`.
        loaded: Passed to it.

    """
    theirs, requests = os.pipe()
    answers, ours = os.pipe()
    try:
        try:
            os.write(requests, _start())
        finally:
            os.close(requests)
        serve(Channel(theirs, ours), _stand_in, loaded, rehearse_compiler)
        answered = os.read(answers, _ANSWER_BYTES)
    finally:
        for end in (theirs, answers, ours):
            os.close(end)
    last = _last_message(answered)
    if last["type"] != "workflow-complete" or last["error"] is not None:
        raise AssertionError(f"the rehearsal failed: {last}")


def rehearse_compiler() -> None:
    """Compile a small job, because a fork spends most time on compiling.

    A waiting fork can afford that.  Rehearsing a whole run would copy twice the memory.
    """
    compile_job(_SMALL_JOB, step_id="rehearsal")


def _stand_in() -> ConfinementReport:
    return ConfinementReport(level="none", language=True)


def _start() -> bytes:
    steps = (
        Step(id="a", expression=_JOB, next={"b": Edge("state.data.x > 1")}),
        Step(id="b", expression=_JOB),
    )
    start = m.Start(
        run_id="rehearsal",
        workflow=Workflow(steps=steps),
        start="a",
        state=msgspec.Raw(encode_state({"data": {"x": 1, "rows": [{"name": "n"}]}})),
        limits=m.ChildLimits(
            state_bytes=10**6,
            state_items=10**6,
            payload_bytes=10**6,
            log_payload_bytes=10**6,
            max_log_bytes=10**6,
            max_step_runs=10,
            memory_bytes=10**9,
        ),
    )
    body = encode(start)
    return header(len(body)) + body


def _last_message(answered: bytes) -> dict[str, object]:
    receiver = FrameReceiver(MAX_FRAME_BYTES, _ANSWER_BYTES)
    receiver.buffer()[: len(answered)] = answered
    *_, last = receiver.received(len(answered))
    message: dict[str, object] = msgspec.msgpack.decode(last)
    return message
