"""The handle of a run in a store.  Its methods are those of `engine.Run`."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

from engine.reporting import RunResult
from jobcell.store.errors import StoreUnavailableError
from jobcell.store.reading import OVER, Progress, Reader
from jobcell.store.watching import AT_THE_END, FIRST_PAUSE_S, LONGEST_PAUSE_S, Watcher
from protocol.events import AnyEvent, WorkflowComplete, WorkflowError


class StoreRun:
    """A run in a store.  Every method may be called from any thread, and in a fork.

    Iterate over it (``async for``) for its events, await it for its result.  While the store is out of
    reach, `poll` and `result` try again until their time is up; after that the handle is as good as
    before.
    """

    def __init__(
        self,
        run_id: str,
        reader: Reader,
        cancel: Callable[[str, str], None],
        watcher: Callable[[], Watcher],
    ) -> None:
        self._id = run_id
        self._watcher = watcher
        self._reader = reader
        self._cancel = cancel
        self._lock = threading.Lock()
        self._polled = 0
        self._is_over = False
        self._result: RunResult | None = None

    def __repr__(self) -> str:
        return f"<StoreRun {self.id}>"

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._id

    @property
    def done(self) -> bool:
        """Whether the run is over and its last event is in the store.

        Raises:
            UnknownRunError: The run was pruned.
            StoreUnavailableError: The store is out of reach.

        """
        if not self._is_over:
            self._is_over = self._reader.status(self.id) in OVER
        return self._is_over

    def poll(self, after: int | None = None, timeout_s: float | None = 0.0) -> list[AnyEvent]:
        """Return the events with ``seq > after``.

        Args:
            after: A number, or None for the events that this handle has not polled yet.
            timeout_s: Seconds to wait for the first of them; None waits until one comes or the run
                is over.

        Raises:
            ValueError: *after* is not a possible number of an event, or *timeout_s* is not a
                number.
            UnknownRunError: The store has no such run; it may have been pruned.
            StoreUnavailableError: The store was out of reach when the time was up.

        """
        if after is not None and (type(after) is not int or after < 0):
            raise ValueError(f"after must be the seq of an event, 0 or None, not {after!r}")
        check_timeout(timeout_s)

        def look() -> list[AnyEvent] | None:
            progress = self._look(after)
            return progress.events if progress.events or progress.is_over else None

        return self._wait(look, timeout_s) or []

    def result(self, timeout_s: float | None = None) -> RunResult:
        """Wait until the run is over and return the result; a failed job does not raise an error.

        Raises:
            TimeoutError: *timeout_s* seconds have passed; the run goes on.
            ValueError: *timeout_s* is not a number.
            UnknownRunError: The store has no such run; it may have been pruned.
            StoreUnavailableError: The store was out of reach when the time was up.

        """
        check_timeout(timeout_s)
        if self._result is None:
            self._result = self._wait(lambda: self._reader.result(self.id), timeout_s)
        if self._result is None:
            raise TimeoutError(f"run {self.id} is not over after {timeout_s:g} s; it goes on")
        return self._result

    def cancel(self, reason: str = "cancelled by the manager") -> None:
        """End the run with the error ``Cancelled``.

        A run that waits in the queue is over when the call returns.  The worker of a run that is going on
        learns of it within its next heartbeat.  The call may be repeated, also after the end.

        Raises:
            TypeError: *reason* is not text.
            UnknownRunError: The store has no such run.
            StoreUnavailableError: The store was out of reach for 30 seconds.

        """
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a str, not {type(reason).__name__}")
        # Neither a message nor PostgreSQL takes a lone surrogate, and PostgreSQL no NUL either.
        told = reason.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
        self._cancel(self.id, told)

    async def __aiter__(self) -> AsyncIterator[AnyEvent]:
        after = 0
        while True:
            progress = await self._read_async(lambda seq=after: self._look(seq))  # type: ignore[misc]
            for event in progress.events:
                after = event.seq
                yield event
            if progress.is_over:
                return
            await self._watcher().wait(self.id, after)

    def __await__(self) -> Generator[Any, None, RunResult]:
        return self._wait_result().__await__()

    async def _wait_result(self) -> RunResult:
        while self._result is None:
            self._result = await self._read_async(lambda: self._reader.result(self.id))
            if self._result is None:
                await self._watcher().wait(self.id, AT_THE_END)
        return self._result

    def _look(self, after: int | None) -> Progress:
        with self._lock:
            start = self._polled if after is None else after
        progress = self._reader.events(self.id, start)
        last = progress.events[-1] if progress.events else None
        with self._lock:
            if after is None and self._polled > start:  # another thread has read them
                rest = [event for event in progress.events if event.seq > self._polled]
                progress = progress._replace(events=rest)
            if last is not None:
                self._polled = max(self._polled, last.seq)
        if isinstance(last, WorkflowComplete | WorkflowError) or progress.is_over:
            self._is_over = True
        return progress

    def _wait(self, look: Callable[[], Any], timeout_s: float | None) -> Any:
        """Call *look* until it returns something, or until the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            lost: StoreUnavailableError | None = None
            try:
                found = look()
                if found is not None:
                    return found
            except StoreUnavailableError as error:
                lost = error
            left_s = pause_s if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                if lost is not None:
                    raise lost
                return None
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)

    async def _read_async(self, read: Callable[[], Any]) -> Any:
        """Call *read* in a thread, until the store is in reach."""
        import asyncio  # only a manager that awaits needs it

        while True:
            try:
                return await asyncio.to_thread(read)
            except StoreUnavailableError:
                await asyncio.sleep(LONGEST_PAUSE_S)  # as with `timeout_s=None`, it may come back


async def wait_change(run: StoreRun, after: int | None) -> None:
    """Wait until *run* has an event with ``seq > after`` or is over; with None, until it is over.

    All tasks of an event loop share one query. While the store is out of reach, the task waits on.
    """
    await run._watcher().wait(run.id, AT_THE_END if after is None else after)  # noqa: SLF001 - this module's own class


def check_timeout(timeout_s: float | None) -> None:
    """Check a number of seconds.

    Raises:
        ValueError: It is not a number.

    """
    if timeout_s is None:
        return
    number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not number or math.isnan(timeout_s):
        raise ValueError(f"timeout_s must be a number of seconds or None, not {timeout_s!r}")
