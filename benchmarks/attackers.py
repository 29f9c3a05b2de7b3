"""Children that try to keep the manager or the relay busy, and the time of honest runs beside one of them.

Each attacker is a job without the language wall.  It writes to the pipe of its engine by itself, as an adaptor
could, or to its network.  It goes on until it is stopped.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

import engine

HONEST: Final = {
    "workflow": {"steps": [{"id": "a", "expression": "def main(state): return state"}]}
}

CALLER: Final = {
    "workflow": {
        "steps": [
            {
                "id": "a",
                "expression": (
                    "import socket\n"
                    "def main(state):\n"
                    "    with socket.create_connection(('127.0.0.1', state['port']), timeout=30) as end:\n"
                    "        end.sendall(b'ping')\n"
                    "        assert end.recv(4) == b'ping'\n"
                    "    return state"
                ),
            }
        ]
    }
}
"""An honest run that makes a connection to the port in its state."""

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

FLOODS: Final = {
    "connections": (
        "import socket\n"
        "while True:\n"
        "    end = socket.socket()\n"
        "    end.connect_ex(('127.0.0.1', PORT))\n"
        "    end.close()"
    ),
    "refused connections": (
        "import socket\n"
        "while True:\n"
        "    end = socket.socket()\n"
        "    end.connect_ex(('127.0.0.2', PORT))\n"
        "    end.close()"
    ),
    "answers that nobody reads": (
        "import select, socket\n"
        "block = bytes(1 << 16)\n"
        "ends = [socket.create_connection(('127.0.0.1', PORT)) for _ in range(8)]\n"
        "for end in ends: end.setblocking(False)\n"
        "while True:\n"
        "    free = select.select([], ends, [], 0.3)[1]\n"
        "    if not free: print('nobody takes more')\n"
        "    for end in free: end.send(block)"
    ),
    "bytes": (
        "import select, socket\n"
        "block = bytes(1 << 20)\n"
        "ends = [socket.create_connection(('127.0.0.1', PORT)) for _ in range(32)]\n"
        "for end in ends: end.setblocking(False)\n"
        "while True:\n"
        "    for end in select.select(ends, ends, [])[1]:\n"
        "        end.send(block)\n"
        "    for end in select.select(ends, [], [], 0)[0]:\n"
        "        end.recv(1 << 20)"
    ),
    "garbage": (
        "import os, socket\n"
        "lines = [line.split() for line in open('/etc/resolv.conf')]\n"
        "server = ([line[1] for line in lines if line[:1] == ['nameserver']] or ['127.0.0.1'])[0]\n"
        "names = socket.socket(socket.AF_INET6 if ':' in server else socket.AF_INET, socket.SOCK_DGRAM)\n"
        "names.setblocking(False)\n"
        "names.connect((server, 53))\n"
        "question = b'\\0\\7\\1\\0\\0\\1' + bytes(6) + b'\\1x' * 100 + b'\\0\\0\\1\\0\\1'\n"
        "while True:\n"
        "    for message in (os.urandom(40), question, question[:12] + os.urandom(200)):\n"
        "        try: names.send(message)\n"
        "        except OSError: pass\n"
        "    end = socket.socket()\n"
        "    end.connect_ex((server, 53))\n"
        "    try: end.send(os.urandom(500))\n"
        "    except OSError: pass\n"
        "    end.close()"
    ),
}
"""Attacks on the relay by a job whose rule is the port PORT of this machine."""

_SERVER: Final = """
import asyncio
async def echo(reader, writer):
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Serve an echo in a process of its own; the value is its port."""
    process = subprocess.Popen([sys.executable, "-I", "-c", _SERVER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def network_options(port: int, **changes: Any) -> engine.RunOptions:
    """Return the options of a run that may reach the server."""
    return engine.RunOptions(permissions=engine.Permissions(net=[f"127.0.0.1:{port}"]), **changes)


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


def waited_s() -> float:
    """Return the seconds that this thread and the supervisors were ready to run while other programs had the processors.

    0 if the kernel does not count them.  Source: sched-stats.rst of the kernel, on /proc/<pid>/schedstat.
    """
    mine = threading.current_thread()
    waited_ns = 0
    for thread in threading.enumerate():
        if thread is mine or thread.name == "jobcell-supervisor":
            with contextlib.suppress(OSError, IndexError):
                counted = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
                waited_ns += int(counted.split()[1])
    return waited_ns / 1e9


def honest_runs(
    eng: engine.Engine, seconds: float, least: int = 5, *, port: int | None = None
) -> Times:
    """Run honest runs, one after another, for a number of seconds, and at least *least* of them.

    The time for which the engine waited for a processor does not count: other programs took it.

    Args:
        eng: The engine.
        seconds: The time.
        least: The least number of runs.
        port: The port to which each of them makes a connection; None: they have no network.

    """
    plan, state, options = HONEST, {}, engine.RunOptions()
    if port is not None:
        plan, state, options = CALLER, {"port": port}, network_options(port)
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken) < least:
        began, before_s = time.monotonic(), waited_s()
        result = eng.execute(plan, state, options=options).result(60)
        taken.append(time.monotonic() - began - (waited_s() - before_s))
        assert result.error is None, result.error
    return Times(statistics.median(taken), statistics.quantiles(taken, n=20)[-1], len(taken))


def beside(
    eng: engine.Engine,
    source: str,
    measure: Callable[[], Times],
    timeout_s: float = 2.0,
    *,
    port: int | None = None,
) -> tuple[Times, float]:
    """Measure honest runs while attacks go on, one after another.

    Args:
        eng: The engine.
        source: The attack.
        measure: Measures the honest runs.
        timeout_s: The limit of time of each attack.
        port: The port that the attack may reach; None: it has no network.

    Returns:
        The times, and the greatest delay of the attacker's limit of time in seconds, without that of `waited_s`.

    """
    over = threading.Event()
    late = [0.0]
    plan = attacker(source.replace("PORT", str(port)))
    options = engine.RunOptions(timeout_s=timeout_s)
    if port is not None:
        options = network_options(port, timeout_s=timeout_s)

    def attack() -> None:
        while not over.is_set():
            before_s = waited_s()
            run = eng.execute(plan, {}, options=options)
            result = run.result(60)
            more_s = result.duration_ms / 1000 - timeout_s - (waited_s() - before_s)
            late[0] = max(late[0], more_s)

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        times = measure()
    finally:
        over.set()
        thread.join()
    return times, late[0]
