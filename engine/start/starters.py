"""The choice of a starter: how the children of an engine come about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from engine.start.child import Networks, Starter
from engine.start.exec import ExecStarter
from engine.start.shelf import walls_of
from engine.start.spares import SpareStarter
from engine.start.warm_sets import WarmSets
from engine.start.zygote import ZygoteStarter
from protocol.confinement import ConfinementRequest
from protocol.zygote import AdaptorSet

StartMode = Literal["exec", "zygote"]


_NO_ZYGOTE: Final = "start_mode='exec' starts a new interpreter for each run"


def make_warm_sets(mode: StartMode, most_bytes: int) -> WarmSets:
    """Return what decides about warm zygotes in this *mode*."""
    return WarmSets(most_bytes, never=None if mode == "zygote" else _NO_ZYGOTE)


def make_starter(
    mode: StartMode,
    request: ConfinementRequest,
    spares: int,
    networks: Networks | None = None,
    sets: WarmSets | None = None,
    preload: Sequence[AdaptorSet] = (),
) -> Starter:
    """Return what starts children in this *mode*.

    Args:
        mode: ``"zygote"`` or ``"exec"``.
        request: The walls that most runs will ask for.
        spares: Number of children that are started before they are needed.
        networks: Gives networks to children whose permissions need one.
        sets: Decides which sets of adaptors have a warm zygote; None: no set has one.
        preload: Sets of adaptors that are to be warm before their first run.

    """
    sets = sets or make_warm_sets(mode, 0)
    starter: Starter
    if mode == "zygote":
        sets.want(walls_of(request, request), preload)
        starter = ZygoteStarter(request, networks, sets)
    else:
        starter = ExecStarter(networks, sets)
    return SpareStarter(starter, request, spares) if spares else starter
