"""Room `network`: the engine's side of the network of runs.

It belongs here if it starts the relay or talks to it.
"""

from __future__ import annotations

from engine.network.relays import Relays

__all__ = ["Relays"]
