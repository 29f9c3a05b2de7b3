"""The trace of a run as the text of a column."""

from __future__ import annotations

from protocol.trace import Trace


def pack_trace(trace: Trace | None) -> str | None:
    """Return the text of a trace: the ``traceparent``, and the ``tracestate`` after a space."""
    return None if trace is None else f"{trace.traceparent} {trace.tracestate}".rstrip(" ")


def unpack_trace(text: str | None) -> Trace | None:
    """Return the trace of a text; None also for a text that is not one: no run fails for its trace."""
    if text is None:
        return None
    traceparent, _, tracestate = text.partition(" ")
    try:
        return Trace(traceparent, tracestate)
    except ValueError:
        return None
