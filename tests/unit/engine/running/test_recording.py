"""The calls of a journal, which may answer at once, later, or in an unexpected way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest

from engine.api import StepRecord
from engine.running.recording import keep
from protocol.report import ErrorReport

Done = Callable[[BaseException | None], None]
RECORD = StepRecord("a", "a", 1, "success", b"\x80")


class Later:
    """A journal that answers later."""

    def __init__(self, act: Callable[[Done], None]) -> None:
        self._act = act
        self.threads: list[threading.Thread] = []

    def record_later(self, record: StepRecord, done: Done) -> None:
        """Take the record."""
        assert record is RECORD
        self.threads.append(threading.current_thread())
        self._act(done)

    def record(self, _record: StepRecord) -> None:
        """Keep a record."""
        raise AssertionError("the engine prefers record_later")

    def records(self) -> Iterable[StepRecord]:
        """Return no record."""
        return ()


def answers_of(act: Callable[[Done], None]) -> list[ErrorReport | None]:
    """Return the answers that the engine gets."""
    journal = Later(act)
    answers: list[ErrorReport | None] = []
    keep(journal, RECORD, answers.append)
    assert journal.threads == [threading.current_thread()]
    return answers


def test_a_journal_may_answer_later() -> None:
    """Then it is called in the supervisor's thread, and no other thread is made."""
    waiting: list[Done] = []
    assert answers_of(waiting.append) == []
    answers: list[ErrorReport | None] = []
    keep(Later(lambda done: done(None)), RECORD, answers.append)
    assert answers == [None]


def test_an_error_of_a_journal_becomes_a_report() -> None:
    """The run ends with it."""
    [report] = answers_of(lambda done: done(OSError("no space")))
    assert report is not None
    assert (report.name, report.step_id) == ("JournalError", "a")
    assert "OSError: no space" in report.message


@pytest.mark.parametrize("answered", [False, True])
def test_a_journal_that_raises_has_answered(answered: bool) -> None:
    """Only the first answer counts."""

    def act(done: Done) -> None:
        if answered:
            done(None)
        raise ValueError("a bug")

    [report] = answers_of(act)
    assert (report is None) == answered


def test_a_second_answer_is_not_one_to_the_next_record() -> None:
    """The engine would let a step start whose predecessor is not safe."""

    def act(done: Done) -> None:
        done(None)
        done(None)

    assert answers_of(act) == [None]
