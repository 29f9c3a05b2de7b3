"""What the server needs of the place in which runs are: an engine, or a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from engine import AnyEvent, Plan, RunResult, Trace

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

State = Literal["queued", "running", "done", "dead"]


class Row(msgspec.Struct, kw_only=True):
    """A run in a list.  Times are Unix seconds."""

    id: str
    state: State
    name: str | None = None
    tenant: str = "default"
    reason: str | None = None
    """How the run ended; null while it goes on."""
    created: float
    started: float | None = None
    ended: float | None = None


class NewRun(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A run to be started."""

    plan: dict[str, Any]
    """A plan, as `docs/plan.md` describes it."""
    state: Any = None
    """The initial state; a text is the id of a stored state."""
    id: str | None = None
    """The id of the run.  The same id again is the same run."""
    tenant: str = "default"
    priority: int = 0
    """Lower numbers come first."""
    not_before: float | None = None
    """The earliest start, in Unix seconds."""
    options: dict[str, Any] = {}
    """Fields of `RunOptions`, for example ``{"timeout_s": 60}``."""
    credentials: dict[str, Any] = {}
    """Credential id to credential, for an engine in this process.  Workers load their own."""


class Counts(msgspec.Struct, kw_only=True):
    """Numbers of runs."""

    queued: int = 0
    running: int = 0
    done: int = 0
    dead: int = 0


class UnknownRun(LookupError):  # noqa: N818 - a lookup that finds nothing
    """There is no such run."""


class BadRequest(ValueError):  # noqa: N818 - the name of the status
    """A field of the request is wrong."""


class Conflict(ValueError):  # noqa: N818 - the name of the status
    """The request does not fit to the run as it is."""


class Away(RuntimeError):  # noqa: N818 - the runs are away
    """The runs are out of reach for now."""


class Backend(Protocol):
    """The place in which runs are.  Methods that are not coroutines are called in threads.

    Each may raise `Away`; each that takes the id of a run may raise `UnknownRun`.
    """

    def add(self, new: NewRun, trace: Trace | None = None) -> str:
        """Start a run, or put it into the queue; return its id.

        Raises:
            PlanError: The plan cannot be run.
            Conflict: There is another run with this id.
            TypeError, ValueError: Another field is wrong.

        """

    def rows(
        self, *, state: State | None, tenant: str | None, limit: int, before: str | None
    ) -> list[Row]:
        """Return the newest runs first, those that are older than the run *before*."""
        ...

    def row(self, run_id: str) -> Row:
        """Return one run."""
        ...

    def counts(self) -> Counts:
        """Return the numbers of runs."""
        ...

    def families(self) -> Iterable[Metric]:
        """Return the figures for a page of Prometheus."""
        ...

    def poll(self, run_id: str, after: int, limit: int | None = None) -> list[AnyEvent]:
        """Return the events with ``seq > after`` that there are, at most the first *limit* of them."""
        ...

    async def wait(self, run_id: str, after: int | None) -> None:
        """Wait until a run has an event with ``seq > after`` or is over; with None, until it is over.

        A client that waits takes no thread, and so leaves room for others.
        """

    def result(self, run_id: str) -> RunResult | None:
        """Return how the run ended; None if it goes on."""
        ...

    def plan(self, run_id: str) -> Plan:
        """Return the plan of a run."""
        ...

    def cancel(self, run_id: str, reason: str) -> None:
        """End a run.

        Raises:
            Conflict: It is over.

        """

    def retry(self, run_id: str, from_step: str | None) -> str:
        """Start a new run of a run that is over; return its id.

        Raises:
            Conflict: The run is not over.
            PlanError: There is no such step.

        """
        ...

    def close(self) -> None:
        """Release all resources."""
