"""Zygotes for runs with walls that the engine's own zygote lacks: another network, other paths.

The forks of a zygote cannot enter a namespace that it has left.  So a set of permissions that is
used again gets a zygote of its own, confined for exactly that set.  Their memory is limited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from engine.confinement import zygote_request
from protocol.confinement import ConfinementRequest
from protocol.limits import MEGABYTE

MOST_BYTES: Final = 256 * MEGABYTE
"""Most memory of all zygotes besides the engine's own."""

ZYGOTE_BYTES: Final = 20 * MEGABYTE
"""Memory of a zygote that is not there yet; it takes 19 MB, and a third of a second to load."""

MOST_SEEN: Final = 64
"""Sets of permissions that are remembered after their first run."""

IN_USE_S: Final = 10.0
"""A zygote that was used within this time is not given up for another."""


class Retirable(Protocol):
    """The part of a zygote that the shelf uses."""

    @property
    def memory_bytes(self) -> int | None:
        """Return the memory of its own; None if that cannot be read."""

    def retire(self) -> None:
        """End the zygote when its last child has ended."""

    def close(self) -> None:
        """End the zygote now."""


_Z = TypeVar("_Z", bound=Retirable)


class _Kept(Generic[_Z]):
    def __init__(self, zygote: _Z) -> None:
        self.zygote = zygote
        self.used = 0.0


class Shelf(Generic[_Z]):
    """Keeps zygotes by their request for walls; the least recently used goes first."""

    def __init__(self) -> None:
        self._kept: dict[ConfinementRequest, _Kept[_Z]] = {}
        self._seen: dict[ConfinementRequest, None] = {}

    def take(
        self, base: ConfinementRequest, renew: Callable[[ConfinementRequest, _Z | None], _Z]
    ) -> _Z | None:
        """Return a zygote for *base*; None if this run does not get one.

        The first run of a set of permissions gets None: only a set that comes back is worth a
        zygote.

        Args:
            base: The request that it must be confined for.
            renew: Returns a zygote for a request: the given zygote, if it can still be used.

        Raises:
            OSError: The zygote could not be started.

        """
        kept = self._kept.get(base)
        if kept is None:
            if base not in self._seen:
                self._remember(base)
                return None
            if not self._has_place():
                return None
            kept = _Kept(renew(base, None))
            del self._seen[base]
            self._kept[base] = kept
        else:
            kept.zygote = renew(base, kept.zygote)
        kept.used = time.monotonic()
        return kept.zygote

    def close(self) -> None:
        """End all zygotes."""
        for kept in self._kept.values():
            kept.zygote.close()
        self._kept.clear()

    def _remember(self, base: ConfinementRequest) -> None:
        if len(self._seen) >= MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[base] = None

    def _has_place(self) -> bool:
        """Return whether another zygote fits, and end some that were not used lately if it does then."""
        by_use = sorted(self._kept, key=lambda base: self._kept[base].used)
        sizes = {base: _size(self._kept[base].zygote) for base in by_use}
        ended: list[ConfinementRequest] = []
        while sum(sizes.values()) + ZYGOTE_BYTES > MOST_BYTES:
            oldest = by_use[len(ended)] if len(ended) < len(by_use) else None
            if oldest is None or time.monotonic() - self._kept[oldest].used < IN_USE_S:
                return False  # otherwise alternating sets would need a new zygote for every run
            ended.append(oldest)
            del sizes[oldest]
        for base in ended:
            self._kept.pop(base).zygote.retire()
        return True


def _size(zygote: Retirable) -> int:
    found = zygote.memory_bytes
    return ZYGOTE_BYTES if found is None else found


def walls_of(request: ConfinementRequest, limits: ConfinementRequest) -> ConfinementRequest:
    """Return the request for a warm zygote: the walls of *request*, with the limits of the engine.

    A fork can lower its limits only.  The zygote lives longer than a run, so its time of the processor
    is not limited.
    """
    walls = msgspec.structs.replace(
        request, memory_bytes=max(request.memory_bytes, limits.memory_bytes), cpu_s=None
    )
    if not walls.private_net:
        return walls
    # The rules of a private network are for the relay, and make no difference to the zygote.
    return msgspec.structs.replace(walls, net=_PRIVATE, net_bytes=None)


_PRIVATE: Final = ("*:443",)
"""Rules of a private network."""


def base_of(request: ConfinementRequest, limits: ConfinementRequest) -> ConfinementRequest:
    """Return the request for a zygote: the walls of *request*, with the limits of the engine.

    The scratch directory is left out, because each fork mounts its own.
    """
    limited = msgspec.structs.replace(
        request,
        required=limits.required,
        scratch_bytes=0,
        memory_bytes=limits.memory_bytes,
        cpu_s=limits.cpu_s,
    )
    return zygote_request(limited)
