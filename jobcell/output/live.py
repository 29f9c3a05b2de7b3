"""The view for a terminal: a table of the steps that is redrawn in place, and log lines above."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from jobcell.output.views import Places, describe, describe_source
from jobcell.output.wording import (
    label,
    printable,
    tell_attempt,
    tell_duration,
    tell_result,
    tell_size,
)
from protocol.events import (
    Event,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    NetConnect,
    StepEvent,
    WorkflowError,
    WorkflowStart,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from engine import RunResult
    from protocol.report import ErrorReport

MAX_ROWS = 30
"""Largest number of steps in the table; earlier ones are only counted."""

_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "red"}
_REASON_STYLES = {"success": "bold green", "fail": "bold yellow"}


class _Row:
    """The facts that are known about one execution of a step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = "preparing"
        self.style = ""
        self.started_s = time.monotonic()
        self.duration_ms: float | None = None
        self.memory = ""
        self.note = ""
        self.retry: tuple[str, float] | None = None
        """The next attempt, and when it begins on the monotonic clock; None while none is waited for."""
        self.spinner = Spinner("dots")

    def cells(self) -> tuple[RenderableType, ...]:
        """Return the cells of the row, as of now."""
        running = self.duration_ms is None
        elapsed_ms = self.duration_ms
        if elapsed_ms is None:
            elapsed_ms = (time.monotonic() - self.started_s) * 1000
        mark = self.spinner if running else Text("✓" if self.style == "green" else "✗", self.style)
        return (
            mark,
            Text(self.name),
            Text(printable(self._status(), limit=60), self.style),
            Text(tell_duration(elapsed_ms)),
            Text(self.memory),
            Text(self.note, "dim"),
        )

    def _status(self) -> str:
        if self.retry is None:
            return self.status
        attempt, begins_s = self.retry
        left_ms = max(0.0, begins_s - time.monotonic()) * 1000
        return f"{self.status}, {attempt} in {tell_duration(left_ms)}"


class LiveView:
    """Draws the table until `close`; other lines are printed above the table."""

    def __init__(
        self,
        console: Console | None = None,
        names: Mapping[str, str] = {},
        attempts: Mapping[str, int] = {},
    ) -> None:
        """Begin to draw the table.

        Args:
            console: Where to draw; by default standard error.
            names: Step id to the name of the step.
            attempts: Step id to the number of attempts, for steps that are retried.

        """
        self._console = console or Console(stderr=True)
        self._names = names
        self._attempts = attempts
        self._width = self._console.width
        self._closed = False
        self._rows: dict[str, _Row] = {}
        self._error: ErrorReport | None = None
        self._places = Places()
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=12,
            transient=False,
        )
        self._live.start()

    def show(self, event: Event) -> None:
        """Update the table, or write a line above it."""
        match event:
            case Log():
                line = Text(f"{describe_source(event, self._names)} ", "dim")
                line.append(printable(event.message), _STYLES[event.level])
                self._print(line)
            case WorkflowError(error=error) if error == self._error:
                pass  # the step in which the run ended has shown it
            case NetConnect() if not self._places.is_new(event):
                pass
            case WorkflowStart() | WorkflowError() | NetConnect():
                style = "red" if isinstance(event, WorkflowError) else "dim"
                if isinstance(event, NetConnect) and event.outcome != "open":
                    style = "yellow"
                for text in describe(event, self._names):
                    self._print(Text(text, style))
            case StepEvent():
                self._show_step(event)

    def close(self, result: RunResult | None) -> None:
        """Stop drawing the table, and write the result of the run below it."""
        for row in self._rows.values():
            if row.duration_ms is None:  # the run has ended within this step
                row.duration_ms = (time.monotonic() - row.started_s) * 1000
                row.status, row.style, row.retry = "ended", "red", None
        self._closed = True
        self._live.stop()
        if result is not None:
            style = _REASON_STYLES.get(result.reason, "bold red")
            self._print(Text(tell_result(result), style))

    def _show_step(self, event: StepEvent) -> None:
        name = label(event.step_id, self._names, of=event.step_run_id)
        row = self._rows.setdefault(event.step_run_id, _Row(name))
        match event:
            case InitStart():
                row.status = "preparing"
            case JobStart():
                row.status, row.style, row.retry = "running", "", None
                row.started_s, row.duration_ms = time.monotonic(), None
                if event.attempt > 1:
                    attempt = tell_attempt(event.attempt, self._attempts.get(event.step_id))
                    row.status = f"running, {attempt}"
            case JobComplete():
                row.status, row.style, row.duration_ms = "done", "green", event.duration_ms
                row.memory = tell_size(event.mem.peak)
                row.note = self._tell_next(event.next)
            case JobError():
                row.status, row.style = event.error.name, "red"
                self._error = event.error
                if event.retry_in_ms is None:
                    row.duration_ms, row.note = event.duration_ms, self._tell_next(event.next)
                else:
                    attempt = tell_attempt(event.attempt + 1, self._attempts.get(event.step_id))
                    row.style = "yellow"
                    row.retry = attempt, time.monotonic() + event.retry_in_ms / 1000
                head, *errors = describe(event, self._names, self._attempts)
                # The table shows the head, but the row of an attempt is used again for the next.
                for text in errors if row.retry is None else (head, *errors):
                    self._print(Text(text, "red"))

    def _print(self, text: Text) -> None:
        """Write a line above the table."""
        self._forget_other_width()
        self._console.print(text)

    def _tell_next(self, following: tuple[str, ...]) -> str:
        if not following:
            return ""
        return f"→ {', '.join(label(step, self._names) for step in following)}"

    def _forget_other_width(self) -> None:
        """If the terminal has another width now, draw a new table below the old one.

        The terminal has wrapped the old lines anew, so moving the cursor up over them would reach a
        wrong line.
        """
        width = self._console.width
        if width != self._width:
            self._width = width
            drawn = getattr(self._live, "_live_render", None)
            if drawn is not None:
                drawn._shape = None  # noqa: SLF001 - rich has no other way to begin anew

    def _render(self) -> RenderableType:
        self._forget_other_width()
        # Keep a column empty, because some terminals draw characters wider than Unicode says.
        table = Table(box=None, pad_edge=False, show_header=False, width=None)
        for column in ("", "step", "status", "time", "memory", "next"):
            # A row is one line, because the height of a wrapped table is unknown.
            table.add_column(
                column,
                justify="right" if column in {"time", "memory"} else "left",
                no_wrap=True,
                overflow="ellipsis",
            )
        rows = list(self._rows.values())
        shown = len(rows) if self._closed else max(1, min(MAX_ROWS, self._console.height - 3))
        for row in rows[-shown:]:
            table.add_row(*row.cells())
        if len(rows) <= shown:
            return table
        return Group(Text(f"... {len(rows) - shown} steps before these", "dim"), table)
