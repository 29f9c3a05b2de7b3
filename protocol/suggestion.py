"""Suggestions for a name that is probably misspelt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MAX_CANDIDATES: Final = 5_000
"""To compare names is slow: among more names than these nothing is suggested."""

NEAR: Final = 0.7
"""The similarity of a name that somebody probably meant, from 0 to 1 (`difflib`)."""

NEAR_AMONG_FEW: Final = 0.6
"""The same among the names of one module or of the modules that are allowed: those are few and known."""

_MAX_LISTED: Final = 16
"""Most names in a list of the allowed ones: a longer list does not help."""


def nearest(name: str, known: Iterable[str], similarity: float = NEAR) -> str | None:
    """Return the member of *known* that is most like *name*, if one is alike at all; case counts."""
    from difflib import get_close_matches  # slow to load, and needed for a message only

    close = get_close_matches(name, list(known), n=1, cutoff=similarity)
    return close[0] if close else None


def suggest(name: str, known: Collection[str]) -> str | None:
    """Return the member of *known* that is nearest to *name*, if it is near enough.

    Upper and lower case are the same.  Names as short as ``z`` and ``y`` share only their length,
    so a name with one wrong character is near at any length.
    """
    if len(known) > MAX_CANDIDATES:
        return None
    folded: dict[str, str] = {}
    for candidate in known:
        folded.setdefault(candidate.casefold(), candidate)
    wanted = name.casefold()
    close = nearest(wanted, folded)
    if close is not None:
        return folded[close]
    distances = {key: distance for key in folded if (distance := _slip(wanted, key)) is not None}
    return folded[min(distances, key=distances.__getitem__)] if distances else None


def hint(name: str, known: Collection[str], *, kind: str = "known") -> str:
    """Return the end of an error message about an unknown *name*.

    The end is ``; did you mean 'y'?``, or a list of the known names (``; known: a, b``), or empty
    if they are too many.
    """
    nearest = suggest(name, known)
    if nearest is not None:
        return f"; did you mean {shorten(nearest)}?"
    if 0 < len(known) <= _MAX_LISTED:
        return f"; {kind}: {', '.join(shorten(candidate) for candidate in known)}"
    return ""


def shorten(text: str, limit: int = 60, *, quoted: bool = True) -> str:
    """Return *text* in quotes, control characters escaped, cut to about *limit* characters."""
    shown = repr(text[:limit])
    return f"{shown if quoted else shown[1:-1]}{'' if len(text) <= limit else '...'}"


def _slip(name: str, candidate: str) -> int | None:
    """Return the distance in the alphabet of the only character in which the names differ."""
    if len(name) != len(candidate):
        return None
    wrong = [abs(ord(a) - ord(b)) for a, b in zip(name, candidate, strict=True) if a != b]
    return wrong[0] if len(wrong) == 1 else None
