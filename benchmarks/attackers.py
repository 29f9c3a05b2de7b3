"""Children that try to keep the manager busy, and the time of honest runs beside one of them.

Each attacker is a job without the language wall that writes to the pipe of its engine by itself, as
an adaptor could.  It writes until it is stopped.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

import engine

HONEST: Final = {
    "workflow": {"steps": [{"id": "a", "expression": "def main(state): return state"}]}
}

WIRE: Final = r"""
import os, time, threading
class Raw:
    def __init__(self, data): self.data = data
def pack(value):
    if value is None: return b"\xc0"
    if isinstance(value, Raw): return value.data
    if isinstance(value, int): return b"\xcf" + value.to_bytes(8, "big")
    if isinstance(value, bytes): return b"\xc6" + len(value).to_bytes(4, "big") + value
    if isinstance(value, str): return b"\xdb" + len(value.encode()).to_bytes(4, "big") + value.encode()
    if isinstance(value, list): return b"\xdd" + len(value).to_bytes(4, "big") + b"".join(map(pack, value))
    return b"\xdf" + len(value).to_bytes(4, "big") + b"".join(pack(k) + pack(v) for k, v in value.items())
def frame(**fields):
    body = pack(fields)
    return len(body).to_bytes(4, "little") + body
def write(data, fd=11):
    view = memoryview(data)
    while view: view = view[os.write(fd, view):]
def end_of_step(**fields):
    return frame(**fields) + b"".join(
        frame(type="init-start", step_id="a", step_run_id="a-%d" % next_number())
        + frame(type="init-complete", duration_ms=0) + frame(type="job-start") for _ in "x")
numbers = [0]
def next_number():
    numbers[0] += 1
    return numbers[0]
"""

ATTACKS: Final = {
    "small frames": "x = frame(type='log-batch', entries=[]) * 1000\nwhile True: write(x)",
    "batches of empty lines": (
        "x = frame(type='log-batch',"
        " entries=Raw(b'\\xdc\\x04\\x00' + b'\\x93\\xa4info\\xa3job\\xa0' * 1024))\n"
        "while True: write(x)"
    ),
    "one batch of two million lines": (
        "n = 2_000_000\n"
        "write(frame(type='log-batch',"
        " entries=Raw(b'\\xdd' + n.to_bytes(4, 'big') + b'\\x93\\xa4info\\xa3job\\xa0' * n)))\n"
        "time.sleep(60)"
    ),
    "empty lines to standard output": "x = b'\\n' * 65536\nwhile True: write(x, 1)",
    "a line that grows byte by byte": "while True: write(b'x', 1)",
    "large states": (
        "x = b'\\xdd' + (9_000_000).to_bytes(4, 'big') + b'\\x80' * 9_000_000\n"
        "while True: write(end_of_step(type='job-complete', state=x, state_bytes=len(x), next=[],"
        " duration_ms=1))"
    ),
    "errors with details": (
        "d = Raw(b'\\xdd' + (33000).to_bytes(4, 'big') + b'\\x81\\x00\\x00' * 33000)\n"
        "e = {'name': 'JobError', 'message': 'x', 'severity': 'fail', 'details': d}\n"
        "while True: write(end_of_step(type='job-error', error=e, state=None, state_bytes=0,"
        " next=[], duration_ms=1))"
    ),
    "children that come and go": "write(frame(type='log-batch', entries=[]) * 20000)",
}


def attacker(source: str) -> dict[str, Any]:
    """Return the plan of a run that attacks."""
    body = "\n    ".join(source.splitlines())
    text = f"{WIRE}\ndef main(state):\n    {body}\n"
    return {"workflow": {"steps": [{"id": "a", "expression": text}]}}


class Times(msgspec.Struct, frozen=True):
    """The times of honest runs, in seconds."""

    median: float
    late: float
    """The 95th percentile."""
    count: int


def honest_runs(eng: engine.Engine, seconds: float, least: int = 5) -> Times:
    """Run honest runs, one after another, for a number of seconds, and at least *least* of them."""
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken) < least:
        began = time.monotonic()
        eng.execute(HONEST, {}).result(60)
        taken.append(time.monotonic() - began)
    return Times(statistics.median(taken), statistics.quantiles(taken, n=20)[-1], len(taken))


def beside(
    eng: engine.Engine, source: str, measure: Callable[[], Times], timeout_s: float = 2.0
) -> tuple[Times, float]:
    """Measure honest runs while attacks go on, one after another.

    Returns:
        The times, and the greatest delay of the attacker's limit of time in seconds.

    """
    over = threading.Event()
    late = [0.0]
    plan = attacker(source)

    def attack() -> None:
        while not over.is_set():
            run = eng.execute(plan, {}, options=engine.RunOptions(timeout_s=timeout_s))
            result = run.result(60)
            late[0] = max(late[0], result.duration_ms / 1000 - timeout_s)

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        times = measure()
    finally:
        over.set()
        thread.join()
    return times, late[0]
