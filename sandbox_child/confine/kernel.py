"""Raw system calls.  The one place of the child that speaks C.

Only the C half of ctypes is imported: ``ctypes`` itself takes 3.5 ms more of a new interpreter,
and none of what it adds is needed here.  An ``int`` argument is passed as a 32-bit C int, ``bytes``
as the address of their buffer, which the kernel may write to as well: nobody else may then hold
the same object.
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
    """A ``long``; its ``value`` may be set after a call was made ready with it."""

    _type_ = "l"


class _Char(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001 - as above
    _type_ = "c"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = Long


# The stub does not know that None means the program itself and its C library.
_program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
_syscall = _Function(_ctypes.dlsym(_program, "syscall"))


class _KeepingGil(_ctypes.CFuncPtr):
    """A C function that is called as Python calls its own: the lock stays with this thread."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO | _ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = Long


_fork = _KeepingGil(_ctypes.dlsym(_program, "fork"))


class Call:
    """One system call that is made ready now and made later, with as little as can be by then.

    Raises:
        OSError: This machine does not have it.

    """

    __slots__ = ("_arguments", "name")

    def __init__(self, name: str, *arguments: int | bytes | Long | None) -> None:
        number = NUMBERS.get(name)
        if number is None:
            raise OSError(38, f"{name}: not on {MACHINE}")
        self.name = name
        # A variadic C function reads whole registers: an int must not leave half of one undefined.
        widened = [Long(one) if isinstance(one, int) else one for one in arguments]
        self._arguments = (Long(number), *widened)

    def attempt(self) -> int:
        """Return what the kernel returns, or the negative error number."""
        result: int = _syscall(*self._arguments)
        return -_ctypes.get_errno() if result == -1 else result

    def make(self) -> int:
        """Return what the kernel returns.

        Raises:
            OSError: The kernel refused; the text names the call and never a path.

        """
        result = self.attempt()
        if result < 0:
            raise OSError(-result, f"{self.name}: {os.strerror(-result)}")
        return result


def syscall(name: str, *arguments: int | bytes | None) -> int:
    """Make one system call; see `Call`."""
    return Call(name, *arguments).make()


def fork() -> int:
    """Fork as C does: nothing that Python runs before or after a fork is run.

    Right only where there is one thread.  `os.fork` makes locks anew that a thread might have held
    which the child has not got, and lets modules do so (threading, logging, random...); each of
    them writes to memory that the child has shared until then.  What is left to do is up to the
    caller: to seed `random`.

    Returns the pid, 0 in the child, or the negative error number: an error is made of more objects
    than a fork should look at.

    Source: fork(2), PyOS_AfterFork_Child of CPython.

    """
    # It gives a C int, in a register of whose upper half nothing is said.
    pid: int = _fork() & 0xFFFFFFFF
    return -_ctypes.get_errno() if pid == 0xFFFFFFFF else pid


def prctl(option: int, *arguments: int) -> int:
    """Make the system call of this name; arguments not given are 0, as newer options demand."""
    return prctl_call(option, *arguments).make()


def prctl_call(option: int, *arguments: int) -> Call:
    """Make `prctl` ready."""
    return Call("prctl", option, *(*arguments, 0, 0, 0, 0)[:4])


def address_of(buffer: bytearray) -> int:
    """Return where *buffer* lies; that holds while it is there and keeps its length."""
    # What lies in front of it is all that a ctypes object needs to tell the address of the whole.
    return _ctypes.addressof(_Char.from_buffer(buffer))
