"""A drill with workers of two revisions of this repository, one with a wrong clock."""

from __future__ import annotations

import compileall
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
from modes import let_everybody_in

from benchmarks.chaos.deaths import VERSION_PRELUDE, clock_prelude
from benchmarks.chaos.field import ChaosError, Field, Worker
from benchmarks.chaos.ledger import check_runs

FIRST: Final = "e80fdf6"
"""The revision that is the first one with ``jobcell worker``."""

VARIABLE: Final = "OLD"
"""The variable of the environment that names another revision."""

PACKAGES: Final = ("protocol", "engine", "sandbox_child", "jobcell")


@contextmanager
def packages_of(revision: str, parent: Path) -> Iterator[Path]:
    """Give a directory with the packages of a revision, inside of another one.

    Raises:
        ChaosError: The clone does not have it.

    """
    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "archive", revision, *PACKAGES]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        raise ChaosError(f"git archive {revision}: {done.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="jobcell-old-", dir=parent) as name:
        directory = Path(name)
        let_everybody_in(directory)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(directory, filter="data")
        # A confined child cannot write its bytecode.
        compileall.compile_dir(directory, quiet=1)
        yield directory


def two_versions(field: Field, *, runs: int = 120, kills: int = 6) -> str:
    """Workers of an old revision and of this one share the runs, and are killed by turns.

    The clocks of the old workers are 5 minutes ahead, and those of some new ones are 5 minutes behind.
    """
    revision = os.environ.get(VARIABLE) or FIRST
    with packages_of(revision, field.directory) as home:
        kinds: list[dict[str, Any]] = [
            {},
            {"home": home, "prelude": f"{clock_prelude(300)}\n{VERSION_PRELUDE}"},
            {"prelude": clock_prelude(-300)},
        ]
        old: list[Worker] = []

        def start(number: int) -> None:
            worker = field.start_worker(**kinds[number % len(kinds)])
            if number % len(kinds) == 1:
                old.append(worker)

        for number in range(len(kinds)):
            start(number)
        field.wait_ready()
        for number in field.moments(runs, kills):
            # The first old worker lives until it has ended a run.  Otherwise the drill might be one of new workers.
            spared = [] if _ended(field, old)[0] else old[:1]
            field.chance.choice([worker for worker in field.alive if worker not in spared]).kill()
            start(number + 1)
        field.wait_over()
        found = check_runs(field)
        _check_home(old, home)
        by_old, by_new = _ended(field, old)
    if not (by_old and by_new):
        raise ChaosError(f"the old revision has ended {by_old} runs, and the new one {by_new}")
    return (
        f"{revision} and this revision, clocks 5 minutes off, {kills} killed:"
        f" {found['takeovers']} takeovers, {found['repeated steps']} steps repeated;"
        f" the old one has ended {by_old} runs, the new one {by_new}"
    )


def _check_home(workers: list[Worker], home: Path) -> None:
    """Check that the workers that are alive have the packages of the old revision."""
    for worker in workers:
        if worker.alive:
            commands = [
                " ".join(child.cmdline()) for child in psutil.Process(worker.pid).children()
            ]
            if not any(str(home) in command for command in commands):
                raise ChaosError(f"a worker has other packages than {home}: {commands}")


def _ended(field: Field, old: list[Worker]) -> tuple[int, int]:
    """Return how many runs the old revision has ended so far, and this one."""
    query = "select worker from jobcell_runs where status = 'done'"
    names = [row[0] for row in field.query(query)]
    pids = {str(worker.pid) for worker in old}
    by_old = sum(name.split("-")[-2] in pids for name in names)
    return by_old, len(names) - by_old
