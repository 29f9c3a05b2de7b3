"""The event loop of a run: made for the first job that awaits, and kept for clients of adaptors.

An adaptor's module lives as long as the run, and so does a client that has connections in this
loop.  Everything else that a step has begun ends with the step: its tasks, its asynchronous
generators, its timers and its callbacks.  The connections stay.  The loop is not closed at the end
of the run, because the process is killed.
"""

# ruff: noqa: SLF001 - only a closed loop ends what it holds through public names

from __future__ import annotations

import asyncio
import functools
import time
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from sandbox_child.pipes.channel import RunCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.pipes.channel import Channel

_END_S: Final = 1.0
"""Seconds in which all cancelled tasks of a step must end."""

_LAST_TURNS: Final = 10
"""Turns of the loop for callbacks that are due at the end of a step; closing a connection takes
two."""


class RunLoop:
    """Runs the awaitables of the jobs of a run.

    Args:
        channel: Brings the engine's message that the run must end.
        warn: Takes a line for the log of the step.

    """

    def __init__(self, channel: Channel, warn: Callable[[str], object]) -> None:
        self._channel = channel
        self._warn = warn
        self._loop: Any = None
        self._task: asyncio.Task[Any] | None = None
        self._stopped: RunCancelledError | None = None

    def run(self, awaitable: Any) -> Any:
        """Return the result of *awaitable*.

        Raises:
            RunCancelledError: The engine wants the run to end, and the job was cancelled.

        """
        if self._loop is None:
            # In an empty context, because the loop's own callbacks keep the context in which they
            # are made.
            self._loop = Context().run(self._make)
        task = self._task = self._loop.create_task(_wait(awaitable))
        try:
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError as error:
            if self._stopped is not None:
                raise self._stopped from None
            told = RuntimeError("the job cancelled itself")
            raise told.with_traceback(error.__traceback__) from None
        finally:
            self._task = None  # it holds the result

    def end_step(self, names: dict[str, Any]) -> None:
        """End all that the step has begun; close the loop if a task does not end.

        Args:
            names: The globals of the job, which identify its own callbacks.

        """
        loop = self._loop
        if loop is None:
            return
        end = time.monotonic() + _END_S
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            if not self._finish(left, end):
                break
        if not left and loop._asyncgens:
            closing = loop.create_task(loop.shutdown_asyncgens())
            left = set() if self._finish({closing}, end) else {closing}
            loop._asyncgens_shutdown_called = False  # there are more steps
        for _ in range(_LAST_TURNS):
            if left or not loop._ready:
                break
            loop.run_until_complete(_nothing())
        left |= asyncio.all_tasks(loop)
        if left:
            self._give_up(len(left))
        else:
            _forget(loop, names)

    def _make(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.add_reader(self._channel.requests_fd, self._on_request)
        return loop

    def _on_request(self) -> None:
        """Handle the only message of the engine while a job runs: the run must end."""
        try:
            self._channel.check_cancelled()
        except RunCancelledError as error:
            self._stopped = error
        if self._stopped is None and not self._channel.engine_gone:
            return
        self._loop.remove_reader(self._channel.requests_fd)
        if self._task is not None:
            self._task.cancel()

    def _finish(self, tasks: set[asyncio.Task[Any]], end: float) -> bool:
        """Run the loop until *tasks* are done; return whether they were done in time."""
        rest = end - time.monotonic()
        if rest > 0:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=rest))
        for task in tasks:
            if task.done():
                _take_exception(task)
        return all(task.done() for task in tasks)

    def _give_up(self, number: int) -> None:
        loop, self._loop = self._loop, None
        loop.close()
        tasks, they = ("task", "it was") if number == 1 else ("tasks", "they were")
        self._warn(
            f"{number} {tasks} of the step went on after {they} cancelled; the event loop was closed,"
            " with the connections that adaptors had in it"
        )


def _forget(loop: Any, names: dict[str, Any]) -> None:
    """Drop timers, callbacks, and handlers of the job, which would run during a later step.

    Source: `asyncio.base_events.BaseEventLoop` and `asyncio.selector_events`, the same in 3.11 to
        3.13.
    """
    for handle in (*loop._ready, *loop._scheduled):
        handle.cancel()
    for timer in loop._scheduled:
        timer._scheduled = False
    loop._ready.clear()
    loop._scheduled.clear()
    loop._timer_cancelled_count = 0
    for fd, key in list(loop._selector.get_map().items()):
        reader, writer = key.data
        if reader is not None and _is_of(reader._callback, names):
            loop._remove_reader(fd)
        if writer is not None and _is_of(writer._callback, names):
            loop._remove_writer(fd)


def _is_of(callback: Any, names: dict[str, Any]) -> bool:
    """Return whether *callback* is code of the job that has these globals."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    function = getattr(callback, "__func__", callback)
    if not hasattr(function, "__globals__"):
        function = vars(type(function)).get("__call__")
    return getattr(function, "__globals__", None) is names


def _take_exception(task: asyncio.Task[Any]) -> None:
    """Take the exception out of a task, where it would be in a cycle with the frames of the job.

    A cancelled task has such a cycle from Python 3.12 on.  Python would also report any other
    exception as never retrieved.
    """
    try:
        task.exception()
    except asyncio.CancelledError:
        pass


async def _wait(awaitable: Any) -> Any:
    result = await awaitable
    while hasattr(type(result), "__await__"):
        result = await result
    return result


async def _nothing() -> None:
    """Return at once, to give the loop one turn."""
