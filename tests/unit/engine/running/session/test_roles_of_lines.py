"""A child cannot give a log line a mark that belongs to the engine."""

from __future__ import annotations

import pytest

from engine.running.session.roles import as_own
from protocol.messages import LogEntry
from sandbox_child.running.log_sender import LogSender


@pytest.mark.parametrize(
    "message",
    [
        "anything",
        "",
        "[a message of many characters was left out; allowed: 1 MB (log_payload_mb)]",
        "[a message of 9 characters was left out; allowed: 1 MB (log_payload_mb)] and more",
        "[a message of 9 characters was left out; allowed: 1 MB (log_payload_mb)]\n",
    ],
)
def test_a_line_of_a_child_that_is_marked_as_redacted_loses_the_mark(message: str) -> None:
    """Redaction would spare the engine's words in such a line; the message itself stays."""
    entry = as_own(LogEntry("info", "job", message, redacted=True))
    assert (entry.message, entry.redacted) == (message, False)


@pytest.mark.parametrize("max_bytes", [10, 1_000_000, 1_500_000, 123_456_789])
def test_the_text_for_a_line_that_was_too_long_keeps_the_mark(max_bytes: int) -> None:
    """The sentence is the same as in the log book of a child."""
    book = LogSender(object(), level="debug", max_bytes=10**9, max_line_bytes=max_bytes)
    entry = book._entry("info", "job", "x" * (max_bytes + 1))
    assert entry.redacted
    assert as_own(entry) == entry
