"""``spares=n``: children that are started before they are needed.

A spare is confined and waits for a plan.  It serves a run that asks for exactly the walls and
limits that it has put on; every other run gets a new child.  The next spare is started when a run
is over: earlier it would take the processor from the run that has just got the last spare.
"""

from __future__ import annotations

import select
import time
from collections import deque
from typing import Final

from engine.start.child import Started, Starter, Watcher, is_readable
from protocol.confinement import ConfinementRequest
from protocol.zygote import AdaptorSet

REFILL_AFTER_S: Final = 0.05


class SpareStarter:
    """Keeps children ready.

    Args:
        inner: The starter of the children.
        request: The walls and limits of the spares: the engine's own policy and options.
        count: Number of children that wait.

    """

    def __init__(self, inner: Starter, request: ConfinementRequest, count: int) -> None:
        self._inner = inner
        self._request = request
        self._count = count
        self._waiting: deque[Started] = deque()
        self._dying: list[Started] = []
        """Spares that were given up, until they have ended."""
        self._watcher: Watcher | None = None
        self._closed = False

    def attach(self, watcher: Watcher) -> None:
        """See `Starter.attach`."""
        self._watcher = watcher
        self._inner.attach(watcher)
        self._refill()

    def start(self, request: ConfinementRequest) -> Started:
        """See `Starter.start`."""
        assert self._watcher is not None
        if request != self._request:
            return self._start_another(request)
        # At the latest; a run that ends earlier starts the refill earlier.
        self._watcher.call_at(time.monotonic() + REFILL_AFTER_S, self._refill)
        while self._waiting:
            spare = self._waiting.popleft()
            if not spare.child.gone():
                self._watcher.unwatch(spare.child.exit_fd)
                return spare._replace(kind="spare")
            # Its end was not taken note of yet, for example because its zygote has died just now.
            self._dying.append(spare)
        return self._start_another(request)

    def find_warm(self, request: ConfinementRequest, adaptors: AdaptorSet) -> int:
        """See `Starter.find_warm`."""
        return self._inner.find_warm(request, adaptors)

    def start_warm(self, request: ConfinementRequest, number: int) -> Started:
        """See `Starter.start_warm`: for these adaptors it is quicker than a spare."""
        return self._inner.start_warm(request, number)

    def _start_another(self, request: ConfinementRequest) -> Started:
        """Start a child; if it fails, end the spares to make room for the next try."""
        try:
            return self._inner.start(request)
        except OSError:
            for spare in self._waiting:
                spare.child.kill()
            self._dying += self._waiting
            self._waiting.clear()
            raise

    def run_ended(self) -> None:
        """See `Starter.run_ended`."""
        self._refill()

    def close(self) -> None:
        """See `Starter.close`."""
        assert self._watcher is not None
        self._closed = True
        left = [*self._waiting, *self._dying]
        for spare in left:
            self._watcher.unwatch(spare.child.exit_fd)
            spare.child.kill()
        self._inner.close()  # a zygote reports the end of its children while it is closed
        for spare in left:
            self._bury(spare)
        self._waiting.clear()
        self._dying.clear()

    def _refill(self) -> None:
        assert self._watcher is not None
        while not self._closed and len(self._waiting) < self._count:
            try:
                spare = self._inner.start(self._request)
            except OSError:
                return  # the next run that needs a child reports the reason
            self._waiting.append(spare)
            self._watcher.watch(spare.child.exit_fd, select.EPOLLIN, self._drop_dead)

    def _drop_dead(self, _events: int) -> None:
        """Take out spares that died before they were used."""
        assert self._watcher is not None
        for spares in (self._waiting, self._dying):
            for spare in [one for one in spares if is_readable(one.child.exit_fd)]:
                spares.remove(spare)
                self._watcher.unwatch(spare.child.exit_fd)
                self._bury(spare)

    def _bury(self, spare: Started) -> None:
        is_readable(spare.child.exit_fd, timeout_ms=None)
        spare.child.reap()
        spare.connection.close()
        if spare.network is not None:
            spare.network.let_go()
