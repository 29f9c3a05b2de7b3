"""Decides which sets of adaptors have a warm zygote, and which of these has to go.

A set becomes warm at its second use within ten minutes, or because the manager has asked for it.
The private memory of all warm zygotes together is limited.  The least recently used goes first, but only
for a set that is used more often.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from engine.start.warm_files import Files, Notices, TooManyFilesError
from protocol.adaptor import AdaptorLink
from protocol.confinement import ConfinementRequest
from protocol.limits import MEGABYTE
from protocol.words import LogLevel
from protocol.zygote import AdaptorSet

SECOND_USE_S: Final = 600.0
"""Longest time between two uses that make a set warm, and the time until a refused set is tried
again."""

IMPORTING: Final = "it is being imported"
"""The reason of a set that is not warm yet."""

_NO_ROOM: Final = "other sets are used as often, and warm_mb allows no more"

MOST_SETS: Final = 256
"""Most sets that are remembered."""

_Key = tuple[ConfinementRequest, frozenset[AdaptorLink], LogLevel]
"""The runs with the same key are served by the same warm zygote."""


class WarmSet(msgspec.Struct, frozen=True):
    """A set of adaptors that runs have used together, or that the engine was to preload."""

    adaptors: tuple[str, ...]
    """The adaptors as ``name@version``."""
    warm: bool
    """Whether runs of the set are forked from an interpreter that has imported it."""
    memory_bytes: int = 0
    """The private memory of that interpreter, when it had imported the set."""
    reason: str | None = None
    """Why the set is not warm; None if it is."""


class Nursery(Protocol):
    """The part of a zygote that makes warm ones."""

    @property
    def usable(self) -> bool:
        """Whether it lives, and its root has the files that its paths name now."""

    def serves(self, request: ConfinementRequest) -> bool:
        """Return whether its forks can have these walls."""

    def warm(
        self, number: int, request: ConfinementRequest, adaptors: AdaptorSet, told: Told
    ) -> None:
        """Have a warm zygote forked; *told* hears how it goes."""

    def cool(self, number: int) -> None:
        """End a warm zygote."""


class Told(Protocol):
    """Hears of a warm zygote."""

    def warmed(self, number: int, memory_bytes: int) -> None:
        """Take note that it is ready."""

    def cooled(self, number: int, reason: str | None) -> None:
        """Take note that it has gone; None: with the zygote that it was forked from."""


class _Set:
    def __init__(
        self, request: ConfinementRequest, adaptors: AdaptorSet, *, wanted: bool = False
    ) -> None:
        self.request = request
        self.adaptors = adaptors
        self.wanted = wanted
        """Whether the manager has asked for it: then one use is enough."""
        self.used_s: float | None = None
        self.interval_s = 0.0
        """Time between its last two uses; 0 if there were none."""
        self.due = wanted
        self.number = 0
        """The number of its warm zygote; 0 if there is none."""
        self.warm = False
        self.memory_bytes = 0
        self.reason = "it was not used twice within ten minutes"
        self.refused_s: float | None = None
        """When it was refused."""
        self.nursery: Nursery | None = None
        self.files: Files | None = None

    def told(self) -> WarmSet:
        names = tuple(f"{link.name}@{link.version}" for link in self.adaptors.links)
        if self.warm:
            return WarmSet(names, warm=True, memory_bytes=self.memory_bytes)
        return WarmSet(names, warm=False, reason=self.reason)


class WarmSets:
    """The sets of an engine.  Its methods are for the supervisor's thread, except `told`.

    Args:
        most_bytes: The limit for the private memory of all warm zygotes.
        never: The reason why no set can be warm, if that is so.

    """

    def __init__(self, most_bytes: int, *, never: str | None = None) -> None:
        self._most_bytes = most_bytes
        self._never = never or ("warm_mb is 0" if most_bytes <= 0 else None)
        self._notices = Notices()
        self._sets: dict[_Key, _Set] = {}
        self._numbers: dict[int, _Set] = {}
        self._last = 0
        self._snapshot: tuple[WarmSet, ...] = ()

    # --- from any thread ---

    def told(self) -> list[WarmSet]:
        """Return the sets as they are now."""
        return list(self._snapshot)

    # --- from the starter ---

    def want(self, request: ConfinementRequest, adaptors: Iterable[AdaptorSet]) -> None:
        """Have sets become warm without a use."""
        for one in adaptors:
            made = self._sets[_key(request, one)] = _Set(request, one, wanted=True)
            made.reason = self._never or IMPORTING
        self._publish()

    def use(self, walls: ConfinementRequest, adaptors: AdaptorSet) -> tuple[int, Nursery | None]:
        """Count a use of a set; return the number of its warm zygote, or 0, and its parent.

        Args:
            walls: The walls of the run, with the limits of warm zygotes.
            adaptors: The adaptors that its steps name.

        """
        key = _key(walls, adaptors)
        one = self._sets.get(key)
        if one is None:
            one = self._sets[key] = _Set(walls, adaptors)
        now = time.monotonic()
        last, one.used_s = one.used_s, now
        one.interval_s = 0.0 if last is None else now - last
        self._forget_some()
        if self._never is not None:
            one.reason = self._never
        elif one.number:
            if self._serves(one):
                return (one.number, one.nursery) if one.warm else (0, None)
            self._end(one, "its files have changed")
            one.due = True
        elif one.refused_s is not None:
            one.due = now - one.refused_s > SECOND_USE_S or (
                one.files is not None and not one.files.unchanged()
            )
        else:
            one.due = one.due or one.wanted or (last is not None and now - last <= SECOND_USE_S)
        self._publish()
        return 0, None

    def warm_due(self, nursery: Nursery) -> None:
        """Have the next set that is due, and that *nursery* can serve, become warm."""
        if self._never is not None or any(
            one.number and not one.warm for one in self._sets.values()
        ):
            return  # one after another, so that imports do not take all processors
        for one in self._sets.values():
            if one.due and one.number == 0 and nursery.serves(one.request):
                if self._finds_room(one):
                    break
                # It is tried again at its next use.
                one.due, one.reason = False, _NO_ROOM
        else:
            self._publish()
            return
        one.due = False
        if one.files is not None:
            one.files.close()
        try:
            one.files = Files([link.path for link in one.adaptors.links], self._notices)
        except TooManyFilesError:
            self._refuse(one, "its directory has too many directories to watch for changes")
            return
        self._last += 1
        one.number, one.nursery = self._last, nursery
        one.reason = IMPORTING
        one.refused_s = None
        self._numbers[one.number] = one
        self._publish()
        nursery.warm(one.number, one.request, one.adaptors, self)

    def give_up(self, reason: str) -> None:
        """Take note that the sets that the manager has asked for cannot be imported now."""
        for one in self._sets.values():
            if one.due and one.number == 0:
                one.reason = self._never or reason
        self._publish()

    # --- from zygotes ---

    def warmed(self, number: int, memory_bytes: int) -> None:
        """See `Told.warmed`."""
        one = self._numbers.get(number)
        if one is None:
            return
        one.memory_bytes = memory_bytes
        if memory_bytes > self._most_bytes:
            self._refuse(
                one,
                f"it takes {memory_bytes / MEGABYTE:.0f} MB, and warm_mb allows"
                f" {self._most_bytes / MEGABYTE:.0f}",
            )
            return
        one.warm = True
        one.used_s = one.used_s or time.monotonic()
        self._make_room(one)
        self._publish()
        if one.nursery is not None:
            self.warm_due(one.nursery)

    def cooled(self, number: int, reason: str | None) -> None:
        """See `Told.cooled`."""
        one = self._numbers.pop(number, None)
        if one is None or one.number != number:
            return
        was_warm, nursery = one.warm, one.nursery
        one.number, one.warm, one.nursery = 0, False, None
        one.reason = reason or "the zygote that it was forked from has ended"
        if reason is None and was_warm:
            one.due = True
        else:
            one.refused_s = time.monotonic()
        self._publish()
        if reason is not None and nursery is not None:
            self.warm_due(nursery)

    # ---

    def _serves(self, one: _Set) -> bool:
        return (
            one.nursery is not None
            and one.nursery.usable
            and one.files is not None
            and one.files.unchanged()
        )

    def _finds_room(self, one: _Set) -> bool:
        """Return whether a set fits beside those that are used as often as it is.

        Without this, sets in turns would be imported and ended again for every run.
        """
        now = time.monotonic()
        kept_bytes = sum(
            other.memory_bytes
            for other in self._sets.values()
            if other.warm and other is not one and now - (other.used_s or 0) < one.interval_s
        )
        return kept_bytes + one.memory_bytes <= self._most_bytes

    def _make_room(self, newest: _Set) -> None:
        if not self._finds_room(newest):
            self._end(newest, _NO_ROOM)
            return
        while True:
            warm = [one for one in self._sets.values() if one.warm]
            if sum(one.memory_bytes for one in warm) <= self._most_bytes:
                return
            oldest = min(
                (one for one in warm if one is not newest), key=lambda one: one.used_s or 0
            )
            self._end(oldest, "other sets were used since, and warm_mb allows no more")

    def _refuse(self, one: _Set, reason: str) -> None:
        self._end(one, reason)
        one.refused_s = time.monotonic()

    def _end(self, one: _Set, reason: str) -> None:
        nursery, number = one.nursery, one.number
        self._numbers.pop(number, None)
        one.number, one.warm, one.nursery, one.reason = 0, False, None, reason
        if nursery is not None:
            nursery.cool(number)
        self._publish()

    def close(self) -> None:
        """Stop looking at files; zygotes end by themselves."""
        self._notices.close()

    def _forget_some(self) -> None:
        if len(self._sets) <= MOST_SETS:
            return
        idle = [key for key, one in self._sets.items() if not one.number and not one.wanted]
        if len(idle) > 1:
            del self._sets[min(idle, key=lambda key: self._sets[key].used_s or 0)]

    def _publish(self) -> None:
        self._snapshot = tuple(one.told() for one in self._sets.values())


def _key(walls: ConfinementRequest, adaptors: AdaptorSet) -> _Key:
    return walls, frozenset(adaptors.links), adaptors.log_level
