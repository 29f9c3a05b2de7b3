"""Standard streams that are closed, and output that cannot be written.

A shell closes a stream with ``>&-``.  Python then has None in its place, and the next file that is
opened gets its number: what is meant for the terminal would go into a pipe of the engine.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final, NoReturn

_LOST: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF, errno.ENXIO)
)
"""How a write fails where the fault is not in the writing program; see write(2)."""


class _ClosedOutput(io.TextIOBase):
    """Stands for standard output that is closed: it refuses what is written."""

    encoding = "utf-8"
    closed = True

    @property
    def buffer(self) -> _ClosedOutput:
        return self

    def flush(self) -> None:
        pass

    def write(self, _text: object) -> NoReturn:
        raise OSError(errno.EBADF, "standard output is closed")

    def isatty(self) -> bool:
        return False


def occupy() -> None:
    """Have the numbers of the three standard streams taken, and something in `sys` for each."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()  # it is None after `>&-`
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives


def lost_output(error: OSError) -> str | None:
    """Return what to say of an error of writing, or None if it is of another kind."""
    if error.errno not in _LOST or error.filename is not None:
        return None
    return f"the output cannot be written: {error.strerror}"


def forget_output() -> None:
    """Have Python not try again, when it exits, to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
