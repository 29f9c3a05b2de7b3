"""The child's standard streams: pipes to the engine, and the objects in `sys` that write to them.

The interpreter is started with ``-u``, so neither Python nor the C library holds back output.
Output is not lost, however the process ends.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

_NUMBERS: Final = {"stdout": 1, "stderr": 2}
_own: Final[dict[str, Any]] = {name: getattr(sys, name) for name in _NUMBERS}
"""The objects that Python made; a closed object is replaced."""
_left: Final[list[Any]] = []
"""Objects that jobs have put in their place, kept because destroying them could close the stream
below."""

_WAIT_S: Final = 1.0
"""Seconds that a step waits for the engine to read its output."""
_PAUSES_S: Final = (0.0001, 0.005)
"""The first and the longest pause between two looks."""
_FIONREAD: Final = 0x541B
"""The request for the number of bytes in a pipe, also at its writing end.  Source: ioctl_list(2),
pipe(7)."""


def expect_pipes() -> None:
    """Make the streams anew for descriptors that will be pipes.

    A file object asks once whether its descriptor can seek, and a text layer above a seekable file
    asks for the position.  A zygote has a null device where its forks have pipes.
    """
    reading, writing = os.pipe()
    for name, number in _NUMBERS.items():
        kept = os.dup(number)
        os.dup2(writing, number)
        _own[name] = _made(name)
        setattr(sys, name, _own[name])
        setattr(sys, f"__{name}__", _own[name])
        os.dup2(kept, number)
        os.close(kept)
    os.close(reading)
    os.close(writing)


def is_own(stream: object) -> bool:
    """Return whether *stream* is a standard stream that Python made."""
    return any(stream is own for own in _own.values())


def is_error(stream: object) -> bool:
    """Return whether *stream* is the standard error that Python made."""
    return stream is not None and stream is _own["stderr"]


def put_back(warn: Callable[[str], object]) -> None:
    """Put back streams that a job has replaced or closed, and flush the replacements.

    Args:
        warn: Takes a line about a replacement whose text does not reach the log.

    """
    for name, number in _NUMBERS.items():
        current, own = getattr(sys, name, None), _own[name]
        if own is not None and _closed(own):
            own = _own[name] = _made(name)
        if current is own:
            continue
        setattr(sys, name, own)
        _flush(current)
        if any(current is left for left in _left):
            continue
        _left.append(current)
        if not is_own(current) and not _reaches(current, number):
            kind = type(current)
            warn(
                f"sys.{name} was left replaced by a {kind.__module__}.{kind.__qualname__}, which"
                f" has what was printed since; the next step has sys.{name} again"
            )


def wait_until_read() -> None:
    """Wait until the engine has read the output of the step, at most for a second.

    The engine counts output that it reads after the end of a step as the next step's.
    """
    from sandbox_child.confine.kernel import Call, Long, address_of

    waiting = bytearray(4)
    calls = [Call("ioctl", n, _FIONREAD, Long(address_of(waiting))) for n in _NUMBERS.values()]
    end = time.monotonic() + _WAIT_S
    pause, longest = _PAUSES_S
    for call in calls:
        while call.attempt() == 0 and any(waiting) and time.monotonic() < end:
            time.sleep(pause)
            pause = min(2 * pause, longest)


def _closed(stream: Any) -> bool:
    try:
        return bool(stream.closed)
    except ValueError:  # its buffer was detached
        return True


def _made(name: str) -> io.TextIOWrapper:
    """Return a stream like those that ``python -u`` makes."""
    raw = io.FileIO(_NUMBERS[name], "w", closefd=False)
    raw.name = f"<{name}>"  # the name that Python gives it
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def _reaches(stream: Any, number: int) -> bool:
    """Return whether text written to *stream* seems to reach the standard stream."""
    try:
        return bool(stream.fileno() == number)
    except Exception:  # noqa: BLE001 - whatever an adaptor has put there
        return False


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except Exception:  # noqa: BLE001, S110 - as above
        pass
