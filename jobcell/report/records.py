"""What a page shows of a journal: the steps that ended, without their states.

A journal has the true states, with the secrets in them.  So no state of a journal is on a page.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine import Plan, StepRecord
from jobcell.report.model import Attempt, Report, Status, StepRow, make_report

_NOTE = "This page was made from a journal, which has no times and no log. Its states are not shown: they may hold secrets."


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
    rows = {row.id: row for row in report.steps}
    edges = {(edge.source, edge.target): edge for edge in report.edges}
    for number, record in enumerate(records):
        row = rows.get(record.step_id)
        if row is None:
            row = rows[record.step_id] = StepRow(record.step_id)
            report.steps.append(row)
        status: Status = "succeeded" if record.ending == "success" else "failed"
        moment = float(number)
        attempt = Attempt(
            record.step_run_id, record.attempt, moment, status, moment, error=record.error
        )
        row.attempts.append(attempt)
        row.status = status
        for target in record.next:
            edge = edges.get((record.step_id, target))
            if edge is not None:
                edge.taken += 1
    report.notes.append(_NOTE)
    return report
