"""The choice of a starter: how the children of an engine come about."""

from __future__ import annotations

from typing import Literal

from engine.start.child import Networks, Starter
from engine.start.exec import ExecStarter
from engine.start.spares import SpareStarter
from engine.start.zygote import ZygoteStarter
from protocol.confinement import ConfinementRequest

StartMode = Literal["exec", "zygote"]


def make_starter(
    mode: StartMode, request: ConfinementRequest, spares: int, networks: Networks | None = None
) -> Starter:
    """Return what starts children in this *mode*.

    Args:
        mode: ``"zygote"`` or ``"exec"``.
        request: The walls that most runs will ask for.
        spares: Number of children that are started before they are needed.
        networks: Gives networks to children whose permissions need one.

    """
    starter: Starter
    starter = ZygoteStarter(request, networks) if mode == "zygote" else ExecStarter(networks)
    return SpareStarter(starter, request, spares) if spares else starter
