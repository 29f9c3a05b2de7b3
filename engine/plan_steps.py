"""The steps of a plan and the edges between them, as their author wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from engine.plan_object import PlanObject, join_path
from engine.plan_source import name_type
from engine.suggestion import shorten
from protocol.plan import Edge, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP_KEYS = ("id", "name", "expression", "adaptors", "configuration", "state", "next")
EDGE_KEYS = ("condition", "label", "disabled")


class Node(NamedTuple):
    """A step, and where its edges are in the plan."""

    step: Step
    edge_paths: dict[str, str]
    """Id of the target to path of the edge."""


def read_steps(workflow: PlanObject) -> list[Node]:
    """Return the steps of a workflow as far as they can be read, all of them with an id.

    A step that is no object is left out.  Whether the targets of edges exist is not checked here.
    """
    found = workflow.get("steps")
    if found is None:
        workflow.note("steps", "is missing; a workflow has a list of steps")
        return []
    if not isinstance(found, (list, tuple)):
        workflow.note("steps", f"must be a list of steps, not {name_type(found)}")
        return []
    if not found:
        workflow.note("steps", "is empty; a workflow has one step or more")
    readers: list[PlanObject] = []
    for index, value in enumerate(found):
        reader = workflow.read(
            value,
            f"{workflow.where('steps')}[{index}]",
            known=STEP_KEYS,
            others_allowed=_is_trigger(value),
        )
        if reader is not None:
            readers.append(reader)
    ids = _name_steps(readers)
    return [_read_step(reader, step_id) for reader, step_id in zip(readers, ids, strict=True)]


def _is_trigger(step: object) -> bool:
    """Tell whether a step has no job; what else a trigger says is for other programs to read."""
    if isinstance(step, Mapping):
        return step.get("expression") is None
    return getattr(step, "expression", None) is None


def _name_steps(readers: Sequence[PlanObject]) -> list[str]:
    """Return the id of each step; those without one are ``job-1``, ``job-2``, ... in their order.

    A number that an author has used for a step of that name is passed over.
    """
    ids = [reader.text("id", empty=False) for reader in readers]
    first: dict[str, PlanObject] = {}
    for reader, step_id in zip(readers, ids, strict=True):
        if step_id is None:
            continue
        if step_id in first:
            reader.note("id", f"{first[step_id].path} has the id {shorten(step_id)} too")
        first.setdefault(step_id, reader)
    names: list[str] = []
    number = 0
    for step_id in ids:
        if step_id is None:
            number += 1
            while f"job-{number}" in first:
                number += 1
        names.append(step_id if step_id is not None else f"job-{number}")
    return names


def _read_step(reader: PlanObject, step_id: str) -> Node:
    edges: dict[str, Edge] = {}
    edge_paths: dict[str, str] = {}
    for target, edge, path in _read_edges(reader):
        edges[target] = edge
        edge_paths[target] = path
    state = reader.get("state")
    step = Step(
        id=step_id,
        name=reader.text("name"),
        expression=reader.text("expression", what="text (Python source)"),
        adaptors=_read_adaptors(reader),
        configuration=reader.secrets("configuration"),
        state=(
            reader.text("state", what="a state or the id of one", empty=False)
            if isinstance(state, str)
            else reader.value("state")
        ),
        next=edges,
    )
    return Node(step, edge_paths)


def _read_adaptors(reader: PlanObject) -> tuple[str, ...]:
    found = reader.get("adaptors")
    what = "the name of an adaptor, such as 'rest' or 'rest@2.1.0'"
    path = reader.where("adaptors")
    if found is None:
        return ()
    if isinstance(found, (list, tuple)):
        named = [(value, f"{path}[{index}]") for index, value in enumerate(found)]
    elif isinstance(found, str):
        named = [(found, path)]
    else:
        reader.note("adaptors", f"must be {what}, or a list of such, not {name_type(found)}")
        return ()
    checked = [reader.check_text(value, place, what, empty=False) for value, place in named]
    return tuple(name for name in checked if name is not None)


def _read_edges(reader: PlanObject) -> list[tuple[str, Edge, str]]:
    """Return target, edge and path of each edge of a step."""
    found = reader.get("next")
    path = reader.where("next")
    what = "the id of a step, or an object with such ids as keys"
    if found is None:
        return []
    if isinstance(found, str):
        target = reader.check_text(found, path, what, empty=False)
        return [] if target is None else [(target, Edge(), path)]
    if not isinstance(found, Mapping):
        reader.note("next", f"must be {what}, not {name_type(found)}")
        return []
    edges = []
    for key, value in found.items():
        place = join_path(path, key)
        target = reader.check_text(key, place, "the id of a step", empty=False)
        edge = _read_edge(reader, value, place)
        if target is not None and edge is not None:
            edges.append((target, edge, place))
    return edges


def _read_edge(step: PlanObject, value: object, path: str) -> Edge | None:
    if isinstance(value, bool):
        return Edge(condition=value)
    if isinstance(value, str):
        condition = step.check_text(value, path, _CONDITION, empty=False)
        return None if condition is None else Edge(condition=condition)
    reader = step.read(value, path, known=EDGE_KEYS, what=f"{_CONDITION}, or an object")
    if reader is None:
        return None
    given = reader.get("condition")
    if not isinstance(given, bool):
        given = reader.text("condition", what=_CONDITION, empty=False)
    return Edge(
        condition=True if given is None else given,
        label=reader.text("label"),
        disabled=reader.flag("disabled"),
    )


_CONDITION = "true, false, or a condition as text"
