"""Runs with a scratch directory are forked from a warm zygote, and look like cold ones."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from warm_pairs import PATIENCE_S, WarmRepo, comparable, pair, plan_of, run, wait_until_decided

from engine import Permissions

ROOT = Path(__file__).parents[2]

SOURCE = """
import os, random, tempfile, zipfile
at_import = random.random()
with tempfile.TemporaryDirectory() as made, zipfile.ZipFile(made + "/a.zip", "w") as archive:
    archive.writestr("a.txt", "imported")
seen = [os.path.exists(made), os.path.realpath("/tmp")]

def verb(function):
    def call(*args):
        return lambda state: {**state, function.__name__: function(*args)}
    return call

@verb
def number():
    return at_import

@verb
def facts():
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(1000))
        file.flush()
        there = os.stat("/tmp")
        return [seen, os.path.basename(file.name) in os.listdir("/tmp"), os.path.exists("/tmp/d"), oct(there.st_mode),
                there.st_uid, os.stat("/usr").st_uid, os.statvfs("/tmp").f_ffree, os.lstat("/tmp").st_mode]

@verb
def leave():
    os.mkdir("/tmp/d")
    open("/tmp/d/file", "x").write("mine")
    return os.listdir("/tmp/d")

@verb
def fill():
    open("/tmp/file", "wb").write(bytes(5_000_000))

@verb
def refused():
    told = []
    for act in (
        lambda: open("/.scratch/x", "w"), lambda: open("/x", "w"), lambda: os.listdir("/.scratch"),
        lambda: os.mkdir("/.scratch/tmp2"), lambda: os.symlink("a", "/tmp/b"), lambda: os.unlink("/tmp"),
        lambda: os.chmod("/tmp/d", 0o4777), lambda: os.mkfifo("/tmp/fifo"), os.fork,
    ):
        try:
            act()
            told.append("done")
        except OSError as error:
            told.append(error.errno)
    return told
"""


def steps(*calls: str) -> dict[str, Any]:
    return plan_of(
        *({"id": f"s{n}", "adaptor": "files", "expression": call} for n, call in enumerate(calls))
    )


PLANS = {
    "facts": steps("facts()"),
    "two steps": steps("leave()", "refused()", "facts()"),
    "full": steps("leave()", "fill()"),
    "left": steps("leave()"),
}


def test_a_warm_run_with_a_scratch_directory_cannot_be_told_from_a_cold_one(tmp_path: Path):
    """Also the import has an empty directory, and each run begins with its own."""
    repo = WarmRepo(tmp_path / "repo")
    repo.add("files", SOURCE)
    options = {"permissions": Permissions(scratch_mb=2)}
    with pair(repo, max_runs=1) as (cold, warm):
        expected = {name: comparable(*run(cold, plan, **options)) for name, plan in PLANS.items()}
        for _ in range(2):
            run(warm, PLANS["facts"], **options)
        decided = wait_until_decided(warm, "files")
        assert decided.warm, decided
        numbers = [run(warm, steps("number()"), **options)[0].state["number"] for _ in range(2)]
        assert numbers[0] == numbers[1], "both are forks of the warm zygote"
        for name, plan in PLANS.items():
            for _ in range(2):
                assert comparable(*run(warm, plan, **options)) == expected[name], name
        other = {"permissions": Permissions(scratch_mb=3)}
        assert run(warm, steps("number()"), **other)[0].state["number"] != numbers[0]


def test_a_set_that_keeps_a_file_is_not_warm(tmp_path: Path):
    """A run would find the file that the import made, so each run imports it."""
    repo = WarmRepo(tmp_path / "repo")
    repo.add(
        "files",
        "open('/tmp/kept', 'w').write('x')\ndef use():\n"
        "    return lambda state: {'kept': open('/tmp/kept').read()}\n",
    )
    options = {"permissions": Permissions(scratch_mb=2)}
    with pair(repo, max_runs=1) as (_, warm):
        for _ in range(2):
            assert run(warm, steps("use()"), **options)[0].state == {"kept": "x"}
        assert (
            wait_until_decided(warm, "files").reason
            == "it keeps files in its scratch directory while it is imported"
        )
        assert run(warm, steps("use()"), **options)[0].state == {"kept": "x"}


ORDINARY = ["unshare", "--user", "--map-user=54321", "--map-group=54321", "--"]


def test_an_ordinary_user_has_warm_runs_with_a_scratch_directory(tmp_path: Path):
    """The namespaces of the fork are made without the rights of root."""
    if subprocess.run([*ORDINARY, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives ordinary users no namespaces")
    repo = WarmRepo(tmp_path / "repo")
    repo.add("files", SOURCE)
    script = f"""
        import sys
        sys.path[:0] = [{str(ROOT)!r}]
        import engine, time
        options = engine.RunOptions(permissions=engine.Permissions(scratch_mb=2))
        def run(plan):
            result = eng.execute(plan, options=options).result({PATIENCE_S})
            assert result.reason == "success", result.error
            return result.state
        with engine.Engine(repo_dir={str(repo.path)!r}) as eng:
            for _ in range(2):
                run({steps("leave()", "refused()")!r})
            deadline = time.monotonic() + {PATIENCE_S}
            while not eng.warm()[0].warm and time.monotonic() < deadline:
                time.sleep(0.01)
            numbers = {{run({steps("number()")!r})["number"] for _ in range(2)}}
            print(len(numbers), run({steps("leave()", "refused()")!r})["leave"], eng.warm()[0].reason)
    """
    done = subprocess.run(
        [*ORDINARY, sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1 ['file'] None\n", done.stderr
