"""The examples of docs/workers.md start workers that serve."""

from __future__ import annotations

import os
import re
import shlex
import signal
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from warm import WarmProcess, run_warm
from workers import PATIENCE_S, QUICK

from jobcell import Store
from jobcell.store.schema import workers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workers.md").read_text()


def example(name: str) -> str:
    """Return an example of the page."""
    found = re.search(rf"<!-- test: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def serve(source: str | None, *words: str, directory: Path) -> None:
    """Run a worker, a program or a command, until it has carried out a run, and is stopped by SIGTERM."""
    with Path(os.devnull).open("r+") as nothing:
        streams = (nothing.fileno(), nothing.fileno(), nothing.fileno())
        process = WarmProcess(source, *words, streams=streams, cwd=directory, kind="commands")
    try:
        with closing(Store.open(f"sqlite:///{directory}/runs.db")) as store:
            run = store.enqueue(QUICK)
            assert run.result(timeout_s=PATIENCE_S).reason == "success"
            with store.database.read() as connection:
                assert connection.execute(sa.select(workers.c.places)).scalars().all() == [8]
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
            with store.database.read() as connection:
                assert connection.execute(sa.select(workers.c.id)).first() is None
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_the_command_of_the_page_serves(tmp_path: Path) -> None:
    """With a store of the test's own, and a free port."""
    words = shlex.split(example("start").removeprefix("$ jobcell"))
    words[words.index("--store") + 1] = f"sqlite:///{tmp_path}/runs.db"
    words[words.index("--health") + 1] = "127.0.0.1:0"
    serve(None, *words, directory=tmp_path)


def test_the_program_of_the_page_serves(tmp_path: Path) -> None:
    """It is a whole program, and SIGTERM ends it."""
    serve(example("serve-here"), directory=tmp_path)


def test_wrong_options_are_one_line_each(tmp_path: Path) -> None:
    """Nothing is started, and the exit code is that of bad input."""
    store = f"sqlite:///{tmp_path}/runs.db"
    for options, words in (
        (["--max-runs", "0"], "--max-runs"),
        (["--heartbeat", "5", "--dead-after", "6"], "--dead-after must be at least 3 times"),
        (["--health", "8080"], "--health must be HOST:PORT"),
        (["--resolvers", "no_such_module:x"], "no_such_module"),
        (["--net", "https://x"], "x:443"),
        (["--drain", "-1"], "--drain must be seconds"),
    ):
        done = run_warm(None, "worker", "--store", store, *options)
        assert done.returncode == 2, done.stderr
        (line,) = (text for text in done.stderr.splitlines() if text)
        assert line.startswith("error: ")
        assert words in line
