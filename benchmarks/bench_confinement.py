"""The cost of the kernel wall: in a forked child, in a new interpreter, and per opened file.

Run as ``python -m benchmarks.bench_confinement [rounds]``.  It measures with and without the wall
alternately, so that both see the same machine.  Prints median and p95 in milliseconds (microseconds
for opening), and the difference of the medians beside the promise.

A forked child is measured twice.  The first one has exactly the paths for which its zygote was
prepared.  The second one has fewer, like a run whose repo is only a part of the engine's repo.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys

import msgspec

from engine.confinement import interpreter
from protocol.confinement import REQUIRED, ConfinementRequest

PROMISES = {"fork": 2.5, "fork, narrower": 2.5, "exec": 8.0, "open": 1.0}
UNITS = {"open": "us"}

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1].partition("=")[2].rpartition("/")[0])
from sandbox_child import finder
del sys.path[0]
finder.install(sys.argv[1:4 + 1])
import os, msgspec.json
from protocol.confinement import ConfinementRequest
request = msgspec.json.decode(os.environ.pop("REQUEST"), type=ConfinementRequest)
rounds = int(sys.argv[5])
keep = (0, 1, 2)
"""

EXEC = (
    CHILD
    + """
started = time.perf_counter()
if rounds:
    from sandbox_child.confine import confine
    confine(request, parent_pid=os.getppid(), keep_fds=keep)
print((time.perf_counter() - started) * 1e3)
"""
)

FORK = (
    CHILD
    + """
import gc
from sandbox_child.confine import confine_forked, confine_zygote
told = 9
zygote = confine_zygote(
    request, parent_pid=os.getppid(), keep_fds=keep, fork_fds=(*keep, told)
)
narrower = msgspec.structs.replace(request, read_paths=request.read_paths[:-1])
gc.collect(); gc.freeze(); gc.disable()
mine = os.getpid()
for _ in range(rounds):
    for how, wanted in (("plain", None), ("fork", request), ("fork, narrower", narrower)):
        read, write = os.pipe()
        started = time.perf_counter()
        if os.fork() == 0:
            os.dup2(write, told)
            if wanted is not None:
                confine_forked(zygote, wanted, parent_pid=mine, keep_fds=(*keep, told))
            os.write(told, b"x")
            os._exit(0)
        os.read(read, 1)
        taken = (time.perf_counter() - started) * 1e3
        os.wait(); os.close(read); os.close(write)
        print(how, taken, sep="\\t")
"""
)

OPEN = (
    CHILD
    + """
path = os.__file__
def measure(name):
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(1000):
            os.close(os.open(path, os.O_RDONLY))
        print(name, (time.perf_counter() - started) * 1e3, sep="\\t", flush=True)
measure("plain")
from sandbox_child.confine import confine
confine(request, parent_pid=os.getppid(), keep_fds=keep)
measure("open")
"""
)


def make_request() -> ConfinementRequest:
    """Return the request of a run with a small repo."""
    required = tuple(name for name in REQUIRED if name != "environment")
    return ConfinementRequest(
        required=required,
        without=("environment",),  # the request comes in a variable here
        read_paths=(*interpreter.readable(), os.path.dirname(os.path.realpath(__file__))),  # noqa: PTH120
        hidden_paths=interpreter.hidden(),
    )


def run_child(source: str, request: ConfinementRequest, rounds: int) -> list[str]:
    """Run one of the programs above, and return its lines."""
    command = interpreter.child_command()
    at = command.index("-S") + 1
    pairs = sorted(interpreter.package_arguments(), reverse=True)  # sandbox_child comes first
    done = subprocess.run(
        [*command[:at], "-c", source, *pairs, str(rounds)],
        env={**interpreter.CHILD_ENVIRONMENT, "REQUEST": msgspec.json.encode(request).decode()},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return done.stdout.splitlines()


def collect(lines: list[str]) -> dict[str, list[float]]:
    """Return the figures by their names."""
    figures: dict[str, list[float]] = {}
    for line in lines:
        name, value = line.split("\t")
        figures.setdefault(name, []).append(float(value))
    return figures


def show(name: str, plain: list[float], walled: list[float]) -> None:
    """Print one row."""
    unit = UNITS.get(name, "ms")
    before, after = statistics.median(plain), statistics.median(walled)
    p95 = statistics.quantiles(walled, n=20)[-1]
    print(
        f"{name:16} without {before:7.2f}  with {after:7.2f}  p95 {p95:7.2f} {unit}   "
        f"added {after - before:5.2f}  promised {PROMISES[name]:.1f}"
    )


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    request = make_request()
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
        f"CPython {platform.python_version()}, {rounds} rounds, uid {os.geteuid()}"
    )
    figures = collect(run_child(FORK, request, rounds))
    show("fork", figures["plain"], figures["fork"])
    show("fork, narrower", figures["plain"], figures["fork, narrower"])
    spent: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(max(10, rounds // 2)):
        for walled in (0, 1):
            spent[walled].append(float(run_child(EXEC, request, walled)[0]))
    show("exec", spent[0], spent[1])
    figures = collect(run_child(OPEN, request, rounds))
    show("open", figures["plain"], figures["open"])


if __name__ == "__main__":
    main()
