"""``start_mode="zygote"``: forks of one clean interpreter that has never run a job.

The zygote is a process of its own with one thread.  The engine asks it for a fork over a socket,
which also carries the ends of the run's pipes, and it reports when a fork has ended.  Plans and
secrets never reach it.  If it dies, its forks die with it (PR_SET_PDEATHSIG), and the next run gets
a new zygote.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import Final

from engine.confinement import child_command, identity, readable, zygote_request
from engine.start.child import (
    Networks,
    Started,
    Watcher,
    connect,
    exit_of,
    give_up,
)
from engine.start.connection import ChildEnds
from engine.start.exec import ExecStarter, spawn_server
from engine.start.exit import Exit
from engine.start.forked_child import ForkedChild
from engine.start.shelf import Shelf, base_of, walls_of
from engine.start.warm_sets import Nursery, Told, WarmSets
from protocol.confinement import ConfinementRequest, missing_in_zygote
from protocol.limits import CONTROL_FD
from protocol.zygote import (
    MAX_DATAGRAM_BYTES,
    AdaptorSet,
    Cool,
    Cooled,
    Fork,
    Forked,
    ForkFailed,
    Prepare,
    Warm,
    Warmed,
    decode_from_zygote,
    encode,
)

LOOK_S: Final = 2.0
"""Time between two looks at a zygote with children.  A zygote that does not answer for long hangs,
and is replaced.  Looks are counted instead of seconds, because a stopped machine does not look
either."""

TRY_AGAIN_S: Final = 0.02
_TRY_AGAIN: Final = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)
"""Errors of a kernel without room for a datagram, or for descriptors on their way: unix(7)."""

_MOST_REQUEST_BYTES: Final = MAX_DATAGRAM_BYTES - 1_000

_ZYGOTE_DIED: Final = "the zygote died, and the child with it"


class ZygoteStarter:
    """Asks zygotes for children; a run that they cannot serve gets an interpreter of its own.

    Args:
        request: The walls and paths that the engine's zygote puts on for all its forks.
        networks: Gives networks to children whose permissions need one.
        sets: Decides which sets of adaptors have a warm zygote.

    """

    def __init__(
        self,
        request: ConfinementRequest,
        networks: Networks | None = None,
        sets: WarmSets | None = None,
    ) -> None:
        self._request = zygote_request(request)
        self._sets = sets or WarmSets(0)
        self._fits = _fits(self._request)
        self._networks = networks
        self._fallback = ExecStarter(networks)
        self._watcher: Watcher | None = None
        self._zygote: _Zygote | None = None
        self._others: Shelf[_Zygote] = Shelf()
        self._nursery: Nursery | None = None
        """The parent of the warm zygote that was found last."""

    def attach(self, watcher: Watcher) -> None:
        """See `Starter.attach`."""
        self._watcher = watcher
        self._fallback.attach(watcher)
        if not self._fits:
            self._sets.give_up("the engine has too many paths for a zygote")
            return
        try:
            self._zygote = self._renew(self._request, None)
        except OSError as error:  # the run that needs a child reports it, too
            self._sets.give_up(f"the zygote could not be started ({error.strerror})")
        else:
            self._sets.warm_due(self._zygote)

    def start(self, request: ConfinementRequest) -> Started:
        """See `Starter.start`."""
        return self._start(request, None, 0)

    def _start(self, request: ConfinementRequest, nursery: object, warm: int) -> Started:
        """Start a child, from the warm zygote with the number *warm* if *nursery* still has it."""
        base = self._request
        if missing_in_zygote(base, request) is not None:
            base = base_of(request, base)
        if not (self._fits and _fits(None if request == self._request else request)):
            return self._fallback.start(request)
        zygote = self._usable(base)
        if zygote is None:
            return self._fallback.start(request)
        connection, network = connect(self._networks, request)
        own = None if request == base else request
        number = warm if zygote is nursery else 0
        try:
            child = zygote.fork(connection.child_ends, own, number)
        except OSError:
            give_up(connection, network)
            raise
        self._sets.warm_due(zygote)
        return Started(child, connection, network, "warm" if number else "zygote")

    # --- warm zygotes ---

    def find_warm(self, request: ConfinementRequest, adaptors: AdaptorSet) -> int:
        """See `Starter.find_warm`."""
        walls = walls_of(request, self._request)
        number, self._nursery = self._sets.use(walls, adaptors)
        return number

    def start_warm(self, request: ConfinementRequest, number: int) -> Started:
        """See `Starter.start_warm`."""
        return self._start(request, self._nursery, number)

    def run_ended(self) -> None:
        """See `Starter.run_ended`."""

    def close(self) -> None:
        """See `Starter.close`."""
        if self._zygote is not None:
            self._zygote.close()
        self._others.close()
        self._fallback.close()
        self._sets.close()

    def _usable(self, base: ConfinementRequest) -> _Zygote | None:
        if base is not self._request:
            return self._others.take(base, self._renew)
        self._zygote = self._renew(base, self._zygote)
        return self._zygote

    def _renew(self, base: ConfinementRequest, zygote: _Zygote | None) -> _Zygote:
        """Return a zygote that lives and whose root has the files that its paths name now."""
        assert self._watcher is not None
        if zygote is not None:
            if zygote.usable:
                return zygote
            zygote.retire()
        return _Zygote(base, self._watcher)


def _fits(request: ConfinementRequest | None) -> bool:
    """Whether this request fits into a message to a zygote: it may name a thousand paths."""
    return request is None or len(encode(request)) < _MOST_REQUEST_BYTES


class _Zygote:
    """A zygote process, and the children it has forked."""

    def __init__(self, request: ConfinementRequest, watcher: Watcher) -> None:
        self._watcher = watcher
        # All paths except the interpreter's may be replaced while the engine lives.
        fixed = set(readable())
        paths = request.read_paths + request.root_paths
        self._places = [path for path in paths if path not in fixed]
        self._identity = identity(self._places)
        self._request = request
        self._asked: dict[int, deque[ForkedChild]] = {0: deque()}
        """For each warm zygote, and for the zygote itself, the children for which it has not answered
        yet; it answers in this order."""
        self._told: dict[int, Told] = {}
        """Those who hear of its warm zygotes."""
        self._born: dict[int, ForkedChild] = {}
        """Living children by pid, which stays taken until the zygote has reported the end."""
        self._outgoing: deque[tuple[bytes, ChildEnds | None]] = deque()
        self._retired = False
        self._watched_over = False
        # The zygote waits at its end; here nothing may wait.
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        try:
            self._pid = spawn_server([*child_command(), "--zygote"], CONTROL_FD, theirs)
        except OSError:
            self._control.close()
            raise
        self.alive = True
        watcher.watch(self._control.fileno(), select.EPOLLIN, self._on_control)
        self._send(encode(Prepare(pid=os.getpid(), request=request)), None)

    @property
    def usable(self) -> bool:
        """Whether the zygote lives, and its root has the files that its paths name now."""
        return self.alive and not self._retired and identity(self._places) == self._identity

    def fork(
        self, ends: ChildEnds, request: ConfinementRequest | None, warm: int = 0
    ) -> ForkedChild:
        """Ask for a child on these pipe ends, which are closed once they are sent.

        Args:
            ends: The child's ends of its pipes.
            request: The layers to put on, if they are not those that the zygote was prepared for.
            warm: The number of a warm zygote.

        """
        child = ForkedChild()
        self._asked.setdefault(warm, deque()).append(child)
        self._watch_over()
        self._send(encode(Fork(request=request, warm=warm)), ends)
        return child

    # --- warm zygotes: see `Nursery` ---

    def serves(self, request: ConfinementRequest) -> bool:
        """Return whether its forks can have these walls."""
        return missing_in_zygote(self._request, request) is None

    def warm(
        self, number: int, request: ConfinementRequest, adaptors: AdaptorSet, told: Told
    ) -> None:
        """Have a warm zygote forked; *told* hears how it goes."""
        self._told[number] = told
        message = encode(Warm(number=number, request=request, adaptors=adaptors))
        if len(message) > MAX_DATAGRAM_BYTES:
            self._cooled(number, "its runs have too many paths")
        else:
            self._send(message, None)

    def cool(self, number: int) -> None:
        """End a warm zygote."""
        if self.alive:
            self._send(encode(Cool(number)), None)

    def _cooled(self, number: int, reason: str | None) -> None:
        told = self._told.pop(number, None)
        if told is not None:
            told.cooled(number, reason)

    @property
    def memory_bytes(self) -> int | None:
        """Return the memory that it shares with nobody but its forks (RssAnon of proc(5))."""
        try:
            text = Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        line = text.partition("RssAnon:")[2]
        return int(line.split(maxsplit=1)[0]) * 1024 if line else None

    def _watch_over(self) -> None:
        if not self._watched_over:
            self._watched_over = True
            self._watcher.call_at(time.monotonic() + LOOK_S, self._look_after)

    def _look_after(self) -> None:
        """End a zygote that hangs: its runs could neither begin nor end."""
        self._watched_over = False
        overdue = [child for child in self._children if child.overdue()]
        if overdue:
            self.close()
        elif self._children:
            self._watch_over()

    @property
    def _children(self) -> list[ForkedChild]:
        return [*itertools.chain.from_iterable(self._asked.values()), *self._born.values()]

    def retire(self) -> None:
        """End the zygote when its last child has ended."""
        self._retired = True
        if not self._children:
            self.close()

    def close(self) -> None:
        """End the zygote, and report all its children as lost."""
        if self.alive:
            self.alive = False
            self._watcher.unwatch(self._control.fileno())
            self._control.close()
            try:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass  # other code in this process has waited for it
        # A zygote can be gone before it is asked for a child: that child has ended as well.
        for _, ends in self._outgoing:
            if ends is not None:
                ends.close()
        self._outgoing.clear()
        for child in self._children:
            child.ended(Exit(lost=_ZYGOTE_DIED, orphaned=True))
        for asked in self._asked.values():
            asked.clear()
        self._born.clear()
        for number in tuple(self._told):
            self._cooled(number, None)

    def _send(self, datagram: bytes, ends: ChildEnds | None) -> None:
        self._outgoing.append((datagram, ends))
        self._flush()

    def _flush(self) -> None:
        while self._outgoing:
            datagram, ends = self._outgoing[0]
            fds = ends.descriptors if ends is not None else ()
            try:
                socket.send_fds(self._control, [datagram], fds)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _TRY_AGAIN:
                    self._watcher.call_at(time.monotonic() + TRY_AGAIN_S, self._flush_again)
                    return
                self.close()  # the zygote has died; all its children end, also the new one
                return
            self._outgoing.popleft()
            if ends is not None:
                ends.close()
        mask = select.EPOLLIN | (select.EPOLLOUT if self._outgoing else 0)
        self._watcher.watch(self._control.fileno(), mask, self._on_control)

    def _flush_again(self) -> None:
        if self.alive:
            self._flush()

    def _on_control(self, _events: int) -> None:
        while self.alive:
            try:
                datagram, fds, _, _ = socket.recv_fds(self._control, MAX_DATAGRAM_BYTES, 1)
            except BlockingIOError:
                break
            except OSError:
                datagram, fds = b"", []
            if not datagram:
                self.close()
                return
            self._take(datagram, fds)
        if self._outgoing:
            self._flush()

    def _take(self, datagram: bytes, fds: list[int]) -> None:
        message = decode_from_zygote(datagram)
        if isinstance(message, Forked):
            child = self._born[message.pid] = self._asked[message.warm].popleft()
            child.born(message.pid, fds[0] if fds else -1)
        elif isinstance(message, ForkFailed):
            reason = f"the zygote could not fork: {os.strerror(message.error)}"
            self._asked[message.warm].popleft().ended(Exit(lost=reason, refused=message.error))
        elif isinstance(message, Warmed):
            if message.number in self._told:
                self._told[message.number].warmed(message.number, message.memory_bytes)
        elif isinstance(message, Cooled):
            self._cooled(message.number, message.reason)
        else:
            child = self._born.pop(message.pid)
            child.ended(exit_of(message.status, message.cpu_s, message.peak_kilobytes))
        if self._retired and not self._children:
            self.close()
