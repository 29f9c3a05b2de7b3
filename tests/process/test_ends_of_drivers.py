"""When the drills of `make chaos` or the tests end, nothing of them is left, also after SIGKILL."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from modes import let_everybody_in
from postgres import PostgresServer
from warm import WarmProcess
from workers import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]


def processes_of(directory: Path) -> list[str]:
    """Return the command lines of the processes that name a directory."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(directory) in line and file.parent.name != str(os.getpid()):
                lines.append(line)
    return lines


DRIVER = """
# A fork of a warm interpreter; the workers that it starts are new interpreters.
import runpy, sys
sys.argv[0] = "chaos"
runpy.run_module("benchmarks.chaos", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_workers_and_databases_end_with_the_drills(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    """A timeout may kill the process of the drills. Its workers, its server and its disk go, too."""
    let_everybody_in(tmp_path)
    words = ["kill-workers", "--store", kind]
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        words += ["--cluster", str(server.made)]
    with Path(os.devnull).open("r+b") as nothing:
        driver = WarmProcess(
            DRIVER,
            *words,
            streams=(nothing.fileno(), nothing.fileno(), 2),
            cwd=ROOT,
            env={
                **os.environ,
                "TMPDIR": str(tmp_path),
                "PYTHONPATH": str(ROOT / "tests" / "support"),
            },
            kind="commands",
        )
    try:
        wait_for(
            lambda: (
                len([s for s in processes_of(tmp_path) if " worker " in s]) >= 2
                or driver.poll() is not None
            )
        )
        assert driver.poll() is None
    finally:
        driver.send_signal(number)
        code = driver.wait()

    assert code == (-number if number == signal.SIGKILL else 128 + number)
    wait_for(lambda: not processes_of(tmp_path))
    wait_for(lambda: not [*tmp_path.glob("jobcell-*")])
    assert not [
        line for line in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in line
    ]


KILLED_TESTS = """
import os, sys, time
from warm import WarmProcess
with open(os.devnull, "r+b") as nothing:
    process = WarmProcess("import time; time.sleep(300)", streams=(nothing.fileno(),) * 3)
print(process.pid, flush=True)
time.sleep(300)
"""


def test_a_warm_program_ends_with_the_tests() -> None:
    """Its server notices the death of the tests, and kills it."""
    tests = subprocess.Popen(
        [sys.executable, "-c", KILLED_TESTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")},
        stdout=subprocess.PIPE,
    )
    with tests:
        assert tests.stdout is not None
        descriptor = os.pidfd_open(int(tests.stdout.readline()))
        tests.kill()
    try:
        # A process can be read from when it has ended: pidfd_open(2).
        assert select.select([descriptor], [], [], PATIENCE_S)[0]
    finally:
        os.close(descriptor)
