"""Carries claimed runs to their end, each in a thread of its own that DBOS gives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine import Engine, EngineClosedError, PlanError, Resolvers, Trace
from engine.reporting import on_change
from jobcell.store import Store
from jobcell.store.errors import StoreError
from jobcell.store.options import merge_options
from jobcell.worker import takeover
from jobcell.worker.beginning import Begin, Begun
from jobcell.worker.figures import Figures
from jobcell.worker.flusher import Flusher
from jobcell.worker.journal import StoreJournal
from jobcell.worker.outbox import Outbox, Why
from jobcell.worker.places import Places
from protocol.report import make_report
from protocol.state import copy_state

log: logging.Logger = logging.getLogger("jobcell.worker")

_GRACE: Final = 0.1
"""Share of the dead-time within which a fenced child is gone."""

_UNSTARTED: Final = 5
"""Number of times that a run is started again whose child did not start."""

_PAUSE_S: Final = 0.1


class Dropped(BaseException):
    """Ends the function of a workflow without a word to DBOS.

    DBOS writes an outcome after an `Exception`, and waits for the outcome of the other owner after the
    return of a function whose claim is lost.
    """


class _Asking:
    """The wish to begin a run, as a source of the flusher."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._is_wanted = True
        self._done = threading.Event()
        self.begun: Begun | None = None

    @property
    def is_first(self) -> bool:
        """Whether this worker has not begun the run before."""
        return not self._begin.reason

    def wait(self) -> Begun | None:
        """Return the run; None if it is not to be carried."""
        self._done.wait()
        return self.begun

    def give_up(self) -> None:
        """Do not wait any longer."""
        self._is_wanted = False
        self._done.set()

    def collect(self) -> Begin | None:
        """Return the wish."""
        return self._begin if self._is_wanted else None

    def is_wanted(self, _writes: Any) -> bool:
        """Return whether somebody waits for it."""
        return self._is_wanted

    def committed(self, _writes: Any, answer: object) -> None:
        """Take the answer."""
        self.begun = answer if isinstance(answer, Begun) else None
        self._done.set()

    def broken(self, _error: Exception) -> None:
        """Leave the run to somebody else."""
        self._done.set()

    def failed(self, _writes: Any, error: StoreError) -> None:
        """Leave the run to somebody else."""
        log.error("run %s cannot be begun: %s", self._begin.run_id, error)
        self._done.set()


