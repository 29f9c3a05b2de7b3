"""Calls a journal: it is the manager's code, so each call has a thread of its own.

A journal may block or raise.  While it blocks, other runs go on, and a run that is cancelled ends without
waiting for it.  A journal with `record_later` does not block, so it needs no thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Final

from engine.api import Journal, StepRecord
from protocol.report import ErrorReport, make_report

_MAX_REASON: Final = 500


def keep(journal: Journal, record: StepRecord, done: Callable[[ErrorReport | None], None]) -> None:
    """Have a record kept.

    Args:
        journal: The journal of the run.
        record: The end of a step.
        done: Called once, in some thread, with None or with the report of a failure.

    """
    later = getattr(journal, "record_later", None)
    if later is not None:
        _keep_later(later, record, done)
        return

    def call() -> None:
        report = None
        try:
            journal.record(record)
        # The manager's code may raise anything, and the run must hear of it.
        except BaseException as error:  # noqa: BLE001
            report = journal_failed(record.step_id, error)
        done(report)

    thread = threading.Thread(target=call, name="jobcell-journal", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the manager has used up its threads
        done(journal_failed(record.step_id, error))


def _keep_later(
    later: Callable[[StepRecord, Callable[[BaseException | None], None]], None],
    record: StepRecord,
    done: Callable[[ErrorReport | None], None],
) -> None:
    answers = count()

    def answered(error: BaseException | None = None) -> None:
        if next(answers) == 0:  # a second answer would be one to a later record
            done(None if error is None else journal_failed(record.step_id, error))

    try:
        later(record, answered)
    except BaseException as error:  # noqa: BLE001 - as above
        answered(error)


def journal_failed(step_id: str, error: BaseException) -> ErrorReport:
    """Return the report of a journal that has not kept a record."""
    try:
        reason = str(error)[:_MAX_REASON]
    except Exception:  # noqa: BLE001 - an exception of the manager's own making
        reason = "an exception without a text"
    reason = reason.encode(errors="backslashreplace").decode()
    return make_report(
        "JournalError",
        f"the end of step {step_id!r} was not recorded: {type(error).__name__}: {reason}",
        step_id=step_id,
        option="journal",
    )
