"""Layer: a root directory with only the readable paths, each of them read-only.

The sources are opened before the new root is mounted, so that the new mounts cannot cover them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.task import SCRATCH_DIRECTORY, SCRATCH_PLACE, SCRATCH_SHELTER
from sandbox_child.confine.trees import (
    NODEV,
    NOSUID,
    RDONLY,
    attach,
    detached,
    move,
    new_file_system,
    reduced,
    restrict,
)

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "mounts"
STOPS = "learning which files and processes exist outside of what may be read"
REMEDY = "run the engine as root, or allow user namespaces, with mount permitted in them"

NEW_NS: Final = 0x00020000
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
    trees = [
        (path, detached(path))
        for path in sorted(reduced(task.request.read_paths + task.request.root_paths))
    ]
    trees = [(path, tree) for path, tree in trees if tree >= 0]
    root = new_file_system()
    move(root, "/")
    os.fchdir(root)
    shelter = -1
    try:
        if SCRATCH_DIRECTORY not in dict(trees):
            # Every root has the place of a scratch directory, for the forks of a zygote.
            shelter = _make_shelter()
        for path, tree in trees:
            attach(tree, path.strip("/"))
        if shelter >= 0:
            restrict(shelter, RDONLY, recursive=False)
        for path in task.request.hidden_paths:
            _hide(path.strip("/"))
        restrict(root, RDONLY | NOSUID | NODEV, recursive=False)
        # The new root is mounted over the old one at the same place.  After both have changed
        # places, "." names the old root.  Source: pivot_root(2), NOTES.
        syscall("pivot_root", b".", b".")
    except OSError:
        syscall("umount2", b".", MNT_DETACH)
        raise
    finally:
        for _, tree in trees:
            os.close(tree)
        if shelter >= 0:
            os.close(shelter)
        os.close(root)
    syscall("umount2", b".", MNT_DETACH)
    os.chdir("/")
    return f"{len(trees)} paths"


def _make_shelter() -> int:
    """Make the place of a scratch directory below the working directory; return its file system.

    Landlock gives rights below directories, so a rule for the shelter also covers a directory that is
    mounted in it later.  Paths of the request below the link are attached in the shelter, too.
    """
    shelter = new_file_system()
    try:
        attach(shelter, SCRATCH_SHELTER.strip("/"))
        os.mkdir(SCRATCH_PLACE.strip("/"), 0o755)
        os.symlink(SCRATCH_PLACE.strip("/"), SCRATCH_DIRECTORY.strip("/"))
    except BaseException:
        os.close(shelter)
        raise
    return shelter


def _hide(target: str) -> None:
    """Mount an empty directory at *target*, if it is a directory."""
    if not os.path.isdir(target):
        return
    empty = new_file_system()
    restrict(empty, RDONLY, recursive=False)
    try:
        move(empty, target)
    finally:
        os.close(empty)
