"""The network of a run: what its relay reports becomes events and totals."""

from __future__ import annotations

from typing import Final

from engine.api import RunOptions
from engine.reporting import Reporter
from engine.running.session.limits import too_much_traffic
from engine.running.session.moment import Moment
from protocol import events
from protocol import relay as r
from protocol.messages import LogEntry
from protocol.report import ErrorReport, make_report

_MAX_PLACES: Final = 1_000
"""Most refused places that are remembered; it is also the most that a relay reports."""


class Traffic:
    """The connections of a run, over all its children.  For the supervisor's thread."""

    def __init__(self, options: RunOptions, reporter: Reporter) -> None:
        self.connections = 0
        """Connections that were open."""
        self.sent_bytes = 0
        self.received_bytes = 0
        self._options = options
        self._reporter = reporter
        self._begun = False
        """Whether the run has begun to emit events."""
        self._early: list[r.Ended] = []
        self._refused: set[tuple[str, int]] = set()

    def take(self, message: r.FromRelay, now: Moment) -> ErrorReport | None:
        """Take a message of the relay; return the report of a limit, or of a network that is gone."""
        self._reporter.time_s = now.wall_s
        if isinstance(message, r.Ended):
            if self._begun:
                self._emit(message)
            else:
                self._early.append(message)
        elif isinstance(message, r.LimitReached):
            return too_much_traffic(message.sent + message.received, self._options)
        elif isinstance(message, r.OpenFailed):
            return make_report(
                "ConfinementError", f"the relay does not serve the run: {message.reason}"
            )
        elif isinstance(message, r.RelayLost):
            self._warn("the relay of the network has died; all connections of the run have ended")
        elif isinstance(message, r.Closed):
            self._count(message)
        return None

    def begin(self) -> None:
        """Take note that the run has emitted its first event."""
        self._begun = True
        early, self._early = self._early, []
        for message in early:
            self._emit(message)

    def _emit(self, message: r.Ended) -> None:
        self._reporter.emit(
            events.NetConnect,
            host=message.host,
            port=message.port,
            outcome=message.outcome,
            reason=message.reason,
            bytes_sent=message.bytes_sent,
            bytes_received=message.bytes_received,
            duration_ms=round(message.duration_ms),
        )

    def _count(self, message: r.Closed) -> None:
        self.connections += message.connections
        self.sent_bytes += message.sent
        self.received_bytes += message.received
        if message.dropped:
            self._warn(f"{message.dropped} connections were not reported: there were too many")

    def _warn(self, text: str) -> None:
        self._reporter.logs.add(LogEntry("warning", "runtime", text))
