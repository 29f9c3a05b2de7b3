"""The records of a journal are checked against the plan before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engine.api.errors import JournalError
from engine.api.journal import Attempts, StepRecord
from engine.journal.resume import Resumption, describe_run, read_journal
from engine.plan.validation import load_plan
from protocol.report import ErrorReport

PLAN = load_plan(
    {
        "id": "p",
        "workflow": {
            "steps": [
                {"id": "t", "next": "a"},
                {"id": "a", "expression": "pass", "next": {"b": True, "c": True}},
                {"id": "b", "expression": "pass"},
                {"id": "c", "expression": "pass"},
            ]
        },
    }
)
EXTRA = describe_run("00ff", "run-7", {"http": "1.0.0"})
ERROR = ErrorReport(name="AdaptorError", message="no", severity="fail")
A = StepRecord("a", "a", 1, "success", b"\x80", ("b", "c"), None, EXTRA)
B = StepRecord("b", "b", 2, "fail", b"\x80", (), ERROR, EXTRA)


class ListJournal:
    """A journal in memory; an exception in the list is raised at its place."""

    def __init__(self, *records: Any) -> None:
        self._records = records

    def record(self, record: StepRecord) -> None:
        """Must not be called here."""
        raise AssertionError(record)

    def records(self) -> Iterator[Any]:
        """Yield the records."""
        for record in self._records:
            if isinstance(record, Exception):
                raise record
            yield record


def test_a_journal_without_records_is_of_a_run_that_begins() -> None:
    """Nothing is replayed, and the journal gives no id for the run."""
    assert read_journal(ListJournal(), PLAN, "00ff") == Resumption()


def test_records_come_with_the_id_and_the_versions_of_the_run() -> None:
    """A resumed run keeps both."""
    assert read_journal(ListJournal(A, B), PLAN, "00ff") == Resumption(
        (A, B), "run-7", {"http": "1.0.0"}
    )


def test_a_journal_of_another_plan_is_an_error() -> None:
    """The text shows both hashes."""
    with pytest.raises(JournalError, match=r"of another plan.*'00ff', not 'abcd'"):
        read_journal(ListJournal(A), PLAN, "abcd")


def change(**fields: Any) -> StepRecord:
    """Return record `A` with other values."""
    return msgspec.structs.replace(A, **fields)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"step_id": "a"}, "it is 'dict', not a StepRecord"),
        (change(step_id="z"), "the plan has no job 'z'"),
        (change(step_id="t", step_run_id="t", next=()), "the plan has no job 't'"),
        (change(step_id=7), "the plan has no job '7'"),
        (change(step_run_id="b"), "'b' is not an execution of step 'a'"),
        (change(attempt=0), "attempt must be an int of at least 1, not '0'"),
        (change(attempt=True), "attempt must be an int of at least 1, not 'True'"),
        (change(ending="done"), "ending must be 'success' or 'fail', not 'done'"),
        (change(ending="fail"), "a step that failed has an error"),
        (change(error=ERROR), "a step that failed has an error"),
        (change(error="no"), "error must be an ErrorReport or None, not 'no'"),
        (change(next=["b"]), r"next is \"\['b'\]\"; the plan has edges to \['b', 'c'\]"),
        (change(next=("a",)), r"the plan has edges to \['b', 'c'\]"),
        (change(state="{}"), "state must be bytes, not str"),
        (change(state=b"\xc1"), "its state is not one of the engine"),
        (change(state=b""), "its state is not one of the engine"),
        (change(extra=None), "extra must be a dict, not 'None'"),
    ],
)
def test_a_record_that_contradicts_the_plan_is_an_error(record: Any, reason: str) -> None:
    """The text names the record and its mistake."""
    with pytest.raises(JournalError, match=reason) as caught:
        read_journal(ListJournal(record), PLAN, "00ff")
    assert "record 1 of the journal" in str(caught.value)


def test_two_records_of_one_execution_are_an_error() -> None:
    """Each execution of a step ends once."""
    with pytest.raises(JournalError, match=r"record 2 .* in an earlier record"):
        read_journal(ListJournal(A, A), PLAN, "00ff")


def test_records_of_two_runs_are_an_error() -> None:
    """All records of a journal belong to one run."""
    other = msgspec.structs.replace(B, extra=describe_run("00ff", "run-8", {}))
    with pytest.raises(JournalError, match=r"record 2 .* not that of the first record"):
        read_journal(ListJournal(A, other), PLAN, "00ff")


@pytest.mark.parametrize("extra", [{}, {"plan": "00ff"}, {"plan": "00ff", "run_id": 7}])
def test_an_extra_that_is_not_of_the_engine_is_an_error(extra: dict[str, Any]) -> None:
    """The extra has the hash of the plan and the id of the run."""
    with pytest.raises(JournalError, match=r"another plan|not the engine's"):
        read_journal(ListJournal(change(extra=extra)), PLAN, "00ff")


def test_an_exception_of_the_journal_is_an_error_with_its_text() -> None:
    """A store may fail in any way."""
    with pytest.raises(JournalError, match="could not be read: OSError: disk gone"):
        read_journal(ListJournal(A, OSError("disk gone")), PLAN, "00ff")
    with pytest.raises(JournalError, match=r"^damaged$"):
        read_journal(ListJournal(JournalError("damaged")), PLAN, "00ff")


class StoreJournal(ListJournal):
    """A journal that keeps events too, and knows the attempts."""

    keeps_events = True

    def __init__(self, attempts: Any, *records: Any) -> None:
        super().__init__(*records)
        self._attempts = attempts

    def attempts(self) -> Any:
        """Return or raise what the test has given."""
        if isinstance(self._attempts, Exception):
            raise self._attempts
        return self._attempts


def test_attempts_of_executions_without_a_record_are_kept() -> None:
    """Those of a recorded execution do not matter any more."""
    made = {"a": Attempts(2, 1), "b": Attempts(5)}
    read = read_journal(StoreJournal(made, A), PLAN, "00ff")
    assert (read.begun, read.keeps_events) == ({"b": Attempts(5)}, True)
    assert read_journal(StoreJournal(made), PLAN, "00ff").begun == made


@pytest.mark.parametrize(
    "attempts",
    [
        {"a": 2},
        {"a": Attempts(-1)},
        {"a": Attempts(1, 2)},
        {"a": Attempts(True)},
        {"a": Attempts(2.0)},
        {"a": Attempts(2**31)},
        {7: Attempts(1)},
    ],
)
def test_attempts_that_are_not_numbers_are_an_error(attempts: Any) -> None:
    """The text quotes the value and its execution."""
    with pytest.raises(JournalError, match=r"must be Attempts\(begun, failed\).* for '[a7]'"):
        read_journal(StoreJournal(attempts), PLAN, "00ff")


@pytest.mark.parametrize("attempts", [7, OSError("disk gone")])
def test_a_journal_whose_attempts_cannot_be_read_is_an_error(attempts: Any) -> None:
    """A store may fail in any way."""
    with pytest.raises(JournalError, match=r"could not be read: (TypeError|OSError)"):
        read_journal(StoreJournal(attempts), PLAN, "00ff")
