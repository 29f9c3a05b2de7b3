"""The steps of a plan and the edges between them, as their author wrote them."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from engine.plan.joins import read_join
from engine.plan.objects import IGNORED_KEYS, PlanObject, join_path
from engine.plan.permissions import read_permissions
from engine.plan.source import is_blank, name_type, strip_blanks
from engine.plan.survival import read_on_death, read_retry
from protocol.plan import Edge, Step
from protocol.suggestion import shorten, suggest
from protocol.words import CONDITION_NAMES, NAMED_CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.api import Permissions

JOB_KEYS = ("retry", "timeout", "on_death", "permissions")
STEP_KEYS = (
    "id",
    "name",
    "expression",
    "adaptors",
    "configuration",
    "state",
    "next",
    "join",
    *JOB_KEYS,
)
EDGE_KEYS = ("condition", "label", "disabled")


_DEFAULTS = {"on_death": "end"}
"""The values that mean a missing key, for the keys of a loaded `Step` whose default is not None."""


class Node(NamedTuple):
    """A step, and the places of its parts in the plan."""

    step: Step
    edge_paths: dict[str, str]
    """For the id of each target, the path of the edge."""
    condition_paths: dict[str, str]
    """The same for the condition of each edge."""
    adaptor_paths: tuple[str, ...]
    """The path of each adaptor of the step."""
    path: str
    """The path of the step itself."""


def read_steps(workflow: PlanObject, permissions: Permissions | None = None) -> list[Node]:
    """Return the steps of a workflow as far as they can be read, each with an id.

    A step that is not an object is left out.  This function does not check that the targets of
    edges exist.

    Args:
        workflow: The reader of the workflow.
        permissions: The permissions of the run, which a step can only narrow; None if they are not
            known.

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
            ignored=IGNORED_KEYS,
            others_allowed=_is_trigger(value),
        )
        if reader is not None:
            readers.append(reader)
    ids = _name_steps(readers)
    return [
        _read_step(reader, step_id, permissions)
        for reader, step_id in zip(readers, ids, strict=True)
    ]


def _is_trigger(step: object) -> bool:
    """Return whether a step has no job; the other keys of a trigger are for other programs."""
    expression = (
        step.get("expression") if isinstance(step, Mapping) else getattr(step, "expression", None)
    )
    return expression is None or (isinstance(expression, str) and is_blank(expression))


def _name_steps(readers: Sequence[PlanObject]) -> list[str]:
    """Return the id of each step; steps without an id are ``job-1``, ``job-2``, ... in their order.

    A number is passed over if the author has used that name for a step.
    """
    ids = [reader.text("id", empty=False, quoted=True) for reader in readers]
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


def _read_step(reader: PlanObject, step_id: str, permissions: Permissions | None) -> Node:
    edges: dict[str, Edge] = {}
    edge_paths: dict[str, str] = {}
    condition_paths: dict[str, str] = {}
    for target, edge, path, condition_path in _read_edges(reader):
        edges[target] = edge
        edge_paths[target] = path
        condition_paths[target] = condition_path
    adaptors = _read_adaptors(reader)
    state = reader.get("state")
    expression = reader.text("expression", what="text (Python source)")
    is_job = expression is not None and not is_blank(expression)
    if not is_job:
        _warn_of_job_keys(reader)
    step = Step(
        id=step_id,
        name=reader.text("name"),
        expression=expression if is_job else None,
        adaptors=tuple(name for name, _ in adaptors),
        configuration=reader.secrets("configuration"),
        state=(
            reader.text("state", what="a state or the id of one", empty=False)
            if isinstance(state, str)
            else reader.value("state")
        ),
        next=edges,
        join=read_join(reader),
        retry=read_retry(reader) if is_job else None,
        timeout=reader.duration_ms("timeout") if is_job else None,
        on_death=read_on_death(reader) if is_job else "end",
        permissions=read_permissions(reader, permissions) if is_job else None,
    )
    paths = tuple(path for _, path in adaptors)
    return Node(step, edge_paths, condition_paths, paths, reader.path)


