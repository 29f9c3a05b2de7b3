"""Runs a workflow of our own, so that the first one of a stranger finds the way trodden.

The zygote does so: the interpreter adapts its bytecode, and caches are filled, before all that is
shared.  What is written later is copied, page by page, in every child.
"""

from __future__ import annotations

import msgspec

from protocol import messages as m
from protocol.codec import decode_to_child, encode
from protocol.plan import Edge, Step, Workflow
from protocol.state import encode_state
from sandbox_child.channel import Channel
from sandbox_child.graph import Walk
from sandbox_child.logbook import LogBook
from sandbox_child.step import Runtime

_JOB = """\
def main(state):
    state.data.x += 1
    return {**state, "seen": [row["name"] for row in state.data.rows]}
"""


class _Nobody(Channel):
    """A channel that nobody listens to."""

    def __init__(self) -> None:
        super().__init__(-1, -1)

    def hold(self, message: m.Message) -> None:
        """Encode a message, and forget it."""
        super().hold(message)
        self._held.clear()

    def send(self, message: m.Message) -> None:
        """Encode a message, and forget it."""
        self.hold(message)


def rehearse() -> None:
    """Run two small jobs through all that a run goes through; leaves nothing behind."""
    steps = (
        Step(id="a", expression=_JOB, next={"b": Edge("state.data.x > 1")}),
        Step(id="b", expression=_JOB),
    )
    start: m.Message = m.Start(
        run_id="rehearsal",
        workflow=Workflow(steps=steps),
        start="a",
        state=msgspec.Raw(encode_state({"data": {"x": 1, "rows": [{"name": "n"}]}})),
        limits=m.ChildLimits(
            state_bytes=10**6,
            payload_bytes=10**6,
            log_payload_bytes=10**6,
            max_log_bytes=10**6,
            max_step_runs=10,
            memory_bytes=10**9,
        ),
    )
    start = decode_to_child(encode(start))  # as it would come, so that the decoder is there
    assert isinstance(start, m.Start)
    nobody = _Nobody()
    logs = LogBook(nobody, level="debug", max_bytes=10**6, max_line_bytes=10**6)
    last = Walk(Runtime(start, nobody, logs)).run()
    if not isinstance(last, m.WorkflowComplete) or last.error is not None:
        raise AssertionError(f"the rehearsal failed: {last}")
