"""Joins: a step that runs once, on the states of all branches that reach it.

A join waits while an execution in the queue, or another join with an input, can still reach it.  An edge
that is never taken (disabled, ``false``, ``never``) leads nowhere.  The plan has no cycle, so a join that has
run cannot be reached again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from protocol.plan import INPUTS, is_live
from protocol.state import copy_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.plan import Step

_MERGED: Final = ("data", "errors")
"""The keys of a state that are merged key by key."""


class Branch(NamedTuple):
    """A run of a step whose edge to a join was taken."""

    place: int
    """The place of the step in the plan."""
    run: int
    """The number of the run among all step runs of the walk, in the order of their ends."""
    step_run_id: str
    encoded: bytes
    """The state of the run, encoded."""


class JoinInput:
    """The input of a join: the states of its branches, kept encoded.

    Args:
        branches: The branches, in any order.
        base: The initial state, for a run that starts with the join.

    """

    def __init__(self, branches: Sequence[Branch], *, base: bytes | None = None) -> None:
        self._branches = sorted(branches)
        self._base = base

    @property
    def size(self) -> int:
        """The bytes of all states together."""
        return sum(len(branch.encoded) for branch in self._branches) + len(self._base or b"")

    def merged(self) -> dict[Any, Any]:
        """Return a new copy of the merged state, without the states of the branches.

        The states are merged in the order of the plan, then of their runs.  ``data`` and ``errors``
        are merged key by key.  Of every other key the later value wins, but None never replaces a
        value.  A state that is not a dict counts as ``data``.
        """
        merged: dict[Any, Any] = {}
        if self._base is not None:
            _merge(merged, copy_state(self._base))
        for branch in self._branches:
            _merge(merged, copy_state(branch.encoded))
        return merged

    def copy(self) -> dict[Any, Any]:
        """Return a new copy of the input of the step: the merged state and ``inputs``."""
        merged = self.merged()
        merged[INPUTS] = {
            branch.step_run_id: copy_state(branch.encoded) for branch in self._branches
        }
        return merged


def _merge(merged: dict[Any, Any], state: Any) -> None:
    if state is None:
        return
    for key, value in (state if isinstance(state, dict) else {"data": state}).items():
        before = merged.get(key)
        if key in _MERGED and isinstance(before, dict) and isinstance(value, dict):
            before.update(value)  # *merged* is a copy of our own
        elif value is not None or key not in merged:
            merged[key] = value


Queued = tuple[str, bytes | JoinInput]
"""An entry of the queue of a walk: a step and its input."""


class Joins:
    """The joins of one walk: the branches that have reached them, and what they still wait for."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._place = {step.id: place for place, step in enumerate(steps)}
        self._bit = {
            step.id: 1 << number
            for number, step in enumerate(step for step in steps if step.join == "all")
        }
        self._reached = _reached_joins(steps, self._bit)
        self._queued: dict[str, int] = {}
        """Step to the number of its executions in the queue."""
        self._pending: dict[str, list[Branch]] = {}
        """A join that has an input but has not been queued, to its branches."""
        self._waiting: dict[str, list[str]] = {}
        """A step that is queued or pending, to the pending joins that are checked when it has
        run."""
        self._runs = 0

    def begin(self, step_id: str, initial: bytes) -> Queued:
        """Return the first entry of the queue."""
        self._queued[step_id] = 1
        joined = step_id in self._bit
        return step_id, JoinInput((), base=initial) if joined else initial

    def follow(
        self, step_id: str, step_run_id: str, taken: Sequence[str], encoded: bytes
    ) -> list[Queued]:
        """Note that the execution at the head of the queue is over, and all its edges are decided.

        Args:
            step_id: The id of the step.
            step_run_id: The id of the execution.
            taken: The steps to which an edge was taken.
            encoded: The state of the execution.

        Returns:
            The steps for the queue: first the targets of edges, then the joins that are now ready,
            in the order of the plan.

        """
        branch = Branch(self._place[step_id], self._runs, step_run_id, encoded)
        self._runs += 1
        entries: list[Queued] = []
        for target in taken:
            if target not in self._bit:
                self._queued[target] = self._queued.get(target, 0) + 1
                entries.append((target, encoded))
            elif target in self._pending:
                self._pending[target].append(branch)
            else:
                self._pending[target] = [branch]
                self._waiting.setdefault(step_id, []).append(target)
        return [*entries, *self._leave(step_id)]

    def _leave(self, step_id: str) -> list[Queued]:
        """Take one execution of a step out of the queue; return the joins that waited for it alone."""
        left = self._queued[step_id] - 1
        if left:
            self._queued[step_id] = left
            return []
        del self._queued[step_id]
        ready: list[str] = []
        for join_id in self._waiting.pop(step_id, ()):
            blocker = self._blocker(join_id)
            if blocker is None:
                ready.append(join_id)
            else:
                self._waiting.setdefault(blocker, []).append(join_id)
        ready.sort(key=self._place.__getitem__)
        for join_id in ready:
            self._queued[join_id] = 1
        return [(join_id, JoinInput(self._pending.pop(join_id))) for join_id in ready]

    def _blocker(self, join_id: str) -> str | None:
        """Return a step that may still reach a join; of several, probably the last to run."""
        bit = self._bit[join_id]
        for steps in (self._pending, self._queued):
            for step_id in reversed(steps):
                if self._reached[step_id] & bit:
                    return step_id
        return None


def _reached_joins(steps: Sequence[Step], bits: dict[str, int]) -> dict[str, int]:
    """Return the joins that can be reached from each step over its edges, as a set of bits."""
    following = {
        step.id: [target for target, edge in step.next.items() if is_live(edge)] for step in steps
    }
    reached: dict[str, int] = {}
    for root in following:
        way = [root]
        while way:
            step_id = way[-1]
            missing = [target for target in following[step_id] if target not in reached]
            if missing:
                way += missing
                continue
            found = 0
            for target in following[step_id]:
                found |= reached[target] | bits.get(target, 0)
            reached[step_id] = found
            way.pop()
    return reached
