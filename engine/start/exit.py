"""How a child ended."""

from __future__ import annotations

import msgspec


class Exit(msgspec.Struct, frozen=True):
    """How a child ended, as the kernel reports it: an exit code or a signal, and its usage."""

    code: int | None = None
    signal: int | None = None
    cpu_s: float = 0.0
    peak_bytes: int = 0
    lost: str | None = None
    """Why the status is unknown, if the zygote that waited for the child is gone as well."""
    refused: int | None = None
    """The error number, if the child could not be forked at all."""
    orphaned: bool = False
    """The zygote died, and the child with it."""
