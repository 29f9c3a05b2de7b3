"""The kernel wall around a child, which the child itself puts on before it reads a job."""

from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.wall import ConfinedZygote, confine, confine_forked, confine_zygote

__all__ = ["ConfinedZygote", "ConfinementRefused", "confine", "confine_forked", "confine_zygote"]
