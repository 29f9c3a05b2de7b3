"""Events of runs as they come, for clients that wait for them without a thread each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, Final

from litestar.response import ServerSentEventMessage

from engine import AnyEvent, to_json
from jobcell.server.backend import Away, Backend, UnknownRun

OVER: Final = frozenset({"done", "dead"})
"""The states of runs that are over."""

PORTION: Final = 500
"""Events that a stream reads at once."""

READERS: Final = 2
"""Largest number of requests whose events are read at once. To pack many events takes a processor, and more
threads for it would hold up every other request."""

_PING_S: Final = 15.0
_AWAY_S: Final = 1.0


async def messages(
    backend: Backend,
    run_id: str,
    after: int,
    closing: asyncio.Event,
    reading: asyncio.Semaphore,
) -> AsyncIterator[ServerSentEventMessage]:
    """Yield the events of a run; a client that reads slowly has only a portion of them in memory.

    Args:
        backend: Has the run.
        run_id: Its id.
        after: The `seq` of the last event that the client has.
        closing: Set when the server ends.
        reading: Held while events are read; see `READERS`.

    """
    while not closing.is_set():
        try:
            async with reading:
                found, is_end = await asyncio.to_thread(_portion, backend, run_id, after)
        except Away:
            yield ServerSentEventMessage(data=None, comment="the runs are out of reach for now")
            await first_of(closing.wait(), asyncio.sleep(_AWAY_S))
            continue
        except UnknownRun:
            is_end, found = True, []  # it was removed in the meantime
        for message in found:
            yield message
            after = int(message.id or after)
        if is_end:
            yield ServerSentEventMessage(data="{}", event="end")
            return
        if not found:
            async for comment in _pings(backend, run_id, after, closing):
                yield comment


def _portion(
    backend: Backend, run_id: str, after: int
) -> tuple[list[ServerSentEventMessage], bool]:
    """Return the next messages of a run, and whether nothing comes after them."""
    is_over = backend.row(run_id).state in OVER  # before the events: afterwards no event comes
    found = backend.poll(run_id, after, PORTION)
    is_end = is_last(found[-1]) if found else is_over
    messages = [
        ServerSentEventMessage(data=to_json(event), id=event.seq, event=event.type)
        for event in found
    ]
    return messages, is_end


async def _pings(
    backend: Backend, run_id: str, after: int, closing: asyncio.Event
) -> AsyncIterator[ServerSentEventMessage]:
    """Wait for an event, the end, or the end of the server; yield a sign of life now and then."""
    waiting = asyncio.ensure_future(first_of(backend.wait(run_id, after), closing.wait()))
    try:
        while not (await asyncio.wait((waiting,), timeout=_PING_S))[0]:
            yield ServerSentEventMessage(data=None, comment="still here")
        with suppress(Away, UnknownRun):  # the next look at the run says so
            waiting.result()
    finally:
        waiting.cancel()


async def first_of(*waits: Coroutine[Any, Any, object], timeout_s: float | None = None) -> None:
    """Wait until one of these is done, or until the time is up; end the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


def is_last(event: AnyEvent) -> bool:
    """Return whether an event is the last one of its run."""
    return event.type in {"workflow-complete", "workflow-error"}
