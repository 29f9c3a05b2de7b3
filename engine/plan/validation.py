"""Finds every problem of a plan, with its JSON path, before a process is started.

The checks need no interpreter: they cover names, types, and the shape of the graph.  Jobs and
conditions are compiled only in the child, because compiling hostile text can crash a process.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from engine.api import PlanError, PlanWarning, Problem
from engine.plan.graph import find_cycles
from engine.plan.joins import warnings_of_joins
from engine.plan.objects import IGNORED_KEYS, Findings, PlanObject
from engine.plan.permissions import problems_of_run
from engine.plan.source import name_type, read_plan
from engine.plan.steps import Node, read_steps
from protocol.plan import Plan, PlanOptions, Workflow
from protocol.suggestion import hint, shorten

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from engine.api import Permissions

PLAN_KEYS = ("id", "workflow", "options", "meta")
WORKFLOW_KEYS = ("id", "name", "start", "globals", "credentials", "steps", "meta")
OPTION_KEYS = ("start", "end", "timeout", "step_timeout")
IGNORED_OPTION_KEYS = ("cursor",)

_CARRIED_META = ("meta", "workflow.meta")
"""The places of a `meta` that the event ``workflow-start`` carries; that of a step is ignored."""

MAX_HINTS = 25
"""Number of wrong ids that are compared with all right ids; further ones are only named."""


def load_plan(
    source: Plan | Mapping[str, Any] | str | bytes | os.PathLike[str],
    *,
    start: str | None = None,
    end: str | None = None,
    permissions: Permissions | None = None,
    warn: Callable[[str], object] | None = None,
    new_id: str | None = None,
) -> Plan:
    """Return the checked plan; a later change of *source* does not change it.

    The result and every step in it have an id, and loading it again gives the same plan.

    Args:
        source: A `dict` or `Plan`, JSON text, the path object of a ``.json`` plan or a ``.py`` job,
            or a string that is the source of one job.  See `engine.plan.source`.
        start: The id of the step to start with, in place of the plan's.
        end: The id of the step to end with, in place of the plan's.
        permissions: The permissions of the run, which steps can only narrow; None if they are not
            known.
        warn: Takes a sentence for each key that is ignored or has no effect; by default the
            sentence is a `PlanWarning` of Python's `warnings`.
        new_id: The id for a plan that does not have one; by default a new UUID.

    Raises:
        PlanError: The plan is wrong.  All its problems are in `PlanError.problems`.

    """
    findings = Findings()
    plan = _read(read_plan(source), findings, start, end, permissions, new_id)
    if permissions is not None:
        findings.problems += problems_of_run(permissions)
    if findings.problems or plan is None:
        raise PlanError(findings.problems)
    for key, path in findings.ignored.items():
        (warn or _warn)(_ignored(key, path))
    for sentence in findings.warnings:
        (warn or _warn)(sentence)
    return plan


def _ignored(key: str, path: str) -> str:
    where = "" if key == path else f" ({path})"
    if path in _CARRIED_META:
        return f"the key {key!r}{where} has no meaning for a run; workflow-start carries it"
    return f"the key {key!r}{where} is ignored: it has no meaning for a run"


def _warn(sentence: str) -> None:
    """Warn with the place of the caller of the engine, however deep inside the engine this is."""
    level = 1
    frame = sys._getframe()  # noqa: SLF001 - what `warnings` itself does
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
        level += 1
    warnings.warn(sentence, PlanWarning, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in {"engine", "jobcell"}


def _read(
    source: Any,
    findings: Findings,
    start: object,
    end: object,
    permissions: Permissions | None,
    new_id: str | None,
) -> Plan | None:
    problems = findings.problems
    if not isinstance(source, (Mapping, msgspec.Struct)):
        problems.append(Problem("plan", f"must be an object, not {name_type(source)}"))
        return None
    # Older plans of the JavaScript runtime have the jobs at the top, next to id and options.
    keys = set(source.__struct_fields__ if isinstance(source, msgspec.Struct) else source)
    flat = "workflow" not in keys and bool(keys & {"steps", "jobs"})
    known = (*WORKFLOW_KEYS, "options") if flat else PLAN_KEYS
    plan = PlanObject(source, "", findings, known=known, ignored=IGNORED_KEYS)
    workflow = plan if flat else plan.child("workflow", known=WORKFLOW_KEYS, ignored=IGNORED_KEYS)
    plan_id = plan.text("id", empty=False, quoted=True)
    written = plan.child("options", known=OPTION_KEYS, ignored=IGNORED_OPTION_KEYS)
    options = PlanObject({}, "options", findings, known=()) if written is None else written
    given = PlanObject({"start": start, "end": end}, "options", findings, known=OPTION_KEYS)
    own_start, own_end = _step_id(options, "start"), _step_id(options, "end")
    start_id, end_id = _step_id(given, "start"), _step_id(given, "end")
    plan_options = PlanOptions(
        start=start_id or own_start,
        end=end_id or own_end,
        timeout=options.duration_ms("timeout"),
        step_timeout=options.duration_ms("step_timeout"),
    )
    meta = plan.mapping("meta")
    if workflow is None:
        if "workflow" not in plan:
            plan.note("workflow", "is missing; a plan has a workflow, which has steps")
        return None
    if not flat:
        meta = {**workflow.mapping("meta"), **meta}
    nodes = read_steps(workflow, permissions)
    checked = Workflow(
        steps=tuple(node.step for node in nodes),
        id=None if flat else workflow.text("id"),
        name=workflow.text("name"),
        start=_step_id(workflow, "start"),
        globals=workflow.text("globals", what="text (Python source)"),
        credentials=workflow.secrets("credentials"),
    )
    graph = _Graph(nodes, problems)
    graph.check_id(checked.start, workflow.where("start"))
    for step_id in dict.fromkeys((own_start, start_id)):
        graph.check_id(step_id, "options.start")
    for step_id in dict.fromkeys((own_end, end_id)):
        graph.check_id(step_id, "options.end")
    graph.check_edges()
    read = Plan(
        id=plan_id or new_id or str(uuid4()), workflow=checked, options=plan_options, meta=meta
    )
    if not problems and isinstance(source, Mapping):  # a `Plan` was warned of when it was loaded
        steps = {node.path: node.step for node in nodes}
        findings.warnings += warnings_of_joins(steps, read.start, plan_options.end)
    return read


def _step_id(reader: PlanObject, name: str) -> str | None:
    return reader.text(name, what="the id of a step", empty=False, quoted=True)


class _Graph:
    """The steps by their ids, to check references to them."""

    def __init__(self, nodes: Sequence[Node], problems: list[Problem]) -> None:
        self._nodes = nodes
        self._problems = problems
        self._places: dict[str, int] = {}
        for place, node in enumerate(nodes):
            self._places.setdefault(node.step.id, place)
        self._hints: dict[str, str] = {}

    def check_id(self, step_id: str | None, path: str) -> None:
        """Note a problem if *step_id* is given, but no step has it."""
        if step_id is None or step_id in self._places:
            return
        if step_id not in self._hints and len(self._hints) < MAX_HINTS:
            self._hints[step_id] = hint(step_id, self._places, kind="there are")
        message = f"no step has the id {shorten(step_id, 40)}{self._hints.get(step_id, '')}"
        self._problems.append(Problem(path, message))

    def check_edges(self) -> None:
        """Note edges that lead to an unknown step or in a circle.

        Disabled edges count as well, because somebody may enable them later.
        """
        edges: list[list[int]] = []
        for node in self._nodes:
            for target, path in node.edge_paths.items():
                self.check_id(target, path)
            edges.append([self._places[t] for t in node.step.next if t in self._places])
        for cycle in find_cycles(edges):
            names = [shorten(self._nodes[place].step.id, quoted=False) for place in cycle.nodes]
            if cycle.left_out:
                names.insert(len(names) // 2, f"... ({cycle.left_out} more)")
            target = self._nodes[cycle.target].step.id
            path = self._nodes[cycle.source].edge_paths[target]
            round_trip = " -> ".join([*names, names[0]])
            self._problems.append(Problem(path, f"closes a cycle: {round_trip}"))
