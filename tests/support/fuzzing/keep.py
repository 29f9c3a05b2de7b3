"""Chooses the inputs of a long run for the corpus: small inputs that take a new way."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

from fuzzing.registry import PACKAGES
from fuzzing.target import Target, name_of

MAX_KEPT_BYTES = 1_000
ROOT = Path(__file__).parents[3]

Step = tuple[str, int, int]
"""A file, and two lines that were run one after the other."""


def keep(target: Target, found: Path) -> list[Path]:
    """Add inputs of the directory *found* to the corpus, smallest first; return the new files."""
    known: set[Step] = set()
    for data in target.corpus():
        known |= steps_of(target, data)
    directory = target.corpus_dir / target.name
    directory.mkdir(parents=True, exist_ok=True)
    inputs = sorted(
        (path.read_bytes() for path in found.iterdir()), key=lambda data: (len(data), data)
    )
    added = []
    for data in inputs:
        if len(data) > MAX_KEPT_BYTES:
            break
        steps = steps_of(target, data)
        if steps <= known:
            continue
        known |= steps
        path = directory / name_of(data)
        path.write_bytes(data)
        added.append(path)
    return added


def steps_of(target: Target, data: bytes) -> set[Step]:
    """Return the pairs of lines in the target's packages that an input runs one after the other."""
    steps: set[Step] = set()
    roots = tuple(f"{ROOT / package.replace('.', '/')}/" for package in PACKAGES[target.name])

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(roots):
            return None
        name, before = frame.f_code.co_filename, 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                steps.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line

    traced = sys.gettrace()
    sys.settrace(trace)
    try:
        target.check(data)
    except Exception:
        pass  # the run has already reported this finding
    finally:
        sys.settrace(traced)
    return steps
