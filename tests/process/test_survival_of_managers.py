"""The short form of `make kills`: managers and commands are killed, and their runs end once.

Here they are forks of a process that has imported what they need (`warm`), because a death in the start of an interpreter
is not what is tested. They start new interpreters for their children, as anywhere else.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any, Self

import pytest
from warm import WarmProcess

from benchmarks import kills

SEED = 15
WARM_S = 0.4
"""About the time that such a command takes."""


class WarmPopen:
    """A manager or a command, with those parts of `subprocess.Popen` that the benchmark uses."""

    def __init__(self, command: list[str], **options: Any) -> None:
        how, *words = command[1:]
        # They are closed at the end of the `with` block.
        self._streams = [tempfile.TemporaryFile("w+") for _ in range(3)]  # noqa: SIM115 - see above
        given, out, err = (stream.fileno() for stream in self._streams)
        # Errors of a manager are seen in the output of the test.
        streams = (given, out, err if options.get("stderr") == subprocess.PIPE else 2)
        source = None if how == "-m" else words.pop(0)
        if source is None:
            assert words.pop(0) == "jobcell"
        self._process = WarmProcess(
            source, *words, streams=streams, env=options.get("env"), cwd=options.get("cwd")
        )
        self.poll, self.wait = self._process.poll, self._process.wait

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ends at this moment
            self._process.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        self.wait()
        for stream in self._streams:
            stream.seek(0)
        _, said, why = (stream.read() for stream in self._streams)
        return said, why

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        for stream in self._streams:
            stream.close()


@pytest.fixture(autouse=True)
def warm_managers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[WarmPopen]]:
    """Let the benchmark start them; a test looks whether it did."""
    started: list[WarmPopen] = []

    class Counted(WarmPopen):
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options)
            started.append(self)

    class Starter:
        Popen, PIPE, TimeoutExpired = Counted, subprocess.PIPE, subprocess.TimeoutExpired

    monkeypatch.setattr(kills, "subprocess", Starter)
    monkeypatch.setattr(kills, "WHOLE_S", WARM_S)
    yield started
    assert started


def test_no_run_is_lost_or_doubled_when_its_manager_is_killed():
    """Three managers with four runs each are killed; every run has each of its steps recorded once."""
    found = kills.kill_managers(3, SEED)
    assert found["kills"] == 3
    assert found["runs"] >= kills.RUNS


def test_no_run_of_the_command_is_lost_or_doubled_when_it_is_killed():
    """`jobcell run --journal` and `jobcell resume` die at random moments, until a run is over."""
    found = kills.kill_commands(4, SEED)
    assert found["kills"] == 4
