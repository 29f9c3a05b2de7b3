"""Room `facts`: modules that exist in a run only: `jobcell_context` and `jobcell_collections`.

A fact, or a request to the engine, belongs here if jobs or adaptors may read it or send it.  The room
imports `protocol` only.
"""

from __future__ import annotations

from sandbox_child.facts.module import (
    FACTS,
    facts,
    make_facts_module,
    set_access,
    set_facts,
    watch_facts,
)

__all__ = ["FACTS", "facts", "make_facts_module", "set_access", "set_facts", "watch_facts"]
