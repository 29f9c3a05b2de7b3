"""Room `api`: what a caller hands in and what the engine raises.

Any room may import it; it imports `protocol` only.
"""

from __future__ import annotations

from engine.api.errors import EngineClosedError, EngineError, PlanError, PlanWarning, Problem
from engine.api.options import DEFAULT_PUBLIC_KEYS, Permissions, RunOptions
from engine.api.version import __version__

__all__ = [
    "DEFAULT_PUBLIC_KEYS",
    "EngineClosedError",
    "EngineError",
    "Permissions",
    "PlanError",
    "PlanWarning",
    "Problem",
    "RunOptions",
    "__version__",
]
