"""Layer: writable memory never becomes executable.

Callbacks from C into Python (ctypes, cffi) still work, about seventy at a time. libffi has a page
of code for them, and maps it when the first callback is made.  It finds that page through
``/proc``.  So the first callback is made here, when this module is imported and the process is not
confined yet.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import prctl

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "mdwe"
STOPS = "running machine code that was written by the job (a hurdle, not a wall)"
REMEDY = "run on Linux 6.3 or newer"

PR_SET_MDWE: Final = 65
PR_GET_MDWE: Final = 66
PR_MDWE_REFUSE_EXEC_GAIN: Final = 1


_first_callback = ctypes.CFUNCTYPE(None)(lambda: None)


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    try:
        prctl(PR_GET_MDWE)
    except OSError:
        return "this kernel lacks it (PR_SET_MDWE, Linux 6.3)"
    return None


def apply(task: Task) -> str | None:  # noqa: ARG001 - all layers look alike
    """Set the flag, which cannot be cleared.  Source: PR_SET_MDWE(2const)."""
    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN)
    return None
