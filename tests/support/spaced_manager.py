"""Runs a manager's script as another user, in another network, or without namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from network_spaces import Space
from warm import WarmProcess, run_warm

ROOT = Path(__file__).parents[2]
ORDINARY = ["unshare", "--user", "--map-user=54321", "--map-group=54321", "--"]
"""A user without any right, that can read what the user of the test can read."""

WITHOUT_NETWORKS = [
    *("unshare", "--user", "--map-root-user", "--", "/bin/sh", "-c"),
    'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"',
    "sh",
]
"""A machine on which nobody can make a network namespace: namespaces(7), /proc/sys/user."""

HEAD = """
import json, sys
sys.path[:0] = [{root!r}, {support!r}]
from engine import Engine, Permissions, Policy, RunOptions, to_json
from network_jobs import CONNECT, connections, echo, engine_with, options
"""


def run_script(script: str, *, under: list[str] = ()) -> Any:  # type: ignore[assignment]
    """Run a script that prints JSON in its last line, and return that.

    Args:
        script: Python, after the imports of `HEAD`.
        under: The program that starts it; without one it is a fork of the warm server.

    """
    head = HEAD.format(root=str(ROOT), support=str(Path(__file__).parent))
    done = (
        subprocess.run(
            [*under, sys.executable, "-c", head + script],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if under
        else run_warm(head + script, timeout_s=120)
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run_in_space(space: Space, script: str) -> Any:
    """Run such a script in the network of a space; see `run_script`."""
    with (
        Path(os.devnull).open() as nothing,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        wait = start_in_space(space, script, nothing.fileno(), output.fileno(), errors.fileno())
        code = wait()
        errors.seek(0)
        assert code == 0, errors.read().decode()
        output.seek(0)
        return json.loads(output.read().splitlines()[-1])


def start_in_space(space: Space, script: str, *streams: int) -> Callable[[], int]:
    """Start such a script with its three standard streams; return a function that waits for its exit code."""
    source = HEAD.format(root=str(ROOT), support=str(Path(__file__).parent)) + script
    if os.geteuid() == 0 and space.user is None:
        given, output, errors = streams
        process = WarmProcess(source, streams=(given, output, errors), join=space.pid)
        return partial(process.wait, 120)
    # Only a process that has made the user namespace may enter it.
    pid = space.spawn([sys.executable, "-c", source], dict(enumerate(streams)))
    return partial(space.wait, pid)


def works(under: list[str]) -> bool:
    """Whether programs can be started in this way here."""
    return subprocess.run([*under, "true"], capture_output=True, check=False).returncode == 0
