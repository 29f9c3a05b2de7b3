"""The one thread of a worker that writes to the store: a transaction for everything that is due.

While a transaction is being committed, the events of all runs gather for the next one. So the number of
commits falls where it would hurt.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from jobcell.store.errors import StoreError, StoreUnavailableError

log: logging.Logger = logging.getLogger("jobcell.worker")

LINGER_S: Final = 0.02
"""Longest time for which an event waits for others before it is written."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.5
_W = TypeVar("_W")


class Source(Protocol[_W]):
    """An object that has something to write, such as a run.  The flusher's thread calls it."""

    def collect(self) -> _W | None:
        """Return everything that is to be written now; None: nothing."""

    def is_wanted(self, writes: _W) -> bool:
        """Return whether *writes*, which were not committed yet, are still to be written."""

    def committed(self, writes: _W, answer: object) -> None:
        """Take note that *writes* are safe.

        Args:
            writes: From `collect`.
            answer: The answer of the store to them.

        """

    def broken(self, error: Exception) -> None:
        """Take note that `collect` has raised."""

    def failed(self, writes: _W, error: StoreError) -> None:
        """Take note that the store has refused *writes*, and would refuse them again."""


class Flusher(Generic[_W]):
    """Writes for many sources.

    Args:
        commit: Writes the given parts in one transaction, and returns an answer for each. It must be safe
            to repeat, also if it was carried out before it raised.
        observe: Called with the seconds that a transaction took, and with the number of its parts.
        linger_s: See `LINGER_S`.

    """

    def __init__(
        self,
        commit: Callable[[Sequence[_W]], Sequence[object]],
        *,
        observe: Callable[[float, int], None] = lambda _seconds, _parts: None,
        linger_s: float = LINGER_S,
    ) -> None:
        self._commit = commit
        self._observe = observe
        self._linger_s = linger_s
        # Its put may be called while any lock is held, even from a signal handler.
        self._due: queue.SimpleQueue[Source[_W] | None] = queue.SimpleQueue()
        self._urgent = threading.Event()
        self._stopping = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="jobcell-flusher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is due, unless the store is away, and end the thread."""
        self._stopping.set()
        self._due.put(None)
        self._urgent.set()
        if self._thread.is_alive():
            self._thread.join()

    def notify(self, source: Source[_W], *, urgent: bool) -> None:
        """Take note that *source* has something to write.

        The call returns at once, and takes no lock of the source.

        Args:
            source: The source.
            urgent: Whether somebody waits for it.

        """
        self._due.put(source)
        if urgent:
            self._urgent.set()

    def _run(self) -> None:
        while True:
            sources = self._gather()
            try:
                parts = self._collect(sources)
                if parts:
                    self._write(parts)
            except Exception:  # a bug must not end the only thread that writes
                log.exception("the writes of some runs failed")
            if self._stopping.is_set() and self._due.empty():
                return

    def _gather(self) -> list[Source[_W]]:
        """Return the sources that have something to write, each once."""
        found: dict[int, Source[_W]] = {}
        first = self._due.get()
        if first is not None and not self._stopping.is_set():
            self._urgent.wait(self._linger_s)
        # Cleared before the queue is emptied: a later urgent notice must set it again.
        self._urgent.clear()
        item: Source[_W] | None = first
        while True:
            if item is not None:
                found[id(item)] = item
            try:
                item = self._due.get_nowait()
            except queue.Empty:
                return list(found.values())

    def _collect(self, sources: list[Source[_W]]) -> list[tuple[Source[_W], _W]]:
        parts = []
        for source in sources:
            try:
                writes = source.collect()
            except Exception as error:  # a bug must not hold up the other sources
                log.exception("the events of a run cannot be collected")
                source.broken(error)
                continue
            if writes is not None:
                parts.append((source, writes))
        return parts

    def _write(self, parts: list[tuple[Source[_W], _W]]) -> None:
        """Write until it is done, or not wanted any more."""
        pause_s = _FIRST_PAUSE_S
        while True:
            parts = [(source, writes) for source, writes in parts if source.is_wanted(writes)]
            if not parts:
                return
            started_s = time.monotonic()
            try:
                answers = self._commit([writes for _source, writes in parts])
            except StoreUnavailableError as error:
                self._say_away(error)
                if self._stopping.wait(pause_s):
                    # Nobody can wait any longer, and the next owner repeats what was not written.
                    return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            except StoreError as error:
                self._write_apart(parts, error)
                return
            self._observe(time.monotonic() - started_s, len(parts))
            self._say_back()
            for (source, writes), answer in zip(parts, answers, strict=True):
                source.committed(writes, answer)
            return

    def _write_apart(self, parts: list[tuple[Source[_W], _W]], error: StoreError) -> None:
        """Write each part alone, so that a part which the store refuses does not hold up the others."""
        if len(parts) == 1:
            source, writes = parts[0]
            source.failed(writes, error)
            return
        for part in parts:
            self._write([part])

    def _say_away(self, error: StoreError) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("the store is out of reach: %s", error)

    def _say_back(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("the store is back")
