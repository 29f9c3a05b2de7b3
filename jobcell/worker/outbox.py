"""The way of one run's events, records and end into the store."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from engine.api import StepRecord
from engine.reporting import Outcome, Run, RunResult, end_unstarted, outcome_of, raw_events
from jobcell.store.blobs import Blobs
from jobcell.store.contents import Contents, PackedRecord
from jobcell.store.errors import StoreError
from jobcell.worker.append import Append, Last
from jobcell.worker.beginning import Begun
from jobcell.worker.takeover import NO_CHECKPOINT
from jobcell.worker.walk import Walk
from protocol.events import (
    AnyEvent,
    EdgeResolved,
    JobComplete,
    JobError,
    JobStart,
    Log,
    WorkflowComplete,
    WorkflowError,
)
from protocol.report import ErrorReport

log: logging.Logger = logging.getLogger("jobcell.worker")


class Why(enum.Enum):
    """Why a run is not in the hands of this worker any more."""

    ENDED = "ended"
    LOST = "another worker has it"
    FENCED = "the worker is fenced off"
    STOPPED = "the worker stops"
    UNSTARTED = "its child did not start"
    RETURNED = "it has waited for a place"
    REFUSED = "the store refuses its events"


class _Request:
    """A record that the engine waits for.

    Args:
        record: The record.
        done: Called when it is safe, or with the error.

    """

    def __init__(self, record: StepRecord, done: Callable[[BaseException | None], None]) -> None:
        self.record = record
        self._done = done

    def kept(self) -> None:
        """Let the run go on."""
        self._done(None)

    def refused(self, problem: str) -> None:
        """End the run, because its record is not kept."""
        self._done(StoreError(f"the run cannot go on here: {problem}"))


class Writes:
    """A part of a run that is on its way to the store."""

    def __init__(
        self, append: Append, requests: Sequence[_Request], result: RunResult | None
    ) -> None:
        self.append = append
        self.requests = requests
        self.result = result


class Outbox:
    """Collects what a run has to write.  The flusher's thread calls the methods of a `Source`.

    Args:
        begun: The run, as it was begun.
        contents: Of the store.
        blobs: Of the store.
        keeps_secrets: Whether the store is encrypted.
        ends_unstarted: Whether the run ends if its child does not start; if not, it begins again.
        notify: Called when there is something to write, and whether it is urgent.
        gone: Called when the child is gone; see `changed`.  It returns whether the worker is busy with other runs.

    """

    def __init__(
        self,
        begun: Begun,
        contents: Contents,
        blobs: Blobs,
        *,
        keeps_secrets: bool,
        ends_unstarted: bool,
        notify: Callable[[Outbox, bool], None],
        gone: Callable[[str], bool],
    ) -> None:
        self.run_id: str = begun.run_id
        self.owner: str = begun.owner
        self.over: threading.Event = threading.Event()
        self.why: Why | None = None
        self.result: RunResult | None = None
        self._contents = contents
        self._blobs = blobs
        self._notify = notify
        self._gone = gone
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._seq = begun.last_seq
        self._cursor = 0  # of the events of the engine
        self._held: list[AnyEvent] = []
        self._again = begun.again.copy()
        self._number = len(begun.records)
        self._records = True
        self._was_lost = begun.lost > 0
        self._walk = Walk(begun.plan.workflow, begun.plan.start, begun.records)
        self._begun_s = time.monotonic()
        self._warned = begun.warned
        self._keeps_secrets = keeps_secrets
        self._has_job = ends_unstarted
        """Whether a job has started, after which the death of a child counts."""
        self._refusal: ErrorReport | None = None
        self._requests: list[_Request] = []
        self._is_due = False

    # --- the engine's side ---

    def attach(self, run: Run) -> None:
        """Take note of the engine's run, whose events are to be written."""
        with self._lock:
            self._run = run
            stopped = self.why
        if stopped is not None:
            run.cancel(stopped.value)

    def has_waited(self, seconds: float) -> bool:
        """Return whether the engine does not have the run yet, for so long."""
        return self._run is None and time.monotonic() - self._begun_s >= seconds

    def refuse(self, report: ErrorReport) -> None:
        """End the run, because the engine does not take it."""
        self._refusal = report
        self._notify(self, True)

    def cancel(self, reason: str) -> None:
        """Have the engine cancel the run."""
        if self._run is not None:
            self._run.cancel(reason)

    def changed(self) -> None:
        """Take note that the engine's run has a new event, or is over.

        The supervisor's thread calls this while it holds a lock, so nothing here waits.
        """
        run = self._run
        if run is not None and run.done:
            # The end of a run has time while others begin: they need the processor, and the end can go
            # with their records.
            self._is_due = True
            self._notify(self, not self._gone(self.run_id))
        elif not self._is_due:
            self._is_due = True
            self._notify(self, False)

    def record(self, record: StepRecord, done: Callable[[BaseException | None], None]) -> None:
        """Write a record, and return at once.

        Args:
            record: The end of a step.
            done: Called in the flusher's thread with None when the record is safe, or with a `StoreError`
                if the run is not this worker's any more.

        """
        request = _Request(record, done)
        is_last = False
        with self._lock:
            stopped = self.why
            if stopped is None:
                is_last = self._walk.ends_with(record)
                self._requests.append(_Request(record, _nobody) if is_last else request)
        if stopped is not None:
            request.refused(stopped.value)
            return
        self._notify(self, not is_last)
        if is_last:
            # No step follows, so nobody has to wait: it is written together with the end of the run.
            request.kept()

    def stop(self, why: Why) -> bool:
        """Write nothing more, and kill the child; return whether this call has done it.

        Any thread may call it.
        """
        with self._lock:
            if self.why is not None:
                return False
            self.why = why
            waiting, self._requests = self._requests, []
        if self._run is not None and why is not Why.ENDED:
            self._run.cancel(why.value)
        for request in waiting:
            request.refused(why.value)
        self.over.set()
        return True

    # --- the flusher's side ---

    def collect(self) -> Writes | None:
        """Return everything that is to be written now."""
        self._is_due = False
        with self._lock:
            if self.why is not None or (self._run is None and self._refusal is None):
                return None
            # Taken before the events are read: the end event of each of them is there already.
            requests, self._requests = self._requests, []
        if self._refusal is not None:
            return self._pack_refusal(self._refusal)
        assert self._run is not None
        pending = [*self._held, *raw_events(self._run, self._cursor)]
        if pending:
            self._cursor = max(self._cursor, pending[-1].seq)
        recorded = {request.record.step_run_id for request in requests}
        ready, self._held = _cut(pending, recorded)
        outcome = None
        if ready and isinstance(ready[-1], WorkflowComplete | WorkflowError):
            outcome = outcome_of(self._run)
            if outcome is None:
                self._held.append(ready.pop())  # its child is not gone yet
            elif self._must_begin_again(outcome):
                self.stop(Why.UNSTARTED)
                return None
        if not (ready or requests):
            return None
        return self._pack(ready, requests, outcome)

    def is_wanted(self, writes: Writes) -> bool:
        """Return whether the run is still this worker's."""
        if self.why is None:
            return True
        for request in writes.requests:
            request.refused(self.why.value)
        return False

    def committed(self, writes: Writes, answer: object) -> None:
        """Let the engine go on, or take note that another worker has the run."""
        if answer is not True:
            self.stop(Why.LOST)
            self.is_wanted(writes)
            return
        for request in writes.requests:
            request.kept()
        if writes.append.last is not None:
            self.result = writes.result
            self.stop(Why.ENDED)

    def broken(self, error: Exception) -> None:
        """Give the run up, because its events cannot be packed."""
        log.error("run %s: its events cannot be stored: %s", self.run_id, type(error).__name__)
        self.stop(Why.REFUSED)

    def failed(self, writes: Writes, error: StoreError) -> None:
        """Give the run up, because the store refuses what it writes."""
        log.error("run %s: the store refuses its events: %s", self.run_id, error)
        self.stop(Why.REFUSED)
        self.is_wanted(writes)

    def _must_begin_again(self, outcome: Outcome) -> bool:
        """Return whether the run was about to start when its zygote died."""
        error = outcome.ending.error
        return error is not None and error.name == "SpawnError" and not self._has_job

    def _pack(
        self, ready: list[AnyEvent], requests: list[_Request], outcome: Outcome | None
    ) -> Writes:
        records = self._pack_records(requests)
        events = []
        for event in self._with_warning(ready, requests):
            if isinstance(event, EdgeResolved):
                edge = (event.from_step_id, event.to_step_id)
                if self._again[edge]:
                    self._again[edge] -= 1
                    continue
            self._has_job = self._has_job or isinstance(event, JobStart)
            self._seq += 1
            numbered = msgspec.structs.replace(event, seq=self._seq)
            events.append((self._seq, self._contents.pack_event(numbered)))
        result = None
        last = None
        if outcome is not None:
            assert self._run is not None
            result = self._run.result()
            last = self._pack_end(outcome, result)
        append = Append(
            self.run_id,
            self.owner,
            self._seq,
            tuple(events),
            records,
            was_lost=self._was_lost,
            last=last,
        )
        self._was_lost = self._was_lost and not records
        return Writes(append, requests, result)

    def _pack_records(
        self, requests: list[_Request]
    ) -> tuple[tuple[int, StepRecord, PackedRecord], ...]:
        packed = []
        for request in requests:
            record = request.record
            if record.holds_secret and not self._keeps_secrets:
                # The records of a run are its first executions without a gap.
                self._records = False
            if self._records:
                self._number += 1
                row = self._contents.pack_record(self.run_id, self._number, record)
                packed.append((self._number, record, row))
        return tuple(packed)

    def _with_warning(self, ready: list[AnyEvent], requests: list[_Request]) -> Sequence[AnyEvent]:
        if self._warned or self._records or not ready:
            return ready
        self._warned = True
        first = next(request.record for request in requests if request.record.holds_secret)
        line = Log(
            seq=0,
            run_id=self.run_id,
            time=ready[-1].time,
            level="warning",
            source="runtime",
            message=NO_CHECKPOINT,
            step_id=first.step_id,
            step_run_id=first.step_run_id,
            attempt=first.attempt,
        )
        return [line, *ready]

    def _pack_refusal(self, report: ErrorReport) -> Writes:
        seq = self._seq + 1
        event, result = end_unstarted(self.run_id, report, seq=seq, time_s=time.time())
        last = Last(result.reason, self._contents.pack_result(self.run_id, result).body)
        rows = ((seq, self._contents.pack_event(event)),)
        return Writes(Append(self.run_id, self.owner, seq, rows, last=last), (), result)

    def _pack_end(self, outcome: Outcome, result: RunResult) -> Last:
        # The child has encoded the state already.
        bare = msgspec.structs.replace(result, state=None)
        body = self._contents.pack_result(self.run_id, bare).body
        state = None
        if result.state is not None and outcome.state is not None:
            state = self._blobs.name(bytes(outcome.state))
        return Last(result.reason, body, state)


def _nobody(_error: BaseException | None) -> None:
    """Nobody waits for this record."""


def _cut(pending: list[AnyEvent], recorded: set[str]) -> tuple[list[AnyEvent], list[AnyEvent]]:
    """Return the events that may be written now, and those that wait for a record.

    The end of a step is written together with its record.  A step whose end is followed by another
    event than a log line has no record, because it has crashed.
    """
    for number, event in enumerate(pending):
        if not isinstance(event, JobComplete | JobError) or event.step_run_id in recorded:
            continue
        if isinstance(event, JobError) and event.retry_in_ms is not None:
            continue
        if all(isinstance(later, Log) for later in pending[number + 1 :]):
            return pending[:number], pending[number:]
    return pending, []
