"""``python -m benchmarks.chaos``: all drills, on SQLite and PostgreSQL, with random moments."""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from modes import let_everybody_in
from postgres import PostgresServer
from process_keeper import ProcessKeeper

from benchmarks.chaos.crowd import crowd
from benchmarks.chaos.deaths import kill_workers, poison_run, stop_worker, two_kinds
from benchmarks.chaos.effects import serving, write_repo
from benchmarks.chaos.field import Field
from benchmarks.chaos.outages import (
    Server,
    kill_client,
    lock_file,
    lose_parts,
    on_root,
    take_store_away,
)
from benchmarks.chaos.versions import two_versions

STORES: Final = ("sqlite", "postgresql")
_DISK_MB: Final = {"sqlite": 64, "postgresql": 400}


class Drill:
    """A drill and its options.

    Args:
        act: Carries it out, and returns a line of figures.
        with_server: Whether it does something to the database.
        settings: Options of the field.
        options: Options of *act*.

    """

    def __init__(
        self,
        act: Callable[..., str],
        *,
        with_server: bool = False,
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.act = act
        self.with_server = with_server
        self.settings = settings or {}
        self.options = options


DRILLS: Final[dict[str, Drill]] = {
    "kill-workers": Drill(kill_workers),
    "lose-parts": Drill(lose_parts, with_server=True),
    "stop-worker": Drill(stop_worker),
    "store-away": Drill(take_store_away, with_server=True),
    "short-outage": Drill(
        take_store_away,
        with_server=True,
        settings={"heartbeat_s": 2.0, "dead_s": 40.0},
        outlives=True,
    ),
    "kill-client": Drill(kill_client),
    "two-kinds": Drill(two_kinds),
    "two-versions": Drill(two_versions),
    "crowd": Drill(crowd),
    "poison-run": Drill(poison_run),
}


@contextmanager
def small_disk(directory: Path, size_mb: int) -> Iterator[Path | None]:
    """Mount a small disk in memory, for root only; give its directory, or None."""
    if not on_root():
        yield None
        return
    disk = directory / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0755", "tmpfs", str(disk)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=False)


@contextmanager
def database(
    kind: str, directory: Path, cluster: Path | None = None
) -> Iterator[tuple[str, Server]]:
    """Give the address of a new database, and what a drill may do to it."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(directory, _DISK_MB[kind]))
        if kind == "sqlite":
            path = (disk or directory) / "runs.db"
            yield f"sqlite:///{path}", stack.enter_context(lock_file(path, disk))
            return
        settings = {"max_wal_size": "64MB", "min_wal_size": "32MB", "max_connections": "100"}
        postgres = PostgresServer(settings=settings, directory=disk, made=cluster)
        stack.callback(postgres.stop)
        yield (
            postgres.url(),
            Server(
                kill=postgres.kill,
                take_away=postgres.take_away,
                bring_back=postgres.start_again,
                disk=disk,
            ),
        )


def carry_out(
    kind: str, drill: Drill, seed: int, *, cluster: Path | None = None, **options: Any
) -> str:
    """Carry out a drill on a new store; return its figures.

    Raises:
        ChaosError: A promise was broken.

    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobcell-chaos-")))
        # The others end with this process, and only the directory and the small disk would stay.
        stack.callback(ProcessKeeper(remove=directory).close)
        let_everybody_in(directory)
        url, server = stack.enter_context(database(kind, directory, cluster))
        effects = stack.enter_context(serving())
        repo = write_repo(directory / "repo")
        field = Field(url, directory, repo, effects, random.Random(seed), **drill.settings)
        stack.callback(field.close)
        given = (server,) if drill.with_server else ()
        return drill.act(field, *given, **{**drill.options, **options})


def _leave(number: int, _frame: FrameType | None) -> None:
    """End the drill in order: its workers, its server and its small disk go first."""
    raise SystemExit(128 + number)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drills", nargs="*", metavar="DRILL", help=", ".join(DRILLS))
    parser.add_argument("--store", choices=STORES, action="append")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--runs", type=int, help="the number of runs of each drill")
    parser.add_argument(
        "--cluster",
        type=Path,
        help="the directory of a PostgreSQL cluster, for a copy in place of a new one",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.drills) - set(DRILLS)
    if unknown:
        parser.error(f"no such drill: {', '.join(sorted(unknown))}; there are: {', '.join(DRILLS)}")
    print(f"Python {sys.version.split()[0]}, seed {arguments.seed}", flush=True)
    options = {} if arguments.runs is None else {"runs": arguments.runs}
    bad = 0
    for name in arguments.drills or DRILLS:
        for kind in arguments.store or STORES:
            begun = time.monotonic()
            try:
                said = carry_out(
                    kind, DRILLS[name], arguments.seed, cluster=arguments.cluster, **options
                )
            except Exception:
                bad += 1
                said = f"BAD\n{traceback.format_exc()}"
            took = time.monotonic() - begun
            print(f"{name:<13} {kind:<11} {took:4.0f} s  {said}", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
