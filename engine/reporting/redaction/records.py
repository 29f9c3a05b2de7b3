"""Redaction of records, such as log messages, that may share a secret.

A secret may begin in one record and end in the next.  So text that could be the beginning of a secret is
held back until that is clear; everything before it goes out at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from engine.reporting.redaction.spans import replace_spans

Record = TypeVar("Record")

_HARMLESS_CHARACTERS: Final = 2
"""A record does not wait if this number of characters, or fewer, at its end could begin a
secret."""

_MUCH_CHARACTERS: Final = 1_024
"""A possible beginning of a secret that is not longer is searched after each added text."""

_MANY_RECORDS: Final = 1_000
"""Most records that wait for one secret."""

_HUGE_CHARACTERS: Final = 65_536
"""Length of a text whose search takes 5 ms."""


class SecretFinder(Protocol):
    """The part of a redactor that finds secrets in texts."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the places of secrets in *text*, in characters and in order."""

    def own_spans(self, text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return those of *spans* that hide something in a message of the engine."""

    def settled(self, text: str) -> int:
        """Return up to where nothing that follows *text* can change how it is redacted."""


class _Opening:
    """The end of a text that may be the beginning of a secret.

    A search takes time that grows with the length of this end.  It is put off while the added text
    is short compared with the end.  So the time of all searches grows only with the whole text.
    """

    def __init__(self, finder: SecretFinder) -> None:
        self._finder = finder
        self._looked_at = ""
        self._added: list[str] = []
        self._added_characters = 0

    def __len__(self) -> int:
        return len(self._looked_at) + self._added_characters

    def add(self, text: str) -> None:
        """Add the text that follows."""
        self._added.append(text)
        self._added_characters += len(text)

    @property
    def waits(self) -> bool:
        """Whether it is too early to search."""
        known = len(self._looked_at)
        return known > _MUCH_CHARACTERS and self._added_characters < known // 2

    @property
    def text(self) -> str:
        """The whole end."""
        return "".join((self._looked_at, *self._added))

    def settle(self) -> str:
        """Return, and forget, the part whose redaction cannot change with later text."""
        text = self.text
        settled = self._finder.settled(text)
        self._looked_at = text[settled:]
        self._added, self._added_characters = [], 0
        return text[:settled]

    def take(self) -> str:
        """Return, and forget, the whole end."""
        text = self.text
        self._looked_at, self._added, self._added_characters = "", [], 0
        return text


class _Held(NamedTuple, Generic[Record]):
    """A record that waits, and the place of its text among the texts of all records."""

    record: Record
    text: str
    begin: int
    end: int


class RecordRedactor(Generic[Record]):
    """Redacts records that each have a text, such as log messages, and keeps their order.

    A secret that was written in several records is taken out of all of them.  A record is held back
    only while its text ends in three or more characters that begin a secret.  With fewer such
    characters, which many words have, it goes out, and the rest of the secret is hidden.  The same
    holds after `flush`.  In a message of the engine the fixed parts stay.  The object is not
    thread-safe.

    The time grows with the length of the texts, however they are cut into records.
    """

    def __init__(self, finder: SecretFinder, is_own: Callable[[Record], bool]) -> None:
        self._finder = finder
        self._is_own = is_own
        self._opening = _Opening(finder)
        """The text that is not settled; its beginning may have gone out already."""
        self._settled = 0
        """The place where that text begins."""
        self._end = 0
        self._spans: deque[tuple[int, int]] = deque()
        """Spans of secrets before that place, as far as records there wait."""
        self._held: deque[_Held[Record]] = deque()

    def feed(self, record: Record, text: str) -> list[tuple[Record, str]]:
        """Add a record; return the records that are now settled, with their texts redacted."""
        begin, self._end = self._end, self._end + len(text)
        if begin == self._settled and not self._held and self._is_settled(text):
            self._settled = self._end  # the way of nearly every line
            return [(record, text)]
        self._held.append(_Held(record, text, begin, self._end))
        self._opening.add(text)
        if len(self._held) > _MANY_RECORDS:
            return self.flush()
        if self._opening.waits:
            return []
        before = self._settled
        self._settle()
        if len(self._opening) <= _HARMLESS_CHARACTERS:
            return self._let_out(len(self._held), ())
        return [] if self._settled == before else self._let_out(self._count_settled(), ())

    def flush(self) -> list[tuple[Record, str]]:
        """Return the records that were held back, because they must not wait longer."""
        if not self._held:
            return []
        within = [(0, len(self._opening))]
        if not self._opening.waits or len(self._opening) < _HUGE_CHARACTERS:
            self._settle()
            within = self._finder.spans(self._opening.text)
        # Otherwise all of it counts as a secret, because a search at each step would take too long.
        return self._let_out(len(self._held), within)

    def _is_settled(self, text: str) -> bool:
        """Whether *text* contains no secret, and its end cannot begin a secret."""
        return self._finder.settled(text) == len(text) and not self._finder.spans(text)

    def _settle(self) -> None:
        settled = self._opening.settle()
        found = self._finder.spans(settled)
        self._spans.extend((self._settled + start, self._settled + stop) for start, stop in found)
        self._settled += len(settled)

    def _count_settled(self) -> int:
        """Return the number of records that need not wait.

        A record waits if a part of it is not settled, or if it shares a secret with a record that
        waits.
        """
        count = len(self._held)
        wait_from = self._settled
        spans = len(self._spans)
        while count and self._held[count - 1].end > wait_from:
            count -= 1
            begin = self._held[count].begin
            while spans and self._spans[spans - 1][1] > begin:
                spans -= 1
                wait_from = min(wait_from, self._spans[spans][0])
        return count

    def _let_out(self, count: int, within: Iterable[tuple[int, int]]) -> list[tuple[Record, str]]:
        """Return the first *count* records, with secrets in them and in the opening replaced."""
        spans = self._spans
        spans.extend((self._settled + start, self._settled + stop) for start, stop in within)
        redacted = []
        for _ in range(count):
            record, text, begin, end = self._held.popleft()
            inside = []
            while spans and spans[0][0] < end:
                start, stop = spans[0]
                if stop > begin:
                    inside.append((max(start, begin) - begin, min(stop, end) - begin))
                if stop > end:
                    break  # the next record has a part of this secret, too
                spans.popleft()
            if inside and text:
                if self._is_own(record):
                    inside = self._finder.own_spans(text, inside)
                text = replace_spans(text, inside)
            redacted.append((record, text))
        if not self._held:
            spans.clear()
        return redacted
