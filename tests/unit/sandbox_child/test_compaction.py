"""Objects that are allocated after the gaps of a heap are closed are next to each other."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCATTERED = """
import sys
sys.path.insert(0, {root!r})
from sandbox_child import tested
from sandbox_child.compaction import close_gaps
{before}

# A heap as imports leave it: here and there something is gone again, also at the start of a pool.
left = [[bytes(size) for size in (60, 200, 1000)] for _ in range(2000)]
for number in reversed(range(2000)):
    if number % 40 == 0 or id(left[number][0]) % 16384 == 48:
        del left[number]
if {closed}:
    close_gaps()
for size in (60, 200, 1000):
    made = [bytes(size) for _ in range(20)]
    print(len({{id(one) >> 12 for one in made}}))
"""


def pages_of_twenty(*, closed: bool, before: str = "") -> list[int]:
    """Return the number of pages that hold 20 new objects, for three sizes."""
    root = __file__.partition("/tests/")[0]
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            SCATTERED.format(root=root, closed=closed, before=before),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.slow
def test_new_objects_lie_next_to_each_other():
    """Twenty objects of 1,000 bytes take six pages; with gaps they are on many pages."""
    closed, gaping = pages_of_twenty(closed=True), pages_of_twenty(closed=False)

    assert closed[0] <= 2
    assert closed[1] <= 3
    assert closed[2] <= 7
    assert sum(gaping) > 2 * sum(closed)


@pytest.mark.slow
def test_the_gaps_stay_where_the_allocators_were_not_tested():
    """Another version of Python may lay its heap out in another way."""
    untested = pages_of_twenty(closed=True, before="tested.PYTHONS = frozenset()")

    assert sum(untested) > 2 * sum(pages_of_twenty(closed=True))
