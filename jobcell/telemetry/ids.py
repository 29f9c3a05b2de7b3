"""Lets a tracer give a span the id that was chosen for it."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator


class PlannedIds(IdGenerator):
    """Gives out ids that were planned for the next span of the thread, and otherwise those of another generator."""

    def __init__(self, inner: IdGenerator) -> None:
        self._inner = inner
        self._next = threading.local()

    def plan(self, span_id: str, trace_id: str | None = None) -> None:
        """Give the next span of this thread these ids; the trace id counts for a span without a parent."""
        self._next.span_id = int(span_id, 16)
        self._next.trace_id = None if trace_id is None else int(trace_id, 16)

    def generate_span_id(self) -> int:
        """Return the planned id, or a new one."""
        planned: int | None = getattr(self._next, "span_id", None)
        self._next.span_id = None
        return self._inner.generate_span_id() if planned is None else planned

    def generate_trace_id(self) -> int:
        """Return the planned id, or a new one."""
        planned: int | None = getattr(self._next, "trace_id", None)
        self._next.trace_id = None
        return self._inner.generate_trace_id() if planned is None else planned

    def is_trace_id_random(self) -> bool:
        """Return what the other generator says of its ids; newer SDKs ask for it."""
        return bool(getattr(self._inner, "is_trace_id_random", lambda: True)())


def planned_ids(tracer: Any) -> PlannedIds | None:
    """Return the generator of a tracer, which takes planned ids; None: the tracer is not one of the SDK."""
    if not isinstance(tracer, Tracer):
        return None
    ids = tracer.id_generator
    if not isinstance(ids, PlannedIds):
        ids = PlannedIds(ids)
        tracer.id_generator = ids
    return ids
