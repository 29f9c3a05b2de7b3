"""Facades of modules that count: math, decimal, random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.language.facades import Facades

MAX_COUNTED = 100_000
"""Largest argument of factorial, comb and perm: 456,574 digits in a fifth of a second."""


def make_math(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return functions whose result grows faster than their argument, with a limit."""
    import math

    def limited(function: Callable[..., int]) -> Callable[..., int]:
        def call(n: int, /, *k: int) -> int:
            if (min(n, *k) if k else abs(n)) > MAX_COUNTED:
                raise ValueError(f"{function.__name__}() takes at most {MAX_COUNTED} in a job")
            return function(n, *k)

        call.__name__ = call.__qualname__ = function.__name__
        return call

    return {name: limited(getattr(math, name)) for name in ("comb", "factorial", "perm")}


def make_decimal(facades: Facades) -> dict[str, Any]:
    """Return copies of the contexts, because new contexts are made from the real ones."""
    import decimal

    facades.guards.writable.add(decimal.Context)
    return {
        name: getattr(decimal, name).copy()
        for name in ("BasicContext", "DefaultContext", "ExtendedContext")
    }


_RANDOM = (
    "betavariate",
    "choice",
    "choices",
    "expovariate",
    "gammavariate",
    "gauss",
    "getrandbits",
    "getstate",
    "lognormvariate",
    "normalvariate",
    "paretovariate",
    "randbytes",
    "randint",
    "random",
    "randrange",
    "sample",
    "seed",
    "setstate",
    "shuffle",
    "triangular",
    "uniform",
    "vonmisesvariate",
    "weibullvariate",
)


def make_random(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return the functions of a generator of this scope, which the system seeds."""
    import random

    generator = random.Random()  # noqa: S311 - the job asked for it, and could use secrets
    return {name: getattr(generator, name) for name in _RANDOM}
