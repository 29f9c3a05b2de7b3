"""Events and results have a form in JSON, and a text in another form gives a clear error."""

import json
import math
import sys
import threading

import msgspec
import pytest

import engine
from engine import JobComplete, Memory, RunResult, Usage, Versions, WorkflowComplete
from protocol.confinement import ConfinementReport

HEAD = {"seq": 7, "run_id": "r", "time": 1.5}


def complete(state) -> WorkflowComplete:
    return WorkflowComplete(**HEAD, state=state, duration_ms=3)


def nested(depth: int, leaf, wrap=lambda value: [value]):
    for _ in range(depth):
        leaf = wrap(leaf)
    return leaf


def test_a_plain_event_is_the_json_that_one_expects():
    """Only values that JSON lacks are written with an escape."""
    event = JobComplete(
        **HEAD,
        step_id="a",
        step_run_id="a-1",
        state={"data": [1, 2.5, "x", None, True]},
        next=("b",),
        duration_ms=3,
        mem=Memory(1, 2, 3),
    )

    written = json.loads(engine.to_json(event))

    assert written["type"] == "job-complete"
    assert written["state"] == {"data": [1, 2.5, "x", None, True]}
    assert written["next"] == ["b"]
    assert written["mem"] == {"job": 1, "system": 2, "peak": 3}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.inf, {"$float": "inf"}),
        (-math.inf, {"$float": "-inf"}),
        (b"hi", {"$bytes": "aGk="}),
        (2**64, {"$int": "0x10000000000000000"}),
        (-(2**64), {"$int": "-0x10000000000000000"}),
        (2**64 - 1, 2**64 - 1),
        ((1, 2), {"$tuple": [1, 2]}),
        ({1: "a", None: "b"}, {"$map": [[1, "a"], [None, "b"]]}),
        ({b"k": {True: 1.0}}, {"$map": [[{"$bytes": "aw=="}, {"$map": [[True, 1.0]]}]]}),
        ({"$int": "0x1"}, {"$map": [["$int", "0x1"]]}),
        ({"$map": []}, {"$map": [["$map", []]]}),
        ({"$int": 1, "more": 2}, {"$int": 1, "more": 2}),
        ({"$ref": "#/a"}, {"$ref": "#/a"}),
    ],
)
def test_what_json_lacks_is_written_as_an_object_with_one_key(value, written):
    """The value comes back from the object as it was."""
    text = engine.to_json(complete({"data": value}))

    assert json.loads(text)["state"] == {"data": written}
    assert engine.event_from_json(text) == complete({"data": value})


def test_an_integer_may_have_more_digits_than_python_reads():
    """CPython refuses to turn texts of more than 4,300 digits into integers."""
    number = -(7**20_000)
    assert number.bit_length() > 4300 * 4 > sys.get_int_max_str_digits() * 3

    assert engine.event_from_json(engine.to_json(complete([number]))).state == [number]


@pytest.mark.slow
@pytest.mark.parametrize(
    "state",
    [
        nested(800, 1),
        nested(200, b"deep"),
        nested(90, {1: 2}, lambda value: {1: value}),
        nested(240, 2**70, lambda value: {"$int": value}),
        nested(850, 2**70),
        nested(850, {1: math.inf}, lambda value: {"k": value}),
    ],
)
def test_a_state_may_be_as_deep_as_a_child_can_send(state):
    """The depth of the form must not decide whether a state comes back."""
    text = engine.to_json(complete(state))

    assert engine.event_from_json(text).state == state
    assert engine.to_json(engine.event_from_json(text)) == text


def test_a_deep_state_is_read_where_the_caller_has_left_little_stack():
    """The engine reads such a state in a thread of its own, whose stack is empty."""
    text = engine.to_json(complete(nested(800, 1)))

    def below(levels: int):
        return below(levels - 1) if levels else engine.event_from_json(text)

    before = threading.active_count()
    assert below(600).state == nested(800, 1)
    assert threading.active_count() == before


def test_a_result_is_read_back_with_its_parts():
    """Reports, versions and usage come back as they were."""
    result = RunResult(
        state={"data": math.inf},
        reason="fail",
        error=msgspec.convert(
            {"name": "JobError", "message": "m", "severity": "fail", "details": None},
            engine.ErrorReport,
        ),
        duration_ms=5,
        usage=Usage(100, 0.25),
        confinement=ConfinementReport(level="default", language=True),
        versions=Versions(python="3", engine="1", adaptors={"common": ["1.0.0"]}),
    )

    assert engine.result_from_json(engine.to_json(result)) == result


def test_what_is_neither_event_nor_result_is_refused():
    """The error says which types are accepted; a state alone does not have a type."""
    with pytest.raises(TypeError, match="takes an event or a RunResult, not dict"):
        engine.to_json({"data": 1})
    with pytest.raises(TypeError, match="cannot carry a value of the type object"):
        engine.to_json(complete({"data": object()}))
    with pytest.raises(TypeError, match="cannot carry an object"):
        engine.to_json(complete(nested(150, object())))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "truncated"),
        ("nonsense", "malformed"),
        ("NaN", "malformed"),
        ("[]", "Expected `object`"),
        ("{}", "required field `type`"),
        ('{"type": "job-stopped"}', "Invalid value 'job-stopped'"),
        ('{"type": "log", "seq": "1"}', "Expected `int`"),
        ('{"type": "init-start", "seq": 1}', "required field `run_id`"),
        (b"\xff\xfe", "not UTF-8"),
        ("[" * 100_000, ""),
        ('"\\ud800"', ""),
        ('{"$int": "0xzz"}', "'$int' cannot be '0xzz'"),
        ('{"$int": 5}', "'$int' cannot be 5"),
        ('{"$float": "1.5"}', "'$float' cannot be '1.5'"),
        ('{"$float": []}', "'$float' cannot be []"),
        ('{"$bytes": "%%"}', "'$bytes' cannot be '%%'"),
        ('{"$map": [[[1], 2]]}', "'$map' cannot be"),
        ('{"$map": [1]}', "'$map' cannot be"),
        ('{"$tuple": "ab"}', "'$tuple' cannot be 'ab'"),
        ('{"$packed": "gqFh"}', "'$packed' cannot be"),
        ('{"$int": "' + "z" * 1000 + '"}', "zzz..."),
    ],
)
def test_a_bad_text_is_one_clear_value_error(text, says):
    """The error says what was wrong, and its quotation is short."""
    with pytest.raises(ValueError, match="not an event in JSON: ") as caught:
        engine.event_from_json(text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300
    with pytest.raises(ValueError, match="not a result in JSON: "):
        engine.result_from_json(text)


def test_events_and_results_are_not_taken_for_each_other():
    """Events and results each have their own reader."""
    with pytest.raises(ValueError, match="not a result in JSON"):
        engine.result_from_json(engine.to_json(complete({})))
    with pytest.raises(TypeError, match="must be a str, not NoneType"):
        engine.event_from_json(None)


def test_a_byte_order_mark_is_accepted():
    """Editors and shells of other systems write a byte order mark."""
    text = "\ufeff" + engine.to_json(complete({}))

    assert engine.event_from_json(text) == complete({})
    assert engine.event_from_json(text.encode()) == complete({})
