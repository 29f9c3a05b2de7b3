"""The engine turns output into log lines, limits their volume, and removes secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.options import RunOptions
from engine.reporting.logs import LogBook
from engine.reporting.redaction import Redactor
from protocol.events import REDACTED
from protocol.messages import LogEntry

SECRET = "correct-horse-battery"


def make(secret=None, **options):
    """Return a book, and the list of the lines that it lets out."""
    redactor, shown = Redactor(), []
    if secret is not None:
        redactor.learn({"password": secret})
    return LogBook(RunOptions(**options), redactor, shown.append), shown


def messages(shown):
    return [entry.message for entry in shown]


def info(message):
    return LogEntry("info", "job", message)


def test_an_entry_goes_through_as_it_is():
    """Each entry is let out at once and in order."""
    book, shown = make()
    book.add(info("one"))
    book.add(LogEntry("error", "adaptor", "two"))
    assert shown == [info("one"), LogEntry("error", "adaptor", "two")]


@pytest.mark.parametrize(
    ("lowest", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_entries_below_the_level_are_left_out(lowest, expected):
    """The engine drops such an entry even if the child sends it."""
    book, shown = make(log_level=lowest)
    for level in ("debug", "info", "warning", "error"):
        book.add(LogEntry(level, "job", level))
    assert messages(shown) == expected
    book.flush(final=True)
    assert messages(shown) == expected


def test_output_becomes_lines():
    """Lines of standard output become information, and lines of standard error become warnings."""
    book, shown = make()
    book.output("stdout", b"one\ntw")
    book.output("stderr", b"oops\r\n")
    book.output("stdout", b"o\n\nend")
    assert shown == [
        LogEntry("info", "stdout", "one"),
        LogEntry("warning", "stderr", "oops"),
        LogEntry("info", "stdout", "two"),
        LogEntry("info", "stdout", ""),
    ]
    book.flush()
    assert messages(shown)[4:] == ["end"]
    book.flush(final=True)
    assert len(shown) == 5


@given(
    st.text("aé日\U0001f511\n", max_size=30), st.lists(st.integers(1, 5), min_size=1, max_size=6)
)
def test_text_survives_any_cutting_of_its_bytes(text, sizes):
    """A character whose bytes come in two reads is still one character."""
    book, shown = make()
    data, at, turn = text.encode(), 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        book.output("stdout", data[at : at + size])
        at, turn = at + size, turn + 1
    book.flush(final=True)
    assert messages(shown) == text.removesuffix("\n").split("\n") if text else shown == []


def test_bytes_that_are_no_text_are_shown_as_such():
    """The engine accepts all bytes that a child writes, and shows a character that is cut off."""
    book, shown = make()
    book.output("stdout", b"a\xff\xfeb\n\xe6\x97")
    book.flush()
    assert messages(shown) == ["a\ufffd\ufffdb"]
    book.flush(final=True)
    assert messages(shown) == ["a\ufffd\ufffdb", "\ufffd"]


def test_a_line_without_an_end_is_let_out_in_parts():
    """The limit of one message bounds the memory, and not the place where the child ends its line."""
    book, shown = make(log_payload_mb=0.001)
    for _ in range(10):
        book.output("stdout", b"x" * 600)
    assert len(shown) == 5
    assert all(entry.redacted for entry in shown)


def test_too_long_a_message_is_replaced():
    """The message is replaced only in the event, and its replacement names the limit."""
    book, shown = make(log_payload_mb=0.001)
    book.add(info("x" * 1000))
    book.add(info("x" * 1001))
    assert (shown[0].redacted, shown[1].redacted) == (False, True)
    assert shown[1].message == (
        "[a message of 1001 characters was left out; allowed: 0.001 MB (log_payload_mb)]"
    )


def test_lines_above_the_volume_are_dropped_and_counted():
    """The text about the loss gives the number of dropped lines and the limit."""
    book, shown = make(max_log_bytes=100)
    for _ in range(10):
        book.add(info("x" * 34))
    assert len(shown) == 2
    assert book.loss == "8 log lines were dropped: the run may log 100 bytes (max_log_bytes)"


def test_a_flush_tells_of_no_dropped_lines():
    """The caller reports the loss once at the end, because a log line could itself be dropped."""
    book, shown = make(max_log_bytes=1)
    book.add(info("x"))
    book.flush()
    book.flush(final=True)
    assert shown == []
    assert book.loss.startswith("1 log lines were dropped")


def test_where_nothing_was_dropped_there_is_nothing_to_say():
    """Lines below the level do not count as dropped, because nobody asked for them."""
    book, shown = make(log_level="error")
    book.add(info("x"))
    book.add(LogEntry("error", "job", "y"))
    book.flush(final=True)
    assert messages(shown) == ["y"]
    assert book.loss is None


@pytest.mark.parametrize(
    ("level", "source"), [("info", "job"), ("debug", "job")], ids=["shown", "below the level"]
)
def test_ten_times_the_volume_is_too_much(level, source):
    """Lines that are not shown count too, because the engine has to read them."""
    book, _ = make(max_log_bytes=100, log_level="info")
    for _ in range(10):
        assert not book.excessive
        book.add(LogEntry(level, source, "x" * 84))
    assert not book.excessive
    book.add(LogEntry(level, source, ""))
    assert book.excessive


def test_output_below_the_level_is_still_volume():
    """A child that floods its standard output is ended, even if no line of it is shown."""
    book, shown = make(max_log_bytes=100, log_level="error")
    book.output("stdout", b"\n" * 100)
    assert shown == []
    assert book.excessive


def test_lines_below_the_level_do_not_crowd_out_the_others():
    """Lines below the level do not use up the room for lines that are shown."""
    book, shown = make(max_log_bytes=100, log_level="error")
    book.output("stdout", b"\n" * 50)
    book.add(LogEntry("error", "job", "important"))
    assert messages(shown) == ["important"]


def test_empty_lines_are_volume_as_well():
    """A million empty lines would be a million events."""
    book, _ = make(max_log_bytes=1000)
    book.output("stdout", b"\n" * 1000)
    assert book.excessive


def test_volume_is_counted_in_bytes():
    """A character counts with its bytes in UTF-8."""
    book, _ = make()
    book.add(info("日本"))
    assert book.bytes == 6 + 16


def test_what_the_child_dropped_is_counted():
    """The child may drop lines before the engine does; a negative count does not reduce the sum."""
    book, shown = make(max_log_bytes=100)
    book.count_dropped(3, 1001)
    book.count_dropped(-5, -5000)
    assert book.excessive
    book.flush(final=True)
    assert shown == []
    assert book.loss == "3 log lines were dropped: the run may log 100 bytes (max_log_bytes)"


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_a_secret_over_two_messages_is_hidden(cut):
    """At most two characters of the secret are shown, wherever the secret is cut."""
    book, shown = make(SECRET)
    book.add(info(f"token {SECRET[:cut]}"))
    book.add(info(f"{SECRET[cut:]} done"))
    book.flush(final=True)
    said = "".join(messages(shown))
    assert REDACTED in said
    assert not any(SECRET[i : i + 3] in said for i in range(len(SECRET) - 2))
    assert said.startswith("token ")
    assert said.endswith(" done")


def test_a_secret_over_two_lines_of_output_is_hidden():
    """The secret is also hidden if it comes in several reads."""
    book, shown = make("first-line\nsecond-line")
    book.output("stdout", b"it is first-")
    book.output("stdout", b"line\nsecond")
    book.output("stdout", b"-line and so on\n")
    book.flush(final=True)
    said = "\n".join(messages(shown))
    assert "first" not in said
    assert "second" not in said
    assert "and so on" in said


def test_a_secret_in_every_spelling_is_hidden():
    """The secret is hidden as it is and encoded; the entry keeps its level and source."""
    book, shown = make(SECRET)
    book.add(LogEntry("error", "adaptor", f"Authorization: Basic {SECRET}"))
    assert shown == [LogEntry("error", "adaptor", f"Authorization: Basic {REDACTED}")]


def test_what_might_become_a_secret_waits_for_the_flush():
    """The line is then let out with its own step."""
    book, shown = make(SECRET)
    book.add(info(SECRET[:8]))
    assert shown == []
    book.flush()
    assert messages(shown) == [SECRET[:8]]
