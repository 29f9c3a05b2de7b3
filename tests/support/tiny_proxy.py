"""Debian's tinyproxy in a network namespace of a test."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from modes import let_everybody_in
from network_spaces import Space

PLACE = ("203.0.113.99", 3_128)
PROGRAM = shutil.which("tinyproxy") or shutil.which("tinyproxy", path="/usr/sbin:/usr/bin")


@contextlib.contextmanager
def tinyproxy(space: Space, directory: Path, *lines: str) -> Iterator[Path]:
    """Run it with these lines of its settings; it is ready inside of the block, which gets its log."""
    if PROGRAM is None:
        pytest.skip("tinyproxy is not installed (Debian: apt-get install tinyproxy)")
    let_everybody_in(directory)
    config = directory / "tinyproxy.conf"
    own = [f"Port {PLACE[1]}", f"Listen {PLACE[0]}", "Timeout 60", "LogLevel Connect"]
    config.write_text("\n".join([*own, *lines, ""]))
    log = directory / "log"
    with log.open("wb") as file:
        pid = space.spawn([PROGRAM, "-d", "-c", str(config)], {1: file.fileno(), 2: file.fileno()})
    try:
        # It has no way to say that it is ready, except a connection that works.
        while not _answers(space):
            assert "ERROR" not in log.read_text()
        yield log
    finally:
        os.kill(pid, 15)
        space.wait(pid)


def _answers(space: Space) -> bool:
    with space.socket() as end:
        return end.connect_ex(PLACE) == 0
