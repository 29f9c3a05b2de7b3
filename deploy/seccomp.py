"""Write `seccomp.json`, the seccomp profile of a container with a worker: ``python deploy/seccomp.py``.

It is a list of allowed system calls in the form of the OCI runtime specification, which Docker, Podman and Kubernetes read.
The base allows what Docker's default profile allows to a container without extra capabilities. These are the system calls of
x86-64 and of 64-bit Arm, except for those that Docker's documentation lists as blocked. `ADDED` is all that
the base lacks for the layers `namespaces` and `mounts` of a run.

Source: https://docs.docker.com/engine/security/seccomp/ ("Significant syscalls blocked by the default
profile"), clone(2), unshare(2), mount(2), and the numbers in `sandbox_child/confine`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sandbox_child.confine import numbers_aarch64, numbers_x86_64

FILE = Path(__file__).with_name("seccomp.json")

EPERM, ENOSYS = 1, 38

NEW_NS, NEW_CGROUP, NEW_UTS = 0x00020000, 0x02000000, 0x04000000
NEW_IPC, NEW_USER, NEW_PID, NEW_NET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
ALL_NAMESPACES = NEW_NS | NEW_CGROUP | NEW_UTS | NEW_IPC | NEW_USER | NEW_PID | NEW_NET

OURS = NEW_NS | NEW_UTS | NEW_IPC | NEW_USER | NEW_NET
"""The namespaces that a run makes."""

REST_OF_64_BITS = 0xFFFFFFFF_FFFFFFFF & ~OURS

BLOCKED: dict[str, tuple[str, ...]] = {
    "loads code into the kernel": (
        "bpf", "delete_module", "finit_module", "init_module", "kexec_file_load", "kexec_load",
    ),
    "changes the clock": ("clock_settime", "settimeofday"),
    "changes the machine": (
        "acct", "ioperm", "iopl", "nfsservctl", "quotactl", "quotactl_fd", "reboot", "swapoff", "swapon", "syslog",
        "uselib", "vhangup",
    ),
    "keys are shared by all containers": ("add_key", "keyctl", "request_key"),
    "reads other processes": (
        "kcmp", "perf_event_open", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    ),
    "places memory": (
        "get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
    ),
    "had many faults": (
        "io_uring_enter", "io_uring_register", "io_uring_setup", "userfaultfd", "lookup_dcookie",
    ),
    "leaves the file system of the container": (
        "chroot", "fanotify_init", "fspick", "open_by_handle_at", "setns",
    ),
}  # fmt: skip
"""System calls that a container does not need, by the reason."""

ADDED = (
    "fsconfig", "fsmount", "fsopen", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root",
    "setdomainname", "sethostname", "umount2",
)  # fmt: skip
"""The base lacks these, and `unshare` with the flags in `OURS`.  Outside of a user namespace the kernel still refuses
each of them to a process without CAP_SYS_ADMIN."""

NEWER = (
    "cachestat", "fchmodat2", "futex_requeue", "futex_wait", "futex_wake", "map_shadow_stack", "mseal",
)  # fmt: skip
"""Harmless system calls that our own tables do not have yet."""

BY_ARGUMENT = ("clone", "clone3", "personality", "socket", "unshare")

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, with and without 32-bit addresses and old versions' names, and the question for the present one."""

AF_ALG, AF_VSOCK = 38, 40


def profile(*, added: bool = True) -> dict[str, Any]:
    """Return the profile.

    Args:
        added: False leaves out `ADDED` and `unshare`, and so is what a container gets by default.

    """
    blocked = {name for names in BLOCKED.values() for name in names}
    known = {*numbers_x86_64.NUMBERS, *numbers_aarch64.NUMBERS}
    plain = sorted({*known, *NEWER} - blocked - {*ADDED, *BY_ARGUMENT})
    rules = [
        _allow(plain),
        {"names": sorted(blocked), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
        # Threads and forks, but no namespaces.
        _allow(["clone"], _argument(0, "SCMP_CMP_MASKED_EQ", ALL_NAMESPACES, 0)),
        # Its flags lie in memory, where no filter sees them.  The C library then calls clone.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
        *(_allow(["personality"], _argument(0, "SCMP_CMP_EQ", p)) for p in PERSONALITIES),
        _allow(["socket"], _argument(0, "SCMP_CMP_LT", AF_ALG)),
        _allow(["socket"], _argument(0, "SCMP_CMP_EQ", AF_ALG + 1)),
        _allow(["socket"], _argument(0, "SCMP_CMP_GT", AF_VSOCK)),
    ]
    if not added:
        rules.append({"names": [*ADDED, "unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM})
    else:
        rules += [
            _allow(list(ADDED)),
            _allow(["unshare"], _argument(0, "SCMP_CMP_MASKED_EQ", REST_OF_64_BITS, 0)),
        ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        # A library that tries a system call of a newer kernel then takes an older one.
        "defaultErrnoRet": ENOSYS,
        # No 32-bit system calls: none of our programs makes any.
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": rules,
    }


def _allow(names: list[str], *arguments: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    return rule | {"args": list(arguments)} if arguments else rule


def _argument(index: int, operator: str, value: int, other: int | None = None) -> dict[str, Any]:
    found = {"index": index, "value": value, "op": operator}
    return found if other is None else found | {"valueTwo": other}


def text() -> str:
    """Return the content of the file."""
    return json.dumps(profile(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
