"""The JSON interface: plans, runs, their events and results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State as AppState
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Body, HeaderParameter, PathParameter, QueryParameter
from litestar.response import ServerSentEvent

from engine import AnyEvent, PlanError, RunResult, Trace, check_plan, to_json
from jobcell.report import Report
from jobcell.server.backend import (
    Backend,
    BadRequest,
    Conflict,
    Counts,
    NewRun,
    Row,
    State,
)
from jobcell.server.errors import ErrorBody
from jobcell.server.live import LiveReports
from jobcell.server.streams import OVER, first_of, is_last, messages

LONGEST_WAIT_S: Final = 60.0
_LONGEST_ID: Final = 500
MOST_EVENTS: Final = 10_000
"""Events in one answer, at most."""
_JSON: Final = "application/json"

RunId = Annotated[str, PathParameter(description="The id of the run.")]
After = Annotated[int, QueryParameter(ge=0, description="Only events with a larger `seq`.")]
Wait = Annotated[
    float,
    QueryParameter(
        ge=0, le=LONGEST_WAIT_S, description="Seconds to wait, if there is nothing yet."
    ),
]


_TEXTS: Final = {
    400: "The request is wrong; `problems` has the details.",
    401: "The token is missing or wrong.",
    403: "The host name is a foreign one, or a page of another site has sent the request.",
    404: "There is no such run.",
    409: "The request does not fit to the run as it is.",
    415: "The body is not JSON.",
    503: "The runs are out of reach for now.",
}


def _answers(*codes: int) -> dict[int, ResponseSpec]:
    """Return the error answers of a handler, for the document of the interface."""
    every = (*codes, 400, 401, 403, 503)
    return {code: ResponseSpec(ErrorBody, description=_TEXTS[code]) for code in every}


class Started(msgspec.Struct):
    """A run that was started or queued."""

    id: str


def _trace(traceparent: str | None, tracestate: str | None) -> Trace | None:
    """Return the trace of a request.  A wrong one is ignored, as W3C Trace Context wants it."""
    if traceparent is None:
        return None
    try:
        return Trace(traceparent, tracestate or "")
    except ValueError:
        return None


class Listing(msgspec.Struct):
    """Runs, the newest first."""

    runs: list[Row]
    more: bool
    """Whether there are older ones; ask for them with `before` and the last id."""


class EventsPage(msgspec.Struct):
    """Events of a run, in their order."""

    events: list[AnyEvent]
    over: bool
    """Whether the last of them is the last event of the run."""


class CheckRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A plan to be checked."""

    plan: dict[str, Any]


class Found(msgspec.Struct):
    """A problem of a plan."""

    path: str
    message: str
    step_id: str | None = None
    line: int | None = None
    column: int | None = None
    fix: str | None = None


class Checked(msgspec.Struct):
    """All problems of a plan; none: it can be run."""

    problems: list[Found]


class CancelRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Why a run is cancelled."""

    reason: str = "cancelled by the manager"


class RetryRequest(msgspec.Struct, forbid_unknown_fields=True):
    """How a run is started again."""

    from_step: str | None = None
    """The id of a step; steps before it are taken from the store and do not run again."""


class Api(Controller):
    """Runs and plans."""

    path = "/api/v1"

    @post(
        "/plans/check",
        sync_to_thread=True,
        status_code=200,
        summary="Check a plan",
        responses=_answers(415),
    )
    def check(self, data: Annotated[CheckRequest, Body()], state: AppState) -> Checked:
        """Compile all jobs and conditions of a plan in a confined child, and run none of them."""
        problems = check_plan(data.plan, repo_dir=state.repo_dir)
        return Checked(
            [Found(p.path, p.message, p.step_id, p.line, p.column, p.fix) for p in problems]
        )

    @post("/runs", sync_to_thread=True, summary="Start a run", responses=_answers(409, 415))
    def add(
        self,
        data: Annotated[
            NewRun,
            Body(
                examples=[
                    Example(
                        value={
                            "plan": {
                                "workflow": {
                                    "steps": [
                                        {"id": "a", "expression": "def main(state): return state"}
                                    ]
                                }
                            },
                            "state": {"data": {"n": 1}},
                        }
                    )
                ]
            ),
        ],
        state: AppState,
        traceparent: Annotated[
            str | None,
            HeaderParameter(description="The W3C trace that the run belongs to."),
        ] = None,
        tracestate: Annotated[str | None, HeaderParameter()] = None,
    ) -> Started:
        """Start a run, or put it into the queue of the store."""
        with _bad_fields():
            _check_id(data.plan.get("id") if data.id is None else data.id)
            return Started(_backend(state).add(data, _trace(traceparent, tracestate)))

    @get("/runs", sync_to_thread=True, summary="List runs", responses=_answers(404))
    def runs(
        self,
        state: AppState,
        run_state: Annotated[
            State | None, QueryParameter(name="state", description="Only runs in this state.")
        ] = None,
        tenant: Annotated[str | None, QueryParameter()] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
        before: Annotated[
            str | None, QueryParameter(description="Only runs that are older than this one.")
        ] = None,
    ) -> Listing:
        """List runs, the newest first."""
        rows = _backend(state).rows(state=run_state, tenant=tenant, limit=limit + 1, before=before)
        return Listing(rows[:limit], len(rows) > limit)

    @get("/counts", sync_to_thread=True, summary="Count runs", responses=_answers())
    def counts(self, state: AppState) -> Counts:
        """Return how many runs are queued, running, done and dead."""
        return _backend(state).counts()

    @get("/runs/{run_id:str}", sync_to_thread=True, summary="One run", responses=_answers(404))
    def run(self, run_id: RunId, state: AppState) -> Row:
        """Return what the list says of a run."""
        return _backend(state).row(run_id)

    @get("/runs/{run_id:str}/events", summary="Events by cursor", responses=_answers(404))
    async def events(
        self,
        run_id: RunId,
        state: AppState,
        after: After = 0,
        wait_s: Wait = 0.0,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_EVENTS)] = MOST_EVENTS,
    ) -> Response[EventsPage]:
        """Return the events after a cursor; wait for the first one if there is none."""
        backend = _backend(state)

        def read() -> tuple[list[AnyEvent], bool, bytes]:
            found = backend.poll(run_id, after, limit)
            over = is_last(found[-1]) if found else backend.row(run_id).state in OVER
            # A state may hold what JSON lacks; `to_json` has a form for it.
            body = f'{{"events":[{",".join(map(to_json, found))}],"over":{str(over).lower()}}}'
            return found, over, body.encode()

        reading: asyncio.Semaphore = state.reading
        async with reading:
            found, over, body = await asyncio.to_thread(read)
        if wait_s and not found and not over:
            await first_of(backend.wait(run_id, after), state.closing.wait(), timeout_s=wait_s)
            async with reading:
                _, _, body = await asyncio.to_thread(read)
        return Response(body, media_type=_JSON)  # type: ignore[arg-type]

    @get("/runs/{run_id:str}/stream", summary="Events as they come", responses=_answers(404))
    async def stream(
        self,
        run_id: RunId,
        state: AppState,
        after: After = 0,
        last: Annotated[int | None, HeaderParameter(name="Last-Event-ID", ge=0)] = None,
    ) -> ServerSentEvent:
        """Send the events of a run as server-sent events; `id` is `seq`, and `end` comes last."""
        backend = _backend(state)
        await asyncio.to_thread(backend.row, run_id)  # an unknown run is an error, not a stream
        start = after if last is None else last
        return ServerSentEvent(messages(backend, run_id, start, state.closing, state.reading))

    @get(
        "/runs/{run_id:str}/result",
        summary="The result",
        responses=_answers(404, 409),
    )
    async def result(
        self, run_id: RunId, state: AppState, wait_s: Wait = 0.0
    ) -> Response[RunResult]:
        """Return how a run ended. The status is 409 while it goes on."""
        backend = _backend(state)

        def read() -> bytes | None:
            found = backend.result(run_id)
            return None if found is None else to_json(found).encode()

        body = await asyncio.to_thread(read)
        if body is None and wait_s:
            await first_of(backend.wait(run_id, None), state.closing.wait(), timeout_s=wait_s)
            body = await asyncio.to_thread(read)
        if body is None:
            raise Conflict(f"run {run_id!r} is not over yet")
        return Response(body, media_type=_JSON)  # type: ignore[arg-type]

    @get(
        "/runs/{run_id:str}/report",
        sync_to_thread=True,
        summary="The report",
        responses=_answers(404),
    )
    def report(
        self,
        run_id: RunId,
        state: AppState,
        states_from: Annotated[int, QueryParameter(ge=0)] = 0,
        lines_from: Annotated[int, QueryParameter(ge=0)] = 0,
    ) -> Report:
        """Return what the page of a run shows: steps, edges, states and log lines until now."""
        reports: LiveReports = state.reports
        return reports.report(run_id, states_from=states_from, lines_from=lines_from)

    @post(
        "/runs/{run_id:str}/cancel",
        sync_to_thread=True,
        status_code=202,
        summary="Cancel a run",
        responses=_answers(404, 409, 415),
    )
    def cancel(
        self, run_id: RunId, state: AppState, data: Annotated[CancelRequest | None, Body()] = None
    ) -> Row:
        """End a run. The status is 409 if it is over."""
        backend = _backend(state)
        backend.cancel(run_id, (data or CancelRequest()).reason)
        return backend.row(run_id)

    @post(
        "/runs/{run_id:str}/retry",
        sync_to_thread=True,
        summary="Run again",
        responses=_answers(404, 409, 415),
    )
    def retry(
        self, run_id: RunId, state: AppState, data: Annotated[RetryRequest | None, Body()] = None
    ) -> Started:
        """Start a new run of a run that is over. The old run stays as it is."""
        with _bad_fields():
            return Started(_backend(state).retry(run_id, (data or RetryRequest()).from_step))


@contextmanager
def _bad_fields() -> Iterator[None]:
    """Give an error about a field the status 400; everywhere else such an error is one of ours."""
    try:
        yield
    except (PlanError, Conflict):
        raise
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from None


def _check_id(run_id: object) -> None:
    """Refuse an id that no address of this interface can name.

    Raises:
        ValueError: It has a slash, is too long, or is one of the names that a browser removes.

    """
    if not isinstance(run_id, str):
        return  # the plan says what is wrong with it
    if "/" in run_id or run_id in {".", ".."} or len(run_id) > _LONGEST_ID:
        shown = run_id[:40] + ("..." if len(run_id) > 40 else "")
        raise ValueError(
            f"id: {shown!r} cannot be a part of an address; an id has no '/', has at most"
            f" {_LONGEST_ID} characters, and is not '.' or '..'"
        )


@get("/api/v1/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the description of the interface."""
    return request.app.openapi_schema.to_schema()


def _backend(state: AppState) -> Backend:
    backend: Backend = state.backend
    return backend
