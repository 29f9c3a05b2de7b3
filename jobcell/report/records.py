"""What a page shows of a journal: the steps that ended, without their states.

A journal has the true states and errors, with the secrets in them.  So no state of a journal is on a page, and
no text of an error in whose record the engine has found a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from engine import ErrorReport, Plan, StepRecord
from jobcell.report.model import Attempt, EdgeRow, Report, Status, StepRow, make_report

_NOTE: Final = (
    "This page was made from a journal, which has no times and no log, and does not say whether its run is over."
    " Its states are not shown: they may hold secrets."
)
_WITHHELD: Final = "(The message is not shown: this step or its error has a secret in it.)"


def make_report_of_records(
    records: Iterable[StepRecord], *, run_id: str | None = None, plan: Plan | None = None
) -> Report:
    """Return what a page shows of the records of a run.

    Args:
        records: The records, in their order.
        run_id: The id of the run.
        plan: The plan, for steps without a record, names and texts of jobs.

    """
    report = make_report((), run_id=run_id, plan=plan)
    report.timed = False
    rows = {row.id: row for row in report.steps}
    edges = {(edge.source, edge.target): edge for edge in report.edges}
    for number, record in enumerate(records):
        row = rows.get(record.step_id)
        if row is None:
            row = rows[record.step_id] = StepRow(record.step_id)
            report.steps.append(row)
        status: Status = "succeeded" if record.ending == "success" else "failed"
        moment = float(number)
        error = _shown(record)
        attempt = Attempt(record.step_run_id, record.attempt, moment, status, moment, error=error)
        row.attempts.append(attempt)
        row.status = status
        for target in record.next:
            edge = edges.get((record.step_id, target))
            if edge is None:
                edge = edges[record.step_id, target] = EdgeRow(record.step_id, target)
                report.edges.append(edge)
            edge.taken += 1
    _pass_triggers(report)
    report.notes.append(_NOTE)
    return report


def _shown(record: StepRecord) -> ErrorReport | None:
    """Return the error of a record without the texts that may hold a secret."""
    error = record.error
    if error is None or not record.holds_secret:
        return error
    return msgspec.structs.replace(error, message=_WITHHELD, details=None, fix=None)


def _pass_triggers(report: Report) -> None:
    """Mark the triggers that led to a step; a trigger has no record of its own."""
    rows = {row.id: row for row in report.steps}
    for edge in reversed(report.edges):
        source, target = rows.get(edge.source), rows.get(edge.target)
        if source is None or target is None or source.attempts or source.expression is not None:
            continue
        if report.has_plan and target.status != "waiting":
            source.status = "succeeded"
            edge.taken = 1
