"""The verdict on a run: the reason if the engine ends it."""

from __future__ import annotations

from engine.running.session.effects import KILL, NO_EFFECTS, Effects
from protocol.report import ErrorReport, make_report


class Verdict:
    """The first limit that was exceeded, a cancellation, or an offence against the protocol."""

    def __init__(self) -> None:
        self.report: ErrorReport | None = None
        self.closed = False
        """Whether the child has reached its end; limits that are exceeded later do not count."""

    def set(self, report: ErrorReport) -> bool:
        """Set the verdict if it is not set; return False if it is closed."""
        if self.closed:
            return False
        if self.report is None:
            self.report = report
        return True

    def overrule(self, report: ErrorReport | None) -> Effects:
        """Set the verdict even if the child has reached its end; None changes nothing.

        The relay reports a limit before the job can notice it, but by another way than the child.
        """
        if report is None:
            return NO_EFFECTS
        if self.report is None:
            self.report = report
        return KILL


def internal_error(error: Exception) -> ErrorReport:
    """Return the report of a bug of ours: an error of the run, never a success."""
    return make_report("ProtocolError", f"internal error of the engine: {type(error).__name__}")
