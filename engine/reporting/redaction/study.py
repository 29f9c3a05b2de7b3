"""Reading the secrets of a configuration, which may take long and so can be done in any thread."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from engine.reporting.redaction.matcher import Matcher
from engine.reporting.redaction.needles import secrets_of
from engine.reporting.redaction.spellings import parts_of, spellings_of_part

MAX_SPELLINGS: Final = 40_000
"""Needles of one run, enough for 3000 ordinary secrets; what is learnt later is looked for only as it
is.  A needle takes some 15 microseconds to be compiled."""

MAX_SPELLED_BYTES: Final = 32_000_000
"""Their length.  It is what they take in memory, and secrets may be long."""

_MANY: Final = 1000
"""So many needles, which take 15 ms, are compiled at once, and not when they are first needed."""


class Studied:
    """The needles that one configuration adds.  Its repr shows no secret."""

    def __init__(self) -> None:
        self.secrets: set[str | bytes] = set()
        self.parts: set[bytes] = set()
        """The secrets and their lines, as they are."""
        self.needles: set[bytes] = set()
        """The parts in all their spellings, as far as the budget goes."""
        self.matcher: Matcher | None = None
        """Finds the needles, if they are many."""

    def __repr__(self) -> str:
        return f"<Studied, {len(self.secrets)} secrets>"

    @property
    def size(self) -> int:
        """The length of all needles, in bytes."""
        return sum(map(len, self.needles))


def study(
    configuration: object,
    public_keys: frozenset[str],
    *,
    known: Collection[str | bytes] = (),
    spellings_left: int | None = None,
    bytes_left: int | None = None,
) -> Studied:
    """Return what is to be looked for because of a configuration.

    Args:
        configuration: Any value that a resolver may return.
        public_keys: Casefolded.
        known: Secrets that need not be studied again.
        spellings_left: The budget of the run; by default the whole of it.
        bytes_left: Likewise, in bytes.

    """
    studied = Studied()
    spellings = MAX_SPELLINGS if spellings_left is None else spellings_left
    size = MAX_SPELLED_BYTES if bytes_left is None else bytes_left
    for secret in secrets_of(configuration, public_keys):
        if secret in known or secret in studied.secrets:
            continue
        studied.secrets.add(secret)
        for part in parts_of(secret):
            if part in studied.parts:
                continue
            studied.parts.add(part)
            forms = {part}
            if spellings > 0 and size > 0:
                forms = spellings_of_part(part)
                spellings -= len(forms)
                size -= sum(map(len, forms))
            studied.needles |= forms
    if len(studied.needles) >= _MANY:
        studied.matcher = Matcher(studied.needles)
    return studied
