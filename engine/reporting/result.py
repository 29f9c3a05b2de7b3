"""The result of a run, for the caller."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from engine.api import EngineError
from engine.reporting.decoded import DecodedStates
from engine.reporting.eventlog import with_details
from protocol.confinement import ConfinementReport
from protocol.errors import TooManyItemsError
from protocol.events import Versions
from protocol.report import ErrorReport, make_report, too_many_items

Reason = Literal["success", "fail", "crash", "kill", "exception", "cancelled"]


class Ending(msgspec.Struct, frozen=True):
    """The reason of an ending, as in a result, and its report if the run did not succeed."""

    reason: Reason
    error: ErrorReport | None = None


def reason_of(report: ErrorReport) -> Reason:
    """Return the reason for a run that ended with *report*."""
    return "cancelled" if report.name == "Cancelled" else report.severity


class Usage(msgspec.Struct, frozen=True):
    """Memory and processor time that a run has used, as the kernel counts them, and its network."""

    peak_memory_bytes: int = 0
    cpu_s: float = 0.0
    connections: int = 0
    """Connections that were open; 0 if the network of the run is not mediated."""
    net_sent_bytes: int = 0
    net_received_bytes: int = 0

    def plus(self, peak_bytes: int, cpu_s: float) -> Usage:
        """Return the usage together with that of a child that came later."""
        peak_bytes = max(self.peak_memory_bytes, peak_bytes)
        return msgspec.structs.replace(self, peak_memory_bytes=peak_bytes, cpu_s=self.cpu_s + cpu_s)


class RunResult(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """How a run ended.

    ``state`` is the final state, or None if the workflow was not walked to its end.  Events with
    the same state share this object with the result: copy it before you change it.
    """

    state: Any
    reason: Reason
    error: ErrorReport | None
    duration_ms: int
    usage: Usage
    confinement: ConfinementReport
    versions: Versions
    children: int = 1
    """The number of children that the run took."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A result whose state is still encoded, as the child sent it."""

    ending: Ending
    state: msgspec.Raw | None
    duration_ms: int
    usage: Usage
    confinement: ConfinementReport
    versions: Versions
    children: int = 1

    def with_usage(self, counted: Usage) -> Outcome:
        """Return the outcome with the usage that the kernel counted until the child was reaped."""
        usage = self.usage.plus(counted.peak_memory_bytes, counted.cpu_s)
        return msgspec.structs.replace(self, usage=usage)

    def decode(self, decoded: DecodedStates | None = None) -> RunResult:
        """Return the result, which shares its state with events that have the same state."""
        decoded = decoded or DecodedStates()
        result = RunResult(
            state=None,
            reason=self.ending.reason,
            error=with_details(self.ending.error),
            duration_ms=self.duration_ms,
            usage=self.usage,
            confinement=self.confinement,
            versions=self.versions,
            children=self.children,
        )
        if self.state is None:
            return result
        try:
            return decoded.into(result, self.state)
        except TooManyItemsError as error:
            report = too_many_items("the final state", error.items, decoded.max_items)
        except ValueError:
            report = make_report("ProtocolError", "the child sent a final state that is not valid")
        return msgspec.structs.replace(result, error=report, reason=reason_of(report))


class RunError(EngineError):
    """A run ended before its workflow did.

    Attributes:
        run_id: The id of the run.
        result: The result of the run; ``result.error`` is the report.
        error: The report itself.
        reason: ``crash``, ``kill``, ``exception`` or ``cancelled``.
        severity, step_id: As in the report.

    """

    def __init__(self, run_id: str, result: RunResult) -> None:
        assert result.error is not None
        self.run_id = run_id
        self.result = result
        self.error = result.error
        self.reason = result.reason
        self.severity = result.error.severity
        self.step_id = result.error.step_id
        step = f" in step {self.step_id!r}" if self.step_id else ""
        super().__init__(f"{self.error.name}{step}: {self.error.message}")
