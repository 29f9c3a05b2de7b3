"""Room `api`: the options that a caller gives, and the errors that the engine raises.

Any room may import it; it imports `protocol` only.
"""

from __future__ import annotations

from engine.api.authorities import read_authorities
from engine.api.collections import (
    CollectionItem,
    CollectionPage,
    CollectionQuery,
    CollectionRule,
    Collections,
    CollectionsError,
    Right,
    allows,
    is_covered,
    parse_collection_rule,
    parse_collection_rules,
)
from engine.api.errors import (
    EngineClosedError,
    EngineError,
    JournalError,
    PlanError,
    PlanWarning,
    Problem,
)
from engine.api.journal import Attempts, Journal, StepRecord
from engine.api.options import DEFAULT_PUBLIC_KEYS, LIMITS, Permissions, RunOptions
from engine.api.version import __version__

__all__ = [
    "DEFAULT_PUBLIC_KEYS",
    "LIMITS",
    "Attempts",
    "CollectionItem",
    "CollectionPage",
    "CollectionQuery",
    "CollectionRule",
    "Collections",
    "CollectionsError",
    "EngineClosedError",
    "EngineError",
    "Journal",
    "JournalError",
    "Permissions",
    "PlanError",
    "PlanWarning",
    "Problem",
    "Right",
    "RunOptions",
    "StepRecord",
    "__version__",
    "allows",
    "is_covered",
    "parse_collection_rule",
    "parse_collection_rules",
    "read_authorities",
]
