"""The module `jobcell_context`: facts about the running step, which nobody can change.

Each realm of adaptors has a module of its own, and so has each scope of a job.  A module looks a
fact up each time when code reads it.  So an adaptor that is kept from step to step, or called back
later, gets the facts of the step that runs at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from protocol.trace import Trace

if TYPE_CHECKING:
    from sandbox_child.facts.access import Access

FACTS: Final = "jobcell_context"

__all__ = ["FACTS", "Facts", "facts", "make_facts_module", "set_facts", "watch_facts"]


class Facts(NamedTuple):
    """The attributes of the module; None while no step runs."""

    run_id: str | None = None
    step_id: str | None = None
    attempt: int | None = None
    """The number of the attempt, from 1."""
    idempotency_key: str | None = None
    """``run_id:step_run_id``, the same in every attempt."""
    traceparent: str | None = None
    """The place of the attempt in a trace, as W3C Trace Context writes it; None without a trace."""
    tracestate: str | None = None
    """The header that goes with it; it may be empty."""


_now: tuple[str, str, str, int, Trace | None] | None = None
"""The arguments of the last call of `set_facts`."""


_reader: Callable[[], object] | None = None


def watch_facts(reader: Callable[[], object] | None) -> None:
    """Have *reader* called when code reads a fact, or asks for a collection; None ends that."""
    global _reader  # noqa: PLW0603 - a warm zygote imports one set of adaptors
    _reader = reader


_find: Callable[[], Access] | None = None
"""Returns the object that carries out requests for collections; None while no job runs."""


def set_access(find: Callable[[], Access] | None) -> None:
    """Note how to find the object that carries out requests for collections; None: no job runs."""
    global _find  # noqa: PLW0603 - a child runs one step at a time
    _find = find


def find_access() -> Access | None:
    """Return the object that carries out requests for collections; None while no job runs."""
    note_reading()
    return None if _find is None else _find()


def note_reading() -> None:
    """Have the reader of `watch_facts` called, if there is one."""
    if _reader is not None:
        _reader()


def set_facts(
    run_id: str, step_id: str, step_run_id: str, attempt: int, trace: Trace | None = None
) -> None:
    """Note which attempt begins, and the trace of its run."""
    global _now  # noqa: PLW0603 - a child runs one step at a time
    _now = (run_id, step_id, step_run_id, attempt, trace)


def facts() -> dict[str, Any]:
    """Return the facts about the running step, by name."""
    return _facts_now()._asdict()


def _facts_now() -> Facts:
    note_reading()
    if _now is None:
        return Facts()
    run_id, step_id, step_run_id, attempt, trace = _now
    key = f"{run_id}:{step_run_id}"
    if trace is None:
        return Facts(run_id, step_id, attempt, key)
    parent = trace.attempt(step_run_id, attempt)
    return Facts(run_id, step_id, attempt, key, parent, trace.tracestate)


def make_facts_module() -> ModuleType:
    """Return a module whose attributes are the facts; nothing can be set or deleted in it."""

    class Context(ModuleType):
        """The facts about the running step that an adaptor may know."""

        __all__ = Facts._fields
        run_id = property(lambda _: _facts_now().run_id)
        step_id = property(lambda _: _facts_now().step_id)
        attempt = property(lambda _: _facts_now().attempt)
        idempotency_key = property(lambda _: _facts_now().idempotency_key)
        traceparent = property(lambda _: _facts_now().traceparent)
        tracestate = property(lambda _: _facts_now().tracestate)

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{FACTS} cannot be changed: {name!r}")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"{FACTS} cannot be changed: {name!r}")

        def __dir__(self) -> list[str]:
            return sorted(Facts._fields)

    return Context(FACTS, Context.__doc__)
