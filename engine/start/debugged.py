"""Starts the child that runs a step in a debugger on the terminal of its author."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from engine.confinement import CHILD_ENVIRONMENT, debug_command
from engine.start.connection import lift
from engine.start.exec import ExecStarter, spawn


class Terminal(NamedTuple):
    """The terminal of an author."""

    reads: int
    """The descriptor from which commands are read."""
    writes: int
    """The descriptor to which the debugger writes."""
    environment: Mapping[str, str] = {}
    """Variables for the debugger, such as ``TERM``."""


class DebugStarter(ExecStarter):
    """Starts interpreters whose standard streams are a terminal.

    The engine does not see what they write there.
    """

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def _spawn(self, descriptors: dict[int, int]) -> int:
        # Copies, because `spawn` opens the null device as 0 before it makes the others.
        ends: list[int] = []
        try:
            ends.append(reads := lift(os.dup(self._terminal.reads)))
            ends.append(writes := lift(os.dup(self._terminal.writes)))
            streams = {0: reads, 1: writes, 2: writes}
            environment = {**CHILD_ENVIRONMENT, **self._terminal.environment}
            return spawn(debug_command(), {**descriptors, **streams}, environment)
        finally:
            for end in ends:
                os.close(end)