def _warn_of_job_keys(trigger: PlanObject) -> None:
    """Warn of keys that only a job can have; the other keys of a trigger are for other programs."""
    for name in JOB_KEYS:
        if name in trigger and trigger.get(name) != _DEFAULTS.get(name):
            trigger.warn(name, "is ignored: a step without an expression runs nothing")


def _read_adaptors(reader: PlanObject) -> list[tuple[str, str]]:
    """Return name and path of each adaptor of a step."""
    found = reader.get("adaptors")
    what = "the name of an adaptor, such as 'http' or 'http@1.0.0'"
    path = reader.where("adaptors")
    if found is None:
        return []
    if isinstance(found, (list, tuple)):
        named = [(value, f"{path}[{index}]") for index, value in enumerate(found)]
    elif isinstance(found, str):
        named = [(found, path)]
    else:
        reader.note("adaptors", f"must be {what}, or a list of such, not {name_type(found)}")
        return []
    checked = [
        (reader.check_text(value, place, what, empty=False), place) for value, place in named
    ]
    return [(name, place) for name, place in checked if name is not None]


def _read_edges(reader: PlanObject) -> list[tuple[str, Edge, str, str]]:
    """Return target, edge, path of the edge and path of its condition, for each edge of a step."""
    found = reader.get("next")
    path = reader.where("next")
    what = "the id of a step, or an object with such ids as keys"
    if found is None:
        return []
    if isinstance(found, str):
        target = reader.check_text(found, path, what, empty=False)
        return [] if target is None else [(target, Edge(), path, path)]
    if not isinstance(found, Mapping):
        reader.note("next", f"must be {what}, not {name_type(found)}")
        return []
    edges = []
    for key, value in found.items():
        place = join_path(path, key)
        target = reader.check_text(key, place, "the id of a step", empty=False, quoted=True)
        edge = _read_edge(reader, value, place)
        if target is not None and edge is not None:
            written = isinstance(value, (bool, str))
            edges.append((target, edge, place, place if written else join_path(place, "condition")))
    return edges


def _read_edge(step: PlanObject, value: object, path: str) -> Edge | None:
    if isinstance(value, bool):
        return Edge(condition=value)
    if isinstance(value, str):
        condition = _read_condition(step, value, path)
        return None if condition is None else Edge(condition=condition)
    reader = step.read(value, path, known=EDGE_KEYS, what=f"{_CONDITION}, or an object")
    if reader is None:
        return None
    given = reader.get("condition")
    if given is not None and not isinstance(given, bool):
        given = _read_condition(step, given, reader.where("condition"))
    return Edge(
        condition=True if given is None else given,
        label=reader.text("label"),
        disabled=reader.flag("disabled"),
    )


def _read_condition(step: PlanObject, value: object, path: str) -> str | None:
    """Return a condition; a named condition is returned without the white space around it."""
    text = step.check_text(value, path, _CONDITION, empty=False)
    if text is None:
        return None
    bare = strip_blanks(text)
    if not bare:
        step.add_problem(path, f"must be {_CONDITION}, not only white space")
    elif bare in NAMED_CONDITIONS:
        return bare
    elif (meant := _misspelt_name(bare)) is not None:
        shown = shorten(bare)
        step.add_problem(path, f"no condition has the name {shown}; did you mean {meant!r}?")
    return text


def _misspelt_name(text: str) -> str | None:
    """Return the named condition that *text* is close to, if *text* is a single unknown name."""
    name = text.replace("-", "_")  # `on-job-success` would be a subtraction of unknown names
    known = name in CONDITION_NAMES or hasattr(builtins, name) or keyword.iskeyword(name)
    return None if known or not name.isidentifier() else suggest(name, sorted(NAMED_CONDITIONS))


_CONDITION = "true, false, or a condition as text"
