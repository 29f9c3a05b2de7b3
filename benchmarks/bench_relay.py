"""The cost of the relay beside a direct connection: ``python -m benchmarks.bench_relay``.

Both ends of a connection and the relay are processes of their own, so that they do not share an interpreter.
The paths are measured in turns.  Each transfer is checked by a checksum.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from network_spaces import MOST_SOCKETS, Space
from relay_world import Job, Relay

from benchmarks.measure import machine_line, median, private_mb

PROCESS: Final = Path(__file__).with_name("relay_process.py")
OUTSIDE: Final = ("127.0.0.1", 443)
NAME: Final = "server.example.org"
LEAST_RATIO: Final = 0.5
MOST_MS: Final = 1.0
WARM_UP: Final = 100

Pair = tuple[socket.socket, socket.socket]
"""The end of the job, and that outside."""


class Transfer(NamedTuple):
    """A transfer of bytes over a connection."""

    seconds: float
    ends_s: float
    """Processor time of sender and receiver."""
    relay_s: float


def start(what: str, end: socket.socket, *more: str) -> subprocess.Popen[str]:
    """Start the process of one end."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROCESS), what, str(end.fileno()), *more],
        pass_fds=[end.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def transfer(
    sender: socket.socket, receiver: socket.socket, megabytes: int, relay: int
) -> Transfer:
    """Move bytes from one process to another one.

    Raises:
        ValueError: Other bytes came than were sent.

    """
    sides = [("receive", receiver), ("send", sender)]
    processes = [start(what, end, str(megabytes)) for what, end in sides]
    for _, end in sides:
        end.close()
    time.sleep(0.2)  # both interpreters are up
    before = processor_s(relay)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    (_, taking_s, came), (seconds, giving_s, sent) = (
        json.loads(process.communicate()[0]) for process in processes
    )
    if came != sent:
        raise ValueError(f"the checksum is {came:x}, not {sent:x}")
    return Transfer(seconds, taking_s + giving_s, processor_s(relay) - before)


def processor_s(pid: int) -> float:
    """Return the processor time of the main thread of a process; source: proc(5), schedstat."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def take_precedence(pid: int | str = "self") -> None:
    """Let the group of a process go before other programs; source: sched(7), autogroup."""
    Path(f"/proc/{pid}/autogroup").write_text("-20", encoding="ascii")


class Paths:
    """A direct connection and one through the relay, to the same place."""

    def __init__(self, world: Space, relay: Relay) -> None:
        self.relay = relay
        self._world = world
        self._listener = world.listener(*OUTSIDE, backlog=1024)
        rules = [f"{host}:{OUTSIDE[1]}" for host in (OUTSIDE[0], NAME)]
        self.job = Job(relay, world.inner(), *rules)
        self.inside: Final = (self.job.addresses(NAME)[0], OUTSIDE[1])

    def direct(self) -> Pair:
        """Return a new connection without the relay."""
        end = self._world.socket()
        end.connect(OUTSIDE)
        return end, self._listener.accept()[0]

    def relayed(self) -> Pair:
        """Return a new connection through the relay."""
        return self.job.connect(*self.inside), self._listener.accept()[0]

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Answer connections from a process of its own."""
        process = start("serve", self._listener)
        try:
            yield
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            process.communicate()

    def close(self) -> None:
        """End the run."""
        self.job.finish()
        self._listener.close()


def throughput(paths: Paths, megabytes: int, rounds: int) -> bool:
    """Print bytes in a second of each path; return whether the relay is fast enough."""
    relay = paths.relay.pid
    ways: dict[str, tuple[Callable[[], Pair], bool]] = {
        "direct": (paths.direct, True),
        "to the job": (paths.relayed, False),
        "from the job": (paths.relayed, True),
    }
    found: dict[str, list[Transfer]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (connect, from_job) in ways.items():
            inside, outside = connect()
            ends = (inside, outside) if from_job else (outside, inside)
            found[name].append(transfer(*ends, megabytes, relay))
    good = True
    for name, several in found.items():
        ratios = [
            one.seconds / other.seconds for one, other in zip(found["direct"], several, strict=True)
        ]
        good &= median(ratios) >= LEAST_RATIO
        print(
            f"{name:13} {megabytes / median([one.seconds for one in several]):5.0f} MB/s,"
            f" {median(ratios):.2f} of direct ({min(ratios):.2f} to {max(ratios):.2f});"
            f" processor for {megabytes} MB: both ends"
            f" {median([one.ends_s for one in several]):.3f} s, relay"
            f" {median([one.relay_s for one in several]):.3f} s",
            flush=True,
        )
    return good


def one_more(paths: Paths, count: int) -> bool:
    """Print what one more connection takes, with its first byte; return whether that is little."""
    ways = {
        "direct": (paths._world, OUTSIDE),
        "by address": (paths.job.space, OUTSIDE),
        "by name": (paths.job.space, paths.inside),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(WARM_UP + count):
        for name, (space, place) in ways.items():
            end = space.socket()
            began = time.perf_counter()
            end.connect(place)
            end.recv(1)
            taken = time.perf_counter() - began
            end.close()
            if number >= WARM_UP:
                found[name].append(1e3 * taken)
    direct, *relayed = map(median, found.values())
    print(
        f"one connection and its first byte (median of {count}): direct {direct:.3f} ms, through the relay"
        f" by address {relayed[0] - direct:+.3f} ms, by name {relayed[1] - direct:+.3f} ms"
    )
    return max(relayed) - direct <= MOST_MS


def memory(paths: Paths, count: int) -> None:
    """Print the memory of the relay before and after many connections."""
    relay = paths.relay.pid
    before = private_mb(relay)
    for _ in range(0, count, MOST_SOCKETS):
        ends = paths.job.space.sockets(MOST_SOCKETS)
        for end in ends:
            end.connect(OUTSIDE)
        for end in ends:
            end.recv(1)
            end.close()
    after = private_mb(relay)
    if before is not None and after is not None:
        print(
            f"private memory of the relay: {before:.1f} MB, after {count} more connections {after:.1f} MB"
        )


def main() -> int:
    """Measure; return 1 if something takes more than was promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument(
        "--congestion",
        default="",
        help="method of the server and of direct connections: reno, cubic",
    )
    parser.add_argument(
        "--precedence", action="store_true", help="go before other programs; needs root and setsid"
    )
    arguments = parser.parse_args()
    print(machine_line())
    files = tempfile.TemporaryDirectory()
    hosts = Path(files.name, "hosts")
    hosts.write_text(f"{OUTSIDE[0]} {NAME}\n", encoding="ascii")
    world = Space(files={"/etc/hosts": hosts}, congestion=arguments.congestion)
    relay = Relay(world)
    if arguments.precedence:
        for pid in (os.getpid(), world.pid, relay.pid):
            take_precedence(pid)
            time.sleep(0.2)  # the kernel refuses changes that follow each other at once
    paths = Paths(world, relay)
    good = throughput(paths, arguments.megabytes, arguments.rounds)
    with paths.served():
        good &= one_more(paths, 500)
        memory(paths, arguments.connections)
    paths.close()
    relay.close()
    world.close()
    files.cleanup()
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
