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

__all__ = ["AUDIT_ARCH", "MACHINE", "NUMBERS", "Pointer", "fork", "pointer_to", "prctl", "syscall"]


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001 - the stub's own type
    _type_ = "l"


class Pointer(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001 - as above
    """A ``char *``; keeps alive what it points to."""

    _type_ = "z"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long


# The stub does not know that None means the program itself and its C library.
_program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
_syscall = _Function(_ctypes.dlsym(_program, "syscall"))


class _KeepingGil(_ctypes.CFuncPtr):
    """A C function that is called as Python calls its own: the lock stays with this thread."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO | _ctypes.FUNCFLAG_PYTHONAPI
    _restype_ = _Long


_fork = _KeepingGil(_ctypes.dlsym(_program, "fork"))


def syscall(name: str, *arguments: int | bytes | None) -> int:
    """Make one system call.

    Raises:
        OSError: The kernel refused; the text names the call and never a path.

    """
    number = NUMBERS.get(name)
    if number is None:
        raise OSError(38, f"{name}: not on {MACHINE}")
    # A variadic C function reads whole registers: an int must not leave half of one undefined.
    widened = [_Long(one) if isinstance(one, int) else one for one in arguments]
    result: int = _syscall(_Long(number), *widened)
    if result == -1:
        errno = _ctypes.get_errno()
        raise OSError(errno, f"{name}: {os.strerror(errno)}")
    return result


def fork() -> int:
    """Fork as C does: nothing that Python runs before or after a fork is run.

    Right only where there is one thread.  `os.fork` makes locks anew that a thread might have held
    which the child has not got, and lets modules do so (threading, logging, random...); each of
    them writes to memory that the child has shared until then.  What is left to do is up to the
    caller: to seed `random`.

    Raises:
        OSError: The kernel refused.

    Source: fork(2), PyOS_AfterFork_Child of CPython.

    """
    # It gives a C int, in a register of whose upper half nothing is said.
    pid: int = _fork() & 0xFFFFFFFF
    if pid == 0xFFFFFFFF:
        errno = _ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return pid


def prctl(option: int, *arguments: int) -> int:
    """Make the system call of this name; arguments not given are 0, as newer options demand."""
    return syscall("prctl", option, *(*arguments, 0, 0, 0, 0)[:4])


def pointer_to(buffer: bytes) -> tuple[bytes, Pointer]:
    """Return the address of *buffer* as it lies in a C struct, and what keeps it alive."""
    pointer = Pointer(buffer)
    return bytes(memoryview(pointer)), pointer
