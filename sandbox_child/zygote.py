"""The clean interpreter that forks children: it has imported everything and never runs a job.

It trusts the engine, because plans and values of users never reach it.  A fork starts where a new
interpreter would be after its imports, and goes on in `sandbox_child.bootstrap`.
"""

from __future__ import annotations

import errno
import gc
import os
import random
import select
import signal
import socket
from collections.abc import Callable
from typing import Final

from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.known_classes import know_all
from protocol.limits import ANSWERS_FD, CONTROL_FD, LINK_FD, REQUESTS_FD
from protocol.zygote import (
    MAX_DATAGRAM_BYTES,
    Cool,
    Cooled,
    Fork,
    Forked,
    ForkEnded,
    ForkFailed,
    Prepare,
    Warm,
    Warmed,
    decode_to_zygote,
    encode,
)
from sandbox_child import bootstrap
from sandbox_child.compaction import close_gaps
from sandbox_child.confine import (
    ConfinedZygote,
    ConfinementRefused,
    confine,
    confine_forked,
    confine_zygote,
)
from sandbox_child.forking import fork
from sandbox_child.language import make_ground
from sandbox_child.pipes import streams
from sandbox_child.rehearsal import rehearse, rehearse_compiler
from sandbox_child.warm import House, Proc

PRELOADED: Final = (
    "asyncio",
    "base64",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "html",
    "itertools",
    "json",
    "math",
    "msgspec.json",
    "operator",
    "platform",
    "protocol.state_walk",
    "protocol.timestamps",
    "random",
    "re",
    "sandbox_child.running.failed_state",
    "sandbox_child.linker",
    "statistics",
    "string",
    "textwrap",
    "time",
    "typing",
    "urllib.parse",
    "uuid",
    "zoneinfo",
)
"""Modules that jobs import most.  They are loaded once here, and children share their memory until
they write to it."""

_NOTHING: Final = 0
_ENDS: Final = 4
"""Number of descriptors that come with a request: requests, answers, stdout and stderr."""
_MOST_ENDS: Final = 5
"""The same with the link of a private network."""
_RESERVED: Final = (1, REQUESTS_FD, ANSWERS_FD, LINK_FD)


def serve_zygote() -> int:
    """Fork a child for every request until the engine closes the socket; return the exit code."""
    control = socket.socket(fileno=CONTROL_FD)
    prepare = decode_to_zygote(control.recv(MAX_DATAGRAM_BYTES))
    assert isinstance(prepare, Prepare)
    streams.expect_pipes()
    loaded = _preload()
    proc = _open_proc(prepare.request)
    zygote = _Zygote(control, loaded, prepare.request, _confine(prepare, proc), proc)
    # Memory is shared with every child until it is written to, and the collector would write to all
    # of it.
    gc.collect()  # what the rehearsals have left; the modules are frozen
    gc.freeze()
    gc.disable()
    close_gaps()
    zygote.serve()
    return 0


def _preload() -> bootstrap.RunClasses:
    loaded = bootstrap.load()
    for name in PRELOADED:
        __import__(name)
    # A rehearsal enables the collector, which would then look at all modules, twice.
    gc.freeze()
    close_gaps()
    for _ in range(bootstrap.REHEARSALS):
        rehearse(bootstrap.serve_forked, loaded)
    close_gaps()
    make_ground()
    know_all()
    return loaded


def _open_proc(request: ConfinementRequest) -> Proc | None:
    """Return ``/proc``, unless a fork would inherit it or it is not there."""
    if "descriptors" in request.without:
        return None
    try:
        return Proc()
    except OSError:
        return None


def _confine(prepare: Prepare, proc: Proc | None) -> ConfinedZygote | None:
    try:
        return confine_zygote(
            prepare.request,
            parent_pid=prepare.pid,
            keep_fds=(0, 1, 2, CONTROL_FD, *(() if proc is None else (proc.fd,))),
            fork_fds=bootstrap.KEPT_FDS,
            link_fd=LINK_FD,
        )
    except ConfinementRefused:
        return None  # every child will meet the same refusal, and report it to the engine


