"""Reads the journal of a run before the run starts, and checks it against the plan."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.api import Attempts, Journal, JournalError, StepRecord
from protocol.plan import Plan, Step
from protocol.report import ErrorReport
from protocol.state import StateNotCarriedError, decode_state

_QUOTED: Final = 60
_MAX_ATTEMPTS: Final = 2**31


class Resumption(msgspec.Struct, frozen=True):
    """The records of a run, in the order in which its steps ended; a new run has none."""

    records: tuple[StepRecord, ...] = ()
    run_id: str | None = None
    versions: dict[str, str] = {}
    """The version of each adaptor with which the run began, by name."""
    begun: dict[str, Attempts] = {}
    """The attempts of executions without a record, by the id of the execution."""
    keeps_events: bool = False
    """Whether the journal wants the end event of a step to be emitted before its record is kept."""


def read_journal(journal: Journal, plan: Plan, plan_hash: str) -> Resumption:
    """Return what a journal has recorded of the run of a plan.

    Args:
        journal: The journal of the caller, whose methods may raise anything.
        plan: The checked plan.
        plan_hash: The hash of this plan, see `fingerprint`.

    Raises:
        JournalError: The journal cannot be read, belongs to another plan, or its records contradict
            the plan.

    """
    records = _read(journal)
    keeps_events = _keeps_events(journal)
    steps = {step.id: step for step in plan.workflow.steps if step.expression is not None}
    if records and _is_of_another(records[0], plan_hash):
        raise _another_plan(records[0].extra.get("plan"), plan_hash)
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        problem = _find_problem(record, steps)
        if problem is None and record.step_run_id in seen:
            problem = "its step_run_id is in an earlier record, too"
        if problem is None and record.extra != records[0].extra:
            problem = "its extra is not that of the first record"
        if problem is not None:
            raise JournalError(f"record {number} of the journal cannot be used: {problem}")
        seen.add(record.step_run_id)
    begun = _read_attempts(journal, seen)
    if not records:
        return Resumption(begun=begun, keeps_events=keeps_events)
    extra = records[0].extra
    if extra.get("plan") != plan_hash:
        raise _another_plan(extra.get("plan"), plan_hash)
    run_id, versions = extra.get("run_id"), extra.get("adaptors", {})
    if not isinstance(run_id, str) or not _is_text_map(versions):
        raise JournalError("record 1 of the journal cannot be used: its extra is not the engine's")
    return Resumption(records, run_id, versions, begun, keeps_events)


def describe_run(
    plan_hash: str, run_id: str, versions: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return the `StepRecord.extra` of all records of a run."""
    return {"plan": plan_hash, "run_id": run_id, "adaptors": versions or {}}


def _is_of_another(record: object, plan_hash: str) -> bool:
    """Whether the first record has the hash of another plan; then no record need fit this plan."""
    if not isinstance(record, StepRecord) or not isinstance(record.extra, dict):
        return False
    return isinstance(record.extra.get("plan"), str) and record.extra["plan"] != plan_hash


def _another_plan(found: object, plan_hash: str) -> JournalError:
    return JournalError(
        "the journal is of another plan, or of another initial state:"
        f" it has the plan hash {_quote(found)}, not {plan_hash[:_QUOTED]!r}"
    )


def _read(journal: Journal) -> tuple[StepRecord, ...]:
    try:
        return tuple(journal.records())
    except JournalError:
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _keeps_events(journal: Journal) -> bool:
    try:
        return getattr(journal, "keeps_events", False) is True
    except Exception as error:
        raise _unreadable(error) from error


def _read_attempts(journal: Journal, recorded: set[str]) -> dict[str, Attempts]:
    """Return the attempts of the executions that are not recorded."""
    try:
        ask = getattr(journal, "attempts", None)
        found = {} if ask is None else dict(ask())
    except JournalError:
        raise
    except Exception as error:
        raise _unreadable(error) from error
    for step_run_id, attempts in found.items():
        if not isinstance(step_run_id, str) or not _are_attempts(attempts):
            raise JournalError(
                "the attempts of the journal cannot be used: they must be Attempts(begun, failed) with"
                f" 0 <= failed <= begun < 2**31, not {_quote(attempts)} for {_quote(step_run_id)}"
            )
    return {name: attempts for name, attempts in found.items() if name not in recorded}


def _are_attempts(attempts: object) -> bool:
    if not isinstance(attempts, Attempts):
        return False
    begun, failed = attempts.begun, attempts.failed
    return type(begun) is type(failed) is int and 0 <= failed <= begun < _MAX_ATTEMPTS


def _unreadable(error: Exception) -> JournalError:
    return JournalError(f"the journal could not be read: {type(error).__name__}: {error}")


def _find_problem(record: object, steps: dict[str, Step]) -> str | None:
    """Return the error of one record, or None."""
    if not isinstance(record, StepRecord):
        return f"it is {_quote(type(record).__name__)}, not a StepRecord"
    if not isinstance(record.step_id, str) or record.step_id not in steps:
        return f"the plan has no job {_quote(record.step_id)}"
    if not isinstance(record.step_run_id, str) or not record.step_run_id.startswith(record.step_id):
        return f"{_quote(record.step_run_id)} is not an execution of step {_quote(record.step_id)}"
    if type(record.attempt) is not int or record.attempt < 1:
        return f"attempt must be an int of at least 1, not {_quote(record.attempt)}"
    if record.ending not in ("success", "fail"):
        return f"ending must be 'success' or 'fail', not {_quote(record.ending)}"
    if not isinstance(record.error, ErrorReport | None):
        return f"error must be an ErrorReport or None, not {_quote(record.error)}"
    if (record.ending == "fail") is (record.error is None):
        return "a step that failed has an error, and no other step has"
    if not isinstance(record.next, tuple) or not set(record.next) <= set(
        steps[record.step_id].next
    ):
        return (
            f"next is {_quote(record.next)}; the plan has edges to {[*steps[record.step_id].next]}"
        )
    if not isinstance(record.extra, dict):
        return f"extra must be a dict, not {_quote(record.extra)}"
    return _find_problem_of_state(record.state)


def _find_problem_of_state(state: object) -> str | None:
    if not isinstance(state, bytes):
        return f"state must be bytes, not {type(state).__name__}"
    try:
        decode_state(state)
    except (ValueError, StateNotCarriedError) as error:
        return f"its state is not one of the engine: {error}"
    return None


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(version, str) for key, version in value.items()
    )


def _quote(value: object) -> str:
    return f"{str(value)[:_QUOTED]!r}"
