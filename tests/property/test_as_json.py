"""An event or a result that was written as JSON comes back equal, for every possible state."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine import RunResult, Usage
from examples import examples
from protocol import events, words
from protocol.confinement import ConfinementReport, LayerReport, ProbeReport
from protocol.report import ErrorReport, OperationRef, Position, StackFrame

QUICK = examples(60)
ESCAPES = ["$float", "$int", "$bytes", "$tuple", "$map", "$packed", "$other", "$"]
TEXT = st.text(max_size=8) | st.sampled_from([*ESCAPES, "nan", "0x1f", "aGk=", "\u2028", "\0"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.integers(4400, 5000).map(lambda digits: 10**digits),
    st.floats(),
    st.sampled_from([-0.0, 1.0, 1e16, 1e22, 5e-324]),
    TEXT,
    st.binary(max_size=8),
)
KEYS = TEXT | st.integers(-(2**70), 2**70) | st.binary(max_size=4) | st.floats() | st.booleans()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS | st.none(), inner, max_size=4),
        st.tuples(st.sampled_from(ESCAPES), inner).map(lambda pair: {pair[0]: pair[1]}),
    ),
    max_leaves=20,
)
COUNTS = st.integers(0, 2**53)
HEAD: dict[str, Any] = {"seq": COUNTS, "run_id": TEXT, "time": st.floats(0, 1e10)}
STEP: dict[str, Any] = {**HEAD, "step_id": TEXT, "step_run_id": TEXT, "attempt": COUNTS}
NEXT = st.lists(TEXT, max_size=3).map(tuple)
MAYBE = st.none() | TEXT
FRAMES = st.builds(StackFrame, module=TEXT, function=TEXT, line=st.none() | COUNTS, source=MAYBE)
REPORTS = st.builds(
    ErrorReport,
    name=TEXT,
    message=TEXT,
    severity=st.sampled_from(["fail", "crash", "kill", "exception"]),
    step_id=MAYBE,
    subtype=MAYBE,
    operation=st.none() | st.builds(OperationRef, number=COUNTS, name=TEXT),
    position=st.none() | st.builds(Position, line=COUNTS, column=st.none() | COUNTS, source=MAYBE),
    stack=st.lists(FRAMES, max_size=2).map(tuple),
    details=VALUES,
    fix=MAYBE,
)
CONFINEMENTS = st.builds(
    ConfinementReport,
    level=st.sampled_from(["default", "none"]),
    language=st.booleans(),
    layers=st.lists(
        st.builds(LayerReport, name=TEXT, state=st.sampled_from(["on", "off"]), detail=MAYBE),
        max_size=2,
    ).map(tuple),
    probes=st.lists(
        st.builds(ProbeReport, name=TEXT, blocked=st.booleans(), detail=TEXT), max_size=2
    ).map(tuple),
    filter_hash=MAYBE,
)
VERSIONS = st.builds(
    events.Versions,
    python=TEXT,
    engine=TEXT,
    adaptors=st.dictionaries(TEXT, st.lists(TEXT, max_size=2), max_size=2),
)
FIELDS: dict[str, Any] = {
    "state": VALUES,
    "error": REPORTS,
    "next": NEXT,
    "duration_ms": COUNTS,
    "redacted": st.booleans(),
    "mem": st.builds(events.Memory, job=COUNTS, system=COUNTS, peak=COUNTS),
    "versions": VERSIONS,
    "confinement": CONFINEMENTS,
    "id": TEXT,
    "from_step_id": TEXT,
    "to_step_id": TEXT,
    "condition": st.booleans() | TEXT,
    "taken": st.booleans(),
    "level": st.sampled_from(["debug", "info", "warning", "error"]),
    "source": st.sampled_from(["job", "adaptor", "runtime", "stdout", "stderr"]),
    "message": TEXT,
    "host": TEXT,
    "port": COUNTS,
    "outcome": st.sampled_from(get_args(words.NetOutcome)),
    "reason": TEXT,
    "bytes_sent": COUNTS,
    "bytes_received": COUNTS,
}


def _events(kind: type[events.Event]) -> Any:
    """Return a strategy for one class of events; a new field needs a line in `FIELDS`."""
    known = {**FIELDS, **(STEP if issubclass(kind, events.StepEvent) else HEAD)}
    if kind is events.Log:
        known |= {"step_id": MAYBE, "step_run_id": MAYBE, "attempt": st.none() | COUNTS}
    fields = msgspec.structs.fields(kind)
    chosen = {field.name: known[field.name] for field in fields if field.name in known}
    missing = {field.name for field in fields if field.required} - chosen.keys()
    assert not missing, f"{kind.__name__}: no values for {missing}"
    return st.builds(kind, **chosen)


EVENTS = st.one_of([_events(kind) for kind in events.AnyEvent.__args__])
RESULTS = st.builds(
    RunResult,
    state=VALUES,
    reason=st.sampled_from(["success", "fail", "crash", "kill", "exception", "cancelled"]),
    error=st.none() | REPORTS,
    duration_ms=COUNTS,
    usage=st.builds(Usage, peak_memory_bytes=COUNTS, cpu_s=st.floats(0, 1e6)),
    confinement=CONFINEMENTS,
    versions=VERSIONS,
)


def canonical(value: Any) -> Any:
    """Return a value that is equal only for values of the same types: 1, 1.0 and True differ."""
    if isinstance(value, msgspec.Struct):
        return type(value), [canonical(getattr(value, n)) for n in value.__struct_fields__]
    if isinstance(value, dict):
        return dict, [(canonical(key), canonical(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [canonical(item) for item in value]
    if isinstance(value, float):
        return float, "nan" if math.isnan(value) else value.hex()
    return type(value), value


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not in strict JSON")


def parts(inner: Any) -> Any:
    return st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)


@QUICK
@given(EVENTS)
def test_an_event_comes_back_equal_from_strict_json(event: events.AnyEvent):
    """Each value keeps its type, and any other JSON parser can read the text."""
    text = engine.to_json(event)

    json.loads(text, parse_constant=refuse)
    assert "\n" not in text
    assert canonical(engine.event_from_json(text)) == canonical(event)
    assert canonical(engine.event_from_json(text.encode())) == canonical(event)


@QUICK
@given(RESULTS)
def test_a_result_comes_back_equal_from_strict_json(result: RunResult):
    """A result keeps all types, and any other JSON parser can read the text."""
    text = engine.to_json(result)

    json.loads(text, parse_constant=refuse)
    assert canonical(engine.result_from_json(text)) == canonical(result)


@QUICK
@given(RESULTS)
def test_json_that_another_program_has_laid_out_anew_is_the_same(result: RunResult):
    """White space and escapes in texts mean nothing in JSON."""
    text = engine.to_json(result)
    again = json.dumps(json.loads(text), indent=2, ensure_ascii=True).replace("$", "\\u0024")

    assert canonical(engine.result_from_json(again)) == canonical(result)


@QUICK
@given(st.text() | st.recursive(TEXT | st.floats() | st.integers(), parts).map(json.dumps))
def test_text_that_is_none_of_ours_is_a_value_error(text: str):
    """For any text of a caller there is one kind of error."""
    for read in (engine.event_from_json, engine.result_from_json):
        try:
            read(text)
        except ValueError as error:
            assert "in JSON" in str(error)  # noqa: PT017 - most of the texts are refused
        else:
            raise AssertionError(text)
