"""Room `text`: reads the text of a job, a condition or the globals, and runs nothing of it.

A module belongs here if it needs a text or its tree, but no object of a job.  The room imports
`guards.names` and `protocol` only.  Other rooms also import the files `callbacks`, `forms`, `parsing` and
`dropped` directly.  The same holds for `condition_text`, `missing` and `passages`, which most runs
do not need.
"""

from __future__ import annotations

from sandbox_child.language.text.chains import (
    STATE,
    StateChains,
    begins_at_state,
    call_guard,
    rewrite_part,
)
from sandbox_child.language.text.hints import (
    ErrorFacts,
    condition_name_fix,
    error_fix,
    name_fix,
    nearest,
)
from sandbox_child.language.text.methods import Method, guarded
from sandbox_child.language.text.parts import node_fields
from sandbox_child.language.text.purity import is_pure
from sandbox_child.language.text.spans import SourceText, place
from sandbox_child.language.text.violations import LanguageError, Violation, violations_error
from sandbox_child.language.text.walker import Node, Walker, set_aside_body

__all__ = [
    "STATE",
    "ErrorFacts",
    "LanguageError",
    "Method",
    "Node",
    "SourceText",
    "StateChains",
    "Violation",
    "Walker",
    "begins_at_state",
    "call_guard",
    "condition_name_fix",
    "error_fix",
    "guarded",
    "is_pure",
    "name_fix",
    "nearest",
    "node_fields",
    "place",
    "rewrite_part",
    "set_aside_body",
    "violations_error",
]
