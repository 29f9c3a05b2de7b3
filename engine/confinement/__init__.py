"""Room `confinement`: the walls that a child gets, and the interpreter and files it needs behind them.

It belongs here if it decides what a child may reach.  The room imports `api` only.
"""

from __future__ import annotations

from engine.confinement.interpreter import (
    CHILD_ENVIRONMENT,
    child_command,
    debug_command,
    readable,
    relay_command,
)
from engine.confinement.policy import Policy, identity, zygote_request
from engine.confinement.probe import probe as probe_machine

__all__ = [
    "CHILD_ENVIRONMENT",
    "Policy",
    "child_command",
    "debug_command",
    "identity",
    "probe_machine",
    "readable",
    "relay_command",
    "zygote_request",
]
