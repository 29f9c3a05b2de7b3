"""Layer: the child has not inherited the engine's environment.

The engine passes a new environment; this layer checks that it did.  Removing a variable here would
be too late, because its first copy stays readable on the stack of the process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "environment"
STOPS = "reading the secrets that are kept in the engine's environment"
REMEDY = "start the child with engine.confinement.interpreter.CHILD_ENVIRONMENT and nothing else"

EXPECTED = frozenset(
    (
        "LC_CTYPE",  # the interpreter itself sets it for the C locale (PEP 538)
        "MALLOC_ARENA_MAX",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
    )
)


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    extra = os.environ.keys() - EXPECTED
    return f"the environment holds {len(extra)} variables too many" if extra else None


def apply(task: Task) -> str | None:  # noqa: ARG001 - all layers look alike
    """Do nothing, because `unavailable` has checked the environment."""
    return None
