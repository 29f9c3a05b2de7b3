"""Waits for many runs at once: one query for all handles that the tasks of an event loop wait for."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from jobcell.store.errors import StoreUnavailableError

FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.25
"""Pauses between two looks into the store while somebody waits; each is longer than the last."""

LIVE_PAUSE_S: Final = 0.1
"""Longest pause of a watcher: an event is on the page of a run within 200 ms."""

_SHARE: Final = 4
"""A pause is at least so many times as long as the look before it, but not above `LONGEST_PAUSE_S`."""

AT_THE_END: Final = sys.maxsize
"""The number after which a task waits if only the end of the run interests it."""


class Standing(NamedTuple):
    """The state of a run in one look."""

    last_seq: int
    is_over: bool


class Watcher:
    """Looks into the store for the tasks of one event loop.

    Args:
        look: Returns the standing of each run that the store has.

    """

    def __init__(self, look: Callable[[Sequence[str]], Mapping[str, Standing]]) -> None:
        self._look = look
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}
        self._pause_s = FIRST_PAUSE_S
        self._task: asyncio.Task[None] | None = None

    async def wait(self, run_id: str, after: int) -> None:
        """Wait until a run has an event after a number, is over, or is not in the store any more.

        While the store is out of reach, the task waits on.

        Raises:
            StoreError: The store cannot be used.

        """
        loop = asyncio.get_running_loop()
        waiter = (after, loop.create_future())
        self._waiting.setdefault(run_id, []).append(waiter)
        self._pause_s = FIRST_PAUSE_S
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._watch())
        try:
            await waiter[1]
        finally:
            waiters = self._waiting[run_id]
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[run_id]

    async def _watch(self) -> None:
        while self._waiting:
            begin = time.monotonic()
            try:
                found = await asyncio.to_thread(self._look, tuple(self._waiting))
            except StoreUnavailableError:
                pass  # it may come back
            except Exception as error:  # noqa: BLE001 - the tasks that wait raise it
                self._fail(error)
            else:
                self._wake(found)
            least_s = _SHARE * (time.monotonic() - begin)
            await asyncio.sleep(min(max(self._pause_s, least_s), LONGEST_PAUSE_S))
            self._pause_s = min(self._pause_s * 1.5, LIVE_PAUSE_S)

    def _wake(self, found: Mapping[str, Standing]) -> None:
        for run_id, waiters in self._waiting.items():
            standing = found.get(run_id)
            for after, future in waiters:
                is_due = standing is None or standing.is_over or standing.last_seq > after
                if is_due and not future.done():
                    future.set_result(None)

    def _fail(self, error: Exception) -> None:
        for waiters in self._waiting.values():
            for _, future in waiters:
                if not future.done():
                    future.set_exception(error)
