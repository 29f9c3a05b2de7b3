"""The table of marks: patterns of sentences that a reader has to read twice.

A mark is often wrong and sometimes right.  Each kind of text therefore has a budget, in marks for
each 1,000 sentences.  Lower a budget when the texts have improved; never raise one.
"""

import re
from dataclasses import dataclass

LONG_WORDS = 30
"""A sentence with more words than this is long."""

# Without "None", which is a value.
_NEGATION = r"(?:[Nn]ot|[Nn]ever|[Nn]o|[Nn]othing|[Nn]obody|none|nowhere|cannot|\w+n't)"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


OPENING = "bare opening"
LONG = "long"
MARKS: dict[str, re.Pattern[str]] = {
    # "Who needs this sets ..."; a question may begin in this way.
    OPENING: re.compile(r"^(?:What|Who|Whoever|Whatever|One|That|Which)\b(?!.*\?$)"),
    # "...; what it holds is lost", "...: who knows it finds ..."
    "clause": _pattern(r"; (?:and |but |or )?(?:what|who|which|one|that)\b|: who\b"),
    # "is not" in place of `a run is no job`.
    "is no": re.compile(r"\b(?:is|are|was|were|be|been) (?:no (?!longer|more\b)|none\b|nothing\b)"),
    "tell": _pattern(r"\b(?:tells?|told|telling)\b"),
    # "except" in place of `all save the last`.
    "save": _pattern(r"\bsave (?:for|that|the last|the first|where|when|in|by|of|one|those)\b"),
    "so many": _pattern(r"\bso (?:many|much|few|little)\b"),
    "stands": _pattern(r"\b(?:stands?|stood|standing)\b"),
    "in turn": _pattern(r"\bin turns?\b"),
    # At most five words apart: two clauses with a negation each are not a double negation.
    "double negation": re.compile(
        rf"\b{_NEGATION}\b(?: [^\s,;:.()]+){{0,5}} (?:{_NEGATION}|without|unless)\b"
    ),
    "rare word": _pattern(
        r"\b(?:whoever|whomever|whatsoever|thereof|therein|thereby|whereby|wherein|whence|lest"
        r"|amiss|aught|naught|utili[sz]e[sd]?|leverages?|nowise|forthwith|heretofore)\b"
    ),
}


@dataclass(frozen=True)
class Budget:
    """The limits of one kind of text, for each 1,000 sentences."""

    marks: float
    openings: float
    long: float


GOAL = Budget(marks=25, openings=3, long=60)
"""The goal of every kind of text."""

BUDGETS: dict[str, Budget] = {
    "documents": Budget(marks=18, openings=6, long=20),
    "decisions": Budget(marks=12, openings=3, long=15),
    "docstrings": Budget(marks=12, openings=3, long=10),
    "comments": Budget(marks=12, openings=3, long=10),
    "messages": Budget(marks=12, openings=1, long=10),
    "test docstrings": Budget(marks=6, openings=2, long=5),
    "test comments": Budget(marks=12, openings=3, long=10),
}
"""Today's budget of each kind of text; a kind that is not here has the goal."""
