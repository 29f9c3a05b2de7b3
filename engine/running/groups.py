"""The groups of steps that share a child: the steps of one group have the same permissions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from engine.api import CollectionRule, Permissions, RunOptions
from protocol.confinement import ConfinementRequest
from protocol.messages import Start
from protocol.plan import Workflow, is_live


class Groups(NamedTuple):
    """The groups of the steps of a run."""

    requests: tuple[ConfinementRequest, ...]
    """The walls of each group."""
    collections: tuple[tuple[CollectionRule, ...], ...]
    """The collections that each group may use."""
    by_step: dict[str, int]
    """Step id to group; empty if there is one group."""


def group_steps(
    workflow: Workflow, options: RunOptions, request: Callable[[RunOptions], ConfinementRequest]
) -> Groups:
    """Return the groups of steps with the same permissions."""
    run = options.permissions
    known = {run: 0}
    groups = {}
    for step in workflow.steps:
        own = run
        if (narrowed := step.permissions) is not None:
            own = Permissions(
                net=run.net if narrowed.net is None else narrowed.net,
                read=run.read if narrowed.read is None else narrowed.read,
                scratch_mb=run.scratch_mb
                if narrowed.scratch_mb is None
                else narrowed.scratch_mb or None,
                ca_file=run.ca_file if narrowed.ca_file is None else narrowed.ca_file,
                collections=run.collections
                if narrowed.collections is None
                else narrowed.collections,
            )
        groups[step.id] = known.setdefault(own, len(known))
    rules = tuple(own.collection_rules for own in known)
    if len(known) == 1:
        return Groups((request(options),), rules, {})
    walls = (msgspec.structs.replace(options, permissions=own) for own in known)
    return Groups(tuple(map(request, walls)), rules, groups)


def first_group(start: Start, groups: dict[str, int]) -> int:
    """Return the group of the first job that the walk comes to, as far as the plan alone says it."""
    if not groups:
        return 0
    steps = {step.id: step for step in start.workflow.steps}
    waiting = deque([start.start])
    while waiting:
        step = steps[waiting.popleft()]
        if step.expression is not None:
            return groups[step.id]
        waiting.extend(target for target, edge in step.next.items() if is_live(edge))
    return 0
