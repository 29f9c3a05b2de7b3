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

__all__ = ["AUDIT_ARCH", "MACHINE", "NUMBERS", "Pointer", "pointer_to", "prctl", "syscall"]


class _Long(_ctypes._SimpleCData):  # type: ignore[misc]  # noqa: SLF001 - see the header
    _type_ = "l"


class Pointer(_ctypes._SimpleCData):  # type: ignore[misc]  # noqa: SLF001 - see the header
    """A ``char *``; keeps alive what it points to."""

    _type_ = "z"


class _Function(_ctypes.CFuncPtr):  # type: ignore[misc]  # the stub does not know subclassing
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long


_syscall = _Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), "syscall"))


def syscall(name: str, *arguments: int | bytes | None) -> int:
    """Make one system call.

    Raises:
        OSError: The kernel refused; the text names the call and never a path.
    """
    number = NUMBERS.get(name)
    if number is None:
        raise OSError(38, f"{name}: not on {MACHINE}")
    result: int = _syscall(_Long(number), *map(_widened, arguments))
    if result == -1:
        errno = _ctypes.get_errno()
        raise OSError(errno, f"{name}: {os.strerror(errno)}")
    return result


def prctl(option: int, *arguments: int) -> int:
    """Call prctl(2); what is not given is 0, as the newer options demand."""
    return syscall("prctl", option, *(*arguments, 0, 0, 0, 0)[:4])


def pointer_to(buffer: bytes) -> tuple[bytes, Pointer]:
    """Return the address of *buffer* as it lies in a C struct, and what keeps it alive."""
    pointer = Pointer(buffer)
    return bytes(memoryview(pointer)), pointer


def _widened(argument: int | bytes | None) -> object:
    # A variadic C function reads whole registers: an int must not leave half of one undefined.
    return _Long(argument) if isinstance(argument, int) else argument
