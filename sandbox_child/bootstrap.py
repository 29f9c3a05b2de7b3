"""The life of a child, as a list of steps that cannot change places.

Before `Start` is read this code is trusted.  After the first job nothing in this process is.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from protocol import messages as m
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.errors import ProtocolError
from protocol.limits import ANSWERS_FD, PROTOCOL_VERSION, REQUESTS_FD
from sandbox_child.channel import Channel, EngineGoneError
from sandbox_child.confine import ConfinementRefused, confine

if TYPE_CHECKING:
    from sandbox_child.graph import Walk
    from sandbox_child.logbook import LogBook
    from sandbox_child.step import Runtime

ConfineChild = Callable[[ConfinementRequest | None, int, tuple[int, ...]], ConfinementReport]
"""Puts the walls up: request (None: that of the zygote), pid of the engine, descriptors to keep."""

REHEARSALS: Final = 10
"""CPython 3.11 adapts what was run eight times."""

KEPT_FDS: Final = (0, 1, 2, REQUESTS_FD, ANSWERS_FD)
"""What stays open in a child."""

_OK = 0
_ENGINE_GONE = 3
_PROTOCOL_BROKEN = 4


class Loaded(NamedTuple):
    """What runs a workflow."""

    logbook: type[LogBook]
    runtime: type[Runtime]
    walk: type[Walk]


def make_channel() -> Channel:
    """Return the channel of a child, whose ends have the same numbers in all of them."""
    return Channel(REQUESTS_FD, ANSWERS_FD)


def load() -> Loaded:
    """Import what every job will need."""
    from sandbox_child.graph import Walk
    from sandbox_child.logbook import LogBook
    from sandbox_child.step import Runtime

    return Loaded(LogBook, Runtime, Walk)


def confine_spawned(
    request: ConfinementRequest | None, parent_pid: int, keep_fds: tuple[int, ...]
) -> ConfinementReport:
    """Confine a child that was started as an interpreter of its own."""
    if request is None:
        raise ProtocolError("engine sent Confine without a request, and there is no zygote's")
    return confine(request, parent_pid=parent_pid, keep_fds=keep_fds)


def serve(channel: Channel, confine_child: ConfineChild, loaded: Loaded | None = None) -> int:
    """Serve one run; return the exit code.

    Args:
        channel: To the engine.
        confine_child: Puts the walls up.
        loaded: What a fork has inherited.  To look for it again would make it write to memory that it
            shares.

    """
    try:
        return _serve(channel, confine_child, loaded)
    except (EngineGoneError, BrokenPipeError):
        return _ENGINE_GONE
    except ProtocolError as error:
        print(f"jobcell child: {error}", file=sys.stderr)  # noqa: T201 - becomes a log event
        return _PROTOCOL_BROKEN


def _serve(channel: Channel, confine_child: ConfineChild, inherited: Loaded | None) -> int:
    # 1. Agree on the language before anything is said in it.
    hello = channel.receive(m.Hello)
    if hello.version != PROTOCOL_VERSION:
        raise ProtocolError(f"engine speaks protocol version {hello.version}")
    channel.send(m.Hello(version=PROTOCOL_VERSION))
    # 2. Import what jobs will need while files may still be read without a check.
    loaded = inherited or load()
    if inherited is None:
        gc.freeze()  # what was imported is there to stay, as it is in a zygote
    gc.enable()
    # 3. Put the walls up.  No thread exists yet, and no byte of the plan was read.
    request = channel.receive(m.Confine).request
    try:
        report = confine_child(request, hello.pid, KEPT_FDS)
    except ConfinementRefused as refused:
        channel.send(
            m.ConfineFailed(layer=refused.layer, reason=refused.reason, remedy=refused.remedy)
        )
        return _OK
    channel.send(m.Ready(confinement=report, python=".".join(map(str, sys.version_info[:3]))))
    # 4. A child that was started ahead of need uses the time, unless it would write to what it shares.
    if inherited is None:
        _rehearse_until_needed(channel, loaded)
    # 5. Only now read the plan, and run it.
    start = channel.receive(m.Start)
    limits = start.limits
    logs = loaded.logbook(
        channel,
        level=start.log_level,
        max_bytes=limits.max_log_bytes,
        max_line_bytes=limits.log_payload_bytes,
    )
    last = loaded.walk(loaded.runtime(start, channel, logs)).run()
    # 6. Everything that was written goes out before the last word.
    logs.flush()
    _flush_streams()
    channel.send(last)
    # 7. Stay until the engine, which has heard that, kills this process: what one has used can only
    # be read while it is there.
    while True:
        channel.receive_any()  # a cancellation that came too late


def _rehearse_until_needed(channel: Channel, loaded: Loaded) -> None:
    for _ in range(REHEARSALS):
        if channel.arrived():
            return
        from sandbox_child.rehearsal import rehearse

        rehearse(loaded)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # a job may have replaced or closed it
            pass
