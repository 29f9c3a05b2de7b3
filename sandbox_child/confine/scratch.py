"""The scratch directory: an empty ``/tmp`` of a fixed size that only one child sees.

It belongs to the layer `mounts`.  It is a file system of its own in the memory of the machine, so
it is gone with the last process of the child's mount namespace.  Programs in it cannot be executed
or loaded, and it has no devices and no setuid files.
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Final

from protocol.confinement import LayerReport, lies_below
from sandbox_child.confine import mounts
from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.task import (
    SCRATCH_DIRECTORY,
    SCRATCH_PLACE,
    SCRATCH_SHELTER,
    explain,
    make_all,
)
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
    from sandbox_child.confine.task import Ready, Task

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
    if not request.scratch_bytes:
        return
    paths = request.read_paths + request.root_paths
    if any(lies_below(path, (SCRATCH_SHELTER,)) for path in paths):
        raise ConfinementRefused(
            mounts.NAME,
            f"{SCRATCH_SHELTER} is the place of the scratch directory, and the run may read a path there",
            "move that directory elsewhere",
        )
    if {"/", SCRATCH_DIRECTORY} & set(paths):
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
        mount(request)
    except OSError as error:
        reason = f"the scratch directory: {explain(error)}"
        raise ConfinementRefused(mounts.NAME, reason, mounts.REMEDY) from None
    return report(request, layer)


def report(request: ConfinementRequest, layer: LayerReport) -> LayerReport:
    """Return the report of the layer `mounts` with a scratch directory."""
    return LayerReport(layer.name, "on", required=True, detail=_detail(request, layer))


def _detail(request: ConfinementRequest, layer: LayerReport) -> str:
    return f"{layer.detail}, {request.scratch_bytes / MEGABYTE:g} MB scratch"


def most_files(request: ConfinementRequest) -> int:
    """Return the number of files that the run may make."""
    return max(1, request.scratch_bytes * FILES_PER_MB // MEGABYTE)


def mount(request: ConfinementRequest) -> None:
    """Mount the directory at its place, in the root of this process.

    Paths of the request below it stay readable: their trees are attached to it again.  Their
    parents are in file systems of their own, because the run could move directories of its own.

    Raises:
        OSError: The kernel refused.

    """
    inside = SCRATCH_DIRECTORY + "/"
    found = [path for path in reduced(request.read_paths) if path.startswith(inside)]
    trees = [(path, tree) for path in found if (tree := detached(path)) >= 0]
    names = {path.removeprefix(inside).partition("/")[0] for path, _ in trees}
    page = resource.getpagesize()
    scratch = new_file_system(
        NOSUID | NODEV | NOEXEC,
        # 0 would mean without a limit, for both.
        size=str(max(page, request.scratch_bytes // page * page)),
        nr_inodes=str(most_files(request) + len(names) + 1),
        mode="1777",
    )
    parents = []
    try:
        move(scratch, SCRATCH_PLACE)
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


# --- for the forks of a zygote: see `sandbox_child.confine.ready` ---

NAME: Final = mounts.NAME
STOPS: Final = mounts.STOPS
REMEDY: Final = mounts.REMEDY


def unavailable() -> str | None:
    """Return None: only `apply` can find out whether a directory can be mounted here."""
    return None


def apply(task: Task) -> str | None:
    """Leave the mount namespace of the zygote, and mount the directory in a new one.

    Raises:
        OSError: The kernel refused.

    """
    return make_all(ready(task))


def ready(task: Task) -> Ready:
    """Return the calls of `apply`."""
    return [_Mounting(task.request)], None


class _Mounting:
    """Mounts the directory in a new mount namespace."""

    name: Final = "mount"

    def __init__(self, request: ConfinementRequest) -> None:
        self._request = request

    def make(self) -> int:
        syscall("unshare", mounts.NEW_NS)
        mount(self._request)
        return 0
