"""The name that somebody probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_CANDIDATES = 5_000
"""Comparing names is slow: among more than this many nothing is suggested."""

MAX_LISTED = 16
"""A longer list of what is allowed helps nobody."""


def suggest(name: str, known: Collection[str]) -> str | None:
    """Return the member of *known* that is nearest to *name*, if one is near.

    Case does not count.  Names as short as ``z`` and ``y`` have nothing in common but their
    length, so one wrong character is near whatever the length.
    """
    if len(known) > MAX_CANDIDATES:
        return None
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.casefold(), candidate)
    wanted = name.casefold()
    close = get_close_matches(wanted, folded, n=1, cutoff=0.7)
    if close:
        return folded[close[0]]
    distances = {key: distance for key in folded if (distance := _slip(wanted, key)) is not None}
    return folded[min(distances, key=distances.__getitem__)] if distances else None


def hint(name: str, known: Collection[str], *, kind: str = "known") -> str:
    """Return the end of an error message about an unknown *name*.

    ``; did you mean 'y'?``, or what there is (``; known: a, b``), or nothing if that is too much.
    """
    nearest = suggest(name, known)
    if nearest is not None:
        return f"; did you mean {shorten(nearest)}?"
    if 0 < len(known) <= MAX_LISTED:
        return f"; {kind}: {', '.join(shorten(candidate) for candidate in known)}"
    return ""


def shorten(text: str, limit: int = 60, *, quoted: bool = True) -> str:
    """Return *text* in quotes, control characters escaped, cut to about *limit* characters."""
    shown = repr(text[:limit])
    return f"{shown if quoted else shown[1:-1]}{'' if len(text) <= limit else '...'}"


def _slip(name: str, candidate: str) -> int | None:
    """Return how far apart in the alphabet the one character is in which the names differ."""
    if len(name) != len(candidate):
        return None
    wrong = [abs(ord(a) - ord(b)) for a, b in zip(name, candidate, strict=True) if a != b]
    return wrong[0] if len(wrong) == 1 else None
