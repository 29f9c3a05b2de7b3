"""The short form of `make chaos`: workers, servers and children die, and each run ends once."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pytest
from modes import let_everybody_in
from warm import WarmProcess

from benchmarks.chaos.effects import serving, write_repo
from benchmarks.chaos.field import Field
from benchmarks.chaos.outages import Server, lock_file
from benchmarks.chaos.short import short

SEED = 16


def start(arguments: Sequence[str], out: BinaryIO) -> WarmProcess:
    """Start a worker without the start of an interpreter, which is not tested here."""
    with Path(os.devnull).open("rb") as nothing:
        streams = (nothing.fileno(), out.fileno(), out.fileno())
        return WarmProcess(None, *arguments, streams=streams)


def test_no_run_is_lost_doubled_or_changed_when_its_surroundings_die(
    store_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A child is killed, a worker is stopped and later killed, and the database is killed or locked."""
    let_everybody_in(tmp_path)
    with ExitStack() as stack:
        effects = stack.enter_context(serving())
        repo = write_repo(tmp_path / "repo")
        field = Field(
            store_url,
            tmp_path,
            repo,
            effects,
            random.Random(SEED),
            heartbeat_s=0.25,
            dead_s=1.5,
            starter=start,
        )
        stack.callback(field.close)
        if field.is_sqlite:
            server = stack.enter_context(lock_file(Path(store_url.removeprefix("sqlite:///"))))
        else:
            postgres = request.getfixturevalue("postgres")
            server = Server(
                kill=postgres.kill,
                take_away=postgres.take_away,
                bring_back=postgres.start_again,
            )
        short(field, server)