class _Zygote:
    def __init__(
        self,
        control: socket.socket,
        loaded: bootstrap.RunClasses,
        request: ConfinementRequest,
        confined: ConfinedZygote | None,
        proc: Proc | None,
    ) -> None:
        self._control = control
        self._loaded = loaded
        self._request = request
        self._confined = confined
        self._wanted: ConfinementRequest | None = None
        """The request for the next child, if it is not *request*."""
        self._pid = os.getpid()
        self._house = House(self, request, self._start_warm, proc)
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._children: set[int] = set()
        """The pidfds of children that were reported.  An event may be about one that is closed by now."""
        self._while_waiting = rehearse_compiler
        # Make objects before the fork: a child does not copy memory for objects that it inherits.
        self._channel = bootstrap.make_channel()
        self._channel.hold(bootstrap.HELLO)
        # The kernel keeps the list of children, because all children inherit this process's memory.
        self._poll = select.epoll()
        self._poll.register(CONTROL_FD, select.EPOLLIN)
        random.seed()
        for number in _RESERVED:
            # These numbers are taken, so that an arriving descriptor cannot get a number that a
            # child needs.
            os.dup2(_NOTHING, number)

    def serve(self) -> None:
        while True:
            for fd, events in self._poll.poll(self._house.wait_s()):
                callback = self._callbacks.get(fd)
                if callback is not None:
                    callback(events)
                elif fd in self._children:
                    self._reap(fd)
                elif fd == CONTROL_FD and not self._take():
                    return
            self._house.check()

    def _take(self) -> bool:
        """Take a request; return False if the engine is gone."""
        try:
            datagram, fds, _, _ = socket.recv_fds(self._control, MAX_DATAGRAM_BYTES, _MOST_ENDS)
        except ConnectionError:
            return False
        if not datagram:
            return False
        message = decode_to_zygote(datagram)
        if isinstance(message, Warm):
            self._house.warm(message)
        elif isinstance(message, Cool):
            self._house.cool(message.number)
        else:
            assert isinstance(message, Fork)
            self._fork(message, fds)
        return True

    def _fork(self, wanted: Fork, fds: list[int]) -> None:
        if len(fds) < _ENDS:
            # The kernel drops descriptors if it has no free numbers: recvmsg(2), MSG_CTRUNC.
            self._refuse(errno.EMFILE, wanted, fds)
        elif not (wanted.warm and self._house.fork(wanted, fds)):
            self.fork_clean(wanted, fds)

    def fork_clean(self, wanted: Fork, fds: list[int]) -> None:
        """See `Host.fork_clean`."""
        self._wanted = wanted.request
        if self._confined is not None:
            self._confined.prepare(wanted.request)
        pid = fork()
        if pid == 0:
            self._become_child(*fds)
        self._wanted = None  # the next child must not find it
        if pid < 0:
            self._refuse(-pid, wanted, fds)
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # its end could not be noticed
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._refuse(error.errno or errno.EMFILE, wanted, fds)
            return
        self.adopt(pid, pidfd)
        self.say(Forked(pid, wanted.warm), pidfd)
        random.seed()  # for the next child, in place of the fork handler of that module
        for fd in fds:
            os.close(fd)

    def _refuse(self, error: int, wanted: Fork, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        self.say(ForkFailed(error, wanted.warm))

    # --- what the house needs ---

    def watch(self, fd: int, callback: Callable[[int], None]) -> None:
        """See `Host.watch`."""
        self._callbacks[fd] = callback
        self._poll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """See `Host.unwatch`."""
        del self._callbacks[fd]
        self._poll.unregister(fd)

    def adopt(self, pid: int, pidfd: int) -> None:  # noqa: ARG002 - as the house sees it
        """See `Host.adopt`."""
        self._children.add(pidfd)
        self._poll.register(pidfd, select.EPOLLIN)

    def _start_warm(self, wanted: Warm, link: socket.socket, report: int) -> int:
        from sandbox_child.warm.inside import live

        pid = fork()
        if pid == 0:
            code = 1
            leave = os._exit
            try:
                assert self._confined is not None
                code = live(
                    wanted,
                    zygote=self._confined,
                    zygote_pid=self._pid,
                    channel=self._channel,
                    loaded=self._loaded,
                    link=link,
                    report=report,
                )
            finally:
                leave(code)
        if pid > 0:
            random.seed()
        return pid

    def _reap(self, pidfd: int) -> None:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is None:
            return  # the event was about an older descriptor of this number
        pid = ended.si_pid
        self._children.remove(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        try:
            # Processes that the child has started die before the number of their group is free
            # again.
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        _, status, usage = os.wait4(pid, 0)
        cpu_s = usage.ru_utime + usage.ru_stime
        self._house.ended(pid)
        self.say(ForkEnded(pid, status, cpu_s, usage.ru_maxrss))

    def say(self, message: Forked | ForkFailed | ForkEnded | Warmed | Cooled, *fds: int) -> None:
        """Send a message to the engine."""
        try:
            socket.send_fds(self._control, [encode(message)], fds)
        except ConnectionError:
            os._exit(0)  # the engine is gone, and the children end with this process

    def _become_child(
        self, requests: int, answers: int, stdout: int, stderr: int, link: int | None = None
    ) -> None:
        """Go on as the child of a run; this never returns."""
        code = 1
        try:
            os.dup2(requests, REQUESTS_FD)
            os.dup2(answers, ANSWERS_FD)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            if link is not None:
                os.dup2(link, LINK_FD)
                os.close(link)  # the layer `network` closes the other one
            code = bootstrap.serve_forked(
                self._channel, self._confine_child, self._loaded, self._while_waiting
            )
        finally:
            os._exit(code)

    def _confine_child(self) -> ConfinementReport:
        pid, fds, link = self._pid, bootstrap.KEPT_FDS, LINK_FD
        if self._confined is None:
            request = self._wanted or self._request
            return confine(request, parent_pid=pid, keep_fds=fds, link_fd=link)
        return confine_forked(
            self._confined, self._wanted, parent_pid=pid, keep_fds=fds, link_fd=link
        )
