"""The steps of a plan as a graph: finds edges that go round in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHOWN_STEPS = 8
"""Most steps of a cycle that a message names; a longer cycle is shown by its first and last
steps."""


class Cycle(NamedTuple):
    """A path through the graph that comes back to its beginning."""

    source: int
    """The node whose edge closes the cycle."""
    target: int
    """The node to which that edge leads back."""
    nodes: tuple[int, ...]
    """The path from *target* to *source*; of a long path, only the ends."""
    left_out: int
    """Number of nodes that are left out in the middle of *nodes*."""


def find_cycles(edges: Sequence[Sequence[int]]) -> Iterator[Cycle]:
    """Yield a cycle for each edge that leads back to an earlier node of a walk.

    Without these edges the graph has no cycle, so a plan is right once its author has dealt with
    all of them.  The time grows with the number of nodes and edges; the search does not call
    itself.

    Args:
        edges: The targets of each node, by index.

    """
    finished = [False] * len(edges)
    depth_of: dict[int, int] = {}  # of the nodes on the path from the root, the root included
    for root in range(len(edges)):
        if finished[root]:
            continue
        way = [root]
        depth_of[root] = 0
        pending = [iter(edges[root])]
        while way:
            node = way[-1]
            target = next(pending[-1], None)
            if target is None:
                finished[node] = True
                del depth_of[node]
                way.pop()
                pending.pop()
            elif target in depth_of:
                yield _cut(way, depth_of[target])
            elif not finished[target]:
                depth_of[target] = len(way)
                way.append(target)
                pending.append(iter(edges[target]))


def _cut(way: list[int], begin: int) -> Cycle:
    """Make a cycle from the end of a walk.

    Only the ends of a long cycle are copied: otherwise the search would take quadratic time.
    """
    length = len(way) - begin
    if length <= SHOWN_STEPS:
        return Cycle(way[-1], way[begin], tuple(way[begin:]), 0)
    half = SHOWN_STEPS // 2
    ends = (*way[begin : begin + half], *way[-half:])
    return Cycle(way[-1], way[begin], ends, length - len(ends))
