"""A child process, as the supervisor sees it: it can be killed, and it ends once."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

import psutil

from engine.start.connection import Connection
from engine.start.exit import Exit
from protocol import codec
from protocol.confinement import ConfinementRequest
from protocol.limits import PROTOCOL_VERSION
from protocol.messages import Confine, Hello
from protocol.relay import FromRelay
from protocol.zygote import AdaptorSet

_CPUCLOCK_SCHED: Final = 2
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC
_STATUS_BYTES: Final = 4096
"""More bytes than such a file has."""


class Watcher(Protocol):
    """The part of the supervisor that a starter uses to wait for descriptors and for times."""

    def watch(self, fd: int, mask: int, callback: Callable[[int], None]) -> None:
        """Have *callback* called with the events of *fd*; a second call changes the mask."""

    def unwatch(self, fd: int) -> None:
        """Forget *fd*; harmless if it was never watched."""

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Have *callback* called at *when* on the monotonic clock."""

    def post(self, callback: Callable[[], None]) -> None:
        """Have *callback* called by the supervisor's thread, later."""


class Child(Protocol):
    """A started child that was not yet reaped."""

    @property
    def pid(self) -> int | None:
        """The process id of the child; None while it is not known."""

    def when_known(self, known: Callable[[], None]) -> None:
        """Have *known* called once the process id is known; never, if the child was not started."""

    @property
    def exit_fd(self) -> int:
        """Readable once the child is gone; closed by `reap`."""

    def gone(self) -> bool:
        """Whether the child has ended, for any reason."""

    def kill(self) -> None:
        """Kill the child and the processes it may have started; harmless when it is gone."""

    def ask_where(self) -> None:
        """Have the child write its stack to its standard error; harmless when it is gone."""

    def reap(self) -> Exit:
        """Return how the child ended; to be called once, when `exit_fd` is readable."""


class Network(Protocol):
    """The private network of a child, which a relay serves."""

    def listen(self, listener: Callable[[FromRelay], None]) -> None:
        """Have *listener* called with each message about it, also with those that came before.

        The last message is `Closed`, even if the relay dies or hangs.
        """

    def close(self) -> None:
        """End its connections, because the child is gone or was killed; may be called again."""

    def let_go(self) -> None:
        """End it, and call the listener no more; may be called again."""


class Networks(Protocol):
    """Gives children private networks."""

    def attach(self, watcher: Watcher) -> None:
        """Get ready; may be called again."""

    def open(self, request: ConfinementRequest) -> tuple[Network, int]:
        """Return a network, and the child's end of its link, which the caller closes.

        Raises:
            OSError: There is no relay, and it could not be started.

        """

    def close(self) -> None:
        """End all of them; may be called again."""


StartKind = Literal["exec", "zygote", "spare", "warm"]
"""How a child came about: as a new interpreter, as a fork of the zygote, as a child that was waiting, or as
a fork of a warm zygote."""


class Started(NamedTuple):
    """A child, the pipes to it, and its network.

    It has been asked to confine itself, and waits for its plan.
    """

    child: Child
    connection: Connection
    network: Network | None = None
    """Its private network; None if the permissions of the run do not need one."""
    kind: StartKind = "exec"


class Starter(Protocol):
    """A way to get a child.  Its methods are for the supervisor's thread only."""

    def attach(self, watcher: Watcher) -> None:
        """Get ready; called once, by the thread that will call the other methods."""

    def start(self, request: ConfinementRequest) -> Started:
        """Start a child that confines itself as *request* says.

        Raises:
            OSError: The child could not be started.

        """

    def find_warm(self, request: ConfinementRequest, adaptors: AdaptorSet) -> int:
        """Count a use of these adaptors; return the number of their warm zygote, or 0."""

    def start_warm(self, request: ConfinementRequest, number: int) -> Started:
        """Start a child from a warm zygote; the rest is as in `start`."""

    def run_ended(self) -> None:
        """Take note that a run is over, so that the machine may have time for preparations."""

    def close(self) -> None:
        """Release all resources; runs are over by then."""


def start_run(
    starter: Starter, request: ConfinementRequest, adaptors: AdaptorSet | None
) -> Started:
    """Start the child of a run whose steps name these adaptors.

    Raises:
        OSError: The child could not be started.

    """
    number = 0 if adaptors is None else starter.find_warm(request, adaptors)
    return starter.start_warm(request, number) if number else starter.start(request)


