"""The fork of a warm zygote, which makes a brother instead of a child."""

from __future__ import annotations

import ctypes
from typing import Final

from sandbox_child.confine.kernel import MACHINE, NUMBERS, Call, Long, address_of, prctl
from sandbox_child.confine.syscalls import FORK_FLAGS, FORK_FLAGS_WITH_SCRATCH

PR_GET_TID_ADDRESS: Final = 40
AT_FDCWD: Final = -100
O_RDWR: Final = 2
STANDARD: Final = range(3)
"""The descriptors of the standard streams."""


class Forker:
    """Forks this process like C, but so that its parent becomes the parent of the fork as well.

    So a warm zygote gets no signal when a fork ends, and cannot learn its exit status.  Handlers that
    C libraries registered with pthread_atfork(3) are not called; those of Python are.

    The standard streams are closed while it forks, because both processes and all later forks would have the
    same open files, through which code of an adaptor could carry data from run to run.  The gate lets no
    process fork that has a descriptor.

    Args:
        scratch: Whether each fork gets mounts of its own, for a scratch directory.

    Raises:
        OSError: The kernel does not say where it keeps the number of the thread (prctl(2)).

    """

    def __init__(self, *, scratch: bool = False) -> None:
        where = bytearray(8)
        prctl(PR_GET_TID_ADDRESS, address_of(where))
        thread = Long(int.from_bytes(where, "little"))
        flags = FORK_FLAGS_WITH_SCRATCH if scratch else FORK_FLAGS
        # The C library keeps the number of the main thread there, and the kernel writes the new one.
        last = (Long(0), thread) if MACHINE == "aarch64" else (thread, Long(0))
        self._arguments = (Long(NUMBERS["clone"]), Long(flags), Long(0), Long(0), *last)
        # Unlike a function of CDLL, it keeps the interpreter's lock.
        self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
        self._syscall.restype = Long
        self._close = Call("close_range", STANDARD[0], STANDARD[-1], 0)
        self._open = Call("openat", AT_FDCWD, b"/dev/null", O_RDWR, 0)
        self._before = ctypes.pythonapi.PyOS_BeforeFork
        self._in_child = ctypes.pythonapi.PyOS_AfterFork_Child
        self._in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent

    def fork(self) -> int:
        """Return the pid of the fork, 0 in the fork, or the negative error number."""
        self._before()
        self._close.attempt()
        pid: int = self._syscall(*self._arguments)
        number = ctypes.get_errno() if pid == -1 else 0
        for _ in STANDARD:  # the lowest free numbers
            self._open.attempt()
        if pid == 0:
            self._in_child()
            return 0
        self._in_parent()
        return -number if number else pid
