"""The child's standard streams: pipes to the engine, and the objects in `sys` that write to them.

The interpreter is started with ``-u``: neither Python nor the C library keeps back anything that is
written to them, so nothing is lost when the process ends in whatever way.
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
"""The objects that Python made; a closed one is replaced."""
_left: Final[list[Any]] = []
"""Objects that have replaced them: when such an object is destroyed it may close the stream below it."""

_WAIT_S: Final = 1.0
"""Seconds that a step waits for the engine to read what was written."""
_PAUSES_S: Final = (0.0001, 0.005)
"""The first pause between two looks, and the longest."""
_FIONREAD: Final = 0x541B
"""Bytes that a pipe holds, also by its writing end.  Source: ioctl_list(2), pipe(7)."""


def expect_pipes() -> None:
    """Make the streams anew for descriptors that will be pipes, whatever they are now.

    A file object asks once whether its descriptor can seek, and a text layer on top of one that says so
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
    """Return whether *stream* is a standard stream as Python made it."""
    return any(stream is own for own in _own.values())


def is_error(stream: object) -> bool:
    """Return whether *stream* is the standard error as Python made it."""
    return stream is not None and stream is _own["stderr"]


def put_back(warn: Callable[[str], object]) -> None:
    """Put the streams back that somebody has replaced or closed, and flush what stood in for them.

    Args:
        warn: Takes one line about a replacement whose text does not reach the log.

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
    """Wait until the engine has read what the step wrote, at most a second.

    The engine takes what it reads after the end of a step for output of the next step.
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
    """Return a stream as ``python -u`` makes it."""
    raw = io.FileIO(_NUMBERS[name], "w", closefd=False)
    raw.name = f"<{name}>"  # as Python does it
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


def _reaches(stream: Any, number: int) -> bool:
    """Return whether what is written to *stream* seems to end up in the standard stream."""
    try:
        return bool(stream.fileno() == number)
    except Exception:  # noqa: BLE001 - whatever an adaptor has put there
        return False


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except Exception:  # noqa: BLE001, S110 - as above
        pass
