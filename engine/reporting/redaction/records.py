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
"""So many characters of a secret, at the end of a record, are shown rather than waited for."""

_MUCH_CHARACTERS: Final = 1_024
"""A shorter beginning of a secret is looked at whenever something was added."""

_MANY_RECORDS: Final = 1_000
"""So many records wait for one secret; more do not."""

_HUGE_CHARACTERS: Final = 65_536
"""Takes 5 ms to look at."""


class SecretFinder(Protocol):
    """The part of a redactor that finds secrets in texts."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the places of secrets in *text*, in characters and in order."""

    def own_spans(self, text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return those of *spans* that hide something in a message of the engine."""

    def settled(self, text: str) -> int:
        """Return up to where nothing that follows *text* can change how it is redacted."""


class _Opening:
    """The end of a text, where it may be the beginning of a secret.

    To look for a secret takes time that grows with the length of this.  The looking is put off while
    little was added to much, so all of it together takes time that grows with the whole text only.
    """

    def __init__(self, finder: SecretFinder) -> None:
        self._finder = finder
        self._looked_at = ""
        self._added: list[str] = []
        self._added_characters = 0

    def __len__(self) -> int:
        return len(self._looked_at) + self._added_characters

    def add(self, text: str) -> None:
        """Add what follows."""
        self._added.append(text)
        self._added_characters += len(text)

    @property
    def waits(self) -> bool:
        """Whether it is too early to look."""
        known = len(self._looked_at)
        return known > _MUCH_CHARACTERS and self._added_characters < known // 2

    @property
    def text(self) -> str:
        """All of it."""
        return "".join((self._looked_at, *self._added))

    def settle(self) -> str:
        """Return, and forget, up to where nothing that follows can change how it is redacted."""
        text = self.text
        settled = self._finder.settled(text)
        self._looked_at = text[settled:]
        self._added, self._added_characters = [], 0
        return text[:settled]

    def take(self) -> str:
        """Return, and forget, all of it."""
        text = self.text
        self._looked_at, self._added, self._added_characters = "", [], 0
        return text


class _Held(NamedTuple, Generic[Record]):
    """A record that waits, and where its text is among the texts of all records."""

    record: Record
    text: str
    begin: int
    end: int


class RecordRedactor(Generic[Record]):
    """Records that each have a text, such as log messages: each goes out as one, in order.

    A secret that was written in several records is taken out of all of them.  A record is held
    back only while its text ends in three or more characters that begin a secret; with fewer,
    which any word may do, it goes out, and what follows of the secret is hidden.  Likewise
    after `flush`.  In a message of the engine its fixed parts stay.  Not thread-safe.

    Takes time that grows with the texts, however they are cut into records.
    """

    def __init__(self, finder: SecretFinder, is_own: Callable[[Record], bool]) -> None:
        self._finder = finder
        self._is_own = is_own
        self._opening = _Opening(finder)
        """What is not settled; the beginning of it may have gone out already."""
        self._settled = 0
        """Where that begins."""
        self._end = 0
        self._spans: deque[tuple[int, int]] = deque()
        """Where secrets are before that, as far as records there wait."""
        self._held: deque[_Held[Record]] = deque()

    def feed(self, record: Record, text: str) -> list[tuple[Record, str]]:
        """Add a record; return those that are settled by it, with their texts redacted."""
        begin, self._end = self._end, self._end + len(text)
        if begin == self._settled and not self._held and self._is_settled(text):
            self._settled = self._end  # nearly every line goes this way
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
        """Return the records that were held back: they must not wait any longer."""
        if not self._held:
            return []
        within = [(0, len(self._opening))]
        if not self._opening.waits or len(self._opening) < _HUGE_CHARACTERS:
            self._settle()
            within = self._finder.spans(self._opening.text)
        # Else all of it is taken for a secret, because to look once for each step takes too long.
        return self._let_out(len(self._held), within)

    def _is_settled(self, text: str) -> bool:
        """Whether nothing is to be hidden in *text*, and no secret begins at its end."""
        return self._finder.settled(text) == len(text) and not self._finder.spans(text)

    def _settle(self) -> None:
        settled = self._opening.settle()
        found = self._finder.spans(settled)
        self._spans.extend((self._settled + start, self._settled + stop) for start, stop in found)
        self._settled += len(settled)

    def _count_settled(self) -> int:
        """Return how many records wait for nothing.

        A record that has a part in what is not settled waits, and so does one that shares a secret
        with a record that waits.
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
        """Return the first *count* records, with the spans in them, and in the opening, replaced."""
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
                    break  # the next record has a part in it, too
                spans.popleft()
            if inside and text:
                if self._is_own(record):
                    inside = self._finder.own_spans(text, inside)
                text = replace_spans(text, inside)
            redacted.append((record, text))
        if not self._held:
            spans.clear()
        return redacted
