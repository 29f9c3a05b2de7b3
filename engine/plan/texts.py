"""The texts of a plan that a child can check: jobs, conditions and the globals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.plan.objects import Findings, PlanObject
from engine.plan.steps import Node, read_steps
from engine.plan.validation import OPTION_KEYS, PLAN_KEYS, WORKFLOW_KEYS
from protocol.checks import CheckedText
from protocol.words import NAMED_CONDITIONS

Resolve = Callable[[str, str, str | None], str | None]


class PlacedText(msgspec.Struct, frozen=True):
    """A text of a plan, and its place."""

    text: CheckedText
    path: str
    step_id: str | None
    adaptor_paths: dict[str, str] = {}
    """For each adaptor, as ``name@version``, its place in the plan."""


def texts_of(source: Any, resolve: Resolve) -> list[PlacedText]:
    """Return the texts of a plan, the globals first, as far as the plan can be read.

    Args:
        source: The plan as data; it may have problems.
        resolve: Takes an adaptor, its path and its step. Returns ``name@version``, or None if the
            adaptor cannot be used.

    """
    ignored = Findings()
    keys = set(source.__struct_fields__ if isinstance(source, msgspec.Struct) else source)
    flat = "workflow" not in keys and bool(keys & {"steps", "jobs"})
    known = (*WORKFLOW_KEYS, "options") if flat else PLAN_KEYS
    plan = PlanObject(source, "", ignored, known=(*known, *OPTION_KEYS))
    workflow = plan if flat else plan.child("workflow", known=WORKFLOW_KEYS)
    if workflow is None:
        return []
    texts: list[PlacedText] = []
    every: dict[str, str] = {}
    for node in read_steps(workflow):
        if node.step.expression is not None:
            job = _job(node, resolve)
            every.update(job.adaptor_paths)
            texts.append(job)
        texts += _conditions(node)
    helpers = workflow.text("globals")
    if helpers is not None:
        text = CheckedText(kind="globals", source=helpers, adaptors=tuple(every))
        unknown = any(one.text.scope != "known" for one in texts)
        if unknown:
            text = msgspec.structs.replace(text, scope="unknown")
        texts.insert(0, PlacedText(text, workflow.where("globals"), None, every))
    return texts


def _job(node: Node, resolve: Resolve) -> PlacedText:
    step = node.step
    paths: dict[str, str] = {}
    known = True
    for spec, path in zip(step.adaptors, node.adaptor_paths, strict=True):
        label = resolve(spec, path, step.id)
        known = known and label is not None
        if label is not None:
            paths[label] = path
    assert step.expression is not None
    text = CheckedText(
        kind="job",
        source=step.expression,
        step_id=step.id,
        adaptors=tuple(paths),
        scope="known" if known else "unknown",
    )
    return PlacedText(text, f"{node.path}.expression", step.id, paths)


def _conditions(node: Node) -> list[PlacedText]:
    return [
        PlacedText(
            CheckedText(kind="condition", source=edge.condition, step_id=node.step.id),
            node.condition_paths[target],
            node.step.id,
        )
        for target, edge in node.step.next.items()
        if isinstance(edge.condition, str)
        and edge.condition not in NAMED_CONDITIONS
        and not edge.disabled
    ]
