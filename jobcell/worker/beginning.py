"""Begins claimed runs in a store: a new run, or one that another worker has left."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
import sqlalchemy as sa

from engine.api import Attempts, StepRecord
from engine.reporting import end_unstarted
from jobcell.store.blobs import Blobs
from jobcell.store.contents import Contents
from jobcell.store.database import Database
from jobcell.store.prepared import Prepared, PreparedList
from jobcell.store.reading import OVER, decode_plan
from jobcell.store.schema import events, records, runs, workflow_status
from jobcell.store.traces import unpack_trace
from jobcell.worker import takeover
from protocol.events import AnyEvent
from protocol.plan import Plan
from protocol.trace import Trace

_KEPT_PLANS: Final = 64
_RUN: Final = sa.bindparam("run", type_=sa.Text)
_OWNER: Final = sa.bindparam("owner", type_=sa.Text)


class Begin(msgspec.Struct, frozen=True):
    """The wish to begin a claimed run."""

    run_id: str
    reason: str = ""
    """Why this worker begins it again."""
    plan_span: Callable[[Trace | None], str] | None = None
    """Chooses the span of the run, which the store keeps for a worker that takes the run over."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker needs to go on with a run."""

    run_id: str
    owner: str
    """The token of its claim."""
    tenant: str
    plan: Plan
    state: bytes | None
    options: bytes | None
    cancel: str | None
    """The reason with which somebody wants to cancel it."""
    last_seq: int
    lost: int
    """The number of workers that it has lost since its last record."""
    taken_over: bool
    """Whether another worker has begun it before."""
    records: tuple[StepRecord, ...] = ()
    attempts: dict[str, Attempts] = {}
    again: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """The edges that the engine reports a second time."""
    warned: bool = False
    """Whether the log says that the run is not recorded."""
    trace: Trace | None = None
    """The trace of the run, with the spans of its earlier parts."""


