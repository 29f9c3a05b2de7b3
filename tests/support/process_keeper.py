"""Ends processes when the process that started them is gone, however it went.

A worker is a process with a session of its own, so that Ctrl-C does not reach it. Nothing else ends it when SIGKILL
ends its starter. A keeper does: it waits in the background for the end of a pipe that only the starter can write to.
It then kills all processes that have its mark in their environment, and can unmount and remove a directory.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import uuid

VARIABLE = "JOBCELL_KEPT"
"""The variable of the environment with the mark."""

PATIENCE_S = 20.0
"""Time for others, such as the keeper of a PostgreSQL server, to end what runs in the directory."""


class ProcessKeeper:
    """Ends the processes that were started with `environment`, at the latest when this process is gone."""

    def __init__(self, remove: pathlib.Path | None = None) -> None:
        """Start the keeper.

        Args:
            remove: A directory that it removes at the end, with all that is mounted in it.

        """
        self.mark = uuid.uuid4().hex
        # Nobody else gets the end for writing, because a program that starts closes it: pipe2(2), O_CLOEXEC.
        # A process that is just being started holds it until then, so the keeper cannot miss that process.
        theirs, self._end = os.pipe()
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", __file__, str(theirs), self.mark, remove or ""],
                pass_fds=[theirs],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=True,
            )
        finally:
            os.close(theirs)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this process, with the mark."""
        return {**os.environ, VARIABLE: self.mark}

    def close(self) -> None:
        """Have the keeper do its work now; a second call does nothing."""
        if self._end != -1:
            os.close(self._end)
            self._end = -1


def main() -> None:
    """Wait for the end of the starter, then end its processes and remove its directory."""
    descriptor, mark = int(sys.argv[1]), sys.argv[2]
    # The starter waits for this process; tests must not find the keeper among their children.
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    while os.read(descriptor, 1):
        pass
    while kill_marked(f"{VARIABLE}={mark}".encode()):
        time.sleep(0.02)
    if sys.argv[3]:
        remove(pathlib.Path(sys.argv[3]))


def kill_marked(entry: bytes) -> int:
    """Kill all processes with this entry in the environment that they began with; return their number."""
    found = 0
    for environment in pathlib.Path("/proc").glob("[0-9]*/environ"):
        # The process is another user's, or has just ended.
        with contextlib.suppress(OSError):
            if entry in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)
                found += 1
    return found


def remove(directory: pathlib.Path) -> None:
    """Remove a directory, with all that is mounted in it, when no process has its place there."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and is_somebody_in(directory):
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        for mount in directory.iterdir():
            if mount.is_mount():
                subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(directory, ignore_errors=True)


def is_somebody_in(directory: pathlib.Path) -> bool:
    """Return whether the working directory of a process is in a directory."""
    for place in pathlib.Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if place.readlink().is_relative_to(directory):
                return True
    return False


if __name__ == "__main__":
    main()
