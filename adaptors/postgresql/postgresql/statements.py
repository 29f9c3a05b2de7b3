"""Finds the statements of a query that would end the transaction around it.

The server would carry them out, and nothing could undo what came before.  So the text is read before it is sent,
with the rules of PostgreSQL for texts, names and comments (chapter "Lexical Structure" of its manual).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_OPAQUE: Final = re.compile(
    r"""
      (?<!\w) e' (?: [^'\\] | \\. | '' )* '        # a text with escapes
    | ' (?: [^'] | '' )* '                         # a text
    | " (?: [^"] | "" )* "                         # a name
    | (?<![\w$]) \$ (?P<tag>[^\W\d]\w*)? \$ .*? \$ (?(tag)(?P=tag)) \$  # a text in dollars
    | --[^\r\n]*
    | (?P<comment>/\*)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"/\*|\*/")
_WORD: Final = re.compile(r"[^\W\d]\w*")
_ATOMIC: Final = re.compile(r"\bbegin\s+atomic\b", re.IGNORECASE)


def ending(query: str) -> str | None:
    """Return the words of the first statement that ends a transaction, such as `commit`; None if none of them does."""
    plain = "".join(_visible(query))
    has_body = _ATOMIC.search(plain) is not None  # of a function; it has an `end` of its own
    for statement in plain.split(";"):
        words = [
            match[0].lower() for match, _ in zip(_WORD.finditer(statement), range(3), strict=False)
        ]
        first = words[0] if words else ""
        if first in ("commit", "abort") or (first == "end" and not has_body):
            return first
        if first == "rollback" and "to" not in words:  # to a savepoint
            return first
        if words[:2] == ["prepare", "transaction"]:
            return " ".join(words[:2])
    return None


def _visible(query: str) -> Iterator[str]:
    """Yield the parts of a query without texts, names in quotes, and comments."""
    place = 0
    while found := _OPAQUE.search(query, place):
        yield query[place : found.start()]
        yield " "
        place = _end_of_comment(query, found.end()) if found["comment"] else found.end()
    yield query[place:]


def _end_of_comment(query: str, place: int) -> int:
    depth = 1  # they nest
    while depth and (found := _COMMENT.search(query, place)):
        depth += 1 if found[0] == "/*" else -1
        place = found.end()
    return len(query) if depth else place
