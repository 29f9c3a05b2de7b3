"""Walks through the workflow graph: chooses the next step and its state, and the final result."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from protocol import messages as m
from protocol.errors import RemoteProtocolError, TooManyItemsError
from protocol.plan import Step
from protocol.report import ErrorReport, make_report, state_too_large, too_many_items
from protocol.state import NIL, join_states
from sandbox_child.pipes.channel import RunCancelledError
from sandbox_child.running.conditions import ConditionError, Conditions, Upstream
from sandbox_child.running.step import JobExecution
from sandbox_child.running.step_output import (
    StepCrashedError,
    StepResult,
    encode_result,
    fits_event,
    wait_to_proceed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_child.running.joins import JoinInput, Joins
    from sandbox_child.running.replay import Past
    from sandbox_child.running.runtime import Runtime


class _Leaf(msgspec.Struct, frozen=True):
    step_run_id: str
    result: StepResult


class Walk:
    """A walk through a workflow, breadth first, one step after another."""

    execution: type[JobExecution] = JobExecution

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._start = runtime.start
        self._channel = runtime.channel
        self._steps: dict[str, Step] = {step.id: step for step in self._start.workflow.steps}
        self._run_ids: set[str] = set()
        self._suffixes: dict[str, int] = {}
        self._leaves: list[_Leaf] = []
        self._queue: deque[tuple[str, bytes | JoinInput]] = deque()
        self._joins = make_joins(self._start.workflow.steps)
        self._past = make_past(self._start)
        self._last_sent: str | None = None
        """The last execution whose whole state was sent to the engine."""

    def run(self) -> m.WorkflowComplete | m.WorkflowError | m.Elsewhere:
        """Walk from the start; return the last message of the child."""
        try:
            return self._walk(self._conditions())
        except (ConditionError, StepCrashedError, RunCancelledError) as error:
            return m.WorkflowError(error=error.report)

    def _conditions(self) -> Conditions:
        start = self._start
        try:
            return Conditions(start.workflow, language=start.language, warn=self._warn)
        except MemoryError:
            raise self._short_of_memory(None) from None

    def _short_of_memory(self, step_id: str | None) -> StepCrashedError:
        from sandbox_child.running.failed_state import out_of_memory

        return StepCrashedError(out_of_memory(self._start.limits.memory_bytes, step_id))

    def _walk(self, conditions: Conditions) -> m.WorkflowComplete | m.Elsewhere:
        self._begin()
        past, here = self._past, self._start.here
        while self._queue:
            self._channel.check_cancelled()
            step_id, given = self._queue.popleft()
            step = self._steps[step_id]
            step_run_id = self._name(step_id)
            at_end = step_id == self._start.end
            if past is not None and past.left and step.expression is not None:
                result, taken = past.replay(self._channel, step_run_id)
            else:
                if step.expression is None:
                    result = self._pass_on(step, given)
                elif past is not None and past.has_died(step_run_id):
                    result = past.bury(self._runtime, step, given)
                elif here is not None and step_id not in here:
                    return m.Elsewhere(step_id=step_id, step_run_id=step_run_id)
                else:
                    begun = () if past is None else past.attempts_of(step_run_id)
                    result = self.execution(self._runtime, step, step_run_id, *begun).run(given)
                taken = self._follow(step, step_run_id, result, conditions, at_end=at_end)
            if at_end:
                return self._complete([_Leaf(step_run_id, result)])
            if not taken:
                self._leaves.append(_Leaf(step_run_id, result))
            if self._joins is None:
                self._queue.extend((target, result.encoded) for target in taken)
            else:
                self._queue.extend(self._joins.follow(step_id, step_run_id, taken, result.encoded))
        return self._complete(self._leaves)

    def _begin(self) -> None:
        """Queue the first step."""
        start_id, initial = self._start.start, self._initial()
        self._queue.append((start_id, initial))
        if self._joins is not None:
            self._queue[0] = self._joins.begin(start_id, initial)

    def _pass_on(self, step: Step, given: bytes | JoinInput) -> StepResult:
        """Return the result of a trigger: the state before it, or the merged one if it is a join."""
        if isinstance(given, bytes):
            return StepResult(given)
        try:
            return StepResult(encode_result(given.merged(), step, self._start))
        except MemoryError:
            raise self._short_of_memory(step.id) from None
        except ValueError as error:  # deeper than this stack can follow
            text = f"the states before step {step.id!r} cannot be merged: {error}"
            raise StepCrashedError(make_report("StateLoadError", text, step_id=step.id)) from None

    def _warn(self, message: str) -> None:
        """Log a warning about an edge of the last step."""
        if self._past is not None and self._past.left:
            return  # an earlier child has logged it
        self._runtime.logs.add("warning", "runtime", message)
        self._runtime.logs.flush()  # it must come before the end event of that step

    def _initial(self) -> bytes:
        start = self._start
        if self._past is not None and self._past.left and self._steps[start.start].expression:
            return NIL  # the first step has ended already
        if start.state_id is None:
            return bytes(start.state)
        self._channel.send(
            m.LoadState(step_id=start.start, step_run_id=start.start, id=start.state_id)
        )
        answer = self._channel.receive_any()
        if isinstance(answer, m.Loaded):
            return bytes(answer.value)
        if isinstance(answer, m.LoadFailed):
            raise StepCrashedError(answer.error)
        self._channel.check_cancelled()
        raise RemoteProtocolError(f"engine sent {type(answer).__name__} where a value was due")

    def _name(self, step_id: str) -> str:
        """Return a name for another execution of a step: ``z``, then ``z-1``, ``z-2``, ...

        A name with a suffix is never the name of a real step.
        """
        if len(self._run_ids) >= self._start.limits.max_step_runs:
            limit = self._start.limits.max_step_runs
            raise StepCrashedError(
                make_report(
                    "OutputLimitError",
                    f"the run has started more than {limit} steps (max_step_runs): steps that are"
                    " reached over several edges run once for each",
                    option="max_step_runs",
                    step_id=step_id,
                )
            )
        name = step_id
        while name in self._run_ids or (name != step_id and name in self._steps):
            number = self._suffixes.get(step_id, 0) + 1
            self._suffixes[step_id] = number
            name = f"{step_id}-{number}"
        self._run_ids.add(name)
        return name

    def _follow(
        self,
        step: Step,
        step_run_id: str,
        result: StepResult,
        conditions: Conditions,
        *,
        at_end: bool,
    ) -> list[str]:
        """Decide the edges of a step, send its end event and theirs; return the targets taken."""
        upstream = Upstream(result.encoded, failed=result.error is not None)
        resolved: list[m.EdgeResolved] = []
        problem: ConditionError | StepCrashedError | RunCancelledError | None = None
        for target, edge in () if at_end else step.next.items():
            try:
                if isinstance(edge.condition, str):
                    self._channel.check_cancelled()
                taken = conditions.decide(step.id, target, edge, upstream)
            except (ConditionError, RunCancelledError) as error:
                problem = error
                break
            except MemoryError:
                problem = self._short_of_memory(step.id)
                break
            resolved.append(
                m.EdgeResolved(
                    from_step_id=step.id,
                    to_step_id=target,
                    taken=taken,
                )
            )
        following = [message.to_step_id for message in resolved if message.taken]
        if step.expression is not None:
            self._send_end(result, tuple(following), step_run_id, ends_run=problem is not None)
        if self._past is None or not self._past.left:
            for message in resolved:
                self._channel.hold(message)
        if problem is not None:
            raise problem
        return following

    def _send_end(
        self, result: StepResult, following: tuple[str, ...], step_run_id: str, *, ends_run: bool
    ) -> None:
        start = self._start
        fits = start.whole or fits_event(len(result.encoded), start)
        self._last_sent = step_run_id if fits else None
        end = result.end(following, with_state=fits, ends_run=ends_run)
        if start.barrier and not ends_run:
            self._channel.send(end)
            wait_to_proceed(self._channel)
        else:
            self._channel.hold(end)

    def _complete(self, leaves: list[_Leaf]) -> m.WorkflowComplete:
        """Return the result, without leaves that returned nothing."""
        error: ErrorReport | None = next(
            (leaf.result.error for leaf in leaves if leaf.result.error is not None), None
        )
        kept = [leaf for leaf in leaves if not leaf.result.nothing]
        if len(kept) == 1:
            if kept[0].step_run_id == self._last_sent:
                return m.WorkflowComplete(state=None, state_of=self._last_sent, error=error)
            encoded = kept[0].result.encoded
        elif kept:
            self._check_size(sum(len(leaf.result.encoded) for leaf in kept))
            encoded = join_states({leaf.step_run_id: leaf.result.encoded for leaf in kept})
            self._check_items(encoded)
        else:
            encoded = NIL
        return m.WorkflowComplete(state=memoryview(encoded), error=error)

    def _check_items(self, encoded: bytes) -> None:
        """Refuse a result of several states with more items than a state may have."""
        limit = self._start.limits.state_items
        if len(encoded) > limit:
            from protocol.packed import count_items

            try:
                count_items(encoded, limit)
            except TooManyItemsError as error:
                report = too_many_items("the final state", error.items, limit)
                raise StepCrashedError(report) from None

    def _check_size(self, size: int) -> None:
        """Refuse a result of several states that is larger than a state may be.

        Otherwise the engine would refuse the frame and report it as an error of the protocol.
        """
        limit = self._start.limits.state_bytes
        if size > limit:
            raise StepCrashedError(state_too_large("the final state", size, limit))


def make_past(start: m.Start) -> Past | None:
    """Return the work of earlier children; None for the first child of a run."""
    if not start.replay and start.resume is None and not start.begun:
        return None
    from sandbox_child.running.replay import Past

    return Past(start)


def make_joins(steps: Sequence[Step]) -> Joins | None:
    """Return the joins of a workflow; None if it has none, as most have."""
    if all(step.join == "any" for step in steps):
        return None
    from sandbox_child.running.joins import Joins

    return Joins(steps)
