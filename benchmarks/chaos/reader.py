"""A reader that polls the events of all runs of a drill, and keeps what it has read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from jobcell import AnyEvent, Store, StoreUnavailableError

_LAST: Final = ("workflow-complete", "workflow-error")
_PAUSE_S: Final = 0.05


class Reader(threading.Thread):
    """Reads while things die.  The checks compare the events with the final log.

    Args:
        store: The store.

    """

    def __init__(self, store: Store) -> None:
        super().__init__(daemon=True)
        self.read: dict[str, list[AnyEvent]] = {}
        self.seen: dict[str, list[float]] = {}
        """When each event was read, in seconds since 1970."""
        self.failure: BaseException | None = None
        self._store = store
        self._open: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def follow(self, ids: Iterable[str]) -> None:
        """Read these runs too."""
        with self._lock:
            for run_id in ids:
                self.read.setdefault(run_id, [])
                self.seen.setdefault(run_id, [])
                self._open[run_id] = None

    @property
    def finished(self) -> bool:
        """Whether the last events of all runs were read."""
        if self.failure is not None:
            raise self.failure
        with self._lock:
            return not self._open

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Poll one run after another; never wait for one of them."""
        try:
            while not self._over.wait(_PAUSE_S):
                with self._lock:
                    ids = [*self._open]
                for run_id in ids:
                    if self._over.is_set():
                        return
                    self._poll(run_id)
        except BaseException as error:  # the drill raises it
            self.failure = error

    def _poll(self, run_id: str) -> None:
        events = self.read[run_id]
        try:
            handle = self._open[run_id]
            if handle is None:
                handle = self._open[run_id] = self._store.run(run_id)
            new = handle.poll(after=events[-1].seq if events else 0, timeout_s=0)
        except StoreUnavailableError:
            return
        events += new
        self.seen[run_id] += [time.time()] * len(new)
        if events and events[-1].type in _LAST:
            with self._lock:
                del self._open[run_id]
