"""The handle of one run: its events, its result, and the way to cancel it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from engine.api import EngineError
from engine.reporting.eventlog import EventLog
from engine.reporting.result import Outcome, RunResult
from protocol.events import AnyEvent

if TYPE_CHECKING:
    import asyncio


_BURIAL_S: Final = 1.0
"""Time that the kernel may take to end a killed child: milliseconds, and more under load."""


class Run:
    """A plan executed in a child.  Every method may be called from any thread.

    Iterate over it (``async for``) for its events, await it for its result.
    """

    def __init__(self, run_id: str, log: EventLog, cancel: Callable[[str], None]) -> None:
        self._id = run_id
        self._log = log
        self._cancel = cancel
        self._outcome: Outcome | None = None
        self._result: RunResult | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<Run {self.id} {'done' if self.done else 'going on'}>"

    @property
    def id(self) -> str:
        """The id of the run: that of its plan, or a generated id."""
        return self._id

    @property
    def done(self) -> bool:
        """Whether the last event has arrived; the child was then killed, or is gone."""
        return self._log.ended

    def poll(self, after: int | None = None, timeout_s: float | None = 0.0) -> list[AnyEvent]:
        """Return the events with ``seq > after``.

        Args:
            after: A number, or None for the events that this handle has not polled yet.
            timeout_s: Seconds to wait for the first of them; None waits until one comes or the run
                is over.

        Raises:
            ValueError: *after* is not a possible number of an event, or *timeout_s* is not a
                number.

        """
        if after is not None and (type(after) is not int or after < 0):
            raise ValueError(f"after must be the seq of an event, 0 or None, not {after!r}")
        _check_timeout(timeout_s)
        self._check_process()
        return self._log.read(after, timeout_s)

    def result(self, timeout_s: float | None = None) -> RunResult:
        """Wait until the child is gone and return the result; a failed job does not raise an error.

        Raises:
            TimeoutError: *timeout_s* seconds have passed; the run goes on.
            ValueError: *timeout_s* is not a number.

        """
        _check_timeout(timeout_s)
        self._check_process()
        if self.done and timeout_s is not None:
            timeout_s = max(timeout_s, _BURIAL_S)
        if not self._log.wait_closed(timeout_s):
            raise TimeoutError(f"run {self.id} is not over after {timeout_s:g} s; it goes on")
        if self._result is None:
            assert self._outcome is not None
            self._result = self._outcome.decode(self._log.decoded)
        return self._result

    def cancel(self, reason: str = "cancelled by the manager") -> None:
        """End the run with the error ``Cancelled``.  The call returns at once.

        It may be called again, after the end, from ``on_event`` and from a signal handler, because
        it does not take a lock.

        Raises:
            TypeError: *reason* is not text.

        """
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a str, not {type(reason).__name__}")
        self._check_process()
        # A message must not contain lone surrogates.
        self._cancel(reason.encode(errors="backslashreplace").decode())

    async def __aiter__(self) -> AsyncIterator[AnyEvent]:
        self._check_process()
        after = 0
        while True:
            done = self.done
            for event in self._log.read(after, 0.0):
                after = event.seq
                yield event
            if done:
                return
            await self._changed(after)

    def __await__(self) -> Generator[Any, None, RunResult]:
        return self._wait_result().__await__()

    async def _wait_result(self) -> RunResult:
        self._check_process()
        while not self._log.closed:
            await self._changed(None)
        return self.result()

    async def _changed(self, after: int | None) -> None:
        """Wait for an event with a number above *after*; with None, until the run is over."""
        import asyncio  # only a manager that awaits needs it

        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake() -> None:
            if after is None and not self._log.closed:
                return
            _call_soon(loop, changed.set)

        stop = self._log.listen(wake)
        try:
            if after is None:
                waits = not self._log.closed
            else:
                waits = not self.done and self._log.next_seq <= after + 1
            if waits:
                await changed.wait()
        finally:
            stop()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise EngineError(
                f"run {self.id} belongs to process {self._pid}; it cannot be followed from a"
                f" fork of it (process {os.getpid()})"
            )
        if sys.is_finalizing() and not self._log.closed:
            raise EngineError(f"run {self.id} cannot go on: the interpreter is ending")


def finish(run: Run, outcome: Outcome) -> None:
    """Record how *run* ended.  Its lane calls this once, when the child is gone.

    This is not a method, because users of the handle must not call it.
    """
    run._outcome = outcome  # noqa: SLF001 - this module's own class
    run._cancel = _nothing_to_cancel  # noqa: SLF001 - otherwise the handle would keep its lane
    run._log.close()  # noqa: SLF001


def raw_events(run: Run, after: int, timeout_s: float | None = 0.0) -> list[AnyEvent]:
    """Return the events with ``seq > after``; see `Run.poll`.

    Their states and the details of their errors may be bytes (`msgspec.Raw`). A store keeps these
    bytes, and so does not spend time on decoding them.
    """
    return run._log.read_raw(after, timeout_s)  # noqa: SLF001 - this module's own class


def peek_events(run: Run, after: int) -> list[AnyEvent]:
    """Return the events with ``seq > after`` for an onlooker, as `raw_events` does for the manager.

    They do not count as polled: nothing changes for the manager.
    """
    return run._log.peek_raw(after)  # noqa: SLF001 - this module's own class


def outcome_of(run: Run) -> Outcome | None:
    """Return how *run* ended, with its state as the child has encoded it; None while it goes on."""
    return run._outcome  # noqa: SLF001 - this module's own class


def on_change(run: Run, listener: Callable[[], None]) -> Callable[[], None]:
    """Have *listener* called after every event and after the end; return a function that stops this.

    The supervisor's thread calls it and holds a lock, so it must return at once and must not call
    the run.
    """
    return run._log.listen(listener)  # noqa: SLF001 - this module's own class


async def wait_change(run: Run, after: int | None) -> None:
    """Wait until *run* has an event with ``seq > after`` or is over; with None, until it is over."""
    await run._changed(after)  # noqa: SLF001 - this module's own class


def _check_timeout(timeout_s: float | None) -> None:
    if timeout_s is None:
        return
    number = isinstance(timeout_s, (int, float)) and not isinstance(timeout_s, bool)
    if not number or math.isnan(timeout_s):
        raise ValueError(f"timeout_s must be a number of seconds or None, not {timeout_s!r}")


def _nothing_to_cancel(_reason: str) -> None:
    pass


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        pass  # the loop was closed meanwhile, so it does not wait any more