class Carrier:
    """The runs in the hands of one worker.  Any thread may use it.

    Args:
        store: The store.
        engine: Runs them.
        flusher: Writes to the store.
        beginner: Writes the beginnings of runs; it may be the same.
        places: Counts the claims.
        figures: Counts for monitoring.
        resolvers: Load credentials and stored states.
        dead_s: The dead-time in seconds.

    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        flusher: Flusher[Any],
        beginner: Flusher[Any],
        places: Places,
        figures: Figures,
        resolvers: Resolvers | None,
        dead_s: float,
    ) -> None:
        self._store = store
        self._engine = engine
        self._flusher = flusher
        self._beginner = beginner
        self._places = places
        self._figures = figures
        self._resolvers = resolvers
        self._grace_s = _GRACE * dead_s
        self._lock = threading.Lock()
        self._carried: set[str] = set()
        self._outboxes: dict[str, Outbox] = {}
        self._asking: set[_Asking] = set()
        self._emptied = threading.Condition(self._lock)
        self._may_run = threading.Event()
        self._stopping = threading.Event()
        self._declining = False
        self.plan_span: Callable[[Trace | None], str] | None = None
        """Set by telemetry that follows the runs; see `Begin`."""

    # --- the worker's side ---

    @property
    def is_fenced(self) -> bool:
        """Whether no run may go on."""
        return not self._may_run.is_set()

    def allow(self) -> None:
        """Let runs go on: the worker has a lease."""
        self._may_run.set()

    def fence(self, why: Why = Why.FENCED) -> int:
        """Kill all children, and let no run go on; return the number of runs that this concerned."""
        self._may_run.clear()
        with self._lock:
            outboxes = list(self._outboxes.values())
        count = sum(outbox.stop(why) for outbox in outboxes)
        self._places.wake()
        return count

    def stop(self) -> None:
        """Kill all children, and let no run begin."""
        self._stopping.set()
        self.fence(Why.STOPPED)
        self._may_run.set()  # those that wait for it see that they are to stop
        with self._lock:
            asking = list(self._asking)
        for one in asking:
            one.give_up()

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until no run is in the hands of this worker; return whether that is so."""
        with self._lock:
            return self._emptied.wait_for(lambda: not self._carried, timeout_s)

    def carried(self) -> set[str]:
        """Return the ids of the runs in the hands of this worker."""
        with self._lock:
            return set(self._carried)

    def owners(self) -> dict[str, str]:
        """Return the token of each run that was begun."""
        with self._lock:
            return {outbox.run_id: outbox.owner for outbox in self._outboxes.values()}

    def lose(self, run_id: str) -> None:
        """Take note that a run is another worker's."""
        with self._lock:
            outbox = self._outboxes.get(run_id)
        if outbox is not None and outbox.stop(Why.LOST):
            log.warning("run %s is another worker's", run_id, extra={"run_id": run_id})

    def decline(self) -> None:
        """Begin no more runs; those that were claimed and have not begun go back to the queue."""
        self._declining = True
        with self._lock:
            outboxes = list(self._outboxes.values())
            asking = list(self._asking)
        for outbox in outboxes:
            if outbox.has_waited(0.0):
                outbox.stop(Why.RETURNED)
        for one in asking:
            if one.is_first:
                one.give_up()
        self._places.wake()

    def return_waiting(self, seconds: float) -> dict[str, str]:
        """Let go of runs that were claimed ahead and have waited for so long for a place.

        Returns:
            Their tokens.  A run is to be given back to the queue when it is not carried any more.

        """
        with self._lock:
            if len(self._carried) <= self._places.number:
                return {}
            outboxes = list(self._outboxes.values())
        return {
            outbox.run_id: outbox.owner
            for outbox in outboxes
            if outbox.has_waited(seconds) and outbox.stop(Why.RETURNED)
        }

    def cancel(self, run_id: str, reason: str) -> None:
        """Cancel a run of this worker, because a client has asked for it."""
        with self._lock:
            outbox = self._outboxes.get(run_id)
        if outbox is not None:
            outbox.cancel(reason)

    # --- the thread of a run ---

    def carry(self, run_id: str) -> None:
        """Carry a claimed run to its end, or until it is another worker's.

        Raises:
            Dropped: Always; see there.

        """
        with self._lock:
            is_new = run_id not in self._carried
            self._carried.add(run_id)
        if not is_new:
            raise Dropped  # claimed a second time: the thread before finds out at its next write
        try:
            self._carry(run_id)
        except Exception:
            # DBOS must not write an outcome; the audit gives the claim back to the queue.
            log.exception("run %s cannot be carried", run_id)
        finally:
            with self._lock:
                self._carried.discard(run_id)
                self._emptied.notify_all()
            self._places.give_back(run_id)
        raise Dropped

    def _carry(self, run_id: str) -> None:
        reason = ""
        unstarted = 0
        while not (self._stopping.is_set() or (self._declining and not reason)):
            begun = self._begin(run_id, reason)
            if begun is None:
                return
            if begun.taken_over:
                self._figures.took_over()
                log.info("run %s goes on here", run_id, extra={"run_id": run_id})
            outbox = self._go_on(begun, gives_up=unstarted >= _UNSTARTED)
            if outbox is None:
                continue
            if outbox.why is Why.ENDED and outbox.result is not None:
                self._figures.ended(outbox.result.reason)
                self._places.measured(outbox.result.duration_ms / 1000)
                return
            if outbox.why is Why.FENCED:
                reason = takeover.FENCED
            elif outbox.why is Why.UNSTARTED:
                unstarted += 1
                reason = takeover.LOST
                self._stopping.wait(_PAUSE_S * unstarted)
            else:
                return

    def _begin(self, run_id: str, reason: str) -> Begun | None:
        """Begin a run in the store, and return it; None if it is over, or another worker's."""
        asking = _Asking(Begin(run_id, reason, self.plan_span))
        with self._lock:
            self._asking.add(asking)
        if self._stopping.is_set() or (self._declining and not reason):
            asking.give_up()
        try:
            # A run that was claimed ahead has time.
            urgent = bool(reason) or self._places.has_place(run_id)
            self._beginner.notify(asking, urgent=urgent)
            return asking.wait()
        finally:
            with self._lock:
                self._asking.discard(asking)

    def _go_on(self, begun: Begun, *, gives_up: bool) -> Outbox | None:
        """Run a run that was begun, and return its outbox; None if the worker is fenced off."""
        outbox = Outbox(
            begun,
            self._store.contents,
            self._store.blobs,
            keeps_secrets=self._store.is_encrypted,
            ends_unstarted=gives_up,
            notify=self._notify,
            gone=self._places.leave,
        )
        with self._lock:
            self._outboxes[begun.run_id] = outbox
        try:
            self._places.wait_turn(begun.run_id, lambda: outbox.why is not None)
            self._may_run.wait()
            if outbox.why is not None:
                return outbox
            if self.is_fenced or self._stopping.is_set():
                return None
            self._run(begun, outbox)
            return outbox
        finally:
            with self._lock:
                del self._outboxes[begun.run_id]

    def _run(self, begun: Begun, outbox: Outbox) -> None:
        try:
            options = merge_options(self._engine.options, begun.options)
            grace_s = min(options.cancel_grace_s, self._grace_s)
            run = self._engine.execute(
                begun.plan,
                None if begun.state is None else copy_state(begun.state),
                options=msgspec.structs.replace(options, cancel_grace_s=grace_s),
                resolvers=self._resolvers_of(begun),
                journal=StoreJournal(begun, outbox),
                trace=begun.trace,
            )
        except EngineClosedError:
            outbox.stop(Why.STOPPED)
            return
        except (PlanError, StoreError) as error:
            outbox.refuse(make_report("ValidationError", str(error)))
            outbox.over.wait()
            return
        outbox.attach(run)
        if begun.cancel is not None:
            run.cancel(begun.cancel)
        stop = on_change(run, outbox.changed)
        try:
            outbox.changed()  # for events that came before
            outbox.over.wait()
            run.result()  # its child is gone before another worker may have the run
        finally:
            stop()

    def _resolvers_of(self, begun: Begun) -> Resolvers:
        """Return the resolvers of a run, with the collections of its tenant."""
        own = self._resolvers or Resolvers()
        return msgspec.structs.replace(own, collections=self._store.collections(begun.tenant))

    def _notify(self, outbox: Outbox, urgent: bool) -> None:
        self._flusher.notify(outbox, urgent=urgent)
