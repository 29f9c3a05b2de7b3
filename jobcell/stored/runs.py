"""`jobcell enqueue`, `events`, `result`, `cancel`, `retry` and `runs`."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine import RunOptions
from jobcell.input.errors import BadInputError
from jobcell.input.following import read_trace
from jobcell.input.inputs import read_data_file, with_limits
from jobcell.input.plan_file import load_plan_file
from jobcell.input.step_choice import choose_step
from jobcell.output.exit_codes import NOT_OVER, OF_REASON, SUCCESS
from jobcell.output.json_text import encode_json
from jobcell.output.steps import attempts_of, names_of
from jobcell.output.views import JsonView, LineView
from jobcell.output.wording import FLAGS, printable, tell_duration, tell_error
from jobcell.stored.opening import PATIENCE_S, open_store, with_store_errors

if TYPE_CHECKING:
    from engine import RunResult
    from jobcell.output.views import View
    from jobcell.store import RunInfo, Store


class Order(NamedTuple):
    """The options of `jobcell enqueue`, as they were given."""

    target: Path
    state: Path | None
    run_id: str | None
    tenant: str
    priority: int
    not_before: str | None
    adaptors: tuple[str, ...]
    start: str | None
    end: str | None
    limits: dict[str, float | None]
    trace: str | None = None


@with_store_errors
def enqueue_run(order: Order, url: str | None, *, as_json: bool) -> int:
    """Carry out `jobcell enqueue`; return the exit code."""
    plan = load_plan_file(
        order.target,
        start=order.start,
        end=order.end,
        adaptors=order.adaptors,
        warn=_print_warning,
        say=_say,
    )
    state = read_data_file(order.state) if order.state is not None else None
    not_before = None if order.not_before is None else _read_time(order.not_before)
    options = _options(order.limits)
    trace = read_trace(order.trace)
    with open_store(url, timeout_s=PATIENCE_S) as store:
        try:
            run = store.enqueue(
                plan,
                state,
                id=order.run_id,
                tenant=order.tenant,
                priority=order.priority,
                not_before=not_before,
                options=options,
                trace=trace,
            )
        except ValueError as error:
            raise _bad_value(error) from None
    _print_id(run.id, as_json=as_json)
    return SUCCESS


@with_store_errors
def show_events(run_id: str, url: str | None, *, after: int, follow: bool, as_json: bool) -> int:
    """Carry out `jobcell events`; return the exit code."""
    patience_s = PATIENCE_S if follow else 0.0
    with open_store(url, timeout_s=patience_s) as store:
        run = store.database.retry(partial(store.run, run_id), patience_s)
        lines = partial(_lines, store, run_id)
        view: View = (
            JsonView(sys.stdout.buffer) if as_json else store.database.retry(lines, patience_s)
        )
        while True:
            events = run.poll(after=after, timeout_s=patience_s)
            for event in events:
                after = event.seq
                view.show(event)
            if events and follow:
                continue
            if not as_json and run.done:
                view.close(run.result(PATIENCE_S))
            if not follow or run.done:
                return SUCCESS


@with_store_errors
def show_result(run_id: str, url: str | None, *, wait: bool, as_json: bool) -> int:
    """Carry out `jobcell result`; return the exit code."""
    patience_s = PATIENCE_S if wait else 0.0
    with open_store(url, timeout_s=patience_s) as store:
        run = store.database.retry(partial(store.run, run_id), patience_s)
        while True:
            try:
                result = run.result(patience_s)
                break
            except TimeoutError:
                if not wait:
                    _say(f"run {run_id!r} is not over yet; wait for it with --wait")
                    return NOT_OVER
        plan = partial(store.plan, run_id)
        names = {} if as_json else names_of(store.database.retry(plan, patience_s))
    if as_json:
        _write_json(
            {
                "id": run_id,
                "reason": result.reason,
                "state": result.state,
                "error": result.error,
                "duration_ms": result.duration_ms,
                "usage": result.usage,
                "children": result.children,
                "versions": result.versions,
            }
        )
        return OF_REASON[result.reason]
    _show_end(result, names)
    return OF_REASON[result.reason]


@with_store_errors
def cancel_run(run_id: str, url: str | None, *, reason: str) -> int:
    """Carry out `jobcell cancel`; return the exit code."""
    with open_store(url) as store:
        run = store.run(run_id)
        if run.done:
            _say(f"run {run_id!r} is over already")
            return SUCCESS
        run.cancel(reason)
        _say(
            f"run {run_id!r} is cancelled"
            if run.done
            else f"the worker of run {run_id!r} will cancel it at its next heartbeat"
        )
    return SUCCESS


@with_store_errors
def retry_run(run_id: str, url: str | None, *, from_step: str | None, as_json: bool) -> int:
    """Carry out `jobcell retry`; return the exit code."""
    with open_store(url) as store:
        if from_step is not None:
            choice = choose_step("--from", from_step, store.plan(run_id))
            from_step = choice.step.id
            if choice.note is not None:
                _say(choice.note)
        try:
            run = store.retry(run_id, from_step)
        except ValueError as error:
            text = str(error).removeprefix("from_step: ")
            raise BadInputError([f"--from: {text}"]) from None
    _print_id(run.id, as_json=as_json)
    return SUCCESS


@with_store_errors
def list_runs(
    url: str | None, *, state: str | None, tenant: str | None, limit: int | None, as_json: bool
) -> int:
    """Carry out `jobcell runs`; return the exit code."""
    with open_store(url) as store:
        found = store.runs(state=state, tenant=tenant, limit=limit)
    if as_json:
        _write_json(found)
        return SUCCESS
    rows: list[tuple[str, ...]] = [
        ("id", "state", "tenant", "takeovers", "reason", "created", "took")
    ]
    rows += [_row(run) for run in found]
    print_table(rows)
    return SUCCESS


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows with columns of the same width; a value of somebody else cannot steer a terminal."""
    shown = [[printable(cell, limit=300) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _lines(store: Store, run_id: str) -> View:
    plan = store.plan(run_id)
    return LineView(sys.stdout, names_of(plan), attempts_of(plan))


def _show_end(result: RunResult, names: dict[str, str]) -> None:
    if result.error is not None:
        for line in tell_error(result.error, names):
            _say(line)
    if result.reason not in {"success", "fail"}:
        return
    try:
        shown = encode_json(result.state, indent=2)
    except ValueError as error:
        raise BadInputError([f"the final state is {error}; --json leaves it out"]) from None
    sys.stdout.buffer.write(shown + b"\n")
    sys.stdout.flush()


def _row(run: RunInfo) -> tuple[str, ...]:
    created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.created))
    took = ""
    if run.started is not None and run.ended is not None:
        took = tell_duration((run.ended - run.started) * 1000)
    return (
        run.id,
        run.state,
        run.tenant,
        str(run.takeovers),
        run.reason or "",
        created,
        took,
    )


