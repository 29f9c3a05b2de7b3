"""`jobcell run --cache-steps`: a run that takes the results of its first steps from earlier runs.

The engine replays them as it replays a journal: in the order of the walk, up to the first step that
has to run. A result is taken only if the input, the job, and its adaptors are the same.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from engine import StepRecord
from engine.journal import describe_run, fingerprint
from jobcell.reuse.step_cache import StepCache, facts_of_plan, facts_of_step
from protocol.plan import Plan, Step, is_live
from protocol.state import encode_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class CachedSteps:
    """A journal that gives the results of earlier runs, and keeps those of this run."""

    def __init__(
        self, cache: StepCache, plan: Plan, state: Any, hashes: Mapping[str, str], *, fresh: bool
    ) -> None:
        """Look for results.

        Args:
            cache: The results of earlier runs.
            plan: The checked plan.
            state: The initial state.
            hashes: The hash of the files of each adaptor.
            fresh: Whether no earlier result is taken.

        """
        self._cache = cache
        self._steps = {step.id: step for step in plan.workflow.steps}
        self._hashes = dict(hashes)
        self._common = cache.digest(facts_of_plan(plan))
        self._end = plan.options.end
        self._inputs: dict[str, list[bytes]] = {}
        self._known: set[str] = set()
        """The steps whose records have been seen, each of them once."""
        self._extra = describe_run(fingerprint(plan, state, own_id=True), plan.id)
        given = state if state is None or isinstance(state, str) else bytes(encode_state(state))
        self._begin(plan.start, cache.digest(given))
        self.taken: list[StepRecord] = []
        if not fresh:
            self._take(plan.start)

    def record(self, record: StepRecord) -> None:
        """Keep the result of a step, unless it failed, holds a secret, or has an unclear input."""
        name = self._name(record)
        self._pass_on(record)
        if name is not None and record.ending == "success" and not record.holds_secret:
            self._cache.put(name, msgspec.structs.replace(record, extra={}))

    def records(self) -> Iterable[StepRecord]:
        """Return the results that are taken."""
        return self.taken

    def _take(self, start: str) -> None:
        """Walk the plan as the child does, up to the first step without a result."""
        queue = deque([start])
        while queue:
            step = self._steps[queue.popleft()]
            if step.join == "all":
                return
            if step.expression is None:
                targets = _targets(step)
                if targets is None:
                    return
                queue.extend(targets)
                continue
            name = self._name_of_step(step)
            record = None if name is None else self._cache.get(name)
            if record is None or record.step_id != step.id or record.step_run_id != step.id:
                return
            self.taken.append(msgspec.structs.replace(record, extra=self._extra))
            self._pass_on(record)
            if step.id == self._end:
                return
            queue.extend(record.next)

    def _name(self, record: StepRecord) -> bytes | None:
        step = self._steps.get(record.step_id)
        if step is None or record.step_run_id != step.id or step.id in self._known:
            return None
        return self._name_of_step(step)

    def _name_of_step(self, step: Step) -> bytes | None:
        """Return the name of a result; None if its input is not that of one earlier step."""
        inputs = self._inputs.get(step.id, [])
        facts = facts_of_step(step, self._hashes)
        if len(inputs) != 1 or facts is None or step.join == "all":
            return None
        return self._cache.digest(self._common, inputs[0], facts)

    def _pass_on(self, record: StepRecord) -> None:
        """Take note of the input of the steps that follow."""
        self._known.add(record.step_id)
        given = self._cache.digest(record.state)
        for target in record.next:
            self._begin(target, given)

    def _begin(self, step_id: str, given: bytes) -> None:
        self._inputs.setdefault(step_id, []).append(given)
        step = self._steps[step_id]
        if step.expression is None:
            for target in _targets(step) or ():
                self._begin(target, given)


def _targets(trigger: Step) -> list[str] | None:
    """Return the steps after a trigger; None if a condition decides, or if it changes the state."""
    if trigger.state is not None or trigger.configuration is not None:
        return None
    live = {target: edge for target, edge in trigger.next.items() if is_live(edge)}
    if any(edge.condition not in {True, "always", "on_job_success"} for edge in live.values()):
        return None
    return list(live)
