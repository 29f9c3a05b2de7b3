"""Explains errors of a scratch directory that is full or missing to the author of a job."""

from __future__ import annotations

import errno
import resource
from typing import TYPE_CHECKING, Final

from protocol.limits import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL: Final = (errno.ENOSPC, errno.EFBIG)
_MAX_CHAIN: Final = 30
_MISSING: Final = "No usable temporary directory"
"""The beginning of what `tempfile` says."""


def scratch_advice(error: BaseException) -> str | None:
    """Return how to get a scratch directory that is large enough, if *error* comes from its lack."""
    for cause in _chain(error):
        if not isinstance(cause, OSError):
            continue
        size_mb = _size_mb()
        if cause.errno in _FULL and size_mb:
            return (
                f"the scratch directory /tmp is full: it holds {size_mb:g} MB and 256 files for each"
                f" MB; remove files, or allow more with Permissions(scratch_mb={_more(size_mb)})"
            )
        text = str(cause.strerror or "")
        if not size_mb and cause.errno == errno.ENOENT and text.startswith(_MISSING):
            return (
                "the run has no directory for temporary files;"
                " allow one with Permissions(scratch_mb=64)"
            )
    return None


def memory_advice() -> str | None:
    """Return how much of the memory of this process belongs to its scratch directory, if it has one."""
    size_mb = _size_mb()
    if not size_mb:
        return None
    return f"{size_mb:g} MB of the limit belong to the scratch directory (scratch_mb)"


def _size_mb() -> float:
    """Return the size of the scratch directory; 0.0 without one.

    A run without one cannot write a file at all, and a run with one has a limit for files of its
    size and one page: see `sandbox_child.confine.rlimits`.
    """
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return max(0, limit - resource.getpagesize()) / MEGABYTE


def _more(size_mb: float) -> int:
    return max(1, round(2 * size_mb))


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting: list[BaseException | None] = [error]
    for _ in range(_MAX_CHAIN):
        if not waiting:
            return
        current = waiting.pop(0)
        if current is not None:
            yield current
            waiting += [current.__cause__, current.__context__]