def _read_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = (
            f"--not-before: {text!r} is not a time with a zone;"
            " write it like 2026-12-01T08:00+01:00 or 2026-12-01T07:00Z"
        )
        raise BadInputError([message])
    return moment


def _options(limits: dict[str, float | None]) -> RunOptions | None:
    if all(value is None for value in limits.values()):
        return None
    return with_limits(RunOptions(), limits, FLAGS)


def _bad_value(error: ValueError) -> Exception:
    """Return the error of the command for one of `Store.enqueue`; other errors stay as they are."""
    name, _, rest = str(error).partition(" ")
    flags = {"id": "--id", "tenant": "--tenant", "priority": "--priority"}
    flags["not_before"] = "--not-before"
    return BadInputError([f"{flags[name]}: {rest}"]) if name in flags else error


def _print_id(run_id: str, *, as_json: bool) -> None:
    if as_json:
        _write_json({"id": run_id})
    else:
        print(printable(run_id), flush=True)


def _write_json(value: Any) -> None:
    sys.stdout.buffer.write(encode_json(value, exact=isinstance(value, dict)) + b"\n")
    sys.stdout.flush()


def _print_warning(line: str) -> None:
    _say(f"warning: {line}")


def _say(line: str) -> None:
    print(printable(line, limit=10_000), file=sys.stderr)