class Beginner:
    """Begins runs for one worker.

    Args:
        database: Of the store.
        blobs: Of the store.
        contents: Of the store.
        worker: The id of the worker.

    """

    def __init__(self, database: Database, blobs: Blobs, contents: Contents, worker: str) -> None:
        self._database = database
        self._blobs = blobs
        self._contents = contents
        self._worker = worker
        self._statements = _Statements(database)
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    def fetch(self, run_ids: Sequence[str]) -> dict[str, bytes]:
        """Read the contents of runs that lie in the object store, before a transaction locks the runs."""
        if not (run_ids and self._blobs.has_objects):
            return {}
        with self._database.read() as connection:
            begun = connection.execute(
                sa.select(runs.c.plan, runs.c.state).where(runs.c.id.in_(run_ids))
            )
            keys = {key for row in begun for key in row if key is not None}
            of_records = sa.select(records.c.state).where(records.c.run_id.in_(run_ids))
            keys |= set(connection.execute(of_records).scalars())
            return self._blobs.fetch(connection, keys)

    def begin(
        self,
        connection: sa.Connection,
        begins: Sequence[Begin],
        owners: Mapping[str, str],
        fetched: Mapping[str, bytes],
    ) -> dict[str, Begun]:
        """Take note that this worker begins runs; return those that it may run.

        Args:
            connection: A connection in a transaction that has locked the claims.
            begins: The wishes.
            owners: The token of each claim that this worker holds.
            fetched: Of `fetch`.

        """
        wanted = {begin.run_id: begin for begin in begins if begin.run_id in owners}
        if not wanted:
            return {}
        found = self._statements.read_runs.run(connection, sorted(wanted))
        rows = {row.id: row for row in found}
        for run_id in wanted:
            if run_id not in rows or rows[run_id].status in OVER:
                # It was cancelled or pruned after it was claimed.
                self._statements.close_claim.run(connection, run=run_id, owner=owners[run_id])
        open_rows = [row for row in rows.values() if row.status not in OVER]
        keys = {row.state for row in open_rows if row.state is not None}
        states = self._blobs.read(connection, keys, fetched) if keys else {}
        recorded = self._read_records(connection, [row.id for row in open_rows], fetched)
        begun = {}
        for row in open_rows:
            made = self._begin_one(
                connection,
                row,
                owner=owners[row.id],
                wish=wanted[row.id],
                state=None if row.state is None else states[row.state],
                recorded=recorded.get(row.id, ()),
                now_s=row.now_ms / 1000,
                plan=self._plan(connection, row.plan, row.id, fetched),
            )
            if made is not None:
                begun[row.id] = made
        return begun

    def _begin_one(  # long: calls with one line for each argument
        self,
        connection: sa.Connection,
        row: Any,
        *,
        owner: str,
        wish: Begin,
        state: bytes | None,
        recorded: tuple[StepRecord, ...],
        now_s: float,
        plan: Plan,
    ) -> Begun | None:
        """Begin a run; return None if it is given up."""
        reason, trace = wish.reason, _trace_of(row, wish)
        is_ours = row.owner == owner
        if reason:
            owner = self._renew(connection, row.id, owner)
        taken_over = row.status == "running" and not is_ours
        takeovers, lost = row.takeovers + taken_over, row.lost
        last = _last(recorded)
        log = takeover.LogFacts()
        mended = takeover.Repair((), Counter())
        if row.status == "running":
            log = takeover.read_log(self._read_log(connection, row.id), last)
            if taken_over and row.owner is not None and log.in_flight:
                lost += 1
            if lost >= takeover.MOST_LOST:
                self._give_up(connection, row.id, owner, log, takeovers, now_s)
                return None
            if not is_ours:
                reason = takeover.HANDED_BACK if row.owner is None else takeover.LOST
            end = _end_of(row.options) or plan.options.end
            mended = takeover.repair(
                row.id, plan.workflow, end, log, last, time_s=now_s, reason=reason
            )
            self._add(connection, mended.events)
        last_seq = max(log.last_seq + len(mended.events), row.last_seq)
        self._statements.begin.run(
            connection,
            run=row.id,
            token=owner,
            by=self._worker,
            count=takeovers,
            in_flight=lost,
            seq=last_seq,
            own_span=(trace is not None and trace.run_span) or row.span,
        )
        return Begun(
            run_id=row.id,
            owner=owner,
            tenant=row.tenant,
            plan=plan,
            state=state,
            options=row.options,
            cancel=row.cancel,
            last_seq=last_seq,
            lost=lost,
            taken_over=taken_over,
            records=recorded,
            attempts=log.attempts,
            again=mended.again,
            warned=log.warned,
            trace=trace,
        )

    def _renew(self, connection: sa.Connection, run_id: str, owner: str) -> str:
        """Give a claim of this worker a new token, and return it.

        A transaction from before may still be on its way, on a connection that is broken for this worker
        only.  The server then refuses it.
        """
        token = uuid4().hex
        self._statements.renew.run(connection, run=run_id, owner=owner, token=token)
        return token

    def _give_up(
        self,
        connection: sa.Connection,
        run_id: str,
        owner: str,
        log: takeover.LogFacts,
        takeovers: int,
        now_s: float,
    ) -> None:
        """End a run that has taken too many workers with it."""
        closing = takeover.give_up(run_id, log, time_s=now_s)
        self._add(connection, closing)
        report = takeover.poison_report(takeover.MOST_LOST)
        last, result = end_unstarted(run_id, report, seq=closing[-1].seq, time_s=now_s)
        connection.execute(
            runs.update()
            .where(runs.c.id == run_id)
            .values(
                status="dead",
                reason=result.reason,
                outcome=self._contents.pack_result(run_id, result).body,
                ended_ms=self._database.now_ms,
                last_event_ms=self._database.now_ms,
                last_seq=last.seq,
                takeovers=takeovers,
                lost=takeover.MOST_LOST,
            )
        )
        self._statements.close_claim.run(connection, run=run_id, owner=owner)

    def _add(self, connection: sa.Connection, added: Iterable[AnyEvent]) -> None:
        rows = [
            {
                "run_id": event.run_id,
                "seq": event.seq,
                "body": self._contents.pack_event(event).body,
                "state": None,
            }
            for event in added
        ]
        if rows:
            connection.execute(events.insert(), rows)

    def _read_log(self, connection: sa.Connection, run_id: str) -> Iterable[AnyEvent]:
        query = (
            sa.select(events.c.seq, events.c.body)
            .where(events.c.run_id == run_id)
            .order_by(events.c.seq)
        )
        for row in connection.execute(query):
            yield self._contents.unpack_event(run_id, row.seq, row.body, None)

    def _read_records(
        self, connection: sa.Connection, run_ids: Sequence[str], fetched: Mapping[str, bytes]
    ) -> dict[str, tuple[StepRecord, ...]]:
        if not run_ids:
            return {}
        rows = self._statements.read_records.run(connection, sorted(run_ids))
        if not rows:
            return {}
        states = self._blobs.read(connection, [row.state for row in rows], fetched)
        found: dict[str, tuple[StepRecord, ...]] = {}
        for row in rows:
            record = self._contents.unpack_record(
                row.run_id, row.number, row.body, states[row.state]
            )
            found[row.run_id] = (*found.get(row.run_id, ()), record)
        return found

    def _plan(
        self, connection: sa.Connection, key: str, run_id: str, fetched: Mapping[str, bytes]
    ) -> Plan:
        plan = self._plans.get(key)
        if plan is None:
            plan = decode_plan(self._blobs.read(connection, [key], fetched)[key], run_id)
            self._plans[key] = plan
            if len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return msgspec.structs.replace(plan, id=run_id)


