"""A warm zygote as the clean zygote sees it: its gate, its forks, and its end.

A warm zygote is hostile, and so are its forks.  This module reads from them the calls at their
gates, and one short text.  Whatever a warm zygote does, a run that was meant for it is at worst forked
from the clean zygote, and takes the time of an import.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from protocol.zygote import Cooled, Fork, Forked, Warm, Warmed
from sandbox_child.confine.gate import Asked, Gate, is_own_thread
from sandbox_child.confine.syscalls import FORK_FLAGS, FORK_FLAGS_WITH_SCRATCH
from sandbox_child.warm.forks import PIPES, Forks
from sandbox_child.warm.roles import Shared

if TYPE_CHECKING:
    from sandbox_child.warm.roles import Ends, Host, Pipes
    from sandbox_child.warm.seen import Proc

IMPORT_S: Final = 20.0
"""Longest time for the import of the adaptors of a set."""
FORK_S: Final = 5.0
"""Longest time from a request for a fork until the fork asks for its pipes.  It takes a millisecond."""
WAITING_BYTES: Final = 6_000_000
"""Most private memory of a fork that waits for a run.  It has 2.5 MB with pandas."""
GROWTH_BYTES: Final = 32_000_000
"""Most memory that a warm zygote takes after its import.  The engine has counted what it had then."""
_REASON_BYTES: Final = 2_000
_MOST_WAITS: Final = 50
_WAIT_S: Final = 0.002
_HIGHEST_PID: Final = 1 << 22


class Owner(Shared, Protocol):
    """The house of a warden."""

    def born(self, pid: int, warden: Warden) -> None:
        """Take note of a child of a warm zygote."""

    def forget(self, number: int) -> None:
        """Forget a warm zygote that has ended."""


class Newborn:
    """A fork that has no pipes yet."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.mortal = False
        """Whether it dies with this process."""
        self.early = False
        """Whether it knows that there is no run for it yet."""
        self.asked: Asked | None = None
        """The call in which it waits for pipes."""


