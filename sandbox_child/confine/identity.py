"""Layer: a user id that owns no files, and no capabilities.

Under root, each run gets a user id of its own, so that the kernel separates two runs, and
RLIMIT_NPROC counts one run only.  An ordinary user cannot change the id, which needs privilege.
Its runs get user namespaces of their own for the sake of that count.
"""

from __future__ import annotations

import os
import resource
import stat
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import Call, Long, prctl, prctl_call, syscall
from sandbox_child.confine.namespaces import NEW_USER
from sandbox_child.confine.rlimits import limit_call
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from sandbox_child.confine.task import Ready, Task

NAME = "identity"
STOPS = "using root's rights over files and processes, should another layer have a hole"
REMEDY = "run the engine as an ordinary user, or make interpreter and repo readable by everybody"

FIRST_UID: Final = 0x70000000
"""The base of user ids, far above those that distributions give to people and services; the pid is
added."""
NOBODY: Final = 65534

PR_CAPBSET_DROP: Final = 24
PR_SET_SECUREBITS: Final = 28
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
SECBITS_ALL_LOCKED: Final = 0xEF
"""Root's uid gives no rights, and a change of uid keeps no capability, neither ambient ones; all of
it for good."""
CAPABILITY_VERSION_3: Final = 0x20080522
LAST_CAPABILITY: Final = 63


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


_bounding_set: list[str] = []
"""The outcome of emptying the bounding set, once tried; a fork inherits the set and the outcome."""
_readable: dict[tuple[str, ...], bool] = {}
"""For paths that were looked up: whether every user may read them."""


def prepare(request: ConfinementRequest) -> None:
    """Do the work that each fork of this process would have to do for itself."""
    if os.geteuid() == 0:
        if not _bounding_set:
            _bounding_set.append(_drop_bounding_set())
        if request.read_paths not in _readable:
            _readable[request.read_paths] = _readable_by_others(request.read_paths)


_own_uid = Long(0)
"""The user id of the fork that puts its layers on: see `set_own`."""


def ready(task: Task) -> Ready | None:
    """Return the calls of `apply`: see `sandbox_child.confine.ready`.

    This is for root only: for other users, each step depends on the outcome of the one before.
    """
    request = task.request
    if os.geteuid() != 0 or not _readable.get(request.read_paths):
        return None
    count = request.max_processes
    calls = [
        *_leave_groups(),
        *_become(_own_uid),
        *_clear_calls(),
        limit_call(resource.RLIMIT_NPROC, count, count),
    ]
    return calls, ", ".join(filter(None, ["uid {}", *_bounding_set]))


def set_own(pid: int) -> int:
    """Set the process that makes the ready calls; return its user id."""
    uid = FIRST_UID + pid
    _own_uid.value = uid
    return uid


def apply(task: Task) -> str | None:
    """Give up root's user id if possible, and every capability in any case.

    Source: capabilities(7), setresuid(2), getrlimit(2) on RLIMIT_NPROC.

    Raises:
        OSError: The capabilities could not be given up.

    """
    root = os.geteuid() == 0
    details = ["uid unchanged"]
    if root:
        prepare(task.request)
        details = [_become_stranger(task), *_bounding_set]
    _clear_capabilities()
    if not task.counts_alone and not root and _count_alone():
        task.counts_alone = True
        _clear_capabilities()  # a new user namespace begins with all capabilities
    if task.counts_alone:
        count = task.request.max_processes
        limit_call(resource.RLIMIT_NPROC, count, count).make()
    else:
        details.append("processes not counted")
    return ", ".join(filter(None, details))


def _become_stranger(task: Task) -> str:
    if not _readable[task.request.read_paths]:
        return "uid unchanged: what must be read belongs to root only"
    try:
        make_all((_leave_groups(), None))
    except OSError:
        return "uid unchanged: setgroups refused"
    for uid in (FIRST_UID + os.getpid(), NOBODY):
        try:
            make_all((_become(uid), None))
        except OSError:
            continue  # this user namespace does not have the id
        task.counts_alone = uid != NOBODY
        return f"uid {uid}"
    return "uid unchanged: no other id exists here"


def _leave_groups() -> list[Call]:
    return [Call("setgroups", 0, None)]


def _become(uid: int | Long) -> list[Call]:
    return [Call("setresgid", uid, uid, uid), Call("setresuid", uid, uid, uid)]


def _readable_by_others(paths: tuple[str, ...]) -> bool:
    """Return whether the modes of the paths, and of all directories above, let others read them."""
    passed: set[str] = set()
    for path in paths:
        try:
            mode = os.stat(path).st_mode
            if not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH):
                return False
            above = path
            while above.strip("/"):
                above = above.rstrip("/").rpartition("/")[0] or "/"
                if above in passed:
                    break
                if not os.stat(above).st_mode & stat.S_IXOTH:
                    return False
                passed.add(above)
        except OSError:
            continue  # the path does not exist for any user
    return True


def _drop_bounding_set() -> str:
    try:
        prctl(PR_SET_SECUREBITS, SECBITS_ALL_LOCKED)
        for capability in range(LAST_CAPABILITY + 1):
            prctl(PR_CAPBSET_DROP, capability)
    except PermissionError:
        return "bounding set kept"  # harmless with no_new_privs: programs cannot be executed
    except OSError:
        pass  # EINVAL: after the last capability of this kernel
    return ""


def _clear_capabilities() -> None:
    make_all((_clear_calls(), None))


def _clear_calls() -> list[Call]:
    return [prctl_call(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), capset_call()]


def capset_call() -> Call:
    """Prepare the call that gives up every capability except the ambient ones."""
    header = CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4)
    return Call("capset", header, bytes(24))


def _count_alone() -> bool:
    try:
        syscall("unshare", NEW_USER)
    except OSError:
        return False
    return True
