"""Raw system calls.  This is the only module of the child that calls C functions.

An ``int`` argument is passed as a 32-bit C int, and ``bytes`` as the address of their buffer.  The
kernel may write to that buffer, so other code must not hold the same object.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

MACHINE: Final = os.uname().machine

if MACHINE == "aarch64":
    from sandbox_child.confine.numbers_aarch64 import AUDIT_ARCH, NUMBERS
else:
    from sandbox_child.confine.numbers_x86_64 import AUDIT_ARCH, NUMBERS

__all__ = [
    "AUDIT_ARCH",
    "MACHINE",
    "NUMBERS",
    "Call",
    "Long",
    "address_of",
    "fork",
    "prctl",
    "prctl_call",
    "syscall",
]


Long = ctypes.c_long
"""A ``long``; its ``value`` may be set after a call with it was prepared."""

# None means the program itself and its C library.
_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = Long

_fork = ctypes.PyDLL(None, use_errno=True).fork
"""`fork`, called with the interpreter's lock held, like the functions of Python itself."""


class Call:
    """A system call that is prepared now and made later, with as little work as possible then.

    Raises:
        OSError: This machine does not have the system call.

    """

    __slots__ = ("_arguments", "name")

    def __init__(self, name: str, *arguments: int | bytes | Long | None) -> None:
        number = NUMBERS.get(name)
        if number is None:
            raise OSError(38, f"{name}: not on {MACHINE}")
        self.name = name
        # A variadic C function reads whole registers, and an int would leave half of one undefined.
        widened = [Long(one) if isinstance(one, int) else one for one in arguments]
        self._arguments = (Long(number), *widened)

    def attempt(self) -> int:
        """Make the call; return the kernel's result, or the negative error number."""
        result: int = _syscall(*self._arguments)
        return -ctypes.get_errno() if result == -1 else result

    def make(self) -> int:
        """Make the call; return the kernel's result.

        Raises:
            OSError: The kernel refused the call; the text names the call and never a path.

        """
        result = self.attempt()
        if result < 0:
            raise OSError(-result, f"{self.name}: {os.strerror(-result)}")
        return result


def syscall(name: str, *arguments: int | bytes | None) -> int:
    """Make a system call; see `Call`."""
    return Call(name, *arguments).make()


def fork() -> int:
    """Fork like C: without the code that Python runs before and after a fork.

    This is right only in a process with one thread.  `os.fork` makes new locks in place of those
    that lost threads might hold, and lets modules do so (threading, logging, random...).  Each of
    them writes to memory that the child has shared until then.  The caller must do the rest, which
    is to seed `random`.

    The function returns the pid, 0 in the child, or the negative error number, because an exception
    would write to more memory.

    Source: fork(2), PyOS_AfterFork_Child of CPython.

    """
    pid: int = _fork()
    return -ctypes.get_errno() if pid == -1 else pid


def prctl(option: int, *arguments: int) -> int:
    """Make the system call of this name; missing arguments are 0, as newer options demand."""
    return prctl_call(option, *arguments).make()


def prctl_call(option: int, *arguments: int) -> Call:
    """Prepare a call of `prctl`."""
    return Call("prctl", option, *(*arguments, 0, 0, 0, 0)[:4])


def address_of(buffer: bytearray) -> int:
    """Return the address of *buffer*, valid while the buffer lives and keeps its length."""
    # A ctypes object for the first byte has the address of the whole buffer.
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
