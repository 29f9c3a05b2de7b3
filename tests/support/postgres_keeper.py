"""Ends a PostgreSQL server when the process of the tests is gone, however it went.

Run as ``python postgres_keeper.py FD DIRECTORY``. It goes into the background, out of the reach of Ctrl-C, and
waits for the end of the connection FD. Then it ends the postmaster with all its processes, and removes the files.
"""

from __future__ import annotations

import os
import sys

# It must not be a child of the tests: they look for children of an engine there.
if os.fork():
    os._exit(0)

import pathlib
import select
import shutil
import signal
import time

PATIENCE_S = 10


def main() -> None:
    """Wait for the end of the tests, then end the server and remove its files."""
    connection, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    os.setsid()
    os.chdir("/")
    while os.read(connection, 1):
        pass
    # A `pg_ctl` that still runs may start the server at this very moment, so this looks again.
    end = time.monotonic() + 60
    while time.monotonic() < end:
        end_server(directory / "data")
        shutil.rmtree(directory, ignore_errors=True)
        # A small tmpfs stays as an empty directory, because somebody else has mounted it.
        if not directory.exists() or not any(directory.iterdir()):
            return
        time.sleep(0.05)


def end_server(data: pathlib.Path) -> None:
    """End the postmaster of this data directory, if it runs, and return when it is gone."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        descriptor = os.pidfd_open(pid)
        # After SIGKILL of the postmaster, the number in the file may be any process.
        ours = pathlib.Path(f"/proc/{pid}/cwd").resolve() == data.resolve()
    except (OSError, ValueError):
        return
    # SIGQUIT is an immediate shutdown: the postmaster ends its processes first.
    for number in (signal.SIGQUIT, signal.SIGKILL):
        if ours and not select.select([descriptor], [], [], 0)[0]:
            signal.pidfd_send_signal(descriptor, number)
            select.select([descriptor], [], [], PATIENCE_S)
    os.close(descriptor)


main()
