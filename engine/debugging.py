"""An engine for one step in a debugger, without the kernel wall.

Only the command line imports this module.  No option of a run, of a policy or of a plan leads here.
"""

from __future__ import annotations

import os

from engine.api import RunOptions
from engine.confinement import Policy
from engine.engine import Engine
from engine.start import Starter
from engine.start.debugged import DebugStarter, Terminal

__all__ = ["DEBUG_POLICY", "DebugEngine", "Terminal"]

DEBUG_POLICY = Policy(level="none", without=("session",))
"""No kernel wall.  The child stays in the session of the author, whose terminal it reads."""


class DebugEngine(Engine):
    """Runs steps in a debugger on a terminal.

    Args:
        terminal: The terminal.
        repo_dir: As for `Engine`.
        options: As for `Engine`.

    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        repo_dir: str | os.PathLike[str] | None,
        options: RunOptions,
    ) -> None:
        super().__init__(
            repo_dir=repo_dir,
            max_runs=1,
            start_mode="exec",
            policy=DEBUG_POLICY,
            options=options,
        )
        self._terminal = terminal

    def _make_starter(self) -> Starter:
        return DebugStarter(self._terminal)
