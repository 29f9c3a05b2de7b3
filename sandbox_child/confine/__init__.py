"""The kernel wall: what confines a child, put on by the child itself before it reads a job."""

from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.wall import ConfinedZygote, confine, confine_forked, confine_zygote

__all__ = ["ConfinedZygote", "ConfinementRefused", "confine", "confine_forked", "confine_zygote"]
