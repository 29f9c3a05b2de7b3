"""Redaction changes values of users; ids, words and keys of the engine stay as they are."""

from __future__ import annotations

import signal

import msgspec
import pytest

from engine.api.options import RunOptions
from engine.reporting.logs import LogBook
from engine.reporting.redaction import Redactor, Shape
from engine.reporting.redaction.own_words import OwnWords, own_words
from engine.running.session.claims import Claims
from protocol.events import CredentialLoad, EdgeResolved, JobError, StateLoad, WorkflowComplete
from protocol.messages import LogEntry
from protocol.plan import Step, Workflow
from protocol.report import OperationRef, Position, StackFrame, make_report
from protocol.state import decode_state, encode_state
from protocol.words import NAMED_CONDITIONS

STEPS = ("visits", "orders", "upload")
FILLER = {"filler": "-" * 5000}


def make(*secrets):
    claims = Claims(Workflow(steps=tuple(Step(id=step) for step in STEPS)))
    redactor = Redactor(is_id=claims.is_id)
    redactor.learn(list(secrets))
    return redactor


def both(redactor, state, shape):
    """Redact a state decoded and encoded, small and large: all ways give the same result."""
    redacted = redactor._value(state, shape)
    assert decode_state(redactor.raw(encode_state(state), shape) or encode_state(state)) == redacted
    large = {**state, "z": FILLER} if shape is not Shape.RESULT else None
    if large is not None:
        raw = redactor.raw(encode_state(large), shape)
        assert decode_state(raw) == {**redacted, "z": FILLER}
    return redacted


def test_leaves_of_a_result_are_not_lost():
    """The names of two steps are also words of a configuration."""
    redactor = make("visits", "orders", "orders-1")
    leaves = {"visits": {"n": 1}, "orders": {"n": 2}, "orders-1": {"n": "orders"}}
    assert both(redactor, leaves, Shape.RESULT) == {**leaves, "orders-1": {"n": "[redacted]"}}
    large = {name: {**leaf, **FILLER} for name, leaf in leaves.items()}
    large["orders-1"]["n"] = "[redacted]"
    encoded = encode_state({**large, "orders-1": {"n": "orders", **FILLER}})
    assert decode_state(redactor.raw(encoded, Shape.RESULT)) == large


def test_a_key_of_a_users_state_is_redacted_though_a_step_is_called_so():
    """A key stays only where the engine itself has put the id of the step."""
    redactor = make("visits", "s3cret-Pa55")
    state = {"visits": 1, "s3cret-Pa55": 2, "data": {"visits": 3}}
    expected = {"[redacted]": 1, "[redacted] (2)": 2, "data": {"[redacted]": 3}}
    assert both(redactor, state, Shape.STATE) == expected
    assert both(redactor, state, Shape.RESULT) == expected


def test_keys_that_become_equal_keep_their_values():
    """Equal keys get numbers, and a number never gives a key that already exists."""
    redactor = make("secret-1", "secret-2", "secret-3")
    value = {
        "secret-1": 1,
        "secret-2": 2,
        "[redacted] (2)": 3,
        "[redacted]": 4,
        "secret-3": 5,
        b"secret-1": 6,
        b"secret-2": 7,
    }
    expected = {
        "[redacted] (3)": 1,
        "[redacted] (4)": 2,
        "[redacted] (2)": 3,
        "[redacted]": 4,
        "[redacted] (5)": 5,
        b"[redacted]": 6,
        b"[redacted] (2)": 7,
    }
    assert list(redactor.value(value).items()) == list(expected.items())
    assert decode_state(redactor.raw(encode_state(value))) == expected
    large = {**value, **FILLER}
    assert decode_state(redactor.raw(encode_state(large))) == {**expected, **FILLER}


@pytest.mark.slow
def test_thousands_of_equal_keys_take_linear_time():
    """Each key gets the next number, and no number is tried twice."""
    redactor = make("secret")
    value = {f"{n}": 0 for n in range(3)} | {b"%d" % n: 0 for n in range(3)}
    tuples = {("secret", n): n for n in range(20_000)}
    assert len(redactor.value(tuples)) == 20_000
    redactor.learn([f"secret{n:06}" for n in range(300)])
    many = value | {f"secret{n:06}": n for n in range(300)}
    redacted = redactor.value(many)
    assert list(redacted.values()) == list(many.values())
    assert "[redacted] (300)" in redacted


