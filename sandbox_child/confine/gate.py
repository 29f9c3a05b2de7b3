"""The gate: a filter of a warm zygote and its forks that asks the clean zygote about some calls.

A warm zygote has run code of adaptors, so nothing that it does can be believed.  Its forks must
nevertheless be separate from it and from each other.  So the kernel stops them in these calls, and
the clean zygote decides (seccomp_unotify(2)):

- *clone*: to fork, which the warm zygote waits for until the next run needs a fork, and which no other
  process may do; or to start a thread, if the process has fewer than a run may have.
- *setsid*: the first call of a fork, by which the clean zygote learns of it.  Until then it is in the
  process group of the warm zygote, and ends with it.
- *prctl(PR_SET_PDEATHSIG, SIGKILL)*: the next call of a fork, which dies with the clean zygote from
  then on.  The fork calls it again to get the pipes of a run.  Before that passes, the clean zygote
  puts them into the fork.
- *socket*, if each run has a private network: the clean zygote makes the socket there.
- *kill*, *tgkill*, *getpgid*, *getsid*: they pass for the caller's own process.

The arguments of these calls are numbers in registers, so they cannot change after they were judged.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sandbox_child.confine import bpf, pdeathsig, seccomp
from sandbox_child.confine.bpf import ALLOW, Question
from sandbox_child.confine.kernel import AUDIT_ARCH, NUMBERS, Call, address_of
from sandbox_child.confine.syscalls import verdicts_with_forks

if TYPE_CHECKING:
    from collections.abc import Callable

NOTIFY: Final = 0x7FC00000
"""The verdict that stops the call until the other end of the gate has decided."""
NEW_LISTENER: Final = 1 << 3
WAIT_KILLABLE: Final = 1 << 5
"""Once the call is known to the decider, only a deadly signal interrupts it (Linux 5.19)."""
SET_MODE_FILTER: Final = 1

_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_ADD_DESCRIPTOR: Final = 0x40182103
_CONTINUE: Final = 1
_SET_NUMBER: Final = 1
_SEND_NUMBER: Final = 2
_ASKED: Final = struct.Struct("QIIiIQ6Q")
_ANSWER: Final = struct.Struct("QqiI")
_DESCRIPTOR: Final = struct.Struct("QIIII")
"""struct seccomp_notif, seccomp_notif_resp and seccomp_notif_addfd.  Source: linux/seccomp.h."""

_NAMES: Final = {
    NUMBERS[name]: name
    for name in ("clone", "prctl", "kill", "tgkill", "getpgid", "getsid", "setsid", "socket")
}


class Asked(NamedTuple):
    """A call that waits for a decision."""

    id: int
    thread: int
    """The thread that makes the call; for the main thread, the number of its process."""
    name: str
    first: int
    """The first argument."""
    second: int = 0
    third: int = 0


class Gate:
    """The decider's end of a gate."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = bytearray(_ASKED.size)

    def receive(self) -> Asked | None:
        """Take the next call; None if its thread was killed meanwhile."""
        self._buffer[:] = bytes(_ASKED.size)  # the kernel wants zeros
        try:
            fcntl.ioctl(self.fd, _RECEIVE, self._buffer, True)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        id_, thread, _, number, _, _, *arguments = _ASKED.unpack(self._buffer)
        return Asked(id_, thread, _NAMES.get(number, str(number)), *arguments[:3])

    def let_pass(self, asked: Asked) -> bool:
        """Let the call go on as it is; return False if its thread was killed meanwhile."""
        return self._answer(asked, 0, _CONTINUE)

    def refuse(self, asked: Asked, error: int = errno.EPERM) -> bool:
        """Let the call fail; return False if its thread was killed meanwhile."""
        return self._answer(asked, -error, 0)

    def _answer(self, asked: Asked, error: int, flags: int) -> bool:
        try:
            fcntl.ioctl(self.fd, _SEND, _ANSWER.pack(asked.id, 0, error, flags))
        except OSError as failed:
            if failed.errno in (errno.ENOENT, errno.EINPROGRESS):
                return False
            raise
        return True

    def give(self, asked: Asked, ours: int, its: int) -> None:
        """Put a descriptor of this process into the process that waits, under the number *its*.

        Raises:
            OSError: The process is gone, or may not have such a high number.

        """
        request = _DESCRIPTOR.pack(asked.id, _SET_NUMBER, ours, its, 0)
        fcntl.ioctl(self.fd, _ADD_DESCRIPTOR, request)

    def answer_with(self, asked: Asked, ours: int, flags: int) -> None:
        """Let the call return a copy of a descriptor of this process.

        Args:
            asked: The call.
            ours: The descriptor here.
            flags: O_CLOEXEC or nothing.

        Raises:
            OSError: The caller is gone, or has too many descriptors.

        """
        request = _DESCRIPTOR.pack(asked.id, _SEND_NUMBER, ours, 0, flags)
        fcntl.ioctl(self.fd, _ADD_DESCRIPTOR, request)

    def close(self) -> None:
        """Close the gate: from then on the calls fail with ENOSYS."""
        os.close(self.fd)


def close_gate(
    net: bool, send: Callable[[int], object], *, sockets: bool = False, scratch: bool = False
) -> None:
    """Put the gate and the filter of a warm zygote on this process, for good.

    Args:
        net: Whether the forks may have a network.
        sockets: Whether the other end of the gate makes their sockets.
        scratch: Whether each fork has a scratch directory.
        send: Sends the decider's end to the parent, before the filter refuses that.

    Raises:
        OSError: The kernel refused a filter.

    """
    listener = _install(_gate(sockets=sockets), NEW_LISTENER | WAIT_KILLABLE)
    try:
        send(listener)
    finally:
        os.close(listener)
    _install(
        bpf.assemble(
            AUDIT_ARCH,
            verdicts_with_forks(NUMBERS, net=net, scratch=scratch).items(),
            otherwise=bpf.refuse(38),  # ENOSYS
            past_the_end=seccomp.X32_BIT,
        ),
        0,
    )


def _gate(*, sockets: bool) -> bpf.Code:
    asks = {
        "clone": bpf.verdict(NOTIFY),
        "prctl": bpf.checked([Question(0, pdeathsig.PR_SET_PDEATHSIG, unless=True)], NOTIFY),
        "kill": bpf.verdict(NOTIFY),
        "tgkill": bpf.verdict(NOTIFY),
        "getpgid": bpf.checked([Question(0, 0)], NOTIFY),
        "getsid": bpf.checked([Question(0, 0)], NOTIFY),
        "setsid": bpf.verdict(NOTIFY),
    }
    if sockets:
        asks["socket"] = bpf.verdict(NOTIFY)
    verdicts = {NUMBERS[name]: code for name, code in asks.items()}
    return bpf.assemble(AUDIT_ARCH, verdicts.items(), otherwise=ALLOW, past_the_end=seccomp.X32_BIT)


def _install(code: bpf.Code, flags: int) -> int:
    program = bytearray(b"".join(one.to_bytes(8, "little") for one in code))
    # struct sock_fprog: unsigned short len, struct sock_filter *filter
    filter_ = len(code).to_bytes(8, "little") + address_of(program).to_bytes(8, "little")
    return Call("seccomp", SET_MODE_FILTER, flags, filter_).make()


def is_own_thread(process: int, thread: int) -> bool:
    """Return whether *thread* belongs to *process*.  Source: tgkill(2), with the signal 0."""
    return Call("tgkill", process, thread, 0).attempt() == 0
