"""The cost of the network for whole runs: ``python -m benchmarks.bench_network``.

Runs with rules beside runs without, many connections at once, and bytes through a job in its sandbox beside the
same code without one.  Each round measures everything once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
from tls_verbs import install

from benchmarks.bench_relay import PROCESS
from benchmarks.measure import machine_line, median, milliseconds, private_mb
from engine import Engine, ModuleRef, Permissions, RunOptions

VERBS: Final = Path(__file__).with_name("network_verbs.py")
JOB: Final = "def main(state): return state"
HOST: Final = "localhost"
MOST_MORE_MS: Final = 3.0
MOST_OF_W1: Final = 1.5
WAIT_S: Final = 300.0


@contextmanager
def served(what: str, megabytes: int) -> Iterator[int]:
    """Serve connections from a process of its own; yield its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        command = [sys.executable, "-I", "-S", str(PROCESS), what]
        fd = listener.fileno()
        process = subprocess.Popen([*command, str(fd), str(megabytes)], pass_fds=[fd])
        yield listener.getsockname()[1]
        process.kill()
        process.wait()


class Jobs:
    """An engine whose jobs call the verbs."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.engine = engine
        self._modules = {"net": ModuleRef(path=str(directory))}

    def options(self, *ports: int) -> RunOptions:
        """Return options of a run that reaches these ports; without ports it has no network."""
        allowed = Permissions(net=[f"{HOST}:{port}" for port in ports])
        return RunOptions(modules=self._modules, permissions=allowed, timeout_s=WAIT_S)

    def begin(self, expression: str, *ports: int, adaptor: str | None = "net") -> Any:
        """Start a run."""
        step = {"id": "a", "expression": expression} | ({"adaptor": adaptor} if adaptor else {})
        plan = {"workflow": {"steps": [step]}}
        return self.engine.execute(plan, {}, options=self.options(*ports))


def data(run: Any) -> Any:
    """Return the data of a run that has succeeded.

    Raises:
        RuntimeError: It has failed.

    """
    result = run.result(WAIT_S)
    if result.error is not None or "errors" in result.state:
        raise RuntimeError(f"a run has failed: {result.error}")
    return result.state.get("data")


def cost_of_rules(jobs: Jobs, port: int, count: int) -> bool:
    """Print what a run with rules takes beside W1; return whether that is little."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(count + 5):
        for with_rules, several in found.items():
            ports = (port,) if with_rules else ()
            taken = milliseconds(lambda ports=ports: data(jobs.begin(JOB, *ports, adaptor=None)))
            if number >= 5:
                several.append(taken)
    without, with_rules = median(found[False]), median(found[True])
    print(
        f"one trivial job in zygote mode (median of {count}): {without:.2f} ms, with rules {with_rules:.2f} ms:"
        f" {with_rules - without:+.2f} ms, {with_rules / without:.2f} times"
    )
    return with_rules - without <= MOST_MORE_MS and with_rules <= MOST_OF_W1 * without


def many(jobs: Jobs, port: int, runs: int, connections: int) -> None:
    """Print the time of many runs at once, each with connections one after another."""
    began = time.perf_counter()
    begun = [jobs.begin(f"connect({HOST!r}, {port}, {connections})", port) for _ in range(runs)]
    counted = sum(data(run)[1] for run in begun)
    taken = time.perf_counter() - began
    print(f"{runs} runs at once, {counted} connections: {taken:.2f} s")


def relay_of(engine_pid: int) -> int:
    """Return the pid of the relay of this process's engine."""
    children = psutil.Process(engine_pid).children()
    return next(one.pid for one in children if "relay" in " ".join(one.cmdline()))


def memory(jobs: Jobs, port: int, count: int) -> None:
    """Print the memory of the relay before and after many connections of whole runs."""
    relay = relay_of(psutil.Process().pid)
    before = private_mb(relay)
    for _ in range(0, count, 1_000):
        data(jobs.begin(f"connect({HOST!r}, {port}, 1000)", port))
    after = private_mb(relay)
    if before is not None and after is not None:
        print(
            f"private memory of the relay: {before:.1f} MB, {count} connections later {after:.1f} MB"
        )


def throughput(jobs: Jobs, port: int, megabytes: int, rounds: int, site: Path) -> None:
    """Print bytes in a second of each verb, in a job and without a sandbox."""
    verbs = {
        "sockets, to the job": f"take({HOST!r}, {port})",
        "sockets, from the job": f"give({HOST!r}, {port}, {megabytes})",
        "httpx, to the job": f"take_by_httpx({HOST!r}, {port})",
        "httpx, from the job": f"give_by_httpx({HOST!r}, {port}, {megabytes})",
    }
    found: dict[str, list[tuple[float, float]]] = {title: [] for title in verbs}
    for _ in range(rounds):
        for title, expression in verbs.items():
            name, _, arguments = expression.removesuffix(")").partition("(")
            words = [word.strip(" '") for word in arguments.split(",")]
            command = [sys.executable, str(VERBS), name, *words]
            direct, *rest = json.loads(
                subprocess.check_output(command, env={"PYTHONPATH": str(site)})
            )
            relayed, *same = data(jobs.begin(expression, port))
            if rest[1:] != same[1:] or min(rest[0], same[0]) < megabytes << 20:
                raise ValueError(f"{title}: {rest} and {same}")
            found[title].append((direct, relayed))
    for title, several in found.items():
        direct, relayed = (median([pair[at] for pair in several]) for at in (0, 1))
        ratio = median([one / other for one, other in several])
        print(
            f"{title:21} {megabytes / relayed:5.0f} MB/s; without a sandbox {megabytes / direct:5.0f} MB/s;"
            f" {ratio:.2f} of direct",
            flush=True,
        )


def main() -> int:
    """Measure; return 1 if something takes more than was promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--connections", type=int, default=10_000)
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        directory = install(Path(place) / "net")
        (directory / "net").mkdir()
        shutil.copy(VERBS, directory / "net/__init__.py")
        with Engine(start_mode="zygote", max_runs=4) as engine:
            jobs = Jobs(engine, directory)
            with served("serve", 0) as port:
                good = cost_of_rules(jobs, port, arguments.runs)
                many(jobs, port, 50, 20)
                memory(jobs, port, arguments.connections)
            with served("documents", arguments.megabytes) as port:
                throughput(jobs, port, arguments.megabytes, arguments.rounds, directory)
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
