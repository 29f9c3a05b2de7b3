"""Joins in random graphs are compared with a short oracle, and with the promise of a join."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import FAILING, TAKEN, graphs
from scripted_walk import run_walk, start_of

from examples import examples
from protocol import messages as m

QUICK = examples(120)


class Oracle:
    """Runs a graph by the rules as they are written, and finds all facts again in each round."""

    def __init__(self, steps: list[dict[str, Any]], end: str | None) -> None:
        self.place = {step["id"]: place for place, step in enumerate(steps)}
        self.steps = {step["id"]: step for step in steps}
        self.runs: dict[str, dict[str, int]] = {}
        """The id of each execution, to its data."""
        first: Any = [] if self.is_join("s0") else ("", {})
        queue: list[tuple[str, Any]] = [("s0", first)]
        pending: dict[str, list[Any]] = {}
        ended = 0
        while queue:
            step_id, given = queue[0]
            name = self.name(step_id)
            data, failed = self.execute(step_id, self.begin(given))
            self.runs[name] = data
            queue.pop(0)
            if step_id == end:
                break
            for target in self.followed(step_id, data, failed=failed):
                if self.is_join(target):
                    branch = (self.place[step_id], ended, name, data)
                    pending.setdefault(target, []).append(branch)
                else:
                    queue.append((target, (name, data)))
            ended += 1
            active = [entry[0] for entry in queue]
            ready = [
                join
                for join in sorted(pending, key=self.place.__getitem__)
                if not any(self.reaches(other, join) for other in (*active, *pending))
            ]
            queue += [(join, sorted(pending.pop(join), key=lambda b: b[:2])) for join in ready]

    def is_join(self, step_id: str) -> bool:
        return "join" in self.steps[step_id]

    def name(self, step_id: str) -> str:
        before = sum(name.partition("-")[0] == step_id for name in self.runs)
        return f"{step_id}-{before}" if before else step_id

    def begin(self, given: Any) -> dict[str, int]:
        if isinstance(given, tuple):
            return dict(given[1])
        data: dict[str, int] = {}
        for branch in given:
            data |= branch[3]
        return data

    def execute(self, step_id: str, data: dict[str, int]) -> tuple[dict[str, int], bool]:
        source = self.steps[step_id].get("expression")
        if source is None or source == FAILING:
            return data, source == FAILING
        count = data.get("count", 0) + 1
        return {**data, "count": count, step_id: count}, False

    def followed(self, step_id: str, data: dict[str, int], *, failed: bool) -> list[str]:
        edges = self.steps[step_id]["next"].items()
        never = lambda failed, count: False
        return [
            target
            for target, edge in edges
            if (TAKEN[edge] if not isinstance(edge, dict) and edge in TAKEN else never)(
                failed, data.get("count", 0)
            )
        ]

    def reaches(self, step_id: str, join: str) -> bool:
        live = [
            target
            for target, edge in self.steps[step_id]["next"].items()
            if not isinstance(edge, dict) and edge in TAKEN
        ]
        return join in live or any(self.reaches(target, join) for target in live)


def walk(steps: list[dict[str, Any]], end: str | None) -> tuple[Any, list[str]]:
    """Return the walk and the ids of its step runs that are jobs."""
    plan = {
        "workflow": {"steps": steps},
        "options": {"start": "s0", **({"end": end} if end else {})},
    }
    walked = run_walk(start_of(plan))
    assert isinstance(walked.last, m.WorkflowComplete), walked.last
    return walked, walked.step_runs


@pytest.mark.slow
@QUICK
@given(graphs(), st.sampled_from([None, None, "s1", "s3"]))
def test_a_walk_runs_the_steps_that_the_rules_say(steps, end):
    """The walk has the same executions, in the same order, with the same names and data."""
    if end not in {step["id"] for step in steps}:
        end = None
    oracle = Oracle(steps, end)
    walked, ran = walk(steps, end)

    jobs = {step["id"] for step in steps if "expression" in step}
    expected = {name: data for name, data in oracle.runs.items() if name.partition("-")[0] in jobs}
    assert ran == list(expected)
    assert {name: state["data"] for name, state in walked.states.items()} == expected


RECORDING = """\
def main(state):
    before = state.get("inputs")
    return {{"data": {{**state.data, {name!r}: [] if before is None else list(before)}}}}
"""


@QUICK
@given(graphs())
def test_a_join_runs_once_after_and_with_every_step_run_that_led_to_it(steps):
    """For any graph, the test reads this from the taken edges, and not from an order of ours."""
    for step in steps:
        if "expression" in step:
            step["expression"] = RECORDING.format(name=step["id"])
        step["next"] = {
            target: True if edge == "state.data.count > 2" else edge
            for target, edge in step["next"].items()
        }
    joins = {step["id"] for step in steps if "join" in step and "expression" in step}
    triggers = {step["id"] for step in steps if "expression" not in step}
    walked, ran = walk(steps, None)

    led: dict[str, list[str]] = {}
    names = iter(ran)
    for message in walked.sent:
        if isinstance(message, m.JobComplete | m.JobError):
            name = next(names)
            for target in message.next:
                led.setdefault(target, []).append(name)
    place = {step["id"]: number for number, step in enumerate(steps)}
    for join in joins:
        runs = [name for name in ran if name.partition("-")[0] == join]
        before = led.get(join, [])
        from_triggers = any(
            edge.taken
            for edge in walked.of(m.EdgeResolved)
            if edge.to_step_id == join and edge.from_step_id in triggers
        )
        assert len(runs) == (1 if before or from_triggers or join == "s0" else 0)
        if not runs:
            continue
        assert all(ran.index(name) < ran.index(join) for name in before)
        inputs = walked.states[join]["data"][join]
        assert [name for name in inputs if name.partition("-")[0] not in triggers] == sorted(
            before, key=lambda name: (place[name.partition("-")[0]], ran.index(name))
        )
