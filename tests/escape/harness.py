"""Starts hostile children and reports how they ended.

The harness does not use the engine, so its results hold whatever the engine does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import resource
import selectors
import signal
import socket
import time
from pathlib import Path
from typing import ClassVar

import msgspec

from engine.confinement import interpreter
from engine.start.connection import lift
from protocol.confinement import LAYERS, REQUIRED, ConfinementReport, ConfinementRequest

HERE = Path(__file__).parent
ALL = LAYERS
WALL = tuple(name for name in LAYERS if name not in ("environment", "descriptors"))
MEGABYTE = 1 << 20


class Refused(Exception):
    """The child said that a required layer is missing."""


@dataclasses.dataclass
class Outcome:
    code: int | None
    """Exit code; ``None`` if a signal ended the child."""
    signal: int | None
    out: str
    err: str
    report: ConfinementReport | None
    refusal: tuple[str, str, str] | None
    pid: int
    seconds: float
    peak_bytes: int

    @property
    def layers(self):
        return {layer.name: layer for layer in self.report.layers}


def make_request(**changes) -> ConfinementRequest:
    without = tuple(changes.pop("without", ()))
    read_paths = tuple(changes.pop("read_paths", ()))
    fields = {
        "required": tuple(name for name in REQUIRED if name not in without),
        "without": without,
        "read_paths": (*interpreter.readable(), *read_paths),
        "hidden_paths": interpreter.hidden(),
        "memory_bytes": 256 * MEGABYTE,
    } | changes
    if fields.get("net"):
        fields["read_paths"] += interpreter.network_files()
    return ConfinementRequest(**fields)


class Server:
    """A hostile child that forks others, which takes a tenth of the time of their start.

    Their parent is this process. Only children with a command, an environment or descriptors of their own
    need an interpreter of their own.
    """

    running: ClassVar[Server | None] = None

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [*hostile_command(), "server"]
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 10),
            ]
            environment = interpreter.CHILD_ENVIRONMENT
            self._pid = os.posix_spawn(command[0], command, environment, file_actions=actions)

    def fork(self, *fds: int) -> int:
        """Return the pid of a new child, which has these descriptors as 1, 2, 10 and 11."""
        socket.send_fds(self._socket, [b"fork"], fds)
        return int(self._socket.recv(100))

    def close(self) -> None:
        self._socket.close()
        os.waitpid(self._pid, 0)


def hostile_command(command: list[str] | None = None, script: Path | None = None) -> list[str]:
    """Return the command of a child, with the hostile script in place of ours."""
    command = command or interpreter.child_command()
    at = command.index("-S") + 1
    return [*command[:at], str(script or HERE / "hostile_child.py"), *command[at + 1 :]]


class Child:
    """A hostile child that was started."""

    def __init__(
        self,
        source: str,
        *,
        before: str = "",
        zygote: ConfinementRequest | None = None,
        forks: int = 1,
        request: ConfinementRequest | None = None,
        command: list[str] | None = None,
        environment: dict[str, str] | None = None,
        leak: dict[int, int] | None = None,
        script: Path | None = None,
        **changes,
    ) -> None:
        request = request or make_request(**changes)
        orders = {
            "request": request,
            "source": source,
            "before": before,
            "zygote": zygote,
            "forks": forks,
        }
        special = command or script or leak or environment is not None
        command = hostile_command(command, script)
        # The numbers are above all numbers of the child, or a dup2 would overwrite the next
        # descriptor.
        self._pipes = {
            name: tuple(map(lift, os.pipe())) for name in ("orders", "answers", "out", "err")
        }
        leaked = {
            fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 64): n for ours, n in (leak or {}).items()
        }
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, self._pipes["out"][1], 1),
            (os.POSIX_SPAWN_DUP2, self._pipes["err"][1], 2),
            (os.POSIX_SPAWN_DUP2, self._pipes["orders"][0], 10),
            (os.POSIX_SPAWN_DUP2, self._pipes["answers"][1], 11),
        ]
        actions += [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in leaked.items()]
        if environment is None:
            environment = interpreter.CHILD_ENVIRONMENT
        self.started = time.monotonic()
        self.inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if special or Server.running is None:
            self.pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
        else:
            ends = [("out", 1), ("err", 1), ("orders", 0), ("answers", 1)]
            self.pid = Server.running.fork(*(self._pipes[name][end] for name, end in ends))
        for ours in leaked:
            os.close(ours)
        for name in ("answers", "out", "err"):
            os.close(self._pipes[name][1])
        os.close(self._pipes["orders"][0])
        with contextlib.suppress(BrokenPipeError):
            self._write(self._pipes["orders"][1], msgspec.msgpack.encode(orders))
        os.close(self._pipes["orders"][1])
        self._read = {self._pipes[n][0]: bytearray() for n in ("answers", "out", "err")}
        self._names = {self._pipes[n][0]: n for n in ("answers", "out", "err")}
        self._selector = selectors.DefaultSelector()
        for descriptor in self._read:
            self._selector.register(descriptor, selectors.EVENT_READ)

    @staticmethod
    def _write(descriptor, data):
        while data:
            data = data[os.write(descriptor, data) :]

    def wait_line(self, line: str, *, timeout_s: float = 20) -> None:
        """Read until the child has printed *line*."""
        deadline = time.monotonic() + timeout_s
        while f"{line}\n" not in self.text("out"):
            assert self._pump(deadline - time.monotonic()), (
                f"{self.text('out')!r} {self.text('err')!r}"
            )

    def text(self, name: str) -> str:
        return self._read[self._pipes[name][0]].decode(errors="replace")

    def _pump(self, timeout_s: float) -> bool:
        if timeout_s <= 0 or not self._selector.get_map():
            return False
        for key, _ in self._selector.select(timeout_s):
            data = os.read(key.fd, 1 << 16)
            if data:
                self._read[key.fd] += data
            else:
                self._selector.unregister(key.fd)
        return True

    def stop(self) -> Outcome:
        """Kill the child and the processes that it has forked."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)
        return self.finish()

    def finish(self, *, timeout_s: float = 20) -> Outcome:
        """Wait for the end of the child's pipes, and so of all processes that hold them."""
        deadline = time.monotonic() + timeout_s
        timed_out = False
        while self._selector.get_map():
            if not self._pump(deadline - time.monotonic()):
                timed_out = True
                break
        if timed_out:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        self._selector.close()
        for descriptor in self._read:
            os.close(descriptor)
        answers = bytes(self._read[self._pipes["answers"][0]])
        assert not timed_out, f"no end after {timeout_s} s: {self.text('out')} {self.text('err')}"
        report, refusal = None, None
        if answers:
            answer = msgspec.msgpack.decode(answers, type=ConfinementReport | tuple[str, str, str])
            if isinstance(answer, ConfinementReport):
                report = answer
            else:
                refusal = answer
        signalled = os.WIFSIGNALED(status)
        return Outcome(
            code=None if signalled else os.WEXITSTATUS(status),
            signal=os.WTERMSIG(status) if signalled else None,
            out=self.text("out"),
            err=self.text("err"),
            report=report,
            refusal=refusal,
            pid=self.pid,
            seconds=time.monotonic() - self.started,
            # A process begins with the peak of the process that started it: getrusage(2).
            peak_bytes=usage.ru_maxrss * 1024 if usage.ru_maxrss > self.inherited else 0,
        )


def run_hostile(source: str, *, timeout_s: float = 20, **changes) -> Outcome:
    """Run *source* in a confined child, and return its outcome."""
    outcome = Child(source, **changes).finish(timeout_s=timeout_s)
    if "refusal" not in changes and outcome.refusal is not None:
        raise Refused(outcome.refusal)
    return outcome
