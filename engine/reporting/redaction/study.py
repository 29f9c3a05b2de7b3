"""Finds the secrets of a configuration; this may take long, and so any thread can do it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from engine.reporting.redaction.matcher import Matcher
from engine.reporting.redaction.needles import secrets_of
from engine.reporting.redaction.spellings import parts_of, spellings_of_part

MAX_SPELLINGS: Final = 40_000
"""Most needles of a run, enough for 3000 ordinary secrets; later secrets are searched for only as
they are.  Compiling a needle takes about 15 microseconds."""

MAX_SPELLED_BYTES: Final = 32_000_000
"""Most bytes of these needles.  They take that much memory, and secrets may be long."""

_MANY: Final = 1000
"""This number of needles, which takes 15 ms, is compiled at once and not at its first use."""


class Studied:
    """The needles that a configuration adds.  The repr does not show secrets."""

    def __init__(self) -> None:
        self.secrets: set[str | bytes] = set()
        self.parts: set[bytes] = set()
        """The secrets and their lines, without other spellings."""
        self.needles: set[bytes] = set()
        """The parts in all their spellings, as far as the budget allows."""
        self.matcher: Matcher | None = None
        """The matcher of the needles, if they are many."""

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
    """Return the needles of a configuration.

    Args:
        configuration: Any value that a resolver may return.
        public_keys: The public keys, casefolded.
        known: Secrets that need not be studied again.
        spellings_left: The rest of the run's budget of needles; by default the whole budget.
        bytes_left: The same for the budget of bytes.

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
