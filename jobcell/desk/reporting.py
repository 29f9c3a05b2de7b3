"""`jobcell report`: write a page about a run."""

from __future__ import annotations

import sys
from pathlib import Path

from engine import Plan
from engine.journal import MAGIC
from jobcell.input.errors import BadInputError
from jobcell.input.plan_file import load_plan_file
from jobcell.output.exit_codes import SUCCESS
from jobcell.report import (
    Report,
    make_page,
    make_report,
    make_report_of_records,
    read_events,
)
from jobcell.reuse.journals import described_plan, open_journal, read_description, read_key
from jobcell.stored.opening import PATIENCE_S, open_store, with_store_errors


@with_store_errors
def run(source: str, output: Path, plan: Path | None, url: str | None, key_name: str | None) -> int:
    """Write the page of a run.

    Args:
        source: A file of events, a journal, or the id of a run in a store.
        output: The file of the page; ``-`` is standard output.
        plan: The file of the plan, if the source does not have it.
        url: The store; None: the default one.
        key_name: The environment variable with the key of the journal.

    Returns:
        0.

    Raises:
        BadInputError: The source or the plan cannot be read, or the page cannot be written.

    """
    known = None if plan is None else load_plan_file(plan, warn=lambda _: None)
    path = Path(source)
    if path.is_file():
        report = _of_file(path, known, key_name)
    elif "/" in source or path.suffix:
        raise BadInputError([f"{source}: there is no such file"])
    else:
        report = _of_store(source, known, url)
    _write(output, make_page(report))
    return SUCCESS


def _of_file(path: Path, plan: Plan | None, key_name: str | None) -> Report:
    with path.open("rb") as file:
        is_journal = file.read(len(MAGIC)) == MAGIC
    if is_journal:
        return _of_journal(path, plan, key_name)
    events, counted = read_events(path)
    if counted is None:
        return make_report(events, plan=plan)
    return make_report(events, plan=plan, usage=counted.usage, children=counted.children)


def _of_journal(path: Path, plan: Plan | None, key_name: str | None) -> Report:
    with open_journal(path, read_key(key_name), read_only=True) as journal:
        about = read_description(journal, path)
        if plan is None and about is not None:
            try:
                plan = described_plan(about, path)[0]
            except BadInputError:
                plan = None  # its files have gone; the records are still there
        return make_report_of_records(
            journal.records(), run_id=None if plan is None else plan.id, plan=plan
        )


def _of_store(run_id: str, plan: Plan | None, url: str | None) -> Report:
    with open_store(url) as store:
        run = store.run(run_id)
        over = run.done
        events = run.poll(after=0)
        result = run.result(PATIENCE_S) if over else None
        return make_report(
            events,
            run_id=run_id,
            plan=plan or store.plan(run_id),
            usage=None if result is None else result.usage,
            children=None if result is None else result.children,
        )


def _write(output: Path, page: str) -> None:
    if str(output) == "-":
        sys.stdout.write(page)
        return
    try:
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInputError([f"{output}: cannot be written: {error.strerror}"]) from None
