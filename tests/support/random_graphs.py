"""Plans of any shape without a cycle: jobs that count, jobs that fail, triggers, joins, all edges."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

EDGES = st.sampled_from(
    [
        None,
        None,
        True,
        True,
        True,
        False,
        "never",
        {"disabled": True},
        "on_job_failure",
        "on_job_success",
        "state.data.count > 2",
    ]
)
TAKEN: dict[Any, Any] = {
    True: lambda failed, count: True,
    "on_job_failure": lambda failed, count: failed,
    "on_job_success": lambda failed, count: not failed,
    "state.data.count > 2": lambda failed, count: count > 2,
}
"""The rules of edges: all other edges are never taken."""

COUNTED = """\
def main(state):
    state.data.count = state.data.get("count", 0) + 1
    state.data.update({{{name!r}: state.data.count}})
    return state
"""
FAILING = "def main(state): raise ValueError('no')"


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return steps without a cycle, in any order of the plan; the run begins with s0."""
    count = draw(st.integers(2, 8))
    steps = []
    for number in range(count):
        kind = draw(st.sampled_from(["job", "job", "job", "failing", "trigger"]))
        later = draw(st.permutations(range(number + 1, count)))
        edges = {f"s{target}": draw(EDGES) for target in later}
        step: dict[str, Any] = {
            "id": f"s{number}",
            "next": {target: edge for target, edge in edges.items() if edge is not None},
        }
        if kind != "trigger":
            step["expression"] = FAILING if kind == "failing" else COUNTED.format(name=f"s{number}")
        if draw(st.booleans()):
            step["join"] = "all"
        steps.append(step)
    return list(draw(st.permutations(steps)))
