"""A manager in a process of its own, for tests that would harm the process of the test run."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

from warm import run_warm

PREAMBLE = """
import os, sys, threading, time
sys.path.insert(0, {support!r})
from engine import Engine, EngineError, Policy, Resolvers, RunOptions
from runs import make_engine, wait_for
MODE = {mode!r}
CALM = "def main(state): return {{**state, 'calm': True}}"
SLEEPS = "import time\\ndef main(state): time.sleep(60)"
"""


def manage(
    script: str, mode: str = "zygote", *, timeout_s: float = 60.0, real_end: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a manager to its end; its code can use `MODE`, `CALM` and `SLEEPS`.

    With *real_end* its interpreter deletes all modules, as it does without the warm server.
    """
    preamble = PREAMBLE.format(support=str(Path(__file__).parent), mode=mode)
    source = preamble + textwrap.dedent(script)
    return run_warm(
        source,
        warnings=("error::ResourceWarning",),
        timeout_s=timeout_s,
        real_end=real_end,
    )


def says(done: subprocess.CompletedProcess[str], *lines: str) -> None:
    """Check that a manager ended well and printed these lines."""
    assert (done.returncode, done.stdout.splitlines()) == (0, list(lines)), done.stderr
