"""Text for people is short, names the place, and cannot be forged by a job."""

import pytest

from jobcell.output.wording import printable, tell_duration, tell_error
from protocol.report import OperationRef, Position, make_report


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [(0, "0 ms"), (12.4, "12 ms"), (999, "999 ms"), (3400, "3.4 s"), (320_000, "5 min 20 s")],
)
def test_a_duration_has_a_unit(duration_ms, text):
    """The unit is milliseconds as long as the number is readable."""
    assert tell_duration(duration_ms) == text


def test_other_peoples_text_cannot_steer_the_terminal():
    """Escape sequences, line breaks and invisible characters are shown as text."""
    shown = printable("a\x1b[2J\r\nb\u202ec\ud800é")

    assert shown == r"a\x1b[2J\r\nb\u202ec\ud800é"


def test_long_text_is_cut_and_says_so():
    """A job may log a megabyte; the terminal gets one line."""
    assert printable("x" * 3000, limit=10) == "xxxxxxxxxx... (2990 more)"


def test_an_error_says_where_and_marks_the_place():
    """The text has step, line, column and operation, the line of source, and the hint."""
    report = make_report(
        "RuntimeError",
        "'dict' object has no attribute 'x'",
        step_id="fetch",
        subtype="AttributeError",
        operation=OperationRef(2, "fn"),
        position=Position(3, 8, 3, 11, "    fn(d.x)"),
        fix='write d["x"]',
    )

    assert list(tell_error(report)) == [
        (
            "RuntimeError in step 'fetch', line 3, column 8 (operation 2, fn): "
            "AttributeError: 'dict' object has no attribute 'x'"
        ),
        "  3 |     fn(d.x)",
        "    |        ^^^",
        '  hint: write d["x"]',
    ]


@pytest.mark.parametrize(
    "position",
    [
        Position(1),
        Position(1, 1),
        Position(1, 5000, 1, 5001, "x" * 9000),
        Position(1, 3, 9, 1, "ab\tc"),
        Position(1, 99, 1, 3, "short"),
        Position(1, 1, 1, 9999, ""),
    ],
)
def test_any_position_can_be_told(position):
    """A position comes from the child, so it need not fit the line."""
    lines = list(tell_error(make_report("JobError", "bad\nworse", position=position)))

    assert lines[0].startswith("JobError, line 1")
    assert lines[1] == "  worse"
    assert all(len(line) < 250 for line in lines)


def test_an_error_without_any_place_is_told():
    """An error may lack a step, a line or a text."""
    assert list(tell_error(make_report("ExitError", ""))) == ["ExitError: "]


def test_a_message_that_begins_with_a_line_of_its_own_still_has_a_position():
    """Only the list of violations has its own positions."""
    position = Position(line=3, column=5)
    own = make_report("JobError", "line 7 of the file is bad", step_id="a", position=position)
    listed = make_report(
        "CompileError",
        "line 3, column 5: no",
        step_id="a",
        position=position,
        details=[{"line": 3}],
    )

    assert (
        next(tell_error(own)) == "JobError in step 'a', line 3, column 5: line 7 of the file is bad"
    )
    assert next(tell_error(listed)) == "CompileError in step 'a': line 3, column 5: no"