def test_keys_of_the_engine_in_a_state_stay():
    """`data`, `errors` and the like stay, the steps under `errors`, and the fields of a report."""
    words = ["errors", "references", "configuration", "visits", "severity", "message", "position"]
    redactor = make(*words, "JobError", "ValueError", "source", "end_line", "module", "function")
    report = make_report(
        "JobError",
        "the message of the user",
        step_id="visits",
        subtype="ValueError",
        position=Position(1, 2, 3, 4, "source = 1"),
        operation=OperationRef(1, "module"),
        stack=(StackFrame("visits", "function", 1, "severity"),),
        details={"message": "m", "position": 1},
    )
    state = {
        "data": {"errors": {"visits": 1}},
        "errors": {"visits": decode_state(encode_state(msgspec.to_builtins(report))), "message": 1},
        "references": ["message"],
    }
    assert both(redactor, state, Shape.STATE) == {
        "data": {"[redacted]": {"[redacted]": 1}},
        "errors": {
            "visits": {
                "name": "JobError",
                "message": "the [redacted] of the user",
                "severity": "fail",
                "step_id": "visits",
                "subtype": "ValueError",
                "operation": {"number": 1, "name": "module"},
                "position": {
                    "line": 1,
                    "column": 2,
                    "end_line": 3,
                    "end_column": 4,
                    "source": "[redacted] = 1",
                },
                "stack": [
                    {"module": "visits", "function": "function", "line": 1, "source": "[redacted]"}
                ],
                "details": {"[redacted]": "m", "[redacted] (2)": 1},
            },
            "[redacted]": 1,
        },
        "references": ["[redacted]"],
    }


def test_what_a_job_writes_in_place_of_a_report_is_redacted():
    """In the form of a report, every value that is not a word of the engine is redacted."""
    redactor = make("s3cret-Pa55")
    forged = dict.fromkeys(("name", "severity", "step_id", "subtype", "fix"), "s3cret-Pa55")
    forged |= {"operation": "s3cret-Pa55", "stack": [{"module": "s3cret-Pa55"}]}
    state = {"errors": {"visits": forged, "s3cret-Pa55": ["s3cret-Pa55"]}}
    redacted = both(redactor, state, Shape.STATE)
    assert "s3cret" not in str(redacted)
    assert redacted["errors"]["visits"].keys() == forged.keys()


def test_an_input_of_several_steps_keeps_their_names():
    """The key `inputs` holds the state of each execution by name."""
    redactor = make("visits", "orders")
    state = {"inputs": {"visits": {"data": "orders"}, "orders": {"data": {"visits": 1}}}}
    assert both(redactor, state, Shape.STATE) == {
        "inputs": {"visits": {"data": "[redacted]"}, "orders": {"data": {"[redacted]": 1}}}
    }


def test_ids_of_loaded_values_and_edges_stay():
    """The id of a credential may be a word of another configuration."""
    redactor = make("visits", "my-login", "on_job_success", "state.data")
    step = {"seq": 1, "run_id": "visits", "time": 1.0, "step_id": "visits", "step_run_id": "visits"}
    for kind in (StateLoad, CredentialLoad):
        event = kind(**step, id="my-login", duration_ms=1)
        assert redactor.struct(event) is event
    edge = EdgeResolved(
        seq=1,
        run_id="visits",
        time=1.0,
        from_step_id="visits",
        to_step_id="visits",
        condition="on_job_success",
        taken=True,
    )
    assert redactor.struct(edge) is edge
    own = msgspec.structs.replace(edge, condition="not state.data")
    assert redactor.struct(own).condition == "not [redacted]"


def test_every_named_condition_is_a_word_of_the_engine():
    """The words are those of the plan's language, with aliases."""
    assert {
        *("always", "never", "on_job_success", "on_job_failure"),
        *("on_job_fail", "on_upstream_success", "on_upstream_fail"),
    } == NAMED_CONDITIONS


def test_a_state_in_an_event_is_redacted_as_one():
    """The state is redacted alike if it is encoded or decoded, and if it is that of a job or of the
    whole workflow.
    """
    redactor = make("errors", "visits", "orders")
    state = {"errors": {"visits": {"name": "errors"}}, "data": "errors"}
    expected = {"errors": {"visits": {"name": "[redacted]"}}, "data": "[redacted]"}
    step = {"seq": 1, "run_id": "r", "time": 1.0, "step_id": "visits", "step_run_id": "visits"}
    event = JobError(
        **step,
        error=make_report("OOMError", "m"),
        state=msgspec.Raw(encode_state(state)),
        next=("orders",),
        duration_ms=1,
    )
    assert decode_state(redactor.struct(event).state) == expected
    end = WorkflowComplete(seq=1, run_id="r", time=1.0, state={"visits": state, "orders": 1}, duration_ms=1)  # fmt: skip
    assert redactor.struct(end).state == {"visits": expected, "orders": 1}


OUT_OF_MEMORY = make_report(
    "OOMError",
    "the child died of SIGKILL at its memory limit of 500 MB (memory_mb)",
    subtype="SIGKILL",
    step_id="visits",
)


