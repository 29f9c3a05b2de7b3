"""`Permissions(scratch_mb=...)`: an empty private ``/tmp`` for a run, with both ways to start a child."""

from __future__ import annotations

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import make_engine
from tmp_names import tmp_names
from warm import run_warm

from engine import Engine, Permissions, Policy, RunOptions, RunResult

WRITE = """
import os, tempfile, zipfile
def main(state):
    found = sorted(os.listdir("/tmp"))
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.txt", state["text"])
        file.seek(0)
        return {"found": found, "zip": file.read(), "parent": os.getppid()}
"""
LEAVE = "def main(state):\n    open('/tmp/left', 'x').write('mine')\n    return state"
LOOK = "import os\ndef main(state):\n    return {**state, 'seen': [*state.get('seen', []), sorted(os.listdir('/tmp'))]}"
FILL = "def main(state):\n    open('/tmp/file', 'wb').write(bytes(3_000_000))"


@pytest.fixture(params=["exec", "zygote"], scope="module")
def mode(request: pytest.FixtureRequest) -> str:
    """A way to start a child."""
    return str(request.param)


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file: None) -> None:
    """The engines of this file outlive each test."""


@pytest.fixture(scope="module")
def plain(mode: str) -> Iterator[Engine]:
    """An engine whose jobs may open files, as adaptors may. The tests of a mode share it."""
    with make_engine(mode, max_runs=3, policy=Policy(language=False)) as engine:
        if any(layer.state != "on" for layer in walls(engine, "mounts")):
            pytest.skip("no mounts here")
        yield engine


def walls(engine: Engine, name: str) -> list[object]:
    report = engine.execute("def main(state): return state").result(30).confinement
    return [layer for layer in report.layers if layer.name == name]


def run(engine: Engine, plan: object, state: object = None, **options: object) -> RunResult:
    permissions = options.pop("permissions", Permissions(scratch_mb=2))
    return engine.execute(
        plan, state, options=RunOptions(permissions=permissions, **options)
    ).result(40)


def test_libraries_find_a_place_for_their_files(plain: Engine, mode: str):
    """`tempfile` and `zipfile` work, and the next run finds nothing of them."""
    for _ in range(3):
        result = run(plain, WRITE, {"text": "hello"})
        assert result.reason == "success", result.error
        assert result.state["found"] == tmp_names()
        with zipfile.ZipFile(io.BytesIO(result.state["zip"])) as archive:
            assert archive.read("a.txt") == b"hello"
        # Any zygote can fork for it: the second use of a set of permissions makes none.
        ours = result.state["parent"] == os.getpid()
        assert ours == (mode == "exec")


def test_it_is_gone_with_the_run(plain: Engine):
    """A file that a run leaves is found neither by the next run nor on the machine."""
    assert run(plain, LEAVE).reason == "success"
    assert run(plain, LOOK, {}).state["seen"] == [tmp_names()]
    assert not Path("/tmp/left").exists()


def test_steps_of_one_child_share_it_and_another_child_begins_with_an_empty_one(plain: Engine):
    """A step with other permissions has another child; states are for what must not get lost."""

    def plan(permissions: object) -> dict[str, object]:
        steps: list[dict[str, object]] = [
            {"id": "a", "expression": LEAVE, "next": "b"},
            {"id": "b", "expression": LOOK, "next": "c"},
            {"id": "c", "expression": LOOK, "permissions": permissions, "next": "d"},
            {"id": "d", "expression": LOOK},
        ]
        return {"workflow": {"steps": steps}}

    same = run(plain, plan(None), {})
    assert same.state["seen"] == [tmp_names("left")] * 3, same.error
    narrowed = run(plain, plan({"scratch_mb": 1}), {})
    assert narrowed.state["seen"] == [tmp_names("left"), tmp_names(), tmp_names()], narrowed.error


