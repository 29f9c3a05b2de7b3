"""Looks up names in threads, because the C library's `getaddrinfo` blocks.

The C library follows the machine's settings (`nsswitch.conf`, `hosts`, `resolv.conf`).
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.network.relay.loop import Loop

RESOLV_CONF: Final = "/etc/resolv.conf"
MAX_THREADS: Final = 32
MAX_FOR_RUN: Final = 4
"""Most look-ups of one run at once, so that slow names of a run do not hold up the others."""
MAX_ADDRESSES: Final = 64
"""Most addresses of a name that are looked at."""

Found = list[tuple[int, str]]
"""Families and addresses, in the order in which the C library prefers them."""
Waiter = Callable[[Found | str], None]
"""Gets the addresses, or the reason why the look-up failed."""

_ERRORS: Final = {
    socket.EAI_NONAME: "the name does not exist",
    getattr(socket, "EAI_NODATA", -5): "the name has no address",
    socket.EAI_AGAIN: "no name server answered",
    socket.EAI_FAIL: "the name servers failed",
}


def search_domains() -> tuple[str, ...]:
    """Return the domains that the machine's `resolv.conf` names for short names.

    Source: resolv.conf(5); the last line of its kind counts.
    """
    domains: list[str] = []
    try:
        # Latin 1 is part of the interpreter: other codecs are files, which cannot be read any more.
        text = Path(RESOLV_CONF).read_bytes().decode("latin-1")
    except OSError:
        return ()
    for line in text.splitlines():
        word, *values = line.split() or [""]
        if word in {"search", "domain"}:
            domains = [value.lower().rstrip(".") for value in values]
    return tuple(filter(None, domains))


class Resolver:
    """Threads that look up names."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._ready: deque[_Lookup] = deque()
        self._condition = threading.Condition()
        self._idle = 0
        self._threads = 0
        self._runs: dict[int, _Queue] = {}

    def look_up(self, run: int, name: str, waiter: Waiter) -> None:
        """Look up a name for a run; questions of a run for the same name are asked once at a time."""
        queue = self._runs.setdefault(run, _Queue())
        if name in queue.waiters:
            queue.waiters[name].append(waiter)
            return
        queue.waiters[name] = [waiter]
        queue.names.append(name)
        self._feed(run, queue)

    def forget(self, run: int) -> None:
        """Do not begin further look-ups of a run, and call no waiter of it any more."""
        self._runs.pop(run, None)

    def _feed(self, run: int, queue: _Queue) -> None:
        while queue.names and queue.active < MAX_FOR_RUN:
            queue.active += 1
            self._submit(_Lookup(self, run, queue, queue.names.popleft()))

    def _submit(self, lookup: _Lookup) -> None:
        with self._condition:
            self._ready.append(lookup)
            wanted = len(self._ready) > self._idle and self._threads < MAX_THREADS
            self._condition.notify()
        if wanted:
            try:
                threading.Thread(target=self._work, daemon=True).start()
            except RuntimeError:  # the machine has no room for a further thread
                if not self._threads:
                    self._ready.remove(lookup)
                    lookup.done("no thread could be started for the look-up")
                return
            self._threads += 1

    def _work(self) -> None:
        while True:
            with self._condition:
                self._idle += 1
                while not self._ready:
                    self._condition.wait()
                self._idle -= 1
                lookup = self._ready.popleft()
            found = resolve(lookup.name)
            self._loop.from_thread(lambda lookup=lookup, found=found: lookup.done(found))  # type: ignore[misc]

    def finished(self, run: int, queue: _Queue, name: str, found: Found | str) -> None:
        """Give the answer to those that wait for it, and begin the next look-up of the run."""
        queue.active -= 1
        waiters = queue.waiters.pop(name)
        if self._runs.get(run) is not queue:
            return
        for waiter in waiters:
            waiter(found)
        self._feed(run, queue)
        if not queue.waiters and self._runs.get(run) is queue:
            del self._runs[run]


class _Queue:
    """The look-ups of one run."""

    __slots__ = ("active", "names", "waiters")

    def __init__(self) -> None:
        self.active = 0
        self.names: deque[str] = deque()
        self.waiters: dict[str, list[Waiter]] = {}


class _Lookup:
    """A look-up, which a thread makes."""

    __slots__ = ("_queue", "_resolver", "_run", "name")

    def __init__(self, resolver: Resolver, run: int, queue: _Queue, name: str) -> None:
        self.name = name
        self._resolver = resolver
        self._run = run
        self._queue = queue

    def done(self, found: Found | str) -> None:
        """Take note of the answer, in the thread of the loop."""
        self._resolver.finished(self._run, self._queue, self.name, found)


def resolve(name: str) -> Found | str:
    """Return the first addresses of *name*, or the reason why the look-up failed."""
    try:
        # Bytes, because a text would load Python's codec for IDNA, which may not be read any more.
        entries = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return _ERRORS.get(error.errno, f"the look-up failed: {error.strerror}")
    except (OSError, UnicodeError, MemoryError) as error:
        return f"the look-up failed: {type(error).__name__}"
    found = dict.fromkeys(
        (int(family), str(place[0]))
        for family, _, _, _, place in entries
        if family in (socket.AF_INET, socket.AF_INET6)
    )
    return list(found)[:MAX_ADDRESSES] or "the name has no address"
