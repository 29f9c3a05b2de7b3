"""Methods with regular expressions, whose pattern is already in Python's words.

`jobcell import` writes the pattern, and only for expressions that mean the same in both languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .objects import only_units
from .texts import text
from .values import Error, kind


def matches(pattern: str, value: Any, *, wide: bool = False) -> bool:
    """Return `/pattern/.test(value)`.

    Args:
        pattern: The expression, for `re` with the rules of ASCII.
        value: Any value; its text is searched.
        wide: Whether the expression can match half of a character beyond U+FFFF, which is an error then.

    """
    return _found(pattern).search(_searched(text(value), wide)) is not None


def replaced(value: Any, pattern: str, new: Any, *, every: bool = False, wide: bool = False) -> str:
    """Return `value.replace(/pattern/, new)`; with *every* the expression has the flag g.

    Args:
        value: A text.
        pattern: As for `matches`.
        new: A text, or a function of the text that was found.
        every: Whether all places are replaced.
        wide: As for `matches`.

    """
    if not isinstance(value, str):
        raise Error(f"{kind(value)} has no method 'replace' that is translated")
    made: Callable[[re.Match[str]], str]
    if callable(new):
        made = lambda found: text(new(found[0]))  # noqa: E731 - one of two
    else:
        written = text(new)
        if "$" in written:
            raise Error("replace: '$' in the new text has a meaning of its own")
        made = lambda _: written  # noqa: E731
    return _found(pattern).sub(made, _searched(value, wide), count=0 if every else 1)


def split_at(value: Any, pattern: str, *, wide: bool = False) -> list[str]:
    """Return `value.split(/pattern/)`; the arguments are those of `replaced`."""
    if not isinstance(value, str):
        raise Error(f"{kind(value)} has no method 'split' that is translated")
    return _found(pattern).split(_searched(value, wide))


def _found(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _searched(value: str, wide: bool) -> str:
    return only_units(value) if wide else value
