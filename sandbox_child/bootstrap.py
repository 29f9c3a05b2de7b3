"""The life of a child, as a list of steps whose order must not change.

This process is trusted until it reads `Start`.  After the first job it is hostile.
"""

from __future__ import annotations

import faulthandler
import gc
import sys
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TextIO

from protocol import messages as m
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.errors import ProtocolError
from protocol.known_classes import know_all
from protocol.limits import (
    ANSWERS_FD,
    LINK_FD,
    OUT_OF_MEMORY_CODE,
    PROTOCOL_VERSION,
    REQUESTS_FD,
)
from sandbox_child.confine import ConfinementRefused, confine
from sandbox_child.pipes.channel import Channel, EngineGoneError

if TYPE_CHECKING:
    from sandbox_child.running import LogSender, Runtime, Walk
    from sandbox_child.running.stray import LogOwner
    from sandbox_child.running.warmed import Warmed

_P = ParamSpec("_P")

REHEARSALS: Final = 10
"""Number of rehearsals: CPython 3.11 adapts code that was run eight times."""

KEPT_FDS: Final = (0, 1, 2, REQUESTS_FD, ANSWERS_FD)
"""Descriptors that stay open in a child."""

HELLO: Final = m.Hello(version=PROTOCOL_VERSION)
"""The first message of every child."""

_PYTHON: Final = ".".join(map(str, sys.version_info[:3]))
_SIGUSR1: Final = 10
"""The same number on every machine; importing ``signal`` would take half a millisecond."""
_OK = 0
_ENGINE_GONE = 3
_PROTOCOL_BROKEN = 4


class RunClasses(NamedTuple):
    """The classes that run a workflow."""

    log_sender: type[LogSender]
    runtime: type[Runtime]
    walk: type[Walk]


def make_channel() -> Channel:
    """Return the channel of a child; its ends have the same numbers in every child."""
    return Channel(REQUESTS_FD, ANSWERS_FD)


def load() -> RunClasses:
    """Import the modules that every job needs."""
    from sandbox_child.running import LogSender, Runtime, Walk

    # At a limit of time the engine asks where the job is. This writes the stack at once, also while C
    # code runs; a fork inherits it.
    faulthandler.register(_SIGUSR1, file=2, all_threads=False)
    return RunClasses(LogSender, Runtime, Walk)


def _told(serve: Callable[_P, int]) -> Callable[_P, int]:
    """Have *serve* return an exit code, too, if the engine is gone or breaks the protocol."""

    def served(*args: _P.args, **kwargs: _P.kwargs) -> int:
        try:
            return serve(*args, **kwargs)
        except (EngineGoneError, BrokenPipeError):
            return _ENGINE_GONE
        except MemoryError:
            # A message may need too much memory; the engine knows this exit code.
            return OUT_OF_MEMORY_CODE
        except ProtocolError as error:
            print(f"jobcell child: {error}", file=sys.stderr)  # noqa: T201 - becomes a log event
            return _PROTOCOL_BROKEN

    return served


@_told
def serve_spawned(channel: Channel, load_classes: Callable[[], RunClasses] = load) -> int:
    """Serve one run in an interpreter of its own; return the exit code.

    Args:
        channel: The channel to the engine.
        load_classes: Imports the modules that every job needs.

    """
    # 1.  Agree on the version of the protocol before anything else.
    hello = channel.receive(m.Hello)
    if hello.version != PROTOCOL_VERSION:
        raise ProtocolError(f"engine speaks protocol version {hello.version}")
    channel.send(HELLO)
    # 2.  Import the modules that jobs need while files may still be read without a check.
    loaded = load_classes()
    know_all()
    gc.freeze()  # the modules stay, as they do in a zygote
    gc.enable()
    # 3.  Put the walls up.  Threads do not exist yet, and the plan was not read yet.
    request = channel.receive(m.Confine).request
    if not _confined(channel, lambda: _confine(request, hello.pid)):
        return _OK
    # 4.  A child that was started early uses the time to rehearse.
    _rehearse_until_needed(channel, loaded)
    return _run(channel, loaded)


