"""The policy over system calls, as a table, and against three oracles.

Oracles: the kernel's headers for the numbers, libseccomp for the numbers of both architectures,
libseccomp's own compiler for the verdicts.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import shutil
import subprocess
import tempfile

import pytest
from bpf_machine import run_filter

from sandbox_child.confine import numbers_aarch64, numbers_x86_64, syscalls
from sandbox_child.confine.bpf import ALLOW, KILL, assemble, refuse
from sandbox_child.confine.seccomp import X32_BIT, Program

TABLES = {"x86_64": numbers_x86_64, "aarch64": numbers_aarch64}
EPERM, ENOSYS, ENOTTY = map(refuse, (errno.EPERM, errno.ENOSYS, errno.ENOTTY))
PID = 4711
NAMED = {
    name: set(getattr(syscalls, name).split())
    for name in (
        *("ALLOWED", "REFUSED", "FATAL", "UNKNOWN", "ALLOWED_WITH_NET"),
        *("ALLOWED_WITH_SCRATCH", "UNSUPPORTED_WITH_SCRATCH"),
    )
}
WITH_NET = {*syscalls.CHECKED_WITH_NET, *syscalls.EITHER_WITH_NET}
WITH_SCRATCH = {
    *syscalls.CHECKED_WITH_SCRATCH,
    *NAMED["ALLOWED_WITH_SCRATCH"],
    *NAMED["UNSUPPORTED_WITH_SCRATCH"],
}
EVERY = set().union(*NAMED.values(), syscalls.CHECKED, syscalls.EITHER, WITH_NET, WITH_SCRATCH)


def filled(program: Program, pid: int) -> bytes:
    code = program.blank()
    program.fill(code, pid)
    return bytes(code)


def compiled(machine: str, *, net: bool, scratch: bool = False) -> bytes:
    table = TABLES[machine]
    code = assemble(
        table.AUDIT_ARCH,
        syscalls.verdicts(table.NUMBERS, net=net, scratch=scratch).items(),
        otherwise=ENOSYS,
        past_the_end=X32_BIT,
    )
    return filled(Program(code), PID)


@pytest.fixture(params=sorted(TABLES))
def machine(request):
    return request.param


class Filter:
    def __init__(self, machine: str, *, net: bool = False, scratch: bool = False) -> None:
        self.table = TABLES[machine]
        self.program = compiled(machine, net=net, scratch=scratch)

    def __call__(self, name: str, *arguments: int) -> int:
        return run_filter(
            self.program,
            number=self.table.NUMBERS[name],
            arch=self.table.AUDIT_ARCH,
            arguments=arguments,
        )

    def has(self, name: str) -> bool:
        return name in self.table.NUMBERS


def test_no_call_is_in_two_lists():
    """A call has one verdict: the lists are disjoint, except for calls of a permission."""
    lists = [NAMED[name] for name in ("ALLOWED", "REFUSED", "FATAL", "UNKNOWN")]
    lists += [set(syscalls.CHECKED), set(syscalls.EITHER)]
    assert sum(map(len, lists)) == len(set().union(*lists))
    assert NAMED["ALLOWED_WITH_NET"] <= NAMED["REFUSED"]
    assert NAMED["REFUSED"] >= WITH_SCRATCH
    assert not WITH_SCRATCH & (WITH_NET | NAMED["ALLOWED_WITH_NET"])


def test_every_named_call_exists_somewhere():
    """A misspelt name would be a hidden hole in the policy."""
    known = set(numbers_x86_64.NUMBERS) | set(numbers_aarch64.NUMBERS)
    assert known >= EVERY
    assert known == EVERY  # and each entry of the tables is used


def test_lists_are_sorted():
    """A reader finds a name quickly, and a change is one line."""
    for name in ("ALLOWED", "REFUSED", "FATAL"):
        words = getattr(syscalls, name).split()
        assert words == sorted(words)


@pytest.mark.parametrize(
    ("net", "scratch"),
    [(False, False), (True, False), (False, True)],
    ids=["alone", "net", "scratch"],
)
def test_lists_mean_what_they_say(machine, net, scratch):
    """The verdicts are allowed, EPERM, SIGSYS and ENOSYS, for all arguments."""
    ask = Filter(machine, net=net, scratch=scratch)
    changed = (WITH_NET | NAMED["ALLOWED_WITH_NET"]) if net else set()
    changed |= WITH_SCRATCH if scratch else set()
    for name, expected in (
        ("ALLOWED", ALLOW),
        ("REFUSED", EPERM),
        ("FATAL", KILL),
        ("UNKNOWN", ENOSYS),
    ):
        for call in NAMED[name] - changed:
            if ask.has(call):
                for arguments in ((0,) * 6, (1,) * 6, (2**64 - 1,) * 6):
                    assert ask(call, *arguments) == expected, call


MMAP_PRIVATE, MMAP_SHARED = 0x22, 0x21

CASES = [
    ("clone", (0x3D0F00,), ALLOW),
    ("clone", (0x7D0F00,), ALLOW),  # musl
    ("clone", (17,), EPERM),  # fork
    ("clone", (0x3D0F00 | 0x10000000,), EPERM),  # a user namespace
    ("clone", (0x3D0F00 & ~0x10000,), EPERM),  # not a thread
    ("clone", (0x4111,), EPERM),  # vfork
    ("kill", (PID, 9), ALLOW),
    ("kill", (PID | 7 << 32, 9), ALLOW),  # the kernel reads an int
    ("kill", (0, 9), EPERM),
    ("kill", (2**64 - 1, 9), EPERM),
    ("kill", (-PID, 9), EPERM),
    ("kill", (1, 9), EPERM),
    ("tgkill", (PID, 5, 9), ALLOW),
    ("tgkill", (5, PID, 9), EPERM),
    ("getpgid", (0,), ALLOW),
    ("getpgid", (PID,), ALLOW),
    ("getpgid", (1,), EPERM),
    ("getsid", (1,), EPERM),
    ("mmap", (0, 4096, 3, MMAP_PRIVATE), ALLOW),
    ("mmap", (0, 4096, 3, MMAP_SHARED), EPERM),
    ("mmap", (0, 4096, 3, 0x23), EPERM),
    ("mmap", (0, 4096, 1, 0x01), ALLOW),  # a file, shared
    ("mmap", (0, 4096, 3, 0x122), EPERM),
    ("mmap", (0, 4096, 3, 0x20022), ALLOW),  # MAP_STACK, which does not grow
    ("prlimit64", (0, 7, 0, 1234), ALLOW),
    ("prlimit64", (0, 7, 1234, 0), EPERM),
    ("prlimit64", (0, 7, 1 << 40, 0), EPERM),
    ("prlimit64", (PID, 7, 0, 1234), EPERM),
    ("ioctl", (0, 0x5401), ALLOW),
    ("ioctl", (0, 0x5412), ENOTTY),
    ("ioctl", (0, 0x5412 | 0x5401 << 32), ENOTTY),
    ("fcntl", (0, 1030), ALLOW),
    ("fcntl", (0, 8), EPERM),
    ("fcntl", (0, 10), EPERM),
    ("fcntl", (0, 1031), EPERM),
    ("fcntl", (0, 6), EPERM),  # F_SETLK
    ("fcntl", (0, 7), EPERM),
    ("fcntl", (0, 37), EPERM),  # of an open file description
    ("fcntl", (0, 4, 0x802), ALLOW),
    ("fcntl", (0, 4, 0x800 | 7 << 32), ALLOW),  # the kernel reads an int
    ("fcntl", (0, 4, 0x4000), EPERM),  # O_DIRECT, x86-64
    ("fcntl", (0, 4, 0x10000), EPERM),  # O_DIRECT, aarch64
    ("fcntl", (0, 4, 0x2000), EPERM),  # O_ASYNC
    ("fcntl", (0, 1, 0x4000), ALLOW),
    ("close_range", (3, 9, 0), ALLOW),
    ("close_range", (3, 9, 4), ALLOW),
    ("close_range", (3, 9, 2), EPERM),  # CLOSE_RANGE_UNSHARE
    ("close_range", (3, 9, 6), EPERM),
    ("close_range", (3, 9, 8), EPERM),
    ("recvfrom", (5, 1, 1, 0x4142, 0, 0), ALLOW),
    ("recvfrom", (5, 1, 1, 1, 0, 0), EPERM),  # MSG_OOB
    ("recvfrom", (5, 1, 1, 0x2000, 0, 0), EPERM),  # MSG_ERRQUEUE
    ("sendto", (5, 1, 1, 0x4000, 0, 0), ALLOW),
    ("sendto", (5, 1, 1, 1, 0, 0), EPERM),
    ("getsockopt", (5, 1, 4), ALLOW),
    ("getsockopt", (5, 1, 77), EPERM),  # SO_PEERPIDFD
    ("getsockopt", (5, 1, 17), EPERM),  # SO_PEERCRED
    ("getsockopt", (5, 6, 1), EPERM),
    ("openat", (0, 1, 0x90800), ALLOW),
    ("openat", (0, 1, 0x80241), ALLOW),
    ("openat", (0, 1, 0x410000), EPERM),  # O_TMPFILE
    ("openat", (0, 1, 0x2000), EPERM),  # O_ASYNC
    ("mprotect", (0, 4096, 7), ALLOW),
    ("mprotect", (0, 4096, 0x01000001), EPERM),  # PROT_GROWSDOWN
    ("mremap", (0, 1, 2, 1), ALLOW),
    ("mremap", (0, 1, 2, 5), EPERM),  # MREMAP_DONTUNMAP
    ("membarrier", (0, 0), ALLOW),
    ("membarrier", (1, 0), EPERM),  # on every processor of the machine
    ("membarrier", (8, 1), EPERM),
    ("mmap", (0, 4096, 3, 0x2022), EPERM),  # MAP_LOCKED
    ("mmap", (0, 4096, 3, 0x40022), EPERM),  # MAP_HUGETLB
    ("madvise", (0, 4096, 9), EPERM),  # MADV_REMOVE
    ("madvise", (0, 4096, 21), EPERM),  # MADV_PAGEOUT
    ("getrandom", (0, 1, 4), ALLOW),
    ("getrandom", (0, 1, 8), EPERM),
    ("statx", (0, 0, 0x1100), ALLOW),
    ("statx", (0, 0, 0x8000), EPERM),
    ("newfstatat", (0, 0, 0, 0x1100), ALLOW),
    ("eventfd2", (0, 0x80801), ALLOW),
    ("eventfd2", (0, 2), EPERM),
    ("epoll_create1", (0x80000,), ALLOW),
    ("epoll_create1", (1,), EPERM),
    ("dup3", (1, 2, 0x80000), ALLOW),
    ("dup3", (1, 2, 0x800), EPERM),
    ("socketpair", (1, 1, 1), EPERM),
    ("prctl", (15,), ALLOW),
    ("prctl", (1,), EPERM),
    ("prctl", (4,), EPERM),
    ("socketpair", (1, 1 | 0x80800, 0), ALLOW),
    ("socketpair", (1, 2, 0), EPERM),
    ("socketpair", (1, 5, 0), EPERM),
    ("socketpair", (2, 1, 0), EPERM),
    ("sendto", (5, 1, 1, 0, 0, 0), ALLOW),
    ("sendto", (5, 1, 1, 0, 1, 16), EPERM),
    ("sendto", (5, 1, 1, 0, 1 << 33, 16), EPERM),
    ("socket", (2, 1, 0), EPERM),
    ("pipe2", (0, 0x80800), ALLOW),
    ("pipe2", (0, 0x80), EPERM),
    ("madvise", (0, 4096, 4), ALLOW),
    ("madvise", (0, 4096, 12), EPERM),
    ("futex", (0, 128), ALLOW),
    ("futex", (0, 129), ALLOW),
    ("futex", (0, 9 | 256), ALLOW),  # WAIT_BITSET on the real clock
    ("futex", (0, 6), ENOSYS),
    ("futex", (0, 128 | 12), ENOSYS),
    ("futex", (0, 256 | 13), ENOSYS),
]

NET_CASES = [
    ("socket", (2, 1, 0), ALLOW),
    ("socket", (10, 1 | 0x80800, 6), ALLOW),
    ("socket", (2, 2, 17), ALLOW),
    ("socket", (1, 1, 0), EPERM),
    ("socket", (16, 3, 0), EPERM),
    ("socket", (40, 1, 0), EPERM),
    ("socket", (2, 3, 0), EPERM),
    ("socket", (2, 3, 1), EPERM),
    ("socket", (2, 1, 262), EPERM),
    ("connect", (3,), ALLOW),
    ("sendto", (5, 1, 1, 0x20000000, 1, 16), EPERM),
    ("sendto", (5, 1, 1, 0, 1, 16), ALLOW),
    ("sendmsg", (5, 1, 0x20000000), EPERM),
    ("sendmsg", (5, 1, 0x4000), ALLOW),
    ("sendmmsg", (5, 1, 1, 0x20000000), EPERM),
    ("setsockopt", (5, 6, 30), EPERM),
    ("setsockopt", (5, 6, 31), EPERM),
    ("setsockopt", (5, 1, 26), EPERM),
    ("setsockopt", (5, 1, 50), EPERM),
    ("setsockopt", (5, 6, 1), ALLOW),
    ("setsockopt", (5, 1, 9), ALLOW),
    ("setsockopt", (5, 1, 7), EPERM),  # SO_SNDBUF
    ("setsockopt", (5, 1, 8), EPERM),  # SO_RCVBUF
    ("setsockopt", (5, 1, 33), EPERM),  # SO_RCVBUFFORCE
    ("setsockopt", (5, 1, 60), EPERM),  # SO_ZEROCOPY
    ("setsockopt", (5, 0, 11), ALLOW),  # IP_RECVERR
    ("setsockopt", (5, 0, 35), EPERM),  # IP_ADD_MEMBERSHIP
    ("setsockopt", (5, 41, 26), ALLOW),  # IPV6_V6ONLY
    ("setsockopt", (5, 41, 20), EPERM),
    ("setsockopt", (5, 17, 1), EPERM),  # UDP_CORK
    ("getsockopt", (5, 6, 11), ALLOW),  # TCP_INFO
    ("getsockopt", (5, 1, 77), EPERM),
    ("recvmsg", (5, 1, 0x40000040), ALLOW),
    ("recvmsg", (5, 1, 1), EPERM),
    ("recvmmsg", (5, 1, 1, 0x10040), ALLOW),
    ("recvmmsg", (5, 1, 1, 1), EPERM),
    ("sendmsg", (5, 1, 1), EPERM),
    ("sendmsg", (5, 1, 0x4000000), EPERM),  # MSG_ZEROCOPY
    ("bind", (5,), EPERM),
    ("listen", (5,), EPERM),
    ("kill", (1, 9), EPERM),
]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "arguments", "expected"), CASES)
def test_arguments_decide(machine, call, arguments, expected):
    """Each side of each test has a row."""
    assert Filter(machine)(call, *arguments) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("call", "arguments", "expected"), NET_CASES)
def test_arguments_decide_with_a_network_permission(machine, call, arguments, expected):
    """The rows show calls that a permission changes, and calls that it does not change."""
    assert Filter(machine, net=True)(call, *arguments) == expected


SCRATCH_CASES = [
    ("mkdirat", (0, 0, 0o777), ALLOW),
    ("ftruncate", (3, 1), ALLOW),
    ("pwrite64", (3, 0, 1, 0), ALLOW),
    ("fchmodat", (0, 0, 0o777), ALLOW),
    ("fchmodat", (0, 0, 0o4755), EPERM),
    ("fchmodat", (0, 0, 0o2755), EPERM),
    ("chmod", (0, 0o1777), EPERM),
    ("chmod", (0, 0o600), ALLOW),
    ("fchmod", (1, 0o600), EPERM),  # of a pipe
    ("unlinkat", (0, 0, 0x200), ALLOW),
    ("unlinkat", (0, 0, 1), EPERM),
    ("renameat2", (0, 0, 0, 0, 1), ALLOW),
    ("renameat2", (0, 0, 0, 0, 4), EPERM),  # RENAME_WHITEOUT
    ("utimensat", (0, 0, 0, 0x100), ALLOW),
    ("utimensat", (0, 0, 0, 0x1000), EPERM),
    ("symlinkat", (0, 0, 0), EPERM),
    ("linkat", (0, 0, 0, 0, 0), EPERM),
    ("mknodat", (0, 0, 0o100644, 0), EPERM),
    ("openat", (0, 1, 0x410000), EPERM),  # O_TMPFILE
    ("fcntl", (0, 6), EPERM),  # F_SETLK
    ("setxattr", (0, 0), EPERM),
    ("listxattr", (0, 0), refuse(errno.EOPNOTSUPP)),
    ("execve", (0, 0), EPERM),
    ("mount", (0, 0), KILL),
]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "arguments", "expected"), SCRATCH_CASES)
def test_arguments_decide_with_a_scratch_directory(machine, call, arguments, expected):
    """The rows show calls that the permission changes, and calls that it does not change."""
    ask = Filter(machine, scratch=True)
    if ask.has(call):
        assert ask(call, *arguments) == expected


USED = [
    *(("openat", (0, 1, flags)) for flags in (0, 0x80000, 0x90800, 0x80002, 0x80241)),
    *(
        ("mmap", (0, 1, 3, flags))
        for flags in (1, 2, 0x22, 0x32, 0x802, 0x812, 0x4022, 0x20022, 0x8001)
    ),
    *(("mprotect", (0, 1, protection)) for protection in (0, 1, 3)),
    ("mremap", (0, 1, 2, 1)),
    ("madvise", (0, 1, 4)),
    *(("fcntl", (0, command, value)) for command, value in ((1, 0), (2, 1), (3, 0), (4, 0x802))),
    *(("futex", (0, operation)) for operation in (128, 129, 0x189)),
    *(("getrandom", (0, 1, flags)) for flags in (1, 4)),
    *(("newfstatat", (0, 0, 0, flags)) for flags in (0, 0x100, 0x1000)),
    *(("statx", (0, 0, flags)) for flags in (0, 0x1000)),
    *(("pipe2", (0, flags)) for flags in (0x80000, 0x80800)),
    ("eventfd2", (0, 0x80800)),
    ("epoll_create1", (0x80000,)),
    ("clock_nanosleep", (1, 1)),
    *(("prctl", (option,)) for option in (15, 0x53564D41)),
    ("socketpair", (1, 0x80001, 0)),
    ("getsockopt", (5, 1, 3)),
    ("sendto", (5, 1, 1, 0x4000, 0)),
]
"""Calls of the standard library and of well-known packages, recorded with strace."""

USED_WITH_NET = [
    *(
        ("socket", (family, kind, 0))
        for family in (2, 10)
        for kind in (1, 0x80001, 0x80801, 0x80802)
    ),
    ("socket", (2, 0x80001, 6)),
    *(("getsockopt", (5, 1, option)) for option in (2, 3, 4, 15, 18)),
    *(("getsockopt", (5, 6, option)) for option in (1, 4, 5, 6)),
    *(("setsockopt", (5, 1, option)) for option in (2, 9)),
    *(("setsockopt", (5, 6, option)) for option in (1, 4, 5, 6, 36)),
    ("setsockopt", (5, 0, 11)),
    ("setsockopt", (5, 41, 26)),
    ("sendmsg", (5, 0, 0x4000)),
    ("sendmmsg", (5, 0, 2, 0x4000)),
    ("recvfrom", (5, 0, 0, 0)),
    ("recvmsg", (5, 0, 0)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "arguments"), USED)
@pytest.mark.parametrize("net", [False, True], ids=["alone", "net"])
def test_what_libraries_use_is_allowed(call, arguments, net):
    """The record is from x86-64, so the numbers of the flags are for x86-64."""
    assert Filter("x86_64", net=net)(call, *arguments) == ALLOW


@pytest.mark.parametrize(("call", "arguments"), USED_WITH_NET)
def test_what_network_libraries_use_is_allowed(call, arguments):
    """The calls are from the same record, with a network permission."""
    assert Filter("x86_64", net=True)(call, *arguments) == ALLOW


def test_the_digest_does_not_depend_on_the_process(machine):
    """All children of one version have the same hash; a filter contains no pid of another process."""
    table = TABLES[machine]
    code = assemble(
        table.AUDIT_ARCH,
        syscalls.verdicts(table.NUMBERS, net=False).items(),
        otherwise=ENOSYS,
        past_the_end=X32_BIT,
    )
    one, two = Program(code), Program(code)

    assert one.digest == two.digest
    assert filled(one, 1) != filled(two, 2)
    assert syscalls.OWN_PID.to_bytes(4, "little") not in filled(one, 1)
    assert Program(code[:-1]).digest != one.digest


HEADERS = {
    "x86_64": "#include <asm/unistd_64.h>\n",
    "aarch64": "#define __BITS_PER_LONG 64\n#define __ARCH_WANT_RENAMEAT\n#define __ARCH_WANT_NEW_STAT\n"
    "#define __ARCH_WANT_SET_GET_RLIMIT\n#define __ARCH_WANT_TIME32_SYSCALLS\n"
    "#define __ARCH_WANT_SYS_CLONE3\n#define __ARCH_WANT_MEMFD_SECRET\n"
    "#include <asm-generic/unistd.h>\n",
}


def test_numbers_are_those_of_the_kernel_headers(machine):
    """arm64 is made of the generic header (arch/arm64/include/uapi/asm/unistd.h)."""
    if not shutil.which("gcc") or (machine == "x86_64" and os.uname().machine != "x86_64"):
        pytest.skip("needs gcc and the kernel's headers")
    done = subprocess.run(
        ["gcc", "-E", "-dM", "-x", "c", "-"],
        input=HEADERS[machine],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("the kernel's headers are not installed")
    defined = dict(re.findall(r"#define (__NR\w+) (\w+)", done.stdout))

    def number(name):
        value = defined.get(f"__NR_{name}")
        while value is not None and not value.isdecimal():
            value = defined.get(value)
        return value if value is None else int(value)

    assert {name: number(name) for name in TABLES[machine].NUMBERS} == TABLES[machine].NUMBERS
    missing = {name for name in EVERY if number(name) is not None} - set(TABLES[machine].NUMBERS)
    assert not missing


@pytest.fixture(scope="module")
def libseccomp():
    try:
        return importlib.import_module("pyseccomp")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"needs pyseccomp and libseccomp: {error}")


def test_numbers_are_those_of_libseccomp(machine, libseccomp):
    """The numbers of both architectures are compared on any machine."""
    arch = getattr(libseccomp.Arch, machine.upper())
    compared = 0
    for name, number in TABLES[machine].NUMBERS.items():
        theirs = libseccomp.resolve_syscall(arch, name)
        theirs = (
            theirs if isinstance(theirs, int) else libseccomp.resolve_syscall(arch, name.encode())
        )
        if theirs >= 0:  # negative: the call is newer than the library
            assert theirs == number, name
            compared += 1
    assert compared > 250


INTERESTING = (
    *(0, 1, 2, 5, 6, 10, 12, 13, 15, 17, 26, 30, 31, 50, 60, 0x20, 0x21, 0x22, 0x80, 0x122, 1030),
    *(0x5401, 0x5412, 0x3D0F00, 0x7D0F00, PID, 0x20000000, 0x80800, 2**32, 2**32 + 1, 2**64 - 1),
    *(3, 4, 7, 8, 9, 11, 16, 20, 25, 36, 41, 67, 77, 0x100, 0x800, 0x1000, 0x2000, 0x4000, 0x10000),
    *(0x40000, 0x200000, 0x400000, 0x1000000, 0x4000000, 0x40000000),
)


def oracle_rules(libseccomp, *, net):
    """Return the allowed arguments of the policy again, in the form of libseccomp."""
    arg, masked, eq = libseccomp.Arg, libseccomp.MASKED_EQ, libseccomp.EQ
    low = 0xFFFFFFFF

    def is_(position, value, mask=low):
        return arg(position, masked, mask, value)

    def none(position, allowed):
        return is_(position, 0, low & ~allowed)

    def options(level, names):
        return [[is_(1, level), is_(2, name)] for name in names]

    ip = options(0, (1, 2, 10, 11)) + options(41, (16, 23, 25, 26, 67))
    tcp = (1, 2, 3, 4, 5, 6, 7, 12, 18, 36)
    rules = {
        "clone": [[is_(0, 0x3D0F00, low & ~0x400000)]],
        "fcntl": [
            *([is_(1, v)] for v in (0, 1, 2, 3, 5, 1030, 1032)),
            [is_(1, 4), none(2, 0x28C03)],
        ],
        "clock_nanosleep": [[none(1, 1)]],
        "close_range": [[none(2, 4)]],
        "dup3": [[none(2, 0x80000)]],
        "epoll_create1": [[none(0, 0x80000)]],
        "eventfd2": [[none(1, 0x80801)]],
        "faccessat2": [[none(3, 0x7B00)]],
        "futex_waitv": [[none(2, 0)]],
        "getrandom": [[none(2, 7)]],
        "getsockopt": options(1, (2, 3, 4, 6, 7, 8, 9, 10, 13, 15, 18, 20, 21, 30, 38, 39, 66, 67)),
        "membarrier": [[is_(0, v), none(1, 0)] for v in (0, 8, 16)],
        "mprotect": [[none(2, 7)]],
        "mremap": [[none(3, 3)]],
        "newfstatat": [[none(3, 0x7900)]],
        "open": [[none(1, 0x2BCFC3)]],
        "openat": [[none(2, 0x2BCFC3)]],
        "recvfrom": [[none(3, 0x40004162)]],
        "statx": [[none(2, 0x7900)]],
        "getpgid": [[is_(0, 0)], [is_(0, PID)]],
        "getsid": [[is_(0, 0)], [is_(0, PID)]],
        "ioctl": [[is_(1, v)] for v in (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)],
        "futex": [[is_(1, v, 0x7F)] for v in (0, 1, 3, 4, 5, 9, 10)],
        "kill": [[is_(0, PID)]],
        "madvise": [[is_(2, v)] for v in (0, 1, 2, 3, 4, 8, 14, 15, 16, 17)],
        "pipe2": [[is_(1, 0, low & ~0x80800)]],
        "tgkill": [[is_(0, PID)]],
        # Neither flag, or either flag alone; beside them only allowed flags.
        "mmap": [[is_(3, v, low & ~0x12D833 | 0x21)] for v in (0, 1, 0x20)],
        "prctl": [[is_(0, v)] for v in (15, 16, 0x53564D41)],
        "prlimit64": [[is_(0, 0), arg(2, eq, 0)]],
        "sendto": [[none(3, 0xC040), arg(4, eq, 0)]],
        "socketpair": [[is_(0, 1), is_(1, 1, 0xF), none(2, 0)]],
    }
    if net:
        rules |= {
            "socket": [
                [is_(0, family), is_(1, kind, 0xF), is_(2, protocol)]
                for family in (2, 10)
                for kind in (1, 2)
                for protocol in (0, 6, 17)
            ],
            "sendto": [[none(3, 0xC040)]],
            "sendmsg": [[none(2, 0xC040)]],
            "sendmmsg": [[none(3, 0xC040)]],
            "recvmsg": [[none(2, 0x40004162)]],
            "recvmmsg": [[none(3, 0x40014162)]],
            "getsockopt": [*rules["getsockopt"], *options(6, (*tcp, 11, 13)), *ip],
            "setsockopt": [
                *options(1, (2, 6, 9, 13, 15, 18, 20, 21, 66, 67)),
                *options(6, tcp),
                *ip,
            ],
        }
    return rules


@pytest.mark.slow
@pytest.mark.parametrize("net", [False, True], ids=["alone", "net"])
def test_libseccomp_gives_the_same_verdict_for_every_number(libseccomp, net):
    """Another compiler gives the same verdicts, for each number and many arguments."""
    if os.uname().machine != "x86_64":
        pytest.skip("the oracle is compiled for the machine that it runs on")
    numbers = numbers_x86_64.NUMBERS
    theirs = libseccomp.SyscallFilter(defaction=libseccomp.ERRNO(errno.ENOSYS))
    theirs.set_attr(libseccomp.Attr.ACT_BADARCH, libseccomp.KILL_PROCESS)
    rules = oracle_rules(libseccomp, net=net)
    allowed = NAMED["ALLOWED"] | (NAMED["ALLOWED_WITH_NET"] if net else set())
    for name in EVERY & set(numbers):
        if name in rules:
            for rule in rules[name]:
                theirs.add_rule(libseccomp.ALLOW, numbers[name], *rule)
        elif name in allowed:
            theirs.add_rule(libseccomp.ALLOW, numbers[name])
        elif name in NAMED["REFUSED"]:
            theirs.add_rule(libseccomp.ERRNO(errno.EPERM), numbers[name])
        elif name in NAMED["FATAL"]:
            theirs.add_rule(libseccomp.KILL_PROCESS, numbers[name])
    with tempfile.TemporaryFile() as file:
        theirs.export_bpf(file)
        file.seek(0)
        oracle = file.read()
    ours = compiled("x86_64", net=net)
    checked = {numbers[name]: name for name in rules}
    different = []
    # Not -1, which libseccomp lets through for tracers; a child has no tracer.
    for number in (*range(1100), *range(0x40000000, 0x40000400), 2**31, 2**32 - 2):
        vectors = [(0,) * 6]
        if number in checked:
            vectors += [
                tuple(value if position == at else 0 for position in range(6))
                for at in range(6)
                for value in INTERESTING
            ]
            vectors += [(value,) * 6 for value in INTERESTING]
            vectors += [
                (a, b, c, 0, 0, 0) for a in (1, 2, 10) for b in (1, 2, 3) for c in (0, 6, 1)
            ]
            vectors += [(1, a, b, 0, 0, 0) for a in (0, 1, 4, 6, 41) for b in INTERESTING]
        for arguments in vectors:
            question = {"number": number, "arch": numbers_x86_64.AUDIT_ARCH, "arguments": arguments}
            verdicts = [run_filter(program, **question) for program in (ours, oracle)]
            if number in checked and verdicts[1] == ENOSYS:
                # libseccomp has one verdict for all calls without a rule: its default.
                verdicts[1] = refuse(syscalls.ANSWERS.get(checked[number], errno.EPERM))
            if verdicts[0] != verdicts[1]:
                different.append((number, arguments, [hex(v) for v in verdicts]))
    assert not different


def test_both_filters_stay_below_the_limit_of_the_kernel(machine):
    """The limit of the kernel, BPF_MAXINSNS, is 4096."""
    for net in (False, True):
        assert len(compiled(machine, net=net)) // 8 < 1000
