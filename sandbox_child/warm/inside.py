"""The life of a warm zygote: it puts its walls up, imports the adaptors, and then only forks.

It is hostile once an adaptor was imported.  All that it holds then are the adaptors: its forks get
their pipes, and with them the plan, from the clean zygote.
"""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sandbox_child import bootstrap
from sandbox_child.compaction import close_gaps
from sandbox_child.confine import ConfinementRefused
from sandbox_child.confine.authorities import announce
from sandbox_child.confine.forker import Forker
from sandbox_child.confine.warm import confine_warm
from sandbox_child.pipes.channel import Channel
from sandbox_child.rehearsal import rehearse_compiler
from sandbox_child.running.warmed import NotWarmError, Warmed

if TYPE_CHECKING:
    from protocol.zygote import Warm
    from sandbox_child.confine import ConfinedZygote

_NULL: Final = 0
_OUTPUTS: Final = (1, 2)
_PIPE_BYTES: Final = 1 << 20
"""Room for the output of an import, which nobody reads before its end."""
_PAUSE_S: Final = 0.01


def live(
    wanted: Warm,
    *,
    zygote: ConfinedZygote,
    zygote_pid: int,
    channel: Channel,
    loaded: bootstrap.RunClasses,
    link: socket.socket,
    report: int,
) -> int:
    """Be a warm zygote; return the exit code.  A fork returns here when its run is over.

    Args:
        wanted: The walls and the adaptors.
        zygote: The walls of the zygote that this process was forked from.
        zygote_pid: That zygote.
        channel: The channel of its forks.
        loaded: The classes that run a workflow.
        link: Carries the other end of the gate to the zygote.
        report: Takes the reason why the adaptors cannot be warm.

    """
    rehearse = _Once(rehearse_compiler)
    try:
        outputs = _capture()
        reading = tuple(outputs.values())
        forker = Forker(scratch=bool(wanted.request.scratch_bytes))
        wall = confine_warm(
            zygote,
            wanted.request,
            parent_pid=zygote_pid,
            keep_fds=(0, *_OUTPUTS, report, link.fileno(), *reading),
            fork_fds=bootstrap.KEPT_FDS,
            send=lambda gate: socket.send_fds(link, [b"gate"], [gate]),
            rehearse=rehearse,
        )
        link.close()
        announce(wanted.request.ca_file)
        warmed = Warmed(wanted.adaptors, net=bool(wanted.request.net))
        bootstrap.tell_strays(warmed)
        warmed.import_all(outputs)
        for number in _OUTPUTS:
            os.dup2(_NULL, number)
        for end in (*reading, report):
            os.close(end)
    except (NotWarmError, ConfinementRefused) as refused:
        return _report(report, str(refused))
    except OSError as error:
        return _report(report, f"the kernel refuses it ({error.strerror})")
    except MemoryError:
        return _report(report, "it takes more memory than a run may have")
    gc.collect()
    gc.freeze()
    close_gaps()
    return _fork_for_ever(
        forker,
        lambda: bootstrap.serve_forked(channel, wall.put_on, loaded, rehearse, warmed),
        warmed,
    )


class _Once:
    """Calls a function in a fork that has time, once."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._called = False

    def __call__(self) -> None:
        if not self._called:
            self._called = True
            self._call()


def _fork_for_ever(forker: Forker, serve: Callable[[], int], warmed: Warmed) -> int:
    while True:
        warmed.seed_next()
        # The gate lets this call pass when a run needs the fork.
        pid = forker.fork()
        if pid == 0:
            warmed.begin_fork()
            return serve()
        if pid < 0:
            time.sleep(_PAUSE_S)  # the kernel had no room for a process


def _capture() -> dict[int, int]:
    """Put pipes in place of the standard streams; return the end to read from for each."""
    reading = {}
    for number in _OUTPUTS:
        end, writing = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # an ordinary user has a quota; less room is then enough
        os.dup2(writing, number)
        os.close(writing)
        os.set_blocking(end, False)
        reading[number] = end
    return reading


def _report(report: int, reason: str) -> int:
    os.write(report, reason.encode(errors="replace")[:2_000])
    return 1
