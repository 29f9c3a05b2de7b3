"""The heart of a worker: a thread that beats in the store, and finds those that do not beat any more."""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

import sqlalchemy as sa

from jobcell.store.database import Database
from jobcell.store.errors import (
    StoreBusyError,
    StoreError,
    StoreReplacedError,
    StoreVersionError,
)
from jobcell.worker.carrier import Carrier
from jobcell.worker.figures import Figures
from jobcell.worker.lease import Lease, Watch, clock_s
from jobcell.worker.places import Places
from jobcell.worker.pulse import Pulse, Pulses

log: logging.Logger = logging.getLogger("jobcell.worker")

CANCEL_S: Final = 0.3
"""Seconds between two looks for runs that are to be cancelled."""

_BUSY: Final = 0.1
"""Share of the dead-time for which a beat waits for a lock."""

WAIT_S: Final = 2.0
"""Seconds for which a run that was claimed ahead may wait for a place."""

_START_S: Final = 30.0
"""Seconds for which a worker that starts tries to reach the store."""

_AGAIN_S: Final = 0.1
"""Pause after a beat that has failed."""


class Heart:
    """Beats for one worker.

    Args:
        source: The database of the store; the heart gets a connection of its own.
        worker: The id of the worker.
        heartbeat_s: Seconds between two beats.
        dead_s: The dead-time in seconds.
        carrier: The runs of the worker.
        places: Its places.
        figures: Counts beats.

    """

    def __init__(
        self,
        source: Database,
        worker: str,
        *,
        heartbeat_s: float,
        dead_s: float,
        carrier: Carrier,
        places: Places,
        figures: Figures,
    ) -> None:
        # A beat must not wait for a lock that a dead worker holds.
        self._database = source.another(
            pool_size=1, asks=False, lock_timeout=f"{max(1, int(_BUSY * dead_s * 1000))}ms"
        )
        if self._database.is_sqlite:
            timeout_ms = max(1, int(_BUSY * dead_s * 1000))
            pool = self._database.engine.pool

            def wait_shortly(connection: Any, _record: object) -> None:
                connection.execute(f"PRAGMA busy_timeout={timeout_ms}")

            sa.event.listen(pool, "connect", wait_shortly)
        self._pulses = Pulses(self._database, worker, places.number)
        self._heartbeat_s = heartbeat_s
        self._carrier = carrier
        self._places = places
        self._figures = figures
        self.lease: Lease = Lease(dead_s, clock_s())
        self._watch = Watch(dead_s)
        self._lock = threading.Lock()
        self._strangers: dict[str, str] = {}
        """Own claims without a thread, as the last beat has found them."""
        self._strayed: set[str] = set()
        """Own runs whose claim is another worker's, as the last beat has found them."""
        self._returning: dict[str, str] = {}
        """The tokens of runs that are to be given back when their children are gone."""
        self._ghosts: set[str] = set()
        """Runs that take a place without a claim, as the last beat has found them."""
        self.draining: bool = False
        """Whether the worker claims nothing more; the next beat says it to the others."""
        self.problem: StoreError | None = None
        """Why the worker cannot serve the store any more."""
        self._is_away = False
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="jobcell-heart", daemon=True)

    @property
    def is_away(self) -> bool:
        """Whether the last beat has failed."""
        return self._is_away

    def start(self) -> None:
        """Make the worker known, and start to beat.

        Raises:
            StoreError: The store cannot be used.

        """
        self._database.retry(self._pulses.register, _START_S)
        self._renew(clock_s())
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the claims of this worker stay."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self, *, handing_back: bool) -> int:
        """Take the worker from the list, after `stop`; return the number of claims that it gave back."""
        try:
            if self.problem is not None:
                return 0  # the others take the runs of a worker that does not beat
            count = self._pulses.hand_back_all() if handing_back else 0
            self._pulses.leave()
        except StoreError as error:
            # The others find out by themselves.
            log.warning("the worker could not say goodbye to the store: %s", error)
            return 0
        else:
            return count
        finally:
            self._database.close()

    def check(self) -> float:
        """Fence the worker off if its lease is over; return the seconds until it may be."""
        with self._lock:
            left_s = self.lease.ends_s - clock_s()
            if left_s > 0:
                return left_s
            self._fence("the store could not be reached in time")
        return self._heartbeat_s

    def _fence(self, reason: str) -> None:
        """Kill all children of this worker."""
        if self._carrier.is_fenced:
            return
        self._places.close()
        count = self._carrier.fence()
        self._watch.reset()
        self._figures.fences += 1
        log.warning("fenced off, %d runs stopped: %s", count, reason)

    def _renew(self, started_s: float) -> None:
        """Let the worker go on, because a beat has succeeded."""
        with self._lock:
            self.lease.renew(started_s)
            if self.lease.is_over(clock_s()):
                return  # the machine slept during the beat
            if self._carrier.is_fenced:
                self._carrier.allow()
                log.info("the worker has a lease")
            if not self.draining:
                self._places.open()

    def give_up(self, problem: StoreError) -> None:
        """Stop for good: a newer program has changed the tables, or there are other ones in their place."""
        with self._lock:
            self._places.close()
            self.problem = problem
        self._carrier.stop()
        self._stopping = True

    def drain(self) -> None:
        """Claim nothing more, and let the others know it."""
        with self._lock:
            self.draining = True
            self._places.close()
        self._carrier.decline()
        self._wake.set()

    def _run(self) -> None:
        next_s = clock_s()
        while not self._stopping:
            try:
                next_s = self._turn(next_s)
            except Exception:  # a bug must not stop the heart, which would fence the worker off
                log.exception("the heart has missed a beat")
                next_s = clock_s() + min(_AGAIN_S, self._heartbeat_s)
            if self._wake.wait(max(0.0, min(CANCEL_S, next_s - clock_s()))):
                self._wake.clear()
                next_s = clock_s()

    def _turn(self, next_s: float) -> float:
        """Beat if it is time, and look after the runs; return the time of the next beat."""
        now_s = clock_s()
        if now_s >= next_s:
            next_s = self._next_beat(now_s, succeeded=self._beat())
        self._look_for_cancels()
        self._return_waiting()
        return next_s

    def _next_beat(self, now_s: float, *, succeeded: bool) -> float:
        if not succeeded:
            return clock_s() + min(_AGAIN_S, self._heartbeat_s)
        # A worker is found dead at the moment at which it is, and not up to a beat later.
        death_s = self._watch.next_death_s
        regular_s = now_s + self._heartbeat_s
        return regular_s if death_s is None else max(now_s + 0.01, min(regular_s, death_s))

    def _beat(self) -> bool:
        """Beat once; return whether it has succeeded."""
        started_s = clock_s()
        try:
            pulse = self._pulses.beat(draining=self.draining)
            if not pulse.is_known:
                with self._lock:
                    self._fence("the other workers have taken this one for dead")
                self._pulses.register(draining=self.draining)
        except (StoreVersionError, StoreReplacedError) as error:
            self.give_up(error)
            return False
        except StoreBusyError:
            # Somebody holds the write lock, so nobody else can beat, or take runs over.
            with self._lock:
                self.lease.renew(started_s)
            return False
        except StoreError as error:
            if not self._is_away:
                self._is_away = True
                log.warning("the worker cannot beat: %s", error)
            self._watch.reset()
            return False
        if self._is_away:
            self._is_away = False
            log.info("the worker beats again")
        self._figures.beats += 1
        self._renew(started_s)
        try:
            self._reap(started_s, pulse)
            self._audit(pulse)
        except StoreError as error:
            log.warning("claims could not be given back: %s", error)
        return True

    def _reap(self, started_s: float, pulse: Pulse) -> None:
        """Give the claims of dead workers back to the queue."""
        self._places.shared_by(len(pulse.others) + 1)
        dead = self._watch.observe(started_s, clock_s(), pulse.others)
        for worker, beats in dead.items():
            count = self._pulses.reap(worker, beats)
            log.warning("worker %s is dead; %d of its runs go on elsewhere", worker, count)
            if count:
                self._places.wake()

    def _audit(self, pulse: Pulse) -> None:
        """Compare the own claims with the runs in the hands of this worker.

        DBOS loses a claim if the connection breaks after the commit of the claim.  And somebody may have
        taken a run that writes nothing at the moment.  A difference counts if two beats find it.
        """
        carried = self._carrier.carried()
        owned = self._carrier.owners()
        found = {run_id: owner for run_id, owner in pulse.claims.items() if run_id not in carried}
        lost = {
            run_id: owner for run_id, owner in found.items() if self._strangers.get(run_id) == owner
        }
        self._strangers = found
        if lost:
            count = self._pulses.hand_back(lost)
            log.warning("%d claims that were lost on their way are given back", count)
        strayed = {run_id for run_id, owner in owned.items() if pulse.claims.get(run_id) != owner}
        for run_id in strayed & self._strayed:
            self._carrier.lose(run_id)
        self._strayed = strayed
        ghosts = self._places.claimed() - set(pulse.claims) - carried
        for run_id in ghosts & self._ghosts:
            self._places.give_back(run_id)
        self._ghosts = ghosts

    def _return_waiting(self) -> None:
        """Give runs back that were claimed ahead, if the runs before them are not short after all."""
        self._returning |= self._carrier.return_waiting(WAIT_S)
        carried = self._carrier.carried()
        due = {name: owner for name, owner in self._returning.items() if name not in carried}
        if not due or self._is_away:
            return
        try:
            self._pulses.hand_back(due)
        except StoreError:
            return  # it is tried again
        for name in due:
            del self._returning[name]

    def _look_for_cancels(self) -> None:
        carried = self._carrier.carried()
        if not carried or self._is_away:
            return
        try:
            wanted = self._pulses.cancelled(carried)
        except StoreError:
            return  # the next beat reports it
        for run_id, reason in wanted.items():
            self._carrier.cancel(run_id, reason)