def closing_claim(
    database: Database,
    *,
    run: sa.ColumnElement[str] = _RUN,
    owner: sa.ColumnElement[str] = _OWNER,
) -> sa.Update:
    """Return the statement that ends a workflow of DBOS, by default with the parameters ``run`` and ``owner``.

    It belongs into the transaction that ends the run.  Otherwise DBOS would write the end in a transaction
    of its own, which costs a commit for each run.
    """
    claim = workflow_status.c
    return (
        workflow_status.update()
        .where(
            claim.workflow_uuid == run,
            claim.owner_xid == owner,
            claim.status == "PENDING",
        )
        .values(
            status="SUCCESS",
            owner_xid=None,
            deduplication_id=None,
            updated_at=database.now_ms,
            completed_at=database.now_ms,
        )
    )


class _Statements:
    """The statements that each beginning takes, compiled once."""

    def __init__(self, database: Database) -> None:
        def read_runs(run_ids: Sequence[sa.BindParameter[str]]) -> sa.Select[Any]:
            query = sa.select(runs, database.now_ms.label("now_ms"))
            return database.lock_row(query.where(runs.c.id.in_(run_ids)).order_by(runs.c.id))

        def read_records(run_ids: Sequence[sa.BindParameter[str]]) -> sa.Select[Any]:
            query = sa.select(records).where(records.c.run_id.in_(run_ids))
            return query.order_by(records.c.run_id, records.c.number)

        self.read_runs = PreparedList(database, read_runs)
        self.read_records = PreparedList(database, read_records)
        self.close_claim = Prepared(database, closing_claim(database))
        claim = workflow_status.c
        self.renew = Prepared(
            database,
            workflow_status.update()
            .where(claim.workflow_uuid == _RUN, claim.owner_xid == _OWNER)
            .values(owner_xid=sa.bindparam("token")),
        )
        self.begin = Prepared(
            database,
            runs.update()
            .where(runs.c.id == sa.bindparam("run"))
            .values(
                status="running",
                owner=sa.bindparam("token"),
                worker=sa.bindparam("by"),
                started_ms=sa.func.coalesce(runs.c.started_ms, database.now_ms),
                takeovers=sa.bindparam("count"),
                lost=sa.bindparam("in_flight"),
                last_seq=sa.bindparam("seq"),
                span=sa.bindparam("own_span", type_=sa.Text),
            ),
        )


def _trace_of(row: Any, wish: Begin) -> Trace | None:
    """Return the trace of a run; with a span for this worker, if telemetry follows it."""
    given = unpack_trace(row.trace)
    if wish.plan_span is None:
        return given
    own = wish.plan_span(given)
    return Trace(
        own if given is None else given.traceparent,
        "" if given is None else given.tracestate,
        links=() if row.span is None else (row.span,),
        run_span=own,
    )


def _end_of(options: bytes | None) -> str | None:
    """Return the step at which the options of a run let it end."""
    given = {} if options is None else msgspec.msgpack.decode(bytes(options))
    return given.get("end") if isinstance(given, dict) else None


def _last(recorded: Sequence[StepRecord]) -> takeover.LastRecord | None:
    if not recorded:
        return None
    record = recorded[-1]
    return takeover.LastRecord(record.step_run_id, record.step_id, record.next)
