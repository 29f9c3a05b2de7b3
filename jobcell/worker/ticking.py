"""Makes the runs of schedules: a thread of each worker that looks for ticks that are due."""

from __future__ import annotations

import logging
import threading
from typing import Final

from jobcell.store import Schedules, StoreError

LOOK_S: Final = 2.0
"""Seconds between two looks: with one worker a run is made at most this long after its tick."""

log: logging.Logger = logging.getLogger("jobcell.worker")


class Ticker:
    """Looks for due ticks until it is stopped.

    It has a thread of its own, because a slow store must not hold up the heartbeat.

    Args:
        schedules: Of the store.
        look_s: Seconds between two looks.

    """

    def __init__(self, schedules: Schedules, *, look_s: float = LOOK_S) -> None:
        self._schedules = schedules
        self._look_s = look_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, name="jobcell-ticker", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Make no new runs from now on, besides one that is being made; does not wait."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and return when the thread has ended.  It may wait for the store."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        is_away = False
        while not self._stopped.is_set():
            try:
                for run_id in self._schedules.run_due():
                    log.info("made run %r of its schedule", run_id)
                is_away = False
            except StoreError as error:
                if not is_away:  # the heartbeat also reports it; once is enough
                    log.warning("cannot look for ticks of schedules: %s", error)
                is_away = True
            # A fault in the code for one schedule must not end all schedules in silence.
            except Exception:
                log.exception("cannot look for ticks of schedules")
            self._stopped.wait(self._look_s)
