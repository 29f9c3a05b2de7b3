"""A command in the foreground of a terminal of its own, as a shell would start it, and a person who types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from warm import WarmProcess

COMMAND = ("-c", "from jobcell.cli import main; main()")
IN_FOREGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Person:
    """Starts a command, reads its terminal and types into it.

    Args:
        arguments: The arguments of `jobcell`.
        cwd: Its directory.
        environment: Variables besides those of this process.
        real_start: Whether it starts as an interpreter of its own, for tests of signals.

    """

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        environment: Mapping[str, str] = {},
        real_start: bool = False,
    ) -> None:
        self.leader, follower = pty.openpty()
        ours, theirs = os.pipe()
        self.output = os.fdopen(ours, "rb")
        start = _start_interpreter if real_start else _start_warm
        env = os.environ | {"TERM": "dumb", "COLUMNS": "200", "LINES": "50"} | environment
        try:
            self.process = start([*map(str, arguments)], (follower, theirs, follower), cwd, env)
        finally:
            os.close(follower)
            os.close(theirs)
        self.shown = ""
        self._read = 0

    def wait_for(self, text: str, timeout_s: float = 60) -> str:
        """Wait until the terminal shows *text*; return what it has shown since the last wait."""
        end = time.monotonic() + timeout_s
        while text not in self.shown[self._read :]:
            ready, _, _ = select.select([self.leader], [], [], max(0, end - time.monotonic()))
            part = self._part() if ready else None
            assert part is not None, (
                f"{text!r} was not shown; code: {self.process.poll()}; the terminal:\n{self.shown}"
            )
            self.shown += part
        upto = self.shown.index(text, self._read) + len(text)
        found, self._read = self.shown[self._read : upto], upto
        return found

    def shows(self, text: str, timeout_s: float) -> bool:
        """Whether the terminal shows *text* within a time."""
        end = time.monotonic() + timeout_s
        while text not in self.shown:
            if not select.select([self.leader], [], [], max(0, end - time.monotonic()))[0]:
                return False
            part = self._part()
            if part is None:
                return False
            self.shown += part
        return True

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self.leader, f"{line}\n".encode())

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self.leader, key)

    def command(self, line: str) -> str:
        """Type a line at the prompt; return what is shown before the next prompt."""
        self.type(line)
        return self.wait_for("(Pdb) ").removesuffix("(Pdb) ")

    def end(self, timeout_s: float = 60) -> tuple[int, bytes]:
        """Wait for the end of the command; return its exit code and its standard output."""
        while (part := self._part()) is not None:
            self.shown += part
        data = self.output.read()
        self.output.close()
        os.close(self.leader)
        return self.process.wait(timeout_s), data

    def _part(self) -> str | None:
        """Return the next text, without what controls the terminal; None at its end."""
        try:
            data = os.read(self.leader, 65536)
        except OSError:  # EIO: the last process with the other end open has closed it, see pty(7)
            return None
        return _CONTROL.sub(b"", data).decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the command, if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if not self.output.closed:
            self.output.close()
            os.close(self.leader)


def _start_interpreter(
    arguments: list[str], streams: tuple[int, int, int], cwd: Path, env: dict[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", IN_FOREGROUND, *COMMAND, *arguments],
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        start_new_session=True,
        cwd=cwd,
        env=env,
    )


def _start_warm(
    arguments: list[str], streams: tuple[int, int, int], cwd: Path, env: dict[str, str]
) -> WarmProcess:
    return WarmProcess(None, *arguments, streams=streams, cwd=cwd, env=env, terminal=True)
