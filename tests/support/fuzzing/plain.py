"""Fuzzing without coverage, by seeded mutation of the corpus. It serves tests, and needs no
atheris.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

from fuzzing.crashes import Crashes
from fuzzing.target import Target

_KEPT = 10
"""Out of this number of inputs, a single one becomes the beginning of others."""


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Yield the corpus, and then variants of it without an end; the same ones for the same seed."""
    rng = Random(seed)
    pool = target.corpus()
    yield from tuple(pool)
    while True:
        data = rng.choice(pool)
        for _ in range(rng.randint(1, 3)):
            data = target.mutate(data, rng)[: target.max_bytes]
        if rng.randrange(_KEPT) == 0:
            pool.append(data)
        yield data


def run(target: Target, seconds: float, crashes: Crashes) -> int:
    """Give inputs to the target for some seconds; return their number."""
    count = 0
    end = time.monotonic() + seconds
    for data in inputs(target, seed=time.time_ns()):
        count += 1
        crashes.run(target, data)
        if time.monotonic() > end:
            break
    return count
