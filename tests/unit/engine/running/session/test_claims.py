"""The engine compares the claims of a child with the plan, and cuts its reports."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.reporting.eventlog import with_details
from engine.running.session.claims import Claims, bounded
from examples import examples
from protocol.errors import RemoteProtocolError
from protocol.limits import MAX_ERROR_TEXT
from protocol.plan import Edge, Step, Workflow
from protocol.report import OperationRef, Position, StackFrame, make_report

QUICK = examples(80)
PLAN = Workflow(
    steps=(
        Step(id="a", expression="x", next={"b": Edge("x"), "c": Edge(False), "a-7": Edge()}),
        Step(id="b", expression="x", next={"c": Edge(disabled=True)}),
        Step(id="c"),
        Step(id="a-7", expression="x"),
    )
)
MAX_MESSAGE = 2 * MAX_ERROR_TEXT
MAX_LINE = 1_000
MAX_FRAMES = 100
MAX_DETAILS_BYTES = 100_000
MAX_DETAILS_ITEMS = 10_000
HUGE = 32_000_000
"""A part that stays behind is at least six times as large as all that may stay."""
REPORT = make_report("JobError", "bad row", step_id="a")


@pytest.fixture
def claims():
    return Claims(PLAN)


def refusal(check, *names):
    """Return the words in which *check* refuses these names."""
    with pytest.raises(RemoteProtocolError) as caught:
        check(*names)
    return str(caught.value)


# --- steps and their executions ---


@pytest.mark.parametrize("step_id", ["z", "", "A", "a ", " a", "aa", "a-1", "a\0", "\u0430"])
def test_a_step_that_the_plan_lacks_is_refused(claims, step_id):
    """A name is that of a step or it is not; the last one here contains a Cyrillic letter."""
    text = refusal(claims.check_step, step_id, step_id)
    assert text == f"child names a step that its plan lacks: {step_id!a}"


@pytest.mark.parametrize(
    ("step_id", "step_run_id"),
    [
        ("a", "a"), ("a", "a-1"), ("a", "a-2"), ("a", "a-10"), ("a", "a-999999"),
        ("a-7", "a-7"), ("a-7", "a-7-1"),
    ],
)  # fmt: skip
def test_an_execution_is_named_for_its_step(claims, step_id, step_run_id):
    """The first execution has the name of its step, and later ones also have a number."""
    claims.check_step(step_id, step_run_id)


@pytest.mark.parametrize(
    "step_run_id",
    [
        pytest.param("", id="nothing"),
        pytest.param("b", id="another step"),
        pytest.param("-5", id="only a number"),
        pytest.param("b-1", id="another step with a number"),
        pytest.param("a-", id="no number"),
        pytest.param("a1", id="no hyphen"),
        pytest.param("a--1", id="two hyphens"),
        pytest.param("a-1-1", id="two numbers"),
        pytest.param("a-x", id="a letter"),
        pytest.param("a-0", id="zero"),
        pytest.param("a-01", id="leading zero"),
        pytest.param("a-+1", id="sign"),
        pytest.param("a-1_0", id="underscore"),
        pytest.param("a- 1", id="space"),
        pytest.param("a-1\n", id="line break after it"),
        pytest.param("\na-1", id="line break before it"),
        pytest.param("a-\u0663", id="digit of another script"),
        pytest.param("a-\u00b2", id="superscript"),
        pytest.param("aa-1", id="the step twice"),
        pytest.param("a-" + "1" * 19, id="no number of an execution has 19 digits"),
        pytest.param("a-7", id="the name of another step"),
    ],
)
def test_an_execution_that_is_named_otherwise_is_refused(claims, step_run_id):
    """A child cannot put free text into an event by way of the number."""
    text = refusal(claims.check_step, "a", step_run_id)
    assert text == f"child names an execution wrongly: {step_run_id!a}"


@QUICK
@given(st.sampled_from(["a", "b", "a-7"]), st.text("ab-0123456789\n \u0663", max_size=6))
def test_what_is_accepted_is_the_step_and_a_number(step_id, step_run_id):
    """An accepted text has only one spelling: the step, a hyphen and a positive number."""
    try:
        Claims(PLAN).check_step(step_id, step_run_id)
    except RemoteProtocolError:
        return
    if step_run_id != step_id:
        number = int(step_run_id[len(step_id) + 1 :])
        assert step_run_id == f"{step_id}-{number}"
        assert number > 0


def test_an_execution_is_started_once(claims):
    """Two executions of one name would look the same; a refused name does not count as started."""
    claims.check_new("a")
    claims.check_new("a-1")
    assert refusal(claims.check_new, "a") == "child starts 'a' a second time"
    assert refusal(claims.check_new, "a") == "child starts 'a' a second time"
    claims.check_new("b")


def test_the_name_of_a_step_may_be_asked_for_any_number_of_times(claims):
    """A step loads a state and a credential before it starts, but it starts only once."""
    for _ in range(3):
        claims.check_step("a", "a")
    claims.check_new("a")


def test_two_runs_of_one_plan_know_nothing_of_each_other():
    """An execution that started in one run has not started in the other."""
    Claims(PLAN).check_new("a")
    Claims(PLAN).check_new("a")


# --- edges ---


@pytest.mark.parametrize(
    ("step_id", "target", "condition"),
    [("a", "b", "x"), ("a", "c", False), ("a", "a-7", True), ("b", "c", True)],
)
def test_the_condition_of_an_edge_is_the_one_of_the_plan(claims, step_id, target, condition):
    """The condition is the text of the plan, also for a disabled edge."""
    assert claims.condition(step_id, target) is condition


@pytest.mark.parametrize(
    ("step_id", "target"),
    [
        ("b", "a"),
        ("a", "a"),
        ("c", "a"),
        ("a", "z"),
        ("z", "a"),
        ("z", "z"),
        ("", ""),
        ("a", "a-1"),
    ],
)
def test_an_edge_that_the_plan_lacks_is_refused(claims, step_id, target):
    """Edges are refused between steps of the plan as well, and in the other direction."""
    text = refusal(claims.condition, step_id, target)
    assert text == f"child names an edge that its plan lacks: {step_id!a} -> {target!a}"


@pytest.mark.parametrize("following", [(), ("b",), ("b", "c"), ("c", "b"), ("a-7", "b", "c")])
def test_any_of_its_edges_may_follow_a_step(claims, following):
    """A child may follow all of the edges, some of them, or none."""
    claims.check_next("a", following)


@pytest.mark.parametrize("following", [("a",), ("z",), ("b", "z"), ("z", "b"), ("a-1",), ("",)])
def test_what_follows_must_be_edges(claims, following):
    """A single wrong name among the next steps is enough for a refusal."""
    assert "an edge that its plan lacks" in refusal(claims.check_next, "a", following)


@pytest.mark.parametrize("following", [("b", "b"), ("b", "c", "b"), ("c",) * 1000])
def test_no_edge_is_followed_twice(claims, following):
    """A name that is repeated many times would also use memory."""
    assert refusal(claims.check_next, "a", following) == "child follows an edge twice"


# --- huge names ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "names"),
    [
        pytest.param("check_step", lambda name: (name, "a"), id="step"),
        pytest.param("check_step", lambda name: ("a", name), id="execution"),
        pytest.param("condition", lambda name: (name, "b"), id="start of an edge"),
        pytest.param("condition", lambda name: ("a", name), id="end of an edge"),
        pytest.param("check_next", lambda name: ("a", ("b", name)), id="next"),
    ],
)
@pytest.mark.parametrize("character", ["a", "\x1b", "\U0001f511"], ids=ascii)
def test_a_huge_name_is_refused_without_a_copy_of_it(claims, check, names, character):
    """A frame may be as long as this, but its error and the log must be short."""
    arguments = names("a-" + character * (HUGE // len(character.encode())))
    kept = []
    tracemalloc.start()
    try:
        for _ in range(3):
            try:
                getattr(claims, check)(*arguments)
            except RemoteProtocolError as error:
                kept.append(str(error))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(kept) == 3
    assert peak < 100_000
    assert all(len(text) < 800 and text.isascii() and text.isprintable() for text in kept)


# --- reports ---


def test_a_report_of_ordinary_size_stays_as_it_is():
    """Every field of the report stays."""
    report = make_report(
        "JobError",
        "m" * MAX_ERROR_TEXT + " [cut: 5000 characters more]",  # the child itself cut it
        step_id="a",
        subtype="KeyError",
        operation=OperationRef(2, "n" * MAX_LINE),
        position=Position(1, 2, 3, 4, "s" * MAX_LINE),
        stack=(StackFrame("a", "f", 1, "x = 1"), StackFrame("common@1.0.0", "get")) * 50,
        details=packed({"code": [1, None, "x" * 90_000]}),
        fix="write it otherwise",
        option="net",
        option_value="db.example.org:5432",
    )
    assert plain(bounded(report)) == plain(report)
    assert bounded(REPORT) == REPORT


def packed(value):
    """Return details as they come from a child."""
    return msgspec.Raw(msgspec.msgpack.encode(value))


def plain(report):
    """Return a report as a reader gets it: with decoded details."""
    return with_details(report)


def long_report(text):
    """Return a report with *text* in every field for text, and with more frames than are kept."""
    return msgspec.structs.replace(
        REPORT,
        name=text,
        message=text,
        step_id=text,
        subtype=text,
        operation=OperationRef(7, text),
        position=Position(1, 2, 3, 4, text),
        stack=(StackFrame(text, text, 5, text),) * (MAX_FRAMES + 1),
        details=packed({"x": text}),
        fix=text,
        option="net",
        option_value=text,
    )


def test_every_field_of_a_report_is_cut():
    """Numbers stay, and details are kept whole or not at all."""
    line = "x" * MAX_LINE
    assert bounded(long_report("x" * 200_000)) == msgspec.structs.replace(
        REPORT,
        name=line,
        message="x" * MAX_MESSAGE,
        step_id=line,
        subtype=line,
        operation=OperationRef(7, line),
        position=Position(1, 2, 3, 4, line),
        stack=(StackFrame(line, line, 5, line),) * MAX_FRAMES,
        details=None,
        fix=line,
        option="net",
        option_value=line,
    )


def test_there_is_no_field_that_this_does_not_know():
    """The author of a new field decides how long its value may be."""
    fields = set(REPORT.__struct_fields__)
    assert fields == {
        "name", "message", "severity", "step_id", "subtype", "operation", "position", "stack",
        "details", "fix", "option", "option_value",
    }  # fmt: skip
    assert OperationRef.__struct_fields__ == ("number", "name")
    assert Position.__struct_fields__ == ("line", "column", "end_line", "end_column", "source")
    assert StackFrame.__struct_fields__ == ("module", "function", "line", "source")


@pytest.mark.parametrize("field", ["operation", "position", "details", "fix", "subtype", "step_id"])
def test_a_field_that_is_not_there_is_not_made(field):
    """A missing field stays missing; a report may also have a line without its source."""
    report = msgspec.structs.replace(long_report("x"), **{field: None})
    assert getattr(bounded(report), field) is None
    report = make_report("JobError", "x", position=Position(3), stack=(StackFrame("a", "f"),))
    assert bounded(report) == report


@pytest.mark.parametrize(
    ("size", "kept"), [(MAX_DETAILS_BYTES - 5, True), (MAX_DETAILS_BYTES - 4, False)]
)
def test_details_above_the_limit_are_left_out_whole(size, kept):
    """Half of a value would be another value."""
    details = packed("x" * size)
    assert len(memoryview(details)) == size + 5
    report = bounded(msgspec.structs.replace(REPORT, details=details))
    assert plain(report).details == ("x" * size if kept else None)
    assert report.message == REPORT.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xc0", id="nil"),
        pytest.param(b"\x80", id="empty"),
        pytest.param(b"\x81\xc0\x01", id="a key that is nil"),
        pytest.param(b"\x81\x91\x01\x01", id="a key that is an array"),
        pytest.param(b"\x81\xc4\x01a\x01", id="a key that is bytes"),
        pytest.param(b"\xd4\x01\x00", id="an extension"),
        pytest.param(b"\xd6\xff\0\0\0\0", id="a timestamp"),
        pytest.param(b"\xcf" + b"\xff" * 8, id="the largest integer"),
    ],
)
def test_details_may_be_any_bytes(body):
    """A child chooses the bytes; the engine decodes them only when somebody reads the event."""
    details = bounded(msgspec.structs.replace(REPORT, details=msgspec.Raw(body))).details
    assert details is None if body == b"\xc0" else bytes(details) == body


def test_details_of_too_many_items_are_left_out_where_they_are_read():
    """An empty map takes one byte here, and 64 bytes in memory."""
    for count, kept in ((MAX_DETAILS_ITEMS - 1, True), (MAX_DETAILS_ITEMS, False)):
        report = bounded(msgspec.structs.replace(REPORT, details=packed([{}] * count)))
        assert (plain(report).details is not None) is kept


@pytest.mark.slow
@pytest.mark.parametrize("character", ["x", "\u00e9", "\U0001f511"], ids=ascii)
def test_a_report_of_huge_texts_leaves_nothing_of_them_behind(character):
    """Python stores each character of a text in the width of its widest character."""
    length = HUGE // len(character.encode())
    tracemalloc.start()
    try:
        kept = [bounded(long_report(character * length)) for _ in range(3)]
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(kept) == 3
    width = {1: 1, 2: 1, 4: 4}[len(character.encode())]
    texts = MAX_MESSAGE + (6 + 3 * MAX_FRAMES) * MAX_LINE
    assert size < 3 * (width * texts + 100 * 3 * MAX_FRAMES + 10_000)


def test_an_option_is_one_of_ours_or_none():
    """Otherwise a child could put any text where a view shows an option."""
    assert bounded(msgspec.structs.replace(REPORT, option="timeout_s")).option == "timeout_s"
    assert bounded(msgspec.structs.replace(REPORT, option="rm -rf")).option is None