@pytest.mark.parametrize(
    "secret", ["memory", "memory_mb", "SIGKILL", "OOMError", "limit of", "visits"]
)
def test_a_word_of_a_secret_does_not_damage_a_message_of_the_engine(secret):
    """A message of the engine stays readable; a user's text with the same word is redacted."""
    redactor = make(secret)
    assert redactor.struct(OUT_OF_MEMORY) == OUT_OF_MEMORY
    theirs = redactor.struct(make_report("JobError", OUT_OF_MEMORY.message + secret))
    assert theirs.message.endswith("[redacted]")
    assert secret not in theirs.message


def test_what_a_message_of_the_engine_quotes_is_redacted():
    """The quotation is a reason for a cancel, a name in a plan, or the message of a resolver."""
    redactor = make("s3cret-Pa55", "cancelled")
    report = make_report("Cancelled", "the run was cancelled: cancelled by s3cret-Pa55")
    assert redactor.struct(report).message == "the run was cancelled: [redacted] by [redacted]"


def test_details_that_the_engine_writes_keep_their_keys():
    """Keys of places in a job and of members of a group stay; keys of an adaptor's data do not."""
    redactor = make("message", "column", "s3cret-Pa55", "ValueError")
    place = {"line": 1, "column": 2, "message": "a s3cret-Pa55", "fix": None}
    compile_error = redactor.struct(make_report("CompileError", "x", details=[place]))
    assert compile_error.details == [{**place, "message": "a [redacted]"}]
    group = [{"type": "ValueError", "message": "message"}]
    for name in ("JobError", "AdaptorError"):
        redacted = redactor.struct(make_report(name, "x", details=group)).details
        assert redacted == [{"type": "ValueError", "message": "[redacted]"}]
    carried = redactor.struct(make_report("AdaptorError", "x", details={"message": 1}))
    assert carried.details == {"[redacted]": 1}


def test_a_line_of_the_runtime_stays_readable():
    """The line stays readable in a log and in an error; lines of a job belong to a user."""
    redactor = make("dropped", "log lines", "allowed", "s3cret-Pa55")
    shown = []
    book = LogBook(RunOptions(log_payload_mb=0.0001), redactor, shown.append)
    line = "3 log lines were dropped: the run may log 5 bytes (max_log_bytes)"
    book.add(LogEntry("warning", "runtime", line))
    book.add(LogEntry("info", "job", "dropped"))
    book.add(LogEntry("warning", "runtime", "operation s3cret-Pa55 was"))
    book.add(LogEntry("info", "job", "x" * 200))
    book.flush(final=True)
    assert [entry.message for entry in shown] == [
        line,
        "[redacted]",
        "operation [redacted] was",
        "[a message of 200 characters was left out; allowed: 0.0001 MB (log_payload_mb)]",
    ]


def test_a_fixed_part_must_say_where_it_comes_from():
    """Otherwise a literal that is a common word would excuse any value."""
    words = OwnWords(
        ["password", "the password of ", " memory", "module \1 cannot be had", "\1 memory"]
    )
    text = "the password of password"
    assert words.cover(text, 4, 12)
    assert not words.cover(text, 16, 24)
    assert not words.cover("out of memory", 7, 13)
    assert words.cover("module x cannot be had", 0, 6)
    assert not words.cover("module x can be had", 0, 6)
    assert not words.cover("cannot be had: module", 15, 21)
    assert not words.cover("a \0 b", 2, 3)
    assert not words.cover("a \1 b", 2, 3)


def test_a_number_stays_only_where_the_engine_has_one():
    """A limit of six digits stays, but a number that a message quotes is redacted."""
    redactor = make("123456", "10000000")
    limit = "the run has written 10000000 bytes of logs, more than ten times the limit"
    assert redactor.struct(make_report("OutputLimitError", limit)).message == limit
    quoted = redactor.struct(
        make_report("CredentialLoadError", "the resolver raised X: bad pin 123456 given")
    )
    assert quoted.message == "the resolver raised X: bad pin [redacted] given"


def test_the_fixed_parts_are_those_of_the_source():
    """The parts come from the engine and from the child, whose messages the engine passes on."""
    texts = {
        "a step is reached (max_step_runs): steps that are reached": "reached",
        "no such step; did you mean 'x'": "did you",
        "state.data: cannot carry a function": "cannot",
    }
    assert any(own_words().cover(t, t.rindex(w), t.rindex(w) + len(w)) for t, w in texts.items())
    text = "the run was cancelled: x"
    assert own_words().cover(text, 12, 21)


def test_every_signal_is_a_word_of_the_engine():
    """The engine puts the name of the signal into messages and subtypes."""
    redactor = make(*(name for name in signal.Signals.__members__ if len(name) >= 6))
    for number in signal.Signals:
        report = make_report("ExitError", f"it was {number.name}", subtype=number.name)
        assert redactor.struct(report) == report
