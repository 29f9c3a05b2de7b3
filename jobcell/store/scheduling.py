"""Schedules: plans that become a run at each tick of a cron expression.

Every worker looks for ticks that are due, by the clock of the database.  The run of a tick is called
``NAME@2026-11-28T17:00Z``.  It is made while the row of the schedule is locked, so that any number of workers
make one run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from jobcell.store.blobs import Blobs, Uploaded
from jobcell.store.database import Database
from jobcell.store.due import Ticks, locked, moment, read_now, to_ms
from jobcell.store.enqueue import DEFAULT_TENANT, Enqueued, prepare
from jobcell.store.errors import ScheduleConflictError, UnknownScheduleError
from jobcell.store.schema import schedules
from jobcell.store.ticks import ScheduleTextError, Timetable, tick_id

Missed = Literal["run", "skip"]

LONGEST_NAME: Final = 200
_RETRY_S: Final = 30.0


class Schedule(NamedTuple):
    """A schedule in a store.  Times are in UTC."""

    name: str
    cron: str
    tz: str
    tenant: str
    priority: int
    missed: Missed
    carry_state: bool
    created: datetime
    next: datetime | None
    """The next tick, or the one that waits for the end of the last run; None: never again."""
    last: datetime | None
    """The last tick with a run; its id is `last_run`."""
    problem: str | None
    """Why the last tick has no run."""

    @property
    def last_run(self) -> str | None:
        """The id of the run of the last tick; it may have been pruned."""
        return None if self.last is None else tick_id(self.name, self.last)


class Schedules:
    """The schedules of a store; `Store.schedules` is one.  Any thread may use it.

    Args:
        database: Of the store.
        blobs: Of the store.
        write: Stores a checked run in the transaction of a connection.

    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        write: Callable[[sa.Connection, Enqueued], bool],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._ticks = Ticks(database, blobs, write)

    def add(
        self,
        name: str,
        plan: Any,
        *,
        cron: str,
        tz: str = "UTC",
        state: Any = None,
        tenant: str = DEFAULT_TENANT,
        priority: int = 0,
        carry_state: bool = False,
        missed: Missed = "run",
        replace: bool = False,
    ) -> Schedule:
        """Store a schedule, and return it.  The same schedule again changes nothing.

        Args:
            name: Begins the ids of its runs.
            plan: As in `Store.enqueue`.
            cron: Five fields (minute, hour, day of month, month, day of week), or an alias such as
                ``@daily``.
            tz: The zone of the wall clock that *cron* names, for example ``Europe/Berlin``.
            state: The initial state of each run.
            tenant: As in `Store.enqueue`.
            priority: As in `Store.enqueue`.
            carry_state: Begin each run with the final state of the last run of this schedule that
                succeeded; *state* is that of the first.  A tick then waits until the run before it is
                over.
            missed: Whether a tick that no worker saw within 60 seconds runs when a worker is back.  Of
                several missed ticks only the last one runs.
            replace: Put it in the place of another schedule with this name.  Its runs, and the state
                that it carries, stay.

        Raises:
            PlanError: The plan or the state cannot be run, or holds a credential.
            TypeError, ValueError: Another argument is wrong.
            ScheduleConflictError: There is another schedule with this name, and *replace* is not set.
            StoreError: The store cannot be used, or was out of reach for 30 seconds.

        """
        check_name(name)
        timetable = Timetable(cron, tz)
        if missed not in get_args(Missed):
            raise ValueError(f"missed must be 'run' or 'skip', not {missed!r}")
        run = prepare(
            self._blobs,
            plan,
            state,
            run_id=tick_id(name, datetime.now(UTC)),
            tenant=tenant,
            priority=priority,
            not_before=None,
            options=None,
        )
        values: dict[str, Any] = {
            "cron": " ".join(cron.split()),
            "tz": tz,
            "tenant": tenant,
            "priority": priority,
            "missed": missed,
            "carry_state": bool(carry_state),
        }
        uploaded = self._database.retry(lambda: self._blobs.upload(run.contents), _RETRY_S)
        self._database.retry(
            lambda: self._add(name, run, values, timetable, uploaded, replace=replace), _RETRY_S
        )
        return self.get(name)

    def _add(
        self,
        name: str,
        run: Enqueued,
        values: dict[str, Any],
        timetable: Timetable,
        uploaded: Uploaded,
        *,
        replace: bool,
    ) -> None:
        with self._database.write() as connection:
            keys = self._blobs.write(connection, run.contents, uploaded=uploaded)
            whole = values | {
                "plan": keys[run.plan.key],
                "state": None if run.state is None else keys[run.state.key],
            }
            now = read_now(self._database, connection)
            fresh = {
                "looked_ms": to_ms(now),
                "due_ms": to_ms(timetable.next_after(now)),
                "problem": None,
            }
            insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
            # The count of an insert is not known in PostgreSQL, but its rows are.
            added = connection.execute(
                insert(schedules)
                .values(name=name, created_ms=to_ms(now), **whole, **fresh)
                .on_conflict_do_nothing(index_elements=[schedules.c.name])
                .returning(schedules.c.name)
            )
            if added.first() is not None:
                return
            known = connection.execute(locked(self._database, name)).one()
            different = [key for key, value in whole.items() if getattr(known, key) != value]
            if not different:
                return
            if not replace:
                raise ScheduleConflictError(
                    f"there is a schedule {name!r} with another {', '.join(different)};"
                    " replace it (--replace), or choose another name"
                )
            statement = schedules.update().where(schedules.c.name == name)
            connection.execute(statement.values(**whole, **fresh))

    def list(self) -> list[Schedule]:
        """Return all schedules in the order of their names.

        Raises:
            StoreUnavailableError: The store is out of reach.

        """
        with self._database.read() as connection:
            rows = connection.execute(sa.select(schedules).order_by(schedules.c.name)).all()
        return [_schedule(row) for row in rows]

    def get(self, name: str) -> Schedule:
        """Return a schedule.

        Raises:
            UnknownScheduleError: The store has no such schedule; this is a `LookupError`.
            StoreUnavailableError: The store is out of reach.

        """
        try:
            check_name(name)
            query = sa.select(schedules).where(schedules.c.name == name)
        except ValueError:  # no schedule can have it, and a database refuses some of these
            query = sa.select(schedules).where(sa.false())
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            names = [] if row else connection.execute(sa.select(schedules.c.name)).scalars().all()
        if row is None:
            raise _unknown(name, names)
        return _schedule(row)

    def remove(self, name: str) -> None:
        """Remove a schedule.  Its runs stay, also those that wait for a worker.

        Raises:
            UnknownScheduleError: The store has no such schedule; this is a `LookupError`.
            StoreUnavailableError: The store was out of reach for 30 seconds.

        """
        self.get(name)

        def remove() -> None:
            with self._database.write() as connection:
                connection.execute(schedules.delete().where(schedules.c.name == name))

        self._database.retry(remove, _RETRY_S)

    def run_due(self) -> Sequence[str]:
        """Make the runs of all ticks that are due, and return their ids; see `Ticks.run_due`.  Workers call this."""
        return self._ticks.run_due()


