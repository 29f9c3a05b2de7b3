"""Joins of a plan: how one is written, and which of them can have no effect."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, cast

from engine.plan.source import name_type
from protocol.plan import is_live
from protocol.suggestion import hint, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.plan.objects import PlanObject
    from protocol.plan import Step

JOINS = ("any", "all")


def read_join(reader: PlanObject) -> Literal["any", "all"]:
    """Return the ``join`` of a step; ``any`` if it is missing."""
    value = reader.get("join")
    if value is None:
        return "any"
    if not isinstance(value, str):
        reader.note("join", f"must be 'any' or 'all', not {name_type(value)}")
    elif value not in JOINS:
        meant = hint(value, JOINS, kind="there are")
        reader.note("join", f"must be 'any' or 'all', not {shorten(value)}{meant}")
    else:
        return cast("Literal['any', 'all']", str.__str__(value))
    return "any"


def warnings_of_joins(steps: dict[str, Step], start: str, end: str | None) -> Iterator[str]:
    """Yield a warning for each join with a single edge, and for each that runs cannot reach.

    Args:
        steps: Those of a plan without problems, by the place of each in the plan.
        start: The id of the first step.
        end: The id of the step that ends the run, if there is one.

    """
    joins = {path: step.id for path, step in steps.items() if step.join == "all"}
    if not joins:
        return
    edges = Counter(target for step in steps.values() for target in step.next)
    reached = _reached(steps.values(), start, end)
    for path, step_id in joins.items():
        if step_id not in reached:
            why = "no run reaches this step: no edge that can be taken leads to it"
        elif step_id != start and edges[step_id] == 1:
            why = "only one edge leads to this step, so 'all' has no effect"
        else:
            continue
        yield f"{path}.join: {why} (step {shorten(step_id)})"


def _reached(steps: Iterable[Step], start: str, end: str | None) -> set[str]:
    following = {
        step.id: [target for target, edge in step.next.items() if is_live(edge)] for step in steps
    }
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        step_id = waiting.pop()
        if step_id in reached:
            continue
        reached.add(step_id)
        if step_id != end:  # the run is over when that step has run
            waiting += following[step_id]
    return reached