def is_readable(fd: int, *, timeout_ms: int | None = 0) -> bool:
    """Return whether *fd* is readable within *timeout_ms* (None: wait for ever).

    A pidfd is readable once its process has ended.
    """
    poll = select.poll()  # select(2) knows no descriptor above 1023
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_ms))


def connect(
    networks: Networks | None, request: ConfinementRequest
) -> tuple[Connection, Network | None]:
    """Return the pipes of a new child, with a link if it needs a private network.

    Raises:
        OSError: There are too few descriptors, or the network could not be opened.

    """
    connection = Connection()
    if networks is None or not request.private_net:
        return connection, None
    try:
        network, link = networks.open(request)
    except OSError:
        connection.child_ends.close()
        connection.close()
        raise
    connection.child_ends.link = link
    return connection, network


def give_up(connection: Connection, network: Network | None) -> None:
    """Release the resources of a child that could not be started."""
    connection.child_ends.close()
    connection.close()
    if network is not None:
        network.let_go()


def greet(connection: Connection, request: ConfinementRequest) -> None:
    """Send a new child the pid of the engine and the layers to put on."""
    connection.send(codec.encode(Hello(version=PROTOCOL_VERSION, pid=os.getpid())))
    connection.send(codec.encode(Confine(request=request)))
    connection.write()


def ask_where(pidfd: int) -> None:
    """Send the signal at which a child writes its stack (`sandbox_child.bootstrap`)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone
        signal.pidfd_send_signal(pidfd, signal.SIGUSR1)


def kill_group(pid: int) -> None:
    """Kill a child that was not reaped, with all processes that it may have started.

    Its pid stays taken until it is reaped, so that the signal cannot reach another process.  Before
    the child has a session of its own, its group is not its own either: then only the child is
    killed.
    """
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it is gone


def exit_of(status: int, cpu_s: float, peak_kilobytes: int) -> Exit:
    """Return an exit for a status of wait(2) and figures of getrusage(2)."""
    peak_bytes = peak_kilobytes * 1024
    if os.WIFSIGNALED(status):
        return Exit(signal=os.WTERMSIG(status), cpu_s=cpu_s, peak_bytes=peak_bytes)
    return Exit(code=os.WEXITSTATUS(status), cpu_s=cpu_s, peak_bytes=peak_bytes)


class Meter:
    """Reads from outside how much memory and processor time a running child uses."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._process: psutil.Process | None = None
        self._status_fd = -1

    def resident_bytes(self) -> tuple[int, int]:
        """Return the resident set and the largest one so far (VmRSS, VmHWM of proc(5)).

        Zeros if the child is gone.
        """
        try:
            if self._status_fd < 0:
                # Kept open: opening takes longer than reading, and each step reads it.
                self._status_fd = os.open(f"/proc/{self._child.pid}/status", _OPEN)
            status = os.pread(self._status_fd, _STATUS_BYTES, 0)
            fields = status.partition(b"VmHWM:")[2].split(maxsplit=4)
            return int(fields[3]) * 1024, int(fields[0]) * 1024
        except (OSError, IndexError, ValueError):
            return 0, 0

    def close(self) -> None:
        """Close the open file; may be called again."""
        if self._status_fd >= 0:
            os.close(self._status_fd)
            self._status_fd = -1

    def private_bytes(self) -> int:
        """Return the resident memory that does not come from files; 0 if it cannot be read."""
        try:
            memory = self._watched().memory_info()
        except (psutil.Error, OSError):  # it is gone, or no descriptor is free to look
            return 0
        return int(memory.rss - memory.shared)

    def cpu_s(self) -> float:
        """Return the processor time used by all its threads; 0 if it cannot be read.

        Source: clock_getcpuclockid(3); the number of that clock is MAKE_PROCESS_CPUCLOCK in
        <linux/posix-timers.h>.
        """
        pid = self._child.pid
        if pid is None:
            return 0.0
        try:
            return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
        except OSError:
            return 0.0

    def _watched(self) -> psutil.Process:
        if self._process is None:
            pid = self._child.pid
            if pid is None:
                raise psutil.NoSuchProcess(0)
            self._process = psutil.Process(pid)
        return self._process
