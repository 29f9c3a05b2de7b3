"""Coverage-guided fuzzing with atheris, in a process of its own: libFuzzer ends it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from random import Random

import atheris

from fuzzing.crashes import Crashes
from fuzzing.registry import PACKAGES


def main() -> None:
    """Fuzz the target in the first argument; the other arguments belong to libFuzzer."""
    name, crashes_dir, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=[*PACKAGES[name]]):
        target = importlib.import_module(f"fuzzing.{name}").TARGET
    crashes = Crashes(Path(crashes_dir))

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.randrange(2):
            return bytes(atheris.Mutate(data, max_size))
        return bytes(target.mutate(data, rng)[:max_size])

    atheris.Setup(
        [sys.argv[0], *arguments], lambda data: crashes.run(target, data), custom_mutator=change
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