def test_a_step_may_have_a_smaller_one_or_none(plain: Engine):
    """The size of a step is a limit; a step with false cannot write."""
    size = (
        "import os\ndef main(state):\n    try:\n        open('/tmp/file', 'wb').write(bytes(1_500_000))\n"
        "    except OSError as error:\n        return {'sizes': [*state.get('sizes', []), error.errno]}\n"
        "    return {'sizes': [*state.get('sizes', []), 0]}"
    )
    steps = [
        {"id": "a", "expression": size, "next": "b"},
        {"id": "b", "expression": size, "permissions": {"scratch_mb": 1}, "next": "c"},
        {"id": "c", "expression": size, "permissions": {"scratch_mb": False}},
    ]
    result = run(plain, {"workflow": {"steps": steps}}, {})
    assert result.state["sizes"] == [0, 28, 30], result.error


def test_a_full_directory_is_enospc_with_a_hint(plain: Engine):
    """The report names the option and the size that there is."""
    error = run(plain, FILL).error
    assert (error.name, error.subtype) == ("RuntimeError", "OSError")
    assert "No space left on device" in error.message
    assert error.option == "scratch_mb"
    assert error.fix == (
        "the scratch directory /tmp is full: it holds 2 MB and 256 files for each MB;"
        " remove files, or allow more with Permissions(scratch_mb=4)"
    )
    assert run(plain, FILL, permissions=Permissions(scratch_mb=4)).reason == "success"


def test_a_library_without_a_place_for_its_files_gives_a_hint(plain: Engine):
    """Without the permission nothing can be written, and the report says how to get it."""
    source = "import tempfile\ndef main(state):\n    tempfile.TemporaryFile()"
    error = run(plain, source, permissions=Permissions()).error
    assert "No usable temporary directory" in error.message
    assert error.fix == (
        "the run has no directory for temporary files; allow one with Permissions(scratch_mb=64)"
    )


def test_it_counts_against_the_memory(plain: Engine):
    """A run that takes as much memory as it may, next to its directory, is out of memory."""
    take = "def main(state):\n    return {'n': len(bytearray(90_000_000))}"
    assert run(plain, take, memory_mb=150).reason == "success"
    error = run(plain, take, memory_mb=150, permissions=Permissions(scratch_mb=80)).error
    assert error.name == "OOMError"
    assert error.fix == "80 MB of the limit belong to the scratch directory (scratch_mb)"
    small = "def main(state):\n    return {'n': len(bytearray(20_000_000))}"
    whole = run(plain, small, memory_mb=150, permissions=Permissions(scratch_mb=150))
    assert whole.reason == "success", whole.error


def test_runs_at_once_have_directories_of_their_own(plain: Engine):
    """Each of them makes the same file, and waits until all have made it."""
    source = """
import os, socket
def main(state):
    open("/tmp/file", "x").write(state["name"])
    with socket.create_connection(("127.0.0.1", state["port"]), timeout=30) as meeting:
        meeting.recv(1)
    return {"text": open("/tmp/file").read(), "names": sorted(os.listdir("/tmp"))}
"""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = server.getsockname()[1]
        permissions = Permissions(scratch_mb=1, net=[f"127.0.0.1:{port}"])
        options = RunOptions(permissions=permissions)
        runs = [
            plain.execute(source, {"name": name, "port": port}, options=options) for name in "abc"
        ]
        met = [server.accept()[0] for _ in runs]
        for connection in met:
            connection.sendall(b"!")
            connection.close()
        states = [one.result(30).state for one in runs]
    assert states == [{"text": name, "names": tmp_names("file")} for name in "abc"]


@pytest.mark.parametrize("policy", [Policy(level="none"), Policy(without=("mounts",))])
def test_without_mounts_such_a_run_is_refused(mode: str, policy: Policy):
    """It ends before its job starts; other runs of the engine go on."""
    with make_engine(mode, policy=policy) as engine:
        result = run(engine, "def main(state): return state")
        assert result.reason == "exception"
        assert result.error.name == "ConfinementError"
        assert "'mounts'" in result.error.message
        assert "scratch_mb" in result.error.message
        assert engine.execute("def main(state): return state").result(30).reason == "success"


