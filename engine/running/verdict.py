"""The verdict on one run: why the engine ends it, if the engine does."""

from __future__ import annotations

from protocol.report import ErrorReport


class Verdict:
    """The first limit that was exceeded, a cancellation, or an offence against the protocol."""

    def __init__(self) -> None:
        self.report: ErrorReport | None = None
        self.closed = False
        """Whether the child has come to its end: no limit that is exceeded later counts."""

    def set(self, report: ErrorReport) -> bool:
        """Set the verdict, unless there is one; return False if it is closed."""
        if self.closed:
            return False
        if self.report is None:
            self.report = report
        return True
