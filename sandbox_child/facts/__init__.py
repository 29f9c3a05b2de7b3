"""Room `facts`: the facts about a run for jobs and adaptors, as the module `jobcell_context`.

A fact belongs here if jobs or adaptors may read it.  The room imports nothing of ours.
"""

from __future__ import annotations

from sandbox_child.facts.module import FACTS, facts, make_facts_module, set_facts, watch_facts

__all__ = ["FACTS", "facts", "make_facts_module", "set_facts", "watch_facts"]
