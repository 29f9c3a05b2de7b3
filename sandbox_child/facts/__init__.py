"""Room `facts`: what a job or an adaptor may know about its run, as the module `jobcell_context`.

It belongs here if code of others may read it.  The room imports nothing of ours.
"""

from __future__ import annotations

from sandbox_child.facts.module import FACTS, facts, make_facts_module, set_facts

__all__ = ["FACTS", "facts", "make_facts_module", "set_facts"]