class Warden:
    """One warm zygote, its gate, and its forks."""

    def __init__(
        self,
        house: Owner,
        host: Host,
        proc: Proc,
        wanted: Warm,
        ends: Ends,
    ) -> None:
        self._house = house
        self._host = host
        self._proc = proc
        self._number = wanted.number
        self._request = wanted.request
        self._pid, self._pidfd, self._link, self._report = ends
        self._forks = Forks(house, proc, wanted, self._pid)
        self._fork_flags = FORK_FLAGS_WITH_SCRATCH if wanted.request.scratch_bytes else FORK_FLAGS
        self._reason = b""
        self._gate: Gate | None = None
        self._waiting: deque[tuple[Fork, Pipes]] = deque()
        self._birth = False
        """Whether a fork is on its way to the call in which it gets its pipes."""
        self._newborn: Newborn | None = None
        """The fork that has no pipes yet, once it is known."""
        self._early = True
        """Whether forks may be made before a run needs them."""
        self._early_due = False
        """Whether the next one is due."""
        self._parked: Asked | None = None
        """The call for a fork in which the warm zygote waits."""
        self._ready = False
        self._data_bytes = 0
        """Its memory when it was ready."""
        self._ended = False
        self.deadline: float | None = time.monotonic() + IMPORT_S
        host.watch(self._pidfd, self._on_end)
        host.watch(self._link.fileno(), self._on_link)
        host.watch(self._report, self._on_report)

    # --- what the engine wants ---

    def fork(self, wanted: Fork, pipes: Pipes) -> bool:
        """Fork a child on these pipes, now or once the last one has its own."""
        if self._ended:
            return False
        self._waiting.append((wanted, pipes))
        self._go_on()
        return True

    def cool(self, reason: str) -> None:
        """End the warm zygote, and report why."""
        if self._ended:
            return
        self._ended = True
        self.deadline = None
        self._house.forget(self._number)
        self._kill()
        self._host.say(Cooled(self._number, reason))
        for wanted, pipes in self._waiting:
            self._host.fork_clean(wanted, pipes)
        self._waiting.clear()

    def _kill(self) -> None:
        """Kill the warm zygote, and a fork without pipes: it is known, or in its group still."""
        if self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._end_newborn()
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def too_late(self) -> None:
        """End a warm zygote whose time is up."""
        if self._ready:
            self.cool(f"it did not fork within {FORK_S:.0f} s")
        else:
            self.cool(f"its import takes more than {IMPORT_S:.0f} s")

    # --- what the warm zygote does ---

    def _on_link(self, _events: int) -> None:
        _, fds, _, _ = socket.recv_fds(self._link, 16, 1)
        self._host.unwatch(self._link.fileno())
        self._link.close()
        if fds:
            self._gate = Gate(fds[0])
            self._host.watch(fds[0], self._on_gate)

    def _on_report(self, _events: int) -> None:
        text = os.read(self._report, _REASON_BYTES)
        self._reason += text[: _REASON_BYTES - len(self._reason)]
        if not text:
            self._host.unwatch(self._report)
            os.close(self._report)
            self._report = -1

    def _on_end(self, _events: int) -> None:
        if self._report >= 0:
            os.set_blocking(self._report, False)
            try:
                self._on_report(0)
            except BlockingIOError:
                pass
        self._host.unwatch(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self._kill()  # also a fork that was made after the last time
        _, status = os.waitpid(self._pid, 0)
        self._reap_group()
        self.cool(self._reason_of(status))
        if self._report >= 0:
            self._host.unwatch(self._report)
            os.close(self._report)
            self._report = -1

    def _reap_group(self) -> None:
        """Wait for killed forks that have never had pipes, so that none stays a zombie."""
        for _ in range(_MOST_WAITS):
            try:
                ended = os.waitid(os.P_PGID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                time.sleep(_WAIT_S)
            elif ended.si_pid in self._forks:
                return  # it has not left the group, and is waited for elsewhere
            else:
                os.waitpid(ended.si_pid, 0)

    def _reason_of(self, status: int) -> str:
        text = self._reason.decode(errors="replace")
        if text and not self._ready:
            return "".join(c if c.isprintable() else " " for c in text)
        when = "after its import" if self._ready else "while it is imported"
        if os.WIFSIGNALED(status):
            return f"it dies {when} (signal {os.WTERMSIG(status)})"
        return f"it ends the interpreter {when} (exit code {os.WEXITSTATUS(status)})"

    # --- the gate ---

    def _on_gate(self, events: int) -> None:
        gate = self._gate
        assert gate is not None
        if events & select.EPOLLIN:
            asked = gate.receive()
            if asked is not None:
                self._judge(gate, asked)
        elif events & select.EPOLLHUP:  # no process with this gate is left
            self._host.unwatch(gate.fd)
            gate.close()
            self._gate = None

    def _judge(self, gate: Gate, asked: Asked) -> None:
        """Decide about a call."""
        if asked.name == "clone":
            if asked.first != self._fork_flags:
                self._forks.make_thread(gate, asked)
            elif asked.thread == self._pid and not self._ended:
                self._park(asked)
            else:
                self._punish(gate, asked)
        elif asked.name == "prctl":
            self._let_in(gate, asked)
        elif asked.name == "socket":
            self._forks.make_socket(gate, asked)
        elif asked.name == "setsid":
            self._meet(gate, asked)
        elif 0 < asked.first < _HIGHEST_PID and is_own_thread(asked.first, asked.thread):
            gate.let_pass(asked)
        else:
            gate.refuse(asked)

    def _punish(self, gate: Gate, asked: Asked) -> None:
        """Kill a process that makes a call which an honest one never makes."""
        try:
            os.kill(asked.thread, signal.SIGKILL)
        except ProcessLookupError:
            pass
        gate.refuse(asked)

    def _park(self, asked: Asked) -> None:
        """Take note that the warm zygote waits for the next fork."""
        try:
            offence = self._proc.offence(self._pid) or self._settle() or self._growth()
        except OSError as error:
            offence = f"it cannot be looked at ({error.strerror})"
        if offence is not None:
            self.cool(offence)
            return
        self._parked = asked
        if not self._ready:
            self._ready = True
            self._early_due = True
            self._host.say(Warmed(self._number, self._proc.private_bytes(self._pid)))
        self._go_on()

    def _settle(self) -> str | None:
        """Take away what the warm zygote needed for the import only; return why that fails."""
        if self._ready or not self._request.scratch_bytes:
            return None
        return self._house.scratches().settle(self._pidfd, self._request)

    def _growth(self) -> str | None:
        """Return whether the warm zygote has taken much memory since it was ready, as a reason to end it."""
        size = self._proc.data_bytes(self._pid)
        if not self._ready:
            self._data_bytes = size
        grown = size - self._data_bytes
        return (
            f"it takes {grown // 1_000_000} MB after its import" if grown > GROWTH_BYTES else None
        )

    def _go_on(self) -> None:
        """Give the next run the fork that waits for one, or have a fork made."""
        newborn, gate = self._newborn, self._gate
        if self._waiting and newborn is not None and newborn.asked is not None:
            self._furnish(newborn, newborn.asked)
        if self._birth or self._parked is None:
            return  # its time is running
        if self._newborn is None and (self._waiting or (self._early and self._early_due)):
            assert gate is not None
            self._birth, self._early_due = True, False
            self.deadline = time.monotonic() + FORK_S
            parked, self._parked = self._parked, None
            gate.let_pass(parked)
        else:
            self.deadline = None

    def _meet(self, gate: Gate, asked: Asked) -> None:
        """Take note of the new fork, which leaves the group of the warm zygote."""
        if self._birth and self._newborn is None:
            pidfd = self._new_child(asked.thread)
            if pidfd is not None:
                self._newborn = Newborn(asked.thread, pidfd)
                self._host.watch(pidfd, self._on_newborn_end)
                gate.let_pass(asked)
                return
        gate.refuse(asked)

    def _let_in(self, gate: Gate, asked: Asked) -> None:
        """Have a new fork live no longer than this process; the next time, give it its pipes."""
        newborn = self._newborn
        if newborn is None or newborn.pid != asked.thread or newborn.asked is not None:
            self._punish(gate, asked)
        elif not newborn.mortal:
            newborn.mortal = True
            gate.let_pass(asked)
        elif not self._waiting and not newborn.early:
            newborn.early = True
            gate.refuse(asked, errno.EAGAIN)
        else:
            newborn.asked = asked
            self._birth = False
            if not self._waiting:
                self._let_wait(newborn)
            self._go_on()

    def _let_wait(self, newborn: Newborn) -> None:
        """Keep a fork until a run needs it, if that costs nothing but a little memory."""
        try:
            harmless = (
                self._proc.is_powerless(newborn.pid)
                and 0 < self._proc.private_bytes(newborn.pid) <= WAITING_BYTES
            )
        except OSError:
            harmless = False
        if not harmless:
            self._on_newborn_end(0)

    def _on_newborn_end(self, _events: int) -> None:
        """Do without early forks: this one is not harmless, or has ended."""
        self._early = False
        self._end_newborn()
        if self._birth:
            # The next one might end, too, so the run that waits does not wait for it.
            self._birth = False
            if self._waiting:
                self._host.fork_clean(*self._waiting.popleft())
        self._go_on()

    def _end_newborn(self) -> None:
        newborn = self._take_newborn()
        if newborn is not None:
            signal.pidfd_send_signal(newborn.pidfd, signal.SIGKILL)
            os.close(newborn.pidfd)
            os.waitpid(newborn.pid, 0)

    def _take_newborn(self) -> Newborn | None:
        newborn, self._newborn = self._newborn, None
        if newborn is not None:
            self._host.unwatch(newborn.pidfd)
        return newborn

    def _furnish(self, newborn: Newborn, asked: Asked) -> None:
        """Give a fork the pipes of the run that has waited longest."""
        gate = self._gate
        assert gate is not None
        wanted, pipes = self._waiting.popleft()
        try:
            self._forks.furnish(gate, asked, newborn.pidfd, wanted, pipes)
        except OSError:
            self._end_newborn()
            self._host.fork_clean(wanted, pipes)
            return
        self._take_newborn()
        self._house.born(newborn.pid, self)
        self._host.adopt(newborn.pid, newborn.pidfd)
        self._host.say(Forked(newborn.pid, self._number), newborn.pidfd)
        gate.let_pass(asked)
        for fd in pipes[:PIPES]:
            os.close(fd)

    def _new_child(self, thread: int) -> int | None:
        """Return the pidfd of a process that has just been forked; None for every other thread.

        Another fork, or a thread of one, must not get the pipes of this run.
        """
        if thread == self._pid or thread in self._forks:
            return None
        try:
            return os.pidfd_open(thread)  # only for the first thread of a process
        except OSError:
            return None

    def child_ended(self, pid: int) -> None:
        """Take note that a fork has ended; the next one is then made while nobody waits."""
        self._forks.ended(pid)
        if not self._ended:
            self._early_due = True
            self._go_on()
