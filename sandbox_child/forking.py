"""Forks the zygote: like C where that was tested, else like Python."""

from __future__ import annotations

import errno
import os

from sandbox_child.confine import kernel
from sandbox_child.tested import is_tested


def fork() -> int:
    """Return the pid of a fork of this process, 0 in the fork, or the negative error number.

    C's way leaves memory shared that Python's way writes to; see `sandbox_child.confine.kernel.fork`.
    """
    if is_tested():
        return kernel.fork()
    try:
        return os.fork()
    except OSError as error:
        return -(error.errno or errno.EAGAIN)
