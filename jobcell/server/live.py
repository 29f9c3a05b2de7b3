"""The report of a run that goes on: each request reads only the events that came since the last one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import msgspec

from jobcell.report import Report, ReportMaker
from jobcell.server.backend import Backend

KEPT: Final = 20
"""Number of runs whose report stays in memory."""


class _Growing(msgspec.Struct):
    maker: ReportMaker
    seen: int = 0
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)


class LiveReports:
    """Keeps the reports of the runs that were looked at last."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._growing: OrderedDict[str, _Growing] = OrderedDict()

    def report(self, run_id: str, *, states_from: int, lines_from: int) -> Report:
        """Return the report of a run as it is now.

        Args:
            run_id: The id of the run.
            states_from: The number of states that the client has.
            lines_from: The number of log lines that the client has.

        Raises:
            UnknownRun: There is no such run.
            Away: The runs are out of reach.

        """
        with self._lock:
            growing = self._growing.get(run_id)
        if growing is None:
            growing = _Growing(ReportMaker(self._backend.plan(run_id)))
        with growing.lock:
            for event in self._backend.poll(run_id, growing.seen):
                growing.maker.add(event)
                growing.seen = event.seq
            report = growing.maker.report(run_id)
            report = msgspec.structs.replace(
                report, states=report.states[states_from:], lines=report.lines[lines_from:]
            )
            if report.over:
                result = self._backend.result(run_id)
                if result is not None:
                    report.peak_memory_bytes = result.usage.peak_memory_bytes or None
                    report.cpu_s = result.usage.cpu_s or None
                    report.children = result.children
        with self._lock:
            self._growing[run_id] = growing
            self._growing.move_to_end(run_id)
            while len(self._growing) > KEPT:
                self._growing.popitem(last=False)
        return report
