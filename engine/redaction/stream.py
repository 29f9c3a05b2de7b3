"""Redaction of text that arrives in pieces.

A secret may begin in one piece and end in the next.  So what could be the beginning of one is
held back until it is clear what it is; everything before it goes out at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from protocol.events import REDACTED

if TYPE_CHECKING:
    from engine.redaction.scrub import Redactor

Record = TypeVar("Record")

_HARMLESS_CHARACTERS: Final = 2
"""So many characters of a secret, at the end of a record, are shown rather than waited for."""


class StreamRedactor:
    """One stream of text, such as the standard output of a child.  Not thread-safe."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, text: str) -> str:
        """Add *text*; return what is safe to emit by now, which may be nothing."""
        text = self._held + text
        settled = self._redactor.settled(text)
        self._held = text[settled:]
        return self._redactor.text(text[:settled])

    def flush(self) -> str:
        """Return what was held back: the stream has ended, or must not wait any longer."""
        held, self._held = self._held, ""
        return self._redactor.text(held)


class RecordRedactor(Generic[Record]):
    """Records that each have a text, such as log messages: each goes out as one, in order.

    A secret that was written in several records is taken out of all of them.  A record is held
    back only while its text ends in three or more characters that begin a secret; with fewer,
    which any word may do, it goes out, and what follows of the secret is hidden.  Likewise
    after `flush`.  In a message of the engine its fixed parts stay.  Not thread-safe.
    """

    def __init__(self, redactor: Redactor, is_own: Callable[[Record], bool]) -> None:
        self._redactor = redactor
        self._is_own = is_own
        self._said = ""
        """The end of what went out, where it may be the beginning of a secret."""
        self._held: list[tuple[Record, str]] = []

    def feed(self, record: Record, text: str) -> list[tuple[Record, str]]:
        """Add a record; return those that are settled by it, with their texts redacted."""
        self._held.append((record, text))
        joined = self._joined()
        settled = self._redactor.settled(joined)
        if len(joined) - settled <= _HARMLESS_CHARACTERS:
            return self._let_out(len(self._held), joined[settled:])
        spans = self._redactor.spans(joined[:settled])
        count, end = len(self._held), len(joined)
        # A record that has a part in what is not settled waits, and so does one that shares a
        # secret with a record that waits.
        while count and (end > settled or any(start < end < stop for start, stop in spans)):
            count -= 1
            end -= len(self._held[count][1])
        return self._let_out(count, "") if count else []

    def flush(self) -> list[tuple[Record, str]]:
        """Return the records that were held back: they must not wait any longer."""
        joined = self._joined()
        return self._let_out(len(self._held), joined[self._redactor.settled(joined) :])

    def _joined(self) -> str:
        return self._said + "".join(text for _, text in self._held)

    def _let_out(self, count: int, said: str) -> list[tuple[Record, str]]:
        records, self._held = self._held[:count], self._held[count:]
        before, self._said = self._said, said
        spans = self._redactor.spans(before + "".join(text for _, text in records))
        if not spans:
            return records
        redacted = []
        begin = len(before)
        for record, text in records:
            end = begin + len(text)
            inside = [
                (max(start, begin) - begin, min(stop, end) - begin)
                for start, stop in spans
                if start < end and stop > begin
            ]
            if inside and self._is_own(record):
                inside = self._redactor.own_spans(text, inside)
            redacted.append((record, replace_spans(text, inside)))
            begin = end
        return redacted


def replace_spans(text: str, spans: list[tuple[int, int]]) -> str:
    """Return *text* with ``[redacted]`` in place of each span."""
    if not spans:
        return text
    pieces = []
    done = 0
    for start, end in spans:
        pieces += [text[done:start], REDACTED]
        done = end
    pieces.append(text[done:])
    return "".join(pieces)
