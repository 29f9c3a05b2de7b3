"""Standard streams that are closed, and output that cannot be written.

A shell closes a stream with ``>&-``.  Python then has None in place of the stream, and the next
file that is opened gets its number.  Text meant for the terminal would go into a pipe of the
engine.
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
"""Errors of a write that are not the fault of the writing program; see write(2)."""


class _ClosedOutput(io.TextIOBase):
    """Takes the place of a closed standard output: every write is an error."""

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
    """Open each closed standard stream: its number is taken, and `sys` has an object for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()  # Python sets it to None after `>&-`
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for as long as the process lives


def lost_output(error: OSError) -> str | None:
    """Return the message about an error of writing, or None for an error of another kind."""
    if error.errno not in _LOST or error.filename is not None:
        return None
    return f"the output cannot be written: {error.strerror}"


def forget_output() -> None:
    """Keep Python from writing lost output again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
