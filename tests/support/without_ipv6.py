"""Starts a program as on a kernel without IPv6 (``ipv6.disable=1``): ``without_ipv6.py PROGRAM [ARGUMENT ...]``.

A filter of system calls refuses sockets of the family, for the program and all that it starts.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path


def main(command: list[str]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from sandbox_child.confine.bpf import ALLOW, Question, assemble, checked, refuse
    from sandbox_child.confine.kernel import AUDIT_ARCH, NUMBERS, address_of, prctl, syscall

    other = Question(0, socket.AF_INET6, unless=True)
    table = {NUMBERS["socket"]: checked((other,), refuse(errno.EAFNOSUPPORT))}
    code = assemble(AUDIT_ARCH, table.items(), otherwise=ALLOW, past_the_end=1 << 30)
    program = bytearray(b"".join(one.to_bytes(8, "little") for one in code))
    prctl(38, 1)
    where = len(code).to_bytes(8, "little") + address_of(program).to_bytes(8, "little")
    syscall("seccomp", 1, 0, where)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
