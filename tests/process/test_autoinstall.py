"""`jobcell run --autoinstall` installs missing adaptors after a question, and a name in a plan is only a name."""

from __future__ import annotations

import json
import os
import pty
import zipfile
from pathlib import Path

import pytest
from warm import WarmProcess, run_warm

import engine
from engine.adaptors import Repo
from jobcell.repo import add, initialise, lock, sync


def make_wheel(directory: Path, name: str, version: str) -> None:
    """Write a wheel with one module, whose verb puts the version into the state."""
    directory.mkdir(parents=True, exist_ok=True)
    module = name.lower().replace("-", "_")
    stem = f"{name.replace('-', '_')}-{version}"
    verb = f"def mark():\n    return lambda state: {{**state, 'by': '{version}'}}\n"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{module}/__init__.py", verb)
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        archive.writestr(f"{stem}.dist-info/WHEEL", wheel)
        archive.writestr(f"{stem}.dist-info/RECORD", f"{module}/__init__.py,,\n")


@pytest.fixture(autouse=True)
def links(tmp_path, monkeypatch):
    """A directory of wheels in place of an index, and an empty working directory."""
    directory = tmp_path / "links"
    for version in ("1.0.0", "1.1.0", "2.0.0rc1"):
        make_wheel(directory, "Jinja-Like", version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("JOBCELL_REPO", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return directory


def write_plan(*adaptors: str, expression: str = "mark()") -> str:
    step = {"id": "a", "expression": expression, "adaptors": list(adaptors)}
    Path("plan.json").write_text(json.dumps({"workflow": {"steps": [step]}}))
    return "plan.json"


def installed(repo: str = "repo") -> list[str]:
    return [entry.spec for entry in Repo.read(repo).entries()]


def on_a_terminal(answer: str, *arguments: str) -> tuple[int, str]:
    """Run the command with a terminal as standard input and standard error."""
    leader, follower = pty.openpty()
    shown = b""
    with Path(os.devnull).open("wb") as nothing:
        streams = (follower, nothing.fileno(), follower)
        process = WarmProcess(None, *arguments, streams=streams)
    os.close(follower)
    try:
        while part := os.read(leader, 65536):
            shown += part
            if answer and b"[y/N]" in shown:
                os.write(leader, f"{answer}\n".encode())
                answer = ""
    except OSError:  # EIO: the other end is closed, see pty(7)
        pass
    os.close(leader)
    return process.wait(60), shown.decode()


def test_without_a_terminal_nothing_is_installed(tmp_path):
    """The error names each adaptor and where it would come from, and the option that agrees."""
    plan = write_plan("common", "jinja-like")
    done = run_warm(None, "run", plan, "--autoinstall")
    assert done.returncode == 2
    assert "common (comes with jobcell), jinja-like (from the package index)" in done.stderr
    assert "give --yes as well" in done.stderr
    assert not Path("repo").exists()


def test_yes_agrees(tmp_path):
    """The repo is made, and the run has the adaptors; the spelling of the name does not matter."""
    plan = write_plan("common", "jinja_LIKE")
    done = run_warm(None, "run", plan, "--autoinstall", "--yes")
    assert (done.returncode, json.loads(done.stdout)["by"]) == (0, "1.1.0"), done.stderr
    assert installed() == ["common@1.0.0", "Jinja-Like@1.1.0"]
    assert "Jinja-Like@1.1.0: added to repo" in done.stderr


def test_a_second_run_installs_nothing(tmp_path):
    """It neither asks nor looks for anything newer."""
    plan = write_plan("jinja-like@1.0.0")
    run_warm(None, "run", plan, "--autoinstall", "--yes").check_returncode()
    plan = write_plan("Jinja.Like@latest")
    done = run_warm(None, "run", plan, "--autoinstall")
    assert (done.returncode, json.loads(done.stdout)["by"]) == (0, "1.0.0"), done.stderr
    assert installed() == ["Jinja-Like@1.0.0"]


@pytest.mark.parametrize(
    ("answer", "code", "there"), [("y", 0, True), ("", 0, True), ("n", 2, False), ("x", 2, False)]
)
def test_a_terminal_is_asked(answer, code, there):
    """Only a yes installs; the question lists the adaptors."""
    plan = write_plan("jinja-like@next")
    if not answer:  # the twin: nothing is missing, so that nothing is asked
        initialise(Path("repo"))
        add(Path("repo"), ["jinja-like@next"])
    ended, shown = on_a_terminal(answer, "run", plan, "--autoinstall", "--plain")
    assert ended == code, shown
    assert ("Install them? [y/N]" in shown) is bool(answer)
    if answer:
        assert "jinja-like@next (from the package index)" in shown
    assert Path("repo").exists() is there
    if there:
        assert installed() == ["Jinja-Like@2.0.0rc1"]


@pytest.mark.parametrize(
    "spec",
    ["./own", "own/", "x @ file:///tmp/x.whl", "--index-url=http://127.0.0.1", "own[extra]", "@scope/x", "own@^1"],
)  # fmt: skip
def test_a_plan_cannot_name_a_place(spec):
    """A path, a URL and an option are refused, also with --yes."""
    Path("own").mkdir()
    Path("own/own.py").write_text("raise SystemExit\n")
    Path("own/pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\n')
    plan = write_plan("common", spec)
    done = run_warm(None, "run", plan, "--autoinstall", "--yes")
    assert done.returncode == 2, done.stderr
    assert "--autoinstall: step 'a'" in done.stderr
    assert not Path("repo").exists()


def test_a_directory_of_that_name_is_not_taken():
    """`jobcell repo add own` takes the directory; a plan means the index, which has no such name."""
    Path("own").mkdir()
    Path("own/own.py").write_text("")
    Path("own/pyproject.toml").write_text('[project]\nname = "own"\nversion = "1"\n')
    done = run_warm(None, "run", write_plan("own"), "--autoinstall", "--yes")
    assert (done.returncode, "cannot install 'own'" in done.stderr) == (2, True), done.stderr
    assert installed() == []


def test_yes_alone_is_refused():
    """It would agree to nothing."""
    done = run_warm(None, "run", write_plan("common"), "--yes")
    assert (done.returncode, "--yes: agrees to --autoinstall" in done.stderr) == (2, True)


def test_add_takes_the_tags_and_the_lock_file_pins_them(tmp_path):
    """`next` admits pre-releases of this adaptor; a lock file has the versions that were installed."""
    repo, other = tmp_path / "one", tmp_path / "other"
    initialise(repo)
    done = add(repo, ["jinja-like@latest", "JINJA_like@next", "common@latest", "rest@next"])
    assert [(item.name, item.version) for item in done] == [
        ("Jinja-Like", "1.1.0"),
        ("Jinja-Like", "2.0.0rc1"),
        ("common", "1.0.0"),
        ("rest", "1.1.0"),
    ]
    text = lock(repo)
    assert "latest" not in text
    assert "next" not in text
    initialise(other)
    sync(other, text)
    assert installed(str(other)) == installed(str(repo))
    assert all(not item.fresh for item in sync(other, text.replace("Jinja-Like", "jinja_like", 1)))


def test_a_resumed_run_keeps_the_versions_of_its_tags(tmp_path):
    """The versions are those of the first start, also after newer ones were installed."""
    repo = tmp_path / "one"
    initialise(repo)
    add(repo, ["jinja-like@1.0.0"])
    wait = "import time\ndef main(state):\n    while True:\n        time.sleep(0.01)\n"
    steps = [
        {"id": "a", "expression": "mark()", "adaptor": "jinja_like@next", "next": "b"},
        {"id": "b", "expression": wait, "adaptor": "JINJA-LIKE@latest"},
    ]
    plan = {"id": "run-1", "workflow": {"steps": steps}}

    def versions_of_a_run():
        with engine.Engine(repo_dir=repo) as eng, engine.FileJournal(tmp_path / "j") as journal:
            run = eng.execute(plan, {}, journal=journal)
            seen = []
            while not any(e.type == "job-start" and e.step_id == "b" for e in seen):
                seen += run.poll(timeout_s=None)
            run.cancel("seen enough")
            run.result(30)
        return seen[0].replayed, seen[0].versions.adaptors

    assert versions_of_a_run() == (0, {"Jinja-Like": ["1.0.0"]})
    add(repo, ["jinja-like@1.1.0", "jinja-like@2.0.0rc1"])
    assert versions_of_a_run() == (1, {"Jinja-Like": ["1.0.0"]})
    (tmp_path / "j").unlink()
    assert versions_of_a_run() == (0, {"Jinja-Like": ["1.1.0", "2.0.0rc1"]})
