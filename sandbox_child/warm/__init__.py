"""Room `warm`: warm zygotes, which have imported adaptors and fork the runs that use them.

It belongs here if it makes, watches or is a warm zygote.  The clean zygote imports the room; a run in
an interpreter of its own does not.
"""

from __future__ import annotations

from sandbox_child.warm.house import House
from sandbox_child.warm.seen import Proc

__all__ = ["House", "Proc"]
