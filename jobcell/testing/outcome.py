"""The outcome of a run in a test: its final state, its events, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from engine import AnyEvent, ErrorReport, JobError, JobStart, Log, RunResult, WorkflowError
from jobcell.output.wording import printable, tell_error, tell_result
from jobcell.testing.fakes import MARK, Call

_LAST_LINES: Final = 20
"""Number of log lines in the message of a failure."""


class FinalState(dict[str, Any]):
    """The final state of a run, and what the run did on its way.

    A plan with several last steps has a map of step id to state, as in `jobcell.run`.

    Attributes:
        result: How the run ended (`jobcell.RunResult`).
        events: All events of the run.
        calls: The calls of the verbs of fake adaptors, in their order.

    """

    def __init__(
        self, result: RunResult, events: Sequence[AnyEvent], calls: Sequence[Call]
    ) -> None:
        super().__init__(result.state if isinstance(result.state, dict) else {})
        self.result = result
        self.events: tuple[AnyEvent, ...] = tuple(e for e in events if not _is_call(e))
        self.calls: list[Call] = list(calls)

    @property
    def logs(self) -> list[str]:
        """The log lines of the jobs and their adaptors, without those of the engine."""
        return [e.message for e in self.events if isinstance(e, Log) and e.source != "runtime"]

    @property
    def warnings(self) -> list[str]:
        """The log lines of level ``warning`` or ``error``, those of the engine included."""
        levels = {"warning", "error"}
        return [e.message for e in self.events if isinstance(e, Log) and e.level in levels]

    @property
    def steps(self) -> list[str]:
        """The ids of the steps that ran, in their order; each attempt is one."""
        return [e.step_id for e in self.events if isinstance(e, JobStart)]

    @property
    def error(self) -> ErrorReport | None:
        """The report of the first error that failed a step or ended the run."""
        for event in self.events:
            if isinstance(event, WorkflowError):
                return event.error
            if isinstance(event, JobError) and event.retry_in_ms is None:
                return event.error
        return self.result.error


class JobFailedError(AssertionError):
    """A step of a run in a test failed, or the run was ended.

    Attributes:
        state: The final state, with the events of the run.
        error: The report of the first error.

    """

    def __init__(self, state: FinalState) -> None:
        assert state.error is not None
        self.state: FinalState = state
        self.error: ErrorReport = state.error
        lines = list(tell_error(self.error))
        lines.append(f"the run ended with {tell_result(state.result)}")
        if state.logs:
            lines.append("log of the run:")
            lines += [f"  {printable(line)}" for line in state.logs[-_LAST_LINES:]]
        super().__init__("\n".join(lines))


def _is_call(event: AnyEvent) -> bool:
    return isinstance(event, Log) and event.message.startswith(MARK)
