"""Layer: a root directory with only the readable paths, each of them read-only.

It is made with detached trees (open_tree(2), since Linux 5.2).  The sources are opened before the
new root is mounted, so that the new mounts cannot cover them.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.task import UNREADABLE

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "mounts"
STOPS = "learning which files and processes exist outside of what may be read"
REMEDY = "run the engine as root, or allow user namespaces, with mount permitted in them"

LIBRARIES: Final = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")

NEW_NS: Final = 0x00020000
AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
OPEN_TREE_CLONE: Final = 1
MOVE_MOUNT_F_EMPTY_PATH: Final = 4
FSOPEN_CLOEXEC: Final = 1
FSMOUNT_CLOEXEC: Final = 1
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
RDONLY: Final = 1
NOSUID: Final = 2
NODEV: Final = 4
MS_PRIVATE: Final = 1 << 18
MS_REC: Final = 1 << 14
MNT_DETACH: Final = 2


def unavailable() -> str | None:
    """Return None: only `apply` can find out whether the layer can be put on here."""
    return None


def apply(task: Task) -> str | None:
    """Move into a root directory with only these paths.

    Raises:
        OSError: A call was refused; the old root is then still in place.

    """
    syscall("unshare", NEW_NS)
    syscall("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    trees = [(path, _detached(path)) for path in sorted(_reduced(task.request.read_paths))]
    trees = [(path, tree) for path, tree in trees if tree >= 0]
    root = _empty_file_system()
    syscall("move_mount", root, b"", AT_FDCWD, b"/", MOVE_MOUNT_F_EMPTY_PATH)
    os.fchdir(root)
    try:
        for path, tree in trees:
            _attach(tree, path.strip("/"))
        for path in task.request.hidden_paths:
            _hide(path.strip("/"))
        _restrict(root, RDONLY | NOSUID | NODEV, recursive=False)
        # The new root is mounted over the old one at the same place.  After both have changed
        # places, "." names the old root.  Source: pivot_root(2), NOTES.
        syscall("pivot_root", b".", b".")
    except OSError:
        syscall("umount2", b".", MNT_DETACH)
        raise
    finally:
        for _, tree in trees:
            os.close(tree)
        os.close(root)
    syscall("umount2", b".", MNT_DETACH)
    os.chdir("/")
    return f"{len(trees)} paths"


def _reduced(paths: tuple[str, ...]) -> list[str]:
    """Leave out paths that are below another path.

    The machine's shared libraries come with their whole directory.  Such a directory has only what
    every machine has, and a mount for each library would take longer than all other mounts
    together.  Landlock still decides which files can be read there.
    """
    kept: list[str] = []
    for path in sorted({_with_siblings(path) for path in paths}, key=_parts):
        if not (kept and path.startswith(kept[-1].rstrip("/") + "/")):
            kept.append(path)
    return kept


def _parts(path: str) -> list[str]:
    return path.split("/")  # so that the paths below a directory follow it directly


def _with_siblings(path: str) -> str:
    return path.rpartition("/")[0] if path.startswith(LIBRARIES) and ".so" in path else path


def _detached(path: str) -> int:
    """Return a read-only copy of the mount below *path*, or -1 if the path cannot be read."""
    try:
        tree = syscall(
            "open_tree",
            AT_FDCWD,
            os.fsencode(path),
            OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC,
        )
    except OSError as error:
        if error.errno in UNREADABLE:
            return -1
        raise
    device = stat.S_ISCHR(os.fstat(tree).st_mode)
    _restrict(tree, RDONLY | NOSUID | (0 if device else NODEV), recursive=True)
    return tree


def _restrict(tree: int, attributes: int, *, recursive: bool) -> None:
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    setting = attributes.to_bytes(8, "little") + bytes(24)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", tree, b"", flags, setting, len(setting))


def _empty_file_system() -> int:
    context = syscall("fsopen", b"tmpfs", FSOPEN_CLOEXEC)
    try:
        syscall("fsconfig", context, FSCONFIG_SET_STRING, b"size", b"1M", 0)
        syscall("fsconfig", context, FSCONFIG_SET_STRING, b"mode", b"0755", 0)
        syscall("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall("fsmount", context, FSMOUNT_CLOEXEC, NOSUID | NODEV)
    finally:
        os.close(context)


def _attach(tree: int, target: str) -> None:
    """Mount *tree* at *target*, below the working directory."""
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        parent = target.rpartition("/")[0]
        if parent:
            os.makedirs(parent, 0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o444))
    syscall("move_mount", tree, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)


def _hide(target: str) -> None:
    """Mount an empty directory at *target*, if it is a directory."""
    if not os.path.isdir(target):
        return
    empty = _empty_file_system()
    _restrict(empty, RDONLY, recursive=False)
    try:
        syscall("move_mount", empty, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(empty)