def check_name(name: Any) -> None:
    """Check the name of a schedule, which begins the ids of its runs.

    Raises:
        TypeError: It is not text.
        ValueError: It cannot begin an id.

    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a schedule must be text, not {type(name).__name__}")
    if not name:
        raise ValueError("the name of a schedule must not be empty")
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"the name of a schedule must have {LONGEST_NAME} characters at most, not {len(name)}"
        )
    wrong = next((c for c in name if c == "@" or c.isspace() or not c.isprintable()), None)
    if name.startswith("-"):
        wrong = "-"
    if wrong is not None:
        where = " at its beginning" if wrong == "-" else ""
        raise ValueError(
            f"the name of a schedule must not have {wrong!r}{where}: {name!r}; its runs are called"
            f" {tick_id('NAME', datetime(2026, 11, 28, 17, tzinfo=UTC))}"
        )


def _schedule(row: sa.Row[Any]) -> Schedule:
    due = None if row.due_ms is None else moment(row.due_ms)
    try:
        due = Timetable(row.cron, row.tz).next_after(moment(row.looked_ms))
    except ScheduleTextError:
        pass  # this machine does not know the zone
    return Schedule(
        name=row.name,
        cron=row.cron,
        tz=row.tz,
        tenant=row.tenant,
        priority=row.priority,
        missed=row.missed,
        carry_state=row.carry_state,
        created=moment(row.created_ms),
        next=due,
        last=None if row.last_tick is None else moment(row.last_tick),
        problem=row.problem,
    )


def _unknown(name: str, names: Any) -> UnknownScheduleError:
    there = ", ".join(map(repr, sorted(names)[:10])) or "none"
    return UnknownScheduleError(
        f"the store has no schedule {name[:LONGEST_NAME]!r}; there are: {there}"
    )
