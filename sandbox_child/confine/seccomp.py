"""Layer: a filter of system calls.

It is the last layer, because it refuses calls that the others need.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from sandbox_child.confine import bpf
from sandbox_child.confine.kernel import (
    AUDIT_ARCH,
    MACHINE,
    NUMBERS,
    Call,
    address_of,
    prctl,
)
from sandbox_child.confine.syscalls import OWN_PID, verdicts
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from sandbox_child.confine.task import Ready, Task

try:
    # Not hashlib, which loads OpenSSL in 3 ms.
    if sys.version_info >= (3, 12):
        from _sha2 import sha256
    else:
        from _sha256 import sha256  # type: ignore[import-not-found]  # the stubs know the newer name
except ImportError:  # these modules are private
    from hashlib import sha256

NAME = "seccomp"
STOPS = "sockets, processes, programs, signals, and the rarely used parts of the kernel"
REMEDY = (
    "run on x86-64 or aarch64 Linux with CONFIG_SECCOMP_FILTER, outside of a filter that denies it"
)

MACHINES: Final = ("aarch64", "x86_64")
X32_BIT: Final = 0x40000000
"""Numbers from here on are the x32 interface on x86-64, and unused elsewhere."""
PR_GET_SECCOMP: Final = 21
SET_MODE_FILTER: Final = 1


class Program:
    """A filter in the kernel's form, with gaps for the pid of its process."""

    __slots__ = ("_gaps", "_template", "digest")

    def __init__(self, code: bpf.Code) -> None:
        self._template = b"".join(one.to_bytes(8, "little") for one in code)
        self._gaps = [8 * at + 4 for at, one in enumerate(code) if one >> 32 == OWN_PID]
        self.digest: str = sha256(self._template).hexdigest()
        """SHA-256 of the program with the gaps unfilled, which is equal for all children."""

    def blank(self) -> bytearray:
        """Return the program with the gaps unfilled."""
        return bytearray(self._template)

    def fill(self, code: bytearray, pid: int) -> None:
        """Fill the gaps of a blank program for the process *pid*."""
        number = pid.to_bytes(4, "little")
        for gap in self._gaps:
            code[gap : gap + 4] = number


_programs: dict[tuple[bool, bool], Program] = {}


def program(*, net: bool, scratch: bool = False) -> Program:
    """Return the filter for these permissions; made once for a process and its forks."""
    if (net, scratch) not in _programs:
        code = bpf.assemble(
            AUDIT_ARCH,
            verdicts(NUMBERS, net=net, scratch=scratch).items(),
            otherwise=bpf.refuse(38),  # ENOSYS
            past_the_end=X32_BIT,
        )
        _programs[net, scratch] = Program(code)
    return _programs[net, scratch]


def program_for(request: ConfinementRequest) -> Program:
    """Return the filter for *request*."""
    return program(net=bool(request.net), scratch=request.scratch_bytes > 0)


_own: dict[Program, bytearray] = {}
"""The prepared programs for forks; each fork fills its own pid into one of them."""


def ready(task: Task) -> Ready:
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    made = program_for(task.request)
    code = _own.get(made)
    if code is None:
        code = _own[made] = made.blank()
    length = len(code) // 8
    # struct sock_fprog: unsigned short len, struct sock_filter *filter
    filter_ = length.to_bytes(8, "little") + address_of(code).to_bytes(8, "little")
    return [Call("seccomp", SET_MODE_FILTER, 0, filter_)], f"{length} instructions"


def set_own(pid: int, request: ConfinementRequest) -> None:
    """Set the process that makes the ready calls for *request*."""
    made = program_for(request)
    code = _own.get(made)
    if code is not None:
        made.fill(code, pid)


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    if MACHINE not in MACHINES:
        return f"there is no table of system calls for {MACHINE}"
    try:
        prctl(PR_GET_SECCOMP)
    except OSError:
        return "this kernel lacks it (PR_GET_SECCOMP)"
    return None


def prepare(request: ConfinementRequest) -> None:
    """Make the filters now, for the forks of this process."""
    for scratch in (False, True):
        program(net=bool(request.net), scratch=scratch)


def apply(task: Task) -> str | None:
    """Install the filter for good.  It holds for every later thread.

    Source: seccomp(2).

    Raises:
        OSError: The kernel refused the filter.

    """
    calls = ready(task)
    set_own(os.getpid(), task.request)
    return make_all(calls)