def _confine(request: ConfinementRequest, parent_pid: int) -> ConfinementReport:
    return confine(request, parent_pid=parent_pid, keep_fds=KEPT_FDS, link_fd=LINK_FD)


@_told
def serve_forked(
    channel: Channel,
    confine_self: Callable[[], ConfinementReport],
    loaded: RunClasses,
    while_waiting: Callable[[], object],
    warmed: Warmed | None = None,
) -> int:
    """Serve one run in a fork of a process that has loaded everything; return the exit code.

    Args:
        channel: The channel to the engine; it may hold a greeting.
        confine_self: Puts the walls up.
        loaded: The inherited classes.  Looking them up again would make this process write to
            shared memory.
        while_waiting: Called if the plan has not arrived yet.
        warmed: The adaptors that were imported before the fork.

    """
    if warmed is None:
        gc.enable()
    if not _confined(channel, confine_self):
        return _OK
    if not channel.arrived():
        while_waiting()
    return _run(channel, loaded, warmed)


def _confined(channel: Channel, confine_self: Callable[[], ConfinementReport]) -> bool:
    """Put the walls up and report it to the engine; return whether they are up."""
    try:
        report = confine_self()
    except ConfinementRefused as refused:
        channel.send(
            m.ConfineFailed(layer=refused.layer, reason=refused.reason, remedy=refused.remedy)
        )
        return False
    channel.send(m.Ready(confinement=report, python=_PYTHON))
    return True


def _run(channel: Channel, loaded: RunClasses, warmed: Warmed | None = None) -> int:
    # 5. Only now read the plan, and run it.
    start = channel.receive_any()
    if isinstance(start, m.Check):
        from sandbox_child.checks import check_texts  # a run does not need it

        return check_texts(channel, start)
    if not isinstance(start, m.Start):
        raise ProtocolError(f"engine sent {type(start).__name__} where Start was due")
    limits = start.limits
    logs = loaded.log_sender(
        channel,
        level=start.log_level,
        max_bytes=limits.max_log_bytes,
        max_line_bytes=limits.log_payload_bytes,
    )
    runtime = loaded.runtime(start, channel, logs, warmed)
    if warmed is None:
        tell_strays(runtime)
    else:
        warmed.begin(runtime)
    last = loaded.walk(runtime).run()
    # 6.  All output goes out before the last message.
    logs.flush()
    _flush_streams()
    channel.send(last)
    # 7.  Stay until the engine has read the message and kills this process: its usage can only be
    # read while it lives.
    while True:
        channel.receive_any()  # a cancellation may come too late


def tell_strays(runtime: LogOwner) -> None:
    """Have warnings, and errors without a caller, reported without our paths and lines."""
    write = warnings.showwarning

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        from sandbox_child.pipes import streams
        from sandbox_child.running.stray import tell_warning

        if file is not None or not streams.is_own(sys.stderr):
            write(message, category, filename, lineno, file, line)
        else:
            tell_warning(runtime, message, category, filename, lineno)

    def unraisablehook(lost: Any) -> None:
        from sandbox_child.running.stray import name_of, tell_error

        tell_error(runtime, f"in {name_of(lost.object)}, which nobody could catch", lost.exc_value)

    def excepthook(args: Any) -> None:
        from sandbox_child.running.stray import tell_error

        if args.exc_type is not SystemExit:
            name = args.thread.name if args.thread is not None else "(unknown)"
            tell_error(runtime, f"in the thread {name}", args.exc_value)

    warnings.showwarning = showwarning
    sys.unraisablehook = unraisablehook
    threading.excepthook = excepthook


def _rehearse_until_needed(channel: Channel, loaded: RunClasses) -> None:
    for _ in range(REHEARSALS):
        if channel.arrived():
            return
        from sandbox_child.rehearsal import rehearse

        rehearse(serve_forked, loaded)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # a job may have replaced or closed it
            pass
