"""The headers that put a request into the trace of the run."""

from __future__ import annotations


def trace_headers() -> dict[str, str]:
    """Return `traceparent` and `tracestate` of the running attempt; none outside of a trace."""
    try:
        import jobcell_context
    except ImportError:
        return {}
    parent: str | None = getattr(jobcell_context, "traceparent", None)
    if parent is None:
        return {}
    state: str | None = jobcell_context.tracestate
    return {"traceparent": parent, **({"tracestate": state} if state else {})}
