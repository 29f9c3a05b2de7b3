"""The network of a run: what its relay reports becomes events and totals."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from engine.reporting import Reporter, Usage
from engine.running.session.limits import too_much_traffic
from engine.running.session.moment import Moment
from engine.running.session.order import Order
from engine.running.session.recovery import Beginning
from protocol import events
from protocol import messages as m
from protocol import relay as r
from protocol.message import Message
from protocol.messages import LogEntry
from protocol.report import ErrorReport, make_report
from protocol.words import place_of, refused_connection

_NO_RULE: Final = ("no rule allows it", "no rule allows the name")
"""The reasons of the relay for a refusal that another rule would change."""

_TOLD_BY_CHILD: Final = re.compile(r"connection to \[?([^\s\]]+?)\]?:[0-9PORT]+ was refused")


class Traffic:
    """The connections of a run, over all its children.  For the supervisor's thread."""

    def __init__(self, order: Order, reporter: Reporter) -> None:
        self._mediated = any(request.private_net for request in order.requests)
        """Whether a relay may report about a child of the run."""
        self._connections = self._sent_bytes = self._received_bytes = 0
        self._options = order.options
        self._reporter = reporter
        self._begun = False
        """Whether the run has begun to emit events."""
        self._early: list[r.Ended] = []
        self._told: set[tuple[str, int]] = set()
        """The refused places about which the log has a line."""
        self._names: dict[str, None] = {}
        """Names that were refused during the present step, and about which nobody has said a word."""
        self._named: set[str] = set()
        """Hosts that the child itself has named: it often knows the port, which a name does not show."""

    def take(self, message: r.FromRelay, now: Moment) -> ErrorReport | None:
        """Take a message of the relay; return the report of a limit, or of a network that is gone."""
        self._reporter.time_s = now.wall_s
        if isinstance(message, r.Ended):
            if self._begun:
                self._emit(message)
            else:
                self._early.append(message)
        elif isinstance(message, r.LimitReached):
            moved_bytes = self._moved_bytes + message.sent + message.received
            return too_much_traffic(moved_bytes, self._options)
        elif isinstance(message, r.OpenFailed):
            return make_report(
                "ConfinementError", f"the relay does not serve the run: {message.reason}"
            )
        elif isinstance(message, r.RelayLost):
            self._warn("the relay of the network has died; all connections of the run have ended")
        elif isinstance(message, r.Closed):
            self._count(message)
        return None

    def narrow(self, beginning: Beginning) -> Beginning:
        """Return the walls of the next child with the bytes that are left for it."""
        limit = beginning.request.net_bytes
        if limit is None or not self._moved_bytes:
            return beginning
        left = max(0, limit - self._moved_bytes)
        request = msgspec.structs.replace(beginning.request, net_bytes=left)
        return msgspec.structs.replace(beginning, request=request)

    @property
    def _moved_bytes(self) -> int:
        """The bytes of the children that are gone."""
        return self._sent_bytes + self._received_bytes

    def usage(self, peak_bytes: int) -> Usage:
        """Return the use of the network, and the memory that the caller has measured."""
        return Usage(
            peak_bytes,
            connections=self._connections,
            net_sent_bytes=self._sent_bytes,
            net_received_bytes=self._received_bytes,
        )

    def _begin(self) -> None:
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

        if message.outcome == "refused":
            self._explain(message)

    def _explain(self, message: r.Ended) -> None:
        """Log a refusal for the author of the job, once for each place."""
        place = (message.host, message.port)
        if place in self._told:
            return
        self._told.add(place)
        if message.reason not in _NO_RULE:
            self._warn(f"connection to {place_of(*place)} was refused: {message.reason}")
        elif message.port:
            self._warn(refused_connection(place_of(*place)))
        else:
            self._names[message.host] = None

    def heard(self, message: Message) -> None:
        """Take note of what a child says about its refused connections."""
        if not self._mediated:
            return
        if isinstance(message, m.Ready):
            self._begin()
        elif isinstance(message, m.LogBatch):
            for entry in message.entries:
                self._note(entry.message if entry.source == "runtime" else "")
        elif isinstance(message, m.JobError):
            self._note(message.error.fix or "")
            self.step_ended()
        elif isinstance(message, m.JobComplete):
            self.step_ended()

    def _note(self, text: str) -> None:
        found = _TOLD_BY_CHILD.match(text)
        if found is not None and len(self._named) < r.MAX_ENDED:
            self._named.add(found[1].lower().rstrip("."))

    def step_ended(self) -> None:
        """Log the refused names that the child has not named."""
        names, self._names = self._names, {}
        for name in names:
            if name not in self._named:
                self._warn(refused_connection(place_of(name, None)))

    def _count(self, message: r.Closed) -> None:
        self._connections += message.connections
        self._sent_bytes += message.sent
        self._received_bytes += message.received
        if message.dropped:
            self._warn(f"{message.dropped} connections were not reported: there were too many")

    def _warn(self, text: str) -> None:
        self._reporter.logs.add(LogEntry("warning", "runtime", text))
