"""Finds out what this machine can do for a run, with a child that confines itself and ends."""

from __future__ import annotations

import subprocess
from typing import Final

import msgspec

from engine.confinement import interpreter
from protocol.confinement import ConfinementRequest, MachineReport

TIMEOUT_S: Final = 20.0


def probe(
    request: ConfinementRequest | None = None,
    *,
    scratch_bytes: int = 0,
    net: tuple[str, ...] = (),
) -> MachineReport:
    """Confine a process as *request* says, and return its report.

    Without a request, the process tries every layer, and none is required, except the mounts of a
    scratch directory of *scratch_bytes*.  *net* are network rules, whose network nobody serves.

    Raises:
        RuntimeError: The process did not answer; the text says why.

    """
    if request is None:
        request = ConfinementRequest(
            read_paths=interpreter.readable(),
            hidden_paths=interpreter.hidden(),
            scratch_bytes=scratch_bytes,
            net=net,
        )
    try:
        done = subprocess.run(
            interpreter.probe_command(),
            input=msgspec.json.encode(request),
            capture_output=True,
            check=False,
            env=interpreter.CHILD_ENVIRONMENT,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"the test child could not be started: {error}") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"the test child ended with {done.returncode}: {last}")
    return msgspec.json.decode(done.stdout, type=MachineReport)
