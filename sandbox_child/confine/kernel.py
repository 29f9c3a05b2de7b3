"""Raw system calls.  This is the only module of the child that calls C functions.

The module imports only the C half of ctypes: ``ctypes`` itself takes 3.5 ms more, and its additions
are not needed here.  An ``int`` argument is passed as a 32-bit C int, and ``bytes`` as the address
of their buffer.  The kernel may write to that buffer, so other code must not hold the same object.
"""

from __future__ import annotations

import _ctypes
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


class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001 - the stub's own type
    """A ``long``; its ``value`` may be set after a call with it was prepared."""

    _type_ = "l"


class _Char(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001 - as above
    _type_ = "c"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = Long


# None means the program itself and its C library, which the stub does not know.
_program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
_syscall = _Function(_ctypes.dlsym(_program, "syscall"))


class _KeepingGil(_ctypes.CFuncPtr):
    """A C function that keeps the interpreter's lock, like the functions of Python itself."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO | _ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = Long


_fork = _KeepingGil(_ctypes.dlsym(_program, "fork"))


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
        return -_ctypes.get_errno() if result == -1 else result

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
    # The result is a C int, in a register whose upper half is undefined.
    pid: int = _fork() & 0xFFFFFFFF
    return -_ctypes.get_errno() if pid == 0xFFFFFFFF else pid


def prctl(option: int, *arguments: int) -> int:
    """Make the system call of this name; missing arguments are 0, as newer options demand."""
    return prctl_call(option, *arguments).make()


def prctl_call(option: int, *arguments: int) -> Call:
    """Prepare a call of `prctl`."""
    return Call("prctl", option, *(*arguments, 0, 0, 0, 0)[:4])


def address_of(buffer: bytearray) -> int:
    """Return the address of *buffer*, valid while the buffer lives and keeps its length."""
    # A ctypes object for the first byte has the address of the whole buffer.
    return _ctypes.addressof(_Char.from_buffer(buffer))
