"""Ctrl-C while the command `jobcell` is still importing its modules.

Python raises KeyboardInterrupt wherever it is.  In the middle of an import this is a long traceback, and in that of a C
module it can be a crash.  Nothing was started yet, so the command then ends as a C program does, silently and by the signal.
"""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from pathlib import Path

_held = False


def hold() -> None:
    """Let Ctrl-C end the process at once, if it is the command `jobcell`, and no program of a user."""
    global _held  # noqa: PLW0603 - signals belong to the process
    if (
        _is_command()
        and threading.current_thread() is threading.main_thread()
        # Otherwise a shell has started it in the background, where Ctrl-C is ignored.
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _held = True


def release() -> None:
    """Raise KeyboardInterrupt at Ctrl-C again."""
    global _held  # noqa: PLW0603
    if _held:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _held = False


def _is_command() -> bool:
    words = sys.orig_argv
    is_module = any(pair == ("-m", "jobcell") for pair in itertools.pairwise(words))
    return is_module or Path(sys.argv[0] if sys.argv else "").name == "jobcell"
