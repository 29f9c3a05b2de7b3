"""A child of a few lines: it holds one normal conversation, and breaks it off in one way.

Run as ``python fake_process.py FD``. Each message on the socket is the number of messages that a child
sends, and the fault after them (a name of `FAULTS`), with the four descriptors of the child.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from protocol import messages as m
from protocol.codec import decode_to_child, encode
from protocol.confinement import ConfinementReport
from protocol.framing import FrameReceiver, header
from protocol.limits import ANSWERS_FD, MAX_FRAME_BYTES, PROTOCOL_VERSION, REQUESTS_FD
from protocol.report import make_report
from protocol.state import encode_state

STATE = memoryview(encode_state({"data": {"n": 1}}))
LINE = m.LogBatch(entries=(m.LogEntry("info", "job", "a line"),))
HELLO = m.Hello(version=PROTOCOL_VERSION)
ASK = m.LoadCredential(step_id="a", step_run_id="a", id="cred")
DONE = m.WorkflowComplete(state=STATE)

CONVERSATION: tuple[m.Message, ...] = (
    HELLO,
    m.Ready(confinement=ConfinementReport(level="none", language=True), python="3"),
    m.InitStart(step_id="a", step_run_id="a"),
    ASK,
    m.InitComplete(duration_ms=1),
    m.JobStart(),
    LINE,
    m.JobComplete(state=STATE, state_bytes=len(STATE), next=("b",), duration_ms=1),
    m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True),
    m.InitStart(step_id="b", step_run_id="b"),
    m.InitComplete(duration_ms=1),
    m.JobStart(),
    m.JobError(
        error=make_report("JobError", "no", step_id="b"),
        state=STATE,
        state_bytes=len(STATE),
        next=(),
        duration_ms=1,
    ),
    DONE,
)


class Wire:
    """Both pipe ends of the child."""

    def __init__(self) -> None:
        self._receiver = FrameReceiver(MAX_FRAME_BYTES)
        self._messages = self._read()

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(ANSWERS_FD, rest) :]

    def send(self, message: m.Message) -> None:
        self.frame(encode(message))

    def frame(self, body: bytes) -> None:
        self.write(header(len(body)) + body)

    def wait(self, kind: type[m.Message]) -> None:
        while not isinstance(next(self._messages), kind):
            pass

    def _read(self) -> Iterator[m.Message]:
        while True:
            buffer = self._receiver.buffer()
            count = os.readv(REQUESTS_FD, [buffer])
            buffer.release()
            if count == 0:
                os._exit(3)
            for frame in self._receiver.received(count):
                yield decode_to_child(frame)


def converse(wire: Wire, count: int) -> None:
    """Send the first *count* messages, and read the answers to them."""
    for index, message in enumerate(CONVERSATION[:count]):
        wire.send(message)
        if index + 1 < count:  # otherwise the fault decides whether to read it
            if isinstance(message, m.Ready):
                wire.wait(m.Start)
            elif isinstance(message, m.LoadCredential):
                wire.wait(m.Loaded)


def _stay() -> NoReturn:
    while True:
        time.sleep(60)


def _close() -> None:
    os.close(REQUESTS_FD)
    os.close(ANSWERS_FD)


def _repeat(wire: Wire, message: m.Message) -> NoReturn:
    body = encode(message)
    block = (header(len(body)) + body) * 1000
    while True:
        wire.write(block)


def _final(wire: Wire, state: bytes) -> None:
    """End with bytes that are not a state; the bytes go out as they are."""
    wire.send(m.WorkflowComplete(state=memoryview(state)))


def _ask_twice(wire: Wire) -> NoReturn:
    for _ in range(100):
        wire.send(ASK)
    _stay()


def _ask_and_not_read(wire: Wire) -> NoReturn:
    while True:
        wire.send(ASK)
        time.sleep(0.1)


Fault = Callable[[Wire], Any]

STOPS: dict[str, Fault] = {
    "exits with 0": lambda _: os._exit(0),
    "exits with 7": lambda _: os._exit(7),
    "is killed": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "closes and exits": lambda _: (_close(), os._exit(0)),
    "closes and stays": lambda _: (_close(), _stay()),
    "stalls": lambda _: _stay(),
    "sends half a prefix and exits": lambda wire: (wire.write(b"\x09"), os._exit(0)),
    "sends half a frame and exits": lambda wire: (wire.write(header(9) + b"123"), os._exit(0)),
    "sends half a frame and stays": lambda wire: (wire.write(header(9) + b"123"), _stay()),
}
"""The child does not end by itself, or ends badly."""

LIES: dict[str, Fault] = {
    "sends garbage": lambda wire: wire.frame(bytes(range(128, 256))),
    "sends text that is none": lambda wire: wire.frame(b"\x81\xa4type\xa1\xff"),
    "sends a deep nest": lambda wire: wire.frame(b"\x81\xa4type" + b"\x91" * 100_000),
    "announces 4 GB": lambda wire: wire.write(b"\xff\xff\xff\xff"),
    "announces nothing": lambda wire: wire.write(b"\0\0\0\0"),
    "greets twice": lambda wire: (wire.send(HELLO), wire.send(HELLO)),
    "sends what only the engine may": lambda wire: wire.send(m.Cancel(reason="ours")),
    "sends no message": lambda wire: wire.frame(b"\xc0"),
}
"""The child sends a forbidden message, and stays."""

FLOODS: dict[str, Fault] = {
    "floods with lines": lambda wire: _repeat(wire, LINE),
    "floods with empty batches": lambda wire: _repeat(wire, m.LogBatch(entries=())),
    "asks again and again": _ask_twice,
    "asks and does not read": _ask_and_not_read,
    "ends with bad text": lambda wire: _final(wire, b"\xa1\xff"),
    "ends with a deep nest": lambda wire: _final(wire, b"\x91" * 800 + b"\xc0"),
    "ends with a strange key": lambda wire: _final(wire, b"\x81\x91\x01\x01"),
    "ends with an extension": lambda wire: _final(wire, b"\xd4\x4d\x00"),
    "ends with a bad time": lambda wire: _final(wire, b"\xd7\xff" + b"\xff" * 8),
}

NOTHING: dict[str, Fault] = {"goes on": lambda _: None}

FAULTS = STOPS | LIES | FLOODS | NOTHING


CLONE = {"x86_64": 56}.get(os.uname().machine, 220)
CLONE_PARENT = 0x8000
"""The parent of the new process is that of the calling one: clone(2)."""


def serve(requests: socket.socket) -> NoReturn:
    """Make a child of the manager for each request, and answer with its pid."""
    clone = ctypes.CDLL(None).syscall
    while True:
        data, fds, _, _ = socket.recv_fds(requests, 1000, 4)
        if not data:
            os._exit(0)
        pid = clone(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if not pid:
            live(fds, data.decode())
        for fd in fds:
            os.close(fd)
        requests.send(str(pid).encode())


def live(fds: list[int], order: str) -> NoReturn:
    """Be the child, with its descriptors only."""
    lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in fds]
    os.closerange(3, 64)
    for fd, number in zip(lifted, (1, 2, REQUESTS_FD, ANSWERS_FD), strict=True):
        os.dup2(fd, number)
    os.closerange(64, 100)
    count, fault = order.split(" ", 1)
    wire = Wire()
    converse(wire, int(count))
    FAULTS[fault](wire)
    if fault in LIES:
        _stay()
    os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
