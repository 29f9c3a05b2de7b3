"""The trace of a run is read as the W3C recommendation says, and both sides compute the same spans."""

from __future__ import annotations

import pytest

from protocol.trace import Trace, check_tracestate, read_traceparent, span_below

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_traceparent_has_three_facts():
    """Trace, span, and the flag that says whether it is recorded."""
    assert read_traceparent(PARENT) == (TRACE_ID, SPAN_ID, "01")
    assert read_traceparent(PARENT).text() == PARENT


def test_a_later_version_is_read_as_the_first_one():
    """It may have more fields; the recommendation says so."""
    assert read_traceparent(f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-brings").text() == PARENT


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "form"),
        (PARENT.upper(), "form"),
        (PARENT + "\n", "form"),
        (PARENT + "-more", "four fields"),
        (f"ff-{TRACE_ID}-{SPAN_ID}-01", "version ff"),
        (f"00-{'0' * 32}-{SPAN_ID}-01", "trace id is zero"),
        (f"00-{TRACE_ID}-{'0' * 16}-01", "span id is zero"),
        (f"00-{TRACE_ID}-{SPAN_ID}", "form"),
    ],
    ids=["empty", "capitals", "line feed", "five fields", "ff", "no trace", "no span", "no flags"],
)
def test_another_text_is_refused(text, problem):
    """The error quotes it and says what is right."""
    with pytest.raises(ValueError, match="traceparent must be such as") as caught:
        Trace(text)
    assert problem in str(caught.value)


def test_a_traceparent_is_text():
    """Bytes come from raw headers."""
    with pytest.raises(TypeError, match="must be text"):
        read_traceparent(PARENT.encode())


@pytest.mark.parametrize("text", ["", "a=1", "a=1,b@c=2 3", "a=1, ,b=2", "a=" + "x" * 256])
def test_a_tracestate_is_a_list_of_pairs(text):
    """Empty members are allowed."""
    check_tracestate(text)
    assert Trace(PARENT, text).tracestate == text


@pytest.mark.parametrize(
    "text",
    ["a", "A=1", "a=1\r\nEvil: 1", "a=é", "a=b=c", "a=" + "x" * 511, ",".join(["a=1"] * 33)],
    ids=["no value", "capitals", "two lines", "not ascii", "two signs", "long", "many"],
)
def test_another_tracestate_is_refused(text):
    """It would become a header of a request."""
    with pytest.raises(ValueError, match="tracestate must"):
        Trace(PARENT, text)


def test_without_spans_of_its_own_an_attempt_passes_the_trace_on():
    """The span of the caller stays the parent."""
    assert Trace(PARENT).attempt("a", 1) == PARENT


def test_each_attempt_has_a_span_of_its_own():
    """It is always the same one, and differs from all others."""
    trace = Trace(PARENT, has_spans=True)
    found = {trace.attempt(name, number) for name in ("a", "b", "a-1") for number in (1, 2)}
    assert len(found) == 6
    assert trace.attempt("a", 1) == f"00-{TRACE_ID}-{span_below(SPAN_ID, 'a', '1')}-01"
    assert PARENT not in found


def test_names_do_not_run_into_each_other():
    """A step `a` with the attempt 11 is not a step `a1` with the attempt 1."""
    assert span_below(SPAN_ID, "a", "11") != span_below(SPAN_ID, "a1", "1")