def test_a_repo_below_tmp_is_found(tmp_path: Path):
    """The adaptors of a run stay where they are, when the repo lies below /tmp."""
    package = tmp_path / "package" / "files"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import tempfile\ndef keep(text):\n"
        "    def operation(state):\n"
        "        with tempfile.TemporaryFile('w+') as file:\n"
        "            file.write(text)\n            file.seek(0)\n"
        "            return {**state, 'text': file.read(), 'places': tempfile.gettempdir()}\n"
        "    return operation\n"
    )
    (tmp_path / "package" / "pyproject.toml").write_text(
        '[project]\nname = "files"\nversion = "1.0.0"\n[build-system]\n'
        'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[tool.setuptools]\npackages = ["files"]\n'
    )
    (tmp_path / "job.py").write_text("keep('text')\n")
    repo = str(tmp_path / "repo")
    for arguments in (
        ["repo", "init", repo],
        ["repo", "add", str(tmp_path / "package"), "--repo", repo],
        ["run", str(tmp_path / "job.py"), "--adaptor", "files", "--repo", repo, "--scratch", "1"],
    ):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
    assert '"text": "text"' in done.stdout
    assert '"places": "/tmp"' in done.stdout


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_warm(None, *arguments)


def test_the_command_gives_the_permission_and_its_hint(tmp_path: Path):
    """`--scratch MB`; a wrong size and one that does not fit into the memory are bad input."""
    job = tmp_path / "job.py"
    job.write_text("def main(state): return state")
    assert command("run", str(job), "--scratch", "1").returncode == 0
    wrong = command("run", str(job), "--scratch", "0")
    assert wrong.returncode == 2
    assert "--scratch: " in wrong.stderr
    assert "above 0" in wrong.stderr
    large = command("run", str(job), "--scratch", "60", "--memory", "50")
    assert large.returncode == 2
    assert "--scratch: 60 MB is more than the memory (50 MB)" in large.stderr
    assert command("run", str(job), "--scratch", "600", "--memory", "1000").returncode == 0


def test_validate_compares_the_size_of_a_step(tmp_path: Path):
    """With that of the run, if `--scratch` gives it; jobcell run does the same before it starts."""
    plan = tmp_path / "plan.json"
    job = "def main(state): return state"
    step = {"id": "a", "expression": job, "permissions": {"scratch_mb": 8}}
    plan.write_text(json.dumps({"workflow": {"steps": [step]}}))
    place = f"{plan}: workflow.steps[0].permissions.scratch_mb"
    for arguments, own in ((["--scratch", "4"], "4"), (["--net", "x"], "none")):
        refused = command("validate", str(plan), *arguments)
        assert refused.returncode == 2
        assert refused.stderr.strip() == (
            f"error: {place}: 8 is more than the permissions of the run (scratch_mb: {own});"
            " a step can only narrow them"
        )
    assert command("run", str(plan)).returncode == 2
    assert command("validate", str(plan), "--scratch", "8").returncode == 0
    unknown = command("validate", str(plan))
    assert unknown.returncode == 0
    assert "the permissions of step 'a' are not compared" in unknown.stdout


def test_a_resumed_run_has_the_size_of_its_journal(tmp_path: Path):
    """The journal keeps the option, as the other permissions."""
    job, journal = tmp_path / "job.py", str(tmp_path / "run.journal")
    job.write_text("def main(state): return state")
    started = command("run", str(job), "--journal", journal, "--scratch", "3")
    resumed = command("resume", journal)
    assert (started.returncode, resumed.returncode) == (0, 0)
    assert "options of the journal: --scratch 3" in resumed.stderr


def test_a_worker_gives_the_permission(tmp_path: Path):
    """`jobcell worker --scratch MB` is for all runs of the worker; a wrong size is bad input."""
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    wrong = command("worker", "--store", store, "--scratch", "0")
    assert wrong.returncode == 2
    assert "--scratch: Permissions.scratch_mb must be a finite number above 0" in wrong.stderr
    large = command("worker", "--store", store, "--scratch", "60", "--memory", "50")
    assert large.returncode == 2
    assert "--scratch is 60, which is more than --memory (50)" in large.stderr
