"""Finds out whether code has seeded a random generator, or has only drawn numbers from it.

A warm zygote imports adaptors once for many runs, and each of them needs random numbers of its own.
But if an adaptor has chosen a seed, each run gets the numbers that follow from it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

_WORDS: Final = 624
"""Number of words in the state of a Mersenne twister, which replaces all of them at once."""
_MOST_ROUNDS: Final = 200
"""Most such replacements that an import may cause: 124,800 numbers."""

_NUMPY: Final = "numpy.random.mtrand"


def follows(state: Any, before: Any) -> bool:
    """Return whether a state of `random` can be reached from *before* by drawing numbers."""
    return _follows(state[1][:_WORDS], before[1][:_WORDS])


def _follows(words: tuple[int, ...], first: tuple[int, ...]) -> bool:
    if words == first:
        return True
    generator = random.Random()  # noqa: S311 - it repeats what another generator has done
    generator.setstate((3, (*first, _WORDS), None))
    for _ in range(_MOST_ROUNDS):
        generator.getrandbits(32 * _WORDS)
        if generator.getstate()[1][:_WORDS] == words:
            return True
    return False


def unseeded_generators(modules: Mapping[str, ModuleType]) -> list[Any]:
    """Return numpy's global generator among the modules of a realm, unless it was seeded."""
    module = modules.get(_NUMPY)
    generator = getattr(module, "_rand", None)
    if generator is None:
        return []
    try:
        return [generator] if _is_unseeded(generator) else []
    except Exception:  # noqa: BLE001 - another version of numpy; equal numbers are the smaller evil
        return []


def _is_unseeded(generator: Any) -> bool:
    """Return whether the generator has the seed that numpy itself has given it."""
    bits = generator._bit_generator  # noqa: SLF001 - numpy has no public name for it
    sequence = bits._seed_seq  # noqa: SLF001 - as above; None after a call of seed()
    if sequence is None or type(bits).__name__ != "MT19937":
        return False
    again = type(bits)(type(sequence)(sequence.entropy, spawn_key=sequence.spawn_key))
    now, first = (tuple(map(int, one.state["state"]["key"])) for one in (bits, again))
    return _follows(now, first)
