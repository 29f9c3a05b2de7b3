"""The scratch directory: an empty ``/tmp`` of a fixed size that only one child sees.

It belongs to the layer `mounts`.  It is a file system of its own in the memory of the machine, so
it is gone with the last process of the child's mount namespace.  Programs in it cannot be executed
or loaded, and it has no devices and no setuid files.
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Final

from protocol.confinement import LayerReport
from sandbox_child.confine import mounts
from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.task import SCRATCH_DIRECTORY, explain
from sandbox_child.confine.trees import (
    NODEV,
    NOEXEC,
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
    from protocol.confinement import ConfinementRequest

MEGABYTE: Final = 1_000_000
FILES_PER_MB: Final = 256
"""Each file also takes about 1 kB of the kernel's memory, which its size does not show."""


def check(request: ConfinementRequest) -> None:
    """Refuse a request whose scratch directory cannot be made.

    Raises:
        ConfinementRefused: The request leaves the layer out, or may read what would be hidden.

    """
    left_out = request.level == "none" or mounts.NAME in request.without
    if request.scratch_bytes and left_out:
        raise ConfinementRefused(
            mounts.NAME,
            "the run has a scratch directory (scratch_mb), which is a mount, and its policy has no"
            " mounts",
            "leave out scratch_mb, or use a policy with the kernel wall",
        )
    if request.scratch_bytes and {"/", SCRATCH_DIRECTORY} & set(request.read_paths):
        raise ConfinementRefused(
            mounts.NAME,
            f"the scratch directory would hide all of {SCRATCH_DIRECTORY}, which the run may read",
            "put the repo of adaptors into a directory below it, or elsewhere",
        )


def put_on(request: ConfinementRequest, layer: LayerReport, *, forked: bool = False) -> LayerReport:
    """Mount the scratch directory if the request has one; return the report of the layer `mounts`.

    Args:
        request: The request of the child.
        layer: The report of the layer so far.
        forked: Whether this process shares its mounts with a zygote.

    Raises:
        ConfinementRefused: The directory cannot be mounted.

    """
    if not request.scratch_bytes:
        return layer
    if layer.state != "on":
        raise ConfinementRefused(mounts.NAME, str(layer.detail), mounts.REMEDY)
    try:
        if forked:
            syscall("unshare", mounts.NEW_NS)
        _mount(request)
    except OSError as error:
        reason = f"the scratch directory: {explain(error)}"
        raise ConfinementRefused(mounts.NAME, reason, mounts.REMEDY) from None
    size = f"{request.scratch_bytes / MEGABYTE:g}"
    return LayerReport(layer.name, "on", required=True, detail=f"{layer.detail}, {size} MB scratch")


def _mount(request: ConfinementRequest) -> None:
    """Mount the directory over the one that holds its place.

    Paths of the request below it stay readable: their trees are attached to it again.  Their
    parents are in file systems of their own, because the run could move directories of its own.
    """
    inside = SCRATCH_DIRECTORY + "/"
    found = [path for path in reduced(request.read_paths) if path.startswith(inside)]
    trees = [(path, tree) for path in found if (tree := detached(path)) >= 0]
    names = {path.removeprefix(inside).partition("/")[0] for path, _ in trees}
    page = resource.getpagesize()
    files = max(1, request.scratch_bytes * FILES_PER_MB // MEGABYTE)
    scratch = new_file_system(
        NOSUID | NODEV | NOEXEC,
        # 0 would mean without a limit, for both.
        size=str(max(page, request.scratch_bytes // page * page)),
        nr_inodes=str(files + len(names) + 1),
        mode="1777",
    )
    parents = []
    try:
        move(scratch, SCRATCH_DIRECTORY)
        for name in sorted(names - {path.removeprefix(inside) for path, _ in trees}):
            parents.append(new_file_system())
            attach(parents[-1], inside + name)
        for path, tree in trees:
            attach(tree, path)
        for parent in parents:
            restrict(parent, RDONLY, recursive=False)
    finally:
        for descriptor in (scratch, *parents, *(tree for _, tree in trees)):
            os.close(descriptor)
