"""For any secrets, the structure of events stays, and no value of a user shows a secret."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reporting.redaction import Redactor
from engine.running.session.claims import Claims
from examples import examples
from protocol import events
from protocol.confinement import ConfinementReport
from protocol.plan import Step, Workflow
from protocol.report import (
    SEVERITY_BY_NAME,
    ErrorReport,
    OperationRef,
    Position,
    StackFrame,
    make_report,
)
from protocol.state import decode_state, encode_state
from protocol.words import NAMED_CONDITIONS

STEPS = ("visits", "orders", "upload", "message", "errors", "severity")
IDS = (*STEPS, "visits-1", "orders-12")
VALUE = "s3cret-Pa55"
MESSAGES = {
    "OOMError": "the kernel ended the run at its memory limit of 500 MB (memory_mb)",
    "CPULimitError": "the run used up its CPU time of 3 s (cpu_s)",
    "OutputLimitError": "the run has emitted 5 events (max_events)",
    "ExitError": "the child ended on its own with exit code 0 before the workflow did",
    "SecurityError": "the run was ended by the kernel because of a forbidden system call",
}
"""Texts of `engine.running.session.ending` and `engine.reporting.reporter`; each must be in their source.
"""

STRUCTS = [*msgspec.inspect.type_info(events.AnyEvent).types]
NAMES = sorted(
    {
        *IDS,
        *SEVERITY_BY_NAME,
        *NAMED_CONDITIONS,
        *(word for text in MESSAGES.values() for word in text.replace("(", " ").replace(")", " ").split()),
        *(struct.tag for struct in STRUCTS),
        *(field.name for struct in STRUCTS for field in struct.fields),
        *ErrorReport.__struct_fields__,
        *Position.__struct_fields__,
        *StackFrame.__struct_fields__,
        *("data", "references", "configuration", "inputs", "runtime", "warning", "exception"),
        *("ValueError", "SIGKILL", "adaptors", "common", "python", "engine", "landlock", "default"),
    }
)  # fmt: skip
# Not "redacted": the mark in place of a secret would show it.
WORDS = st.lists(
    st.sampled_from([name for name in NAMES if len(name) >= 6 and name != "redacted"]), max_size=12
)


@st.composite
def reports(draw: st.DrawFn) -> ErrorReport:
    """An error of the engine, or an error of a user whose texts are full of secrets."""
    name = draw(st.sampled_from(sorted(MESSAGES)))
    step_id = draw(st.sampled_from(IDS))
    if draw(st.booleans()):
        return make_report(name, MESSAGES[name], step_id=step_id, subtype="SIGKILL")
    return make_report(
        draw(st.sampled_from(["JobError", "RuntimeError", "AdaptorError"])),
        f"{draw(st.sampled_from(NAMES))} {VALUE}",
        step_id=step_id,
        subtype="ValueError",
        operation=OperationRef(1, draw(st.sampled_from(STEPS))),
        position=Position(1, 2, 3, 4, VALUE),
        stack=(StackFrame(step_id, "main", 1, VALUE),),
        details={VALUE: [draw(st.sampled_from(NAMES)), VALUE]},
    )


@st.composite
def states(draw: st.DrawFn) -> dict[str, Any]:
    """A state with the keys of the engine, reports of failed steps, and words of users."""
    failed = draw(st.dictionaries(st.sampled_from(IDS), reports(), max_size=3))
    words = st.sampled_from([*NAMES, VALUE])
    return {
        "data": draw(st.dictionaries(words, words, max_size=4)),
        "errors": {step: msgspec.to_builtins(report) for step, report in failed.items()},
        "references": [draw(words), "-" * draw(st.sampled_from([0, 5000]))],
    }


@st.composite
def happenings(draw: st.DrawFn) -> list[events.Event]:
    """An event of each kind."""
    head = {"seq": 1, "run_id": draw(st.sampled_from(IDS)), "time": 1.0}
    step = {
        **head,
        "step_id": draw(st.sampled_from(STEPS)),
        "step_run_id": draw(st.sampled_from(IDS)),
    }
    confinement = ConfinementReport(level="default", language=True, landlock_abi=4)
    versions = events.Versions("python", "engine", {"common": ["1.0.0"]})
    state = draw(states())
    leaves = draw(st.dictionaries(st.sampled_from(IDS), states(), min_size=2, max_size=3))
    report = draw(reports())
    end = {"next": draw(st.lists(st.sampled_from(STEPS)).map(tuple)), "duration_ms": 1}
    edge = {
        "from_step_id": draw(st.sampled_from(STEPS)),
        "to_step_id": draw(st.sampled_from(STEPS)),
    }
    condition = draw(st.sampled_from([True, False, *sorted(NAMED_CONDITIONS)]))
    return [
        events.WorkflowStart(**head, versions=versions, confinement=confinement),
        events.InitStart(**step),
        events.InitComplete(**step, duration_ms=1),
        events.StateLoad(**step, id=draw(st.sampled_from(NAMES)), duration_ms=1),
        events.CredentialLoad(**step, id=draw(st.sampled_from(NAMES)), duration_ms=1),
        events.JobStart(**step),
        events.JobComplete(**step, **end, state=packed(state), mem=events.Memory(1, 2, 3)),
        events.JobError(**step, **end, state=packed(state), error=report),
        events.EdgeResolved(**head, **edge, condition=condition, taken=True),
        events.WorkflowComplete(**head, state=packed(leaves), duration_ms=1),
        events.WorkflowError(**head, error=report, duration_ms=1),
    ]  # fmt: skip


def packed(state: Any) -> msgspec.Raw:
    return msgspec.Raw(encode_state(state))


def unpacked(event: events.Event) -> dict[str, Any]:
    """Return an event as plain data, with a decoded state and tuples as lists."""
    if hasattr(event, "state"):
        event = msgspec.structs.replace(event, state=decode_state(event.state))
    return msgspec.json.decode(msgspec.json.encode(event))


USERS = {"data", "references", "details", "source"}
"""All values under these keys belong to a user."""


def structure(value: Any, report: dict[str, Any] | None = None) -> Any:
    """Return the engine's part of an event, with the number of entries in the user's parts."""
    if not isinstance(value, dict):
        return [structure(item) for item in value] if isinstance(value, list) else value
    shown: dict[str, Any] = {}
    theirs = value.get("name") in {"JobError", "RuntimeError", "AdaptorError"}
    for key, item in value.items():
        if key in USERS:
            shown[key] = len(item) if isinstance(item, dict | list) else None
        elif not (key == "message" and theirs):
            shown[key] = structure(item)
    return shown


def values_of_users(value: Any, *, under: bool = False) -> list[str]:
    """Return every text that belongs to a user."""
    if isinstance(value, str):
        return [value] if under else []
    if isinstance(value, list):
        return [text for item in value for text in values_of_users(item, under=under)]
    if not isinstance(value, dict):
        return []
    theirs = value.get("name") in {"JobError", "RuntimeError", "AdaptorError"}
    texts = list(value) if under else []
    for key, item in value.items():
        below = under or key in USERS or (key == "message" and theirs)
        texts += values_of_users(item, under=below)
    return texts


@given(happenings(), WORDS)
@examples(60)
def test_structure_stays_and_values_go(happened: list[events.Event], words: list[str]) -> None:
    """Secrets may be ids, names of errors or keys, but the engine's words do not change."""
    claims = Claims(Workflow(steps=tuple(Step(id=step) for step in STEPS)))
    redactor = Redactor(is_id=claims.is_id)
    secrets = [*words, VALUE]
    redactor.learn(secrets)
    for event in happened:
        before, after = unpacked(event), unpacked(redactor.struct(event))
        assert structure(after) == structure(before)
        shown = values_of_users(after)
        assert not [
            s for s in secrets if any(s in text.replace("[redacted]", "") for text in shown)
        ]


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_messages_of_this_test_are_those_of_the_engine(name: str) -> None:
    """With a text that the engine does not write, the property would not test anything."""
    redactor = Redactor()
    redactor.learn(MESSAGES[name].split())
    assert redactor.struct(make_report(name, MESSAGES[name])).message == MESSAGES[name]
    assert "[redacted]" in redactor.text(MESSAGES[name])
