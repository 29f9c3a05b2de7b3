"""How a child ended."""

from __future__ import annotations

import msgspec


class Exit(msgspec.Struct, frozen=True):
    """How a child ended, as the kernel tells it: an exit code or a signal, and what it used."""

    code: int | None = None
    signal: int | None = None
    cpu_s: float = 0.0
    peak_bytes: int = 0
    lost: str | None = None
    """Why nobody can tell, where the one who waited for the child is gone as well."""
    refused: int | None = None
    """The error number, if there never was a child because none could be forked."""
    orphaned: bool = False
    """The zygote died, and the child with it."""
