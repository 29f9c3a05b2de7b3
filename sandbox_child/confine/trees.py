"""Detached trees of mounts (open_tree(2), since Linux 5.2), and small file systems in memory."""

from __future__ import annotations

import os
import stat
from typing import Final

from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.task import UNREADABLE

LIBRARIES: Final = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")

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
NOEXEC: Final = 8


def reduced(paths: tuple[str, ...]) -> list[str]:
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


def detached(path: str) -> int:
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
    restrict(tree, RDONLY | NOSUID | (0 if device else NODEV), recursive=True)
    return tree


def restrict(tree: int, attributes: int, *, recursive: bool) -> None:
    """Take away from a mount, or from all mounts below it, what the *attributes* name."""
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    setting = attributes.to_bytes(8, "little") + bytes(24)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", tree, b"", flags, setting, len(setting))


def new_file_system(flags: int = NOSUID | NODEV, **options: str) -> int:
    """Return the mount of a new, empty file system in memory, which is not attached yet.

    Args:
        flags: Restrictions of its files: see mount_setattr(2).
        options: See tmpfs(5).

    """
    context = syscall("fsopen", b"tmpfs", FSOPEN_CLOEXEC)
    try:
        for name, value in {"size": "1M", "mode": "0755", **options}.items():
            syscall(
                "fsconfig", context, FSCONFIG_SET_STRING, name.encode(), value.encode() + b"\0", 0
            )
        syscall("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall("fsmount", context, FSMOUNT_CLOEXEC, flags)
    finally:
        os.close(context)


def attach(tree: int, target: str) -> None:
    """Mount *tree* at *target*, below the working directory."""
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        parent = target.rpartition("/")[0]
        if parent:
            os.makedirs(parent, 0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o444))
    move(tree, target)


def move(tree: int, target: str) -> None:
    """Mount *tree* at *target*, which exists."""
    syscall("move_mount", tree, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
