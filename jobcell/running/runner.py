"""A run from the command line: start it, show it, cancel it on a signal, report how it ended."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, Protocol, Self

import msgspec

import engine
from jobcell.input.errors import BadInputError
from jobcell.input.following import followed
from jobcell.input.inputs import OutputFile
from jobcell.output.exit_codes import OF_REASON
from jobcell.output.json_text import encode_json, event_line
from jobcell.output.steps import names_of
from jobcell.output.wording import tell_error
from protocol.events import InitStart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from engine import RunOptions, RunResult
    from jobcell.output.views import View
    from jobcell.running.debugging import Debug
    from protocol.events import Event
    from protocol.plan import Plan

POLL_S = 0.5
"""Seconds to wait for an event.  Python runs a signal handler only between two waits."""


class RunRequest(NamedTuple):
    """All that is needed for one run, read and checked."""

    plan: Plan
    state: Any
    options: RunOptions
    credentials: Callable[[str], dict[str, Any]] | None
    """Returns the credential with an id."""
    repo_dir: Path | None
    start_mode: Literal["exec", "zygote"]
    policy: engine.Policy
    output: Path | None
    events: Path | None
    print_state: bool
    """Whether the final state goes to standard output when *output* is None."""
    journal: engine.Journal | None = None
    without_id: bool = False
    """Whether the plan has no id of its own, so that the run has that of its journal."""
    on_start: Callable[[engine.Run], object] | None = None
    """Is called with the run that has begun."""
    store: str | None = None
    """The address of the store with the collections."""
    collections: engine.Collections | None = None
    otel: bool = False
    """Whether the run is exported to OpenTelemetry."""
    trace: engine.Trace | None = None
    debug: Debug | None = None
    """The debugger in which its step runs."""
    on_signal: Callable[[int], object] | None = None
    """Is called with a signal that arrived during the run, also if the run ended before it was cancelled."""


def run_plan(request: RunRequest, make_view: Callable[[], View]) -> int:
    """Run a plan and return the exit code.

    Args:
        request: The run.
        make_view: Called without arguments once all files are open, so that an error about a file
            does not appear below an empty table.

    Raises:
        BadInputError: A file cannot be written.

    """
    with ExitStack() as stack:
        output = OutputFile(request.output) if request.output is not None else None
        if output is not None:
            stack.callback(output.close)
        record = _open_record(request.events) if request.events is not None else None
        if record is not None:
            stack.enter_context(record)
        view = make_view()
        result: RunResult | None = None
        try:
            result, signal_number = _watch(
                request, view if record is None else _Recorder(record, view), stack
            )
        finally:
            view.close(result)
        if result.error is not None and result.reason == "fail":
            # The view has shown an error that ended the run; a leaf's error may be far above.
            print(next(tell_error(result.error, names_of(request.plan))), file=sys.stderr)
        if result.reason in {"success", "fail"}:
            _write_state(result, output, print_state=request.print_state)
    return 128 + signal_number if signal_number else OF_REASON[result.reason]


def is_reached(request: RunRequest, step_id: str) -> bool:
    """Return whether a run comes to a step, or ends with an error before that."""
    with _engine_of(request) as eng:
        journal, resolvers = request.journal, _resolvers_of(request)
        run = eng.execute(request.plan, request.state, resolvers=resolvers, journal=journal)
        result = run.result()
        begun = {event.step_id for event in run.poll(after=0) if isinstance(event, InitStart)}
    return step_id in begun or result.reason not in {"success", "fail"}


def _engine_of(request: RunRequest) -> engine.Engine:
    if request.debug is not None:
        return request.debug.engine(request.repo_dir, request.options)
    return engine.Engine(
        repo_dir=request.repo_dir,
        start_mode=request.start_mode,
        policy=request.policy,
        options=request.options,
    )


def _resolvers_of(request: RunRequest) -> engine.Resolvers:
    return engine.Resolvers(credential=request.credentials, collections=request.collections)


def _watch(request: RunRequest, view: _Shows, stack: ExitStack) -> tuple[RunResult, int]:
    """Show the run until its end; return the result, and the signal that cancelled it, or 0."""
    resolvers = _resolvers_of(request)
    takes = None if request.debug is None else request.debug.takes_interrupt
    with _Signals(takes) as signals, _engine_of(request) as eng:
        # It ends with the last output: a collector that does not answer must not delay the result.
        stack.enter_context(followed(eng, wanted=request.otel))
        plan: Any = request.plan
        if request.without_id:
            plan = {key: part for key, part in msgspec.to_builtins(plan).items() if key != "id"}
        run = eng.execute(
            plan,
            request.state,
            resolvers=resolvers,
            journal=request.journal,
            trace=request.trace,
        )
        signals.cancel_on_arrival(run)
        if request.on_start is not None:
            request.on_start(run)
        while True:
            done = run.done
            for event in run.poll(timeout_s=POLL_S):
                view.show(event)
            if done:
                break
        result = run.result()
    if signals.received and request.on_signal is not None:
        request.on_signal(signals.received)
    # A signal for the whole group of processes also ends a child that is not ready: an exception for the engine.
    is_ours = result.reason in {"cancelled", "exception"}
    return result, signals.received if is_ours else 0


def _write_state(result: RunResult, output: OutputFile | None, *, print_state: bool) -> None:
    if output is None and not print_state:
        return
    try:
        text = encode_json(result.state, indent=2) + b"\n"
    except ValueError as error:
        raise BadInputError([f"the run is over, but its final state is {error}"]) from None
    if output is not None:
        output.write(text)
    else:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()


class _Signals:
    """While this is entered, Ctrl-C and SIGTERM cancel the run; a second one gives up at once.

    Args:
        taken: Returns whether a Ctrl-C is for somebody else.

    """

    def __init__(self, taken: Callable[[], bool] | None = None) -> None:
        self.received = 0
        self._taken = taken
        self._run: engine.Run | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def cancel_on_arrival(self, run: engine.Run) -> None:
        """Cancel *run* when a signal arrives, or now if one has arrived while it was being made."""
        self._run = run
        if self.received:
            self._cancel()

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._taken is not None and self._taken():
            return
        if self.received:
            raise KeyboardInterrupt
        self.received = number
        self._cancel()

    def _cancel(self) -> None:
        if self._run is not None:
            name = (
                "Ctrl-C" if self.received == signal.SIGINT else signal.Signals(self.received).name
            )
            self._run.cancel(f"interrupted by {name}")


class _Shows(Protocol):
    """An object that is shown every event."""

    def show(self, event: Event) -> None: ...


class _Recorder:
    """Writes every event to a file, as a line of JSON, before a view shows it."""

    def __init__(self, record: BinaryIO, view: View) -> None:
        self._record = record
        self._view = view

    def show(self, event: Event) -> None:
        self._record.write(event_line(event))
        self._record.flush()  # somebody may be reading along
        self._view.show(event)


def _open_record(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise BadInputError([f"{path}: cannot be written: {error.strerror}"]) from None
