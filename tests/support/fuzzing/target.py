"""A fuzz target, and the way to give it one input."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"
"""The corpus has a directory for each target, with its findings."""


class TooSlowError(AssertionError):
    """An input took more processor time than any input of its size may take."""


class Target(NamedTuple):
    """A border."""

    name: str
    check: Callable[[bytes], None]
    """Gives the input to the code at the border, and asserts the promises of that code."""
    mutate: Callable[[bytes, Random], bytes]
    """Returns a variant; the form of the input is often kept, so that it gets past the first check.
    """
    seeds: Callable[[], list[bytes]]
    """Real inputs, made from material in the repository."""
    limit_s: float
    """Processor seconds for one input."""
    max_bytes: int = 8192
    corpus_dir: Path = CORPUS

    def corpus(self) -> list[bytes]:
        """Return the seeds and the kept inputs, always in the same order."""
        kept = sorted((self.corpus_dir / self.name).glob("*"))
        return self.seeds() + [path.read_bytes() for path in kept if path.is_file()]

    def run(self, data: bytes) -> None:
        """Give one input to the target.

        Raises:
            TooSlowError: The input took too long.
            AssertionError: The code broke a promise.
            Exception: The code let an exception through that it must handle.
        """
        started = time.process_time()
        self.check(data)
        taken = time.process_time() - started
        if taken > self.limit_s:
            raise TooSlowError(
                f"{self.name}: an input of {len(data)} bytes took {taken:.2f} s of processor time;"
                f" allowed: {self.limit_s:g} s; input: {data[:200]!r}"
            )


def name_of(data: bytes) -> str:
    """Return the file name under which an input is kept, in the way of libFuzzer."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
