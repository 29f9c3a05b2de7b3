"""A command that is killed while it writes to a repo does no harm; two at once both succeed."""

from __future__ import annotations

import json
import signal
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from warm import run_warm

from engine.adaptors.repo import Repo
from jobcell.repo import RepoWriteError, add, initialise, lock, remove, sync, verify

# The process kills itself before its n-th file operation or start of a process.
DYING = """
import os, signal, sys
left = int(sys.argv.pop(1))
def watch(event, args):
    global left
    writes = event == "open" and args[1] is not None and set(args[1]) & set("wax+")
    if writes or event in ("os.mkdir", "os.rename", "os.rmdir", "os.remove", "subprocess.Popen"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
from jobcell.cli import main
import jobcell.repo.install, jobcell.repo.removal
sys.addaudithook(watch)
main()
"""


def call(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command itself; the rest of a test uses the functions, which are faster."""
    done = run_warm(None, "repo", *arguments)
    if check:
        done.check_returncode()
    return done


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Keep pip away from registries."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")


def make_source(directory: Path, name: str, version: str = "1.0.0", more: str = "") -> Path:
    """Write a directory of pure Python in the form of an author's directory."""
    (directory / name).mkdir(parents=True)
    (directory / name / "__init__.py").write_text(f"VERSION = {version!r}\n")
    (directory / "pyproject.toml").write_text(
        f'[project]\nname = "jobcell-{name}"\nversion = "{version}"\n{more}'
    )
    return directory


def make_wheel(
    directory: Path, name: str, version: str, requires: str | None = None, more: str = ""
) -> Path:
    directory.mkdir(exist_ok=True)
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"VERSION = {version!r}\n")
        archive.writestr(
            f"{information}/METADATA",
            metadata + (f"Requires-Dist: {requires}\n" if requires else "") + more,
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", f"{name}/__init__.py,,\n")
    return wheel


@pytest.fixture
def repo(tmp_path):
    directory = tmp_path / "repo"
    assert initialise(directory)
    return directory


def check(repo: Path) -> None:
    assert {problem for _, problem in verify(repo)} <= {None}


def listed(repo: Path) -> list[str]:
    return [entry.spec for entry in Repo.read(repo).entries()]


def test_a_directory_of_pure_python_is_added_without_running_it(repo, tmp_path):
    """The directory is copied, compiled and hashed; the prefix of adaptors is not in the name."""
    source = make_source(tmp_path / "src", "common")
    (source / "common" / "__init__.py").write_text("raise SystemExit('ran')\n")
    assert call("add", source, "--repo", repo).stdout == "common@1.0.0: added\n"
    link = Repo.read(repo).resolve("common")
    Repo.read(repo).verify(link)
    assert list(Path(link.path, "common", "__pycache__").iterdir())
    assert call("add", source, "--repo", repo).stdout == "common@1.0.0: is there already\n"
    assert call("list", "--repo", repo).stdout == "common@1.0.0  import common\n"


def test_a_wheel_is_added_with_its_dependencies_beside_it(repo, tmp_path):
    """The dependencies are in a directory of their own, at the recorded versions."""
    make_wheel(tmp_path / "wheels", "helper", "2.0")
    wheel = make_wheel(tmp_path / "wheels", "common", "1.0", "helper>=1")
    add(repo, [str(wheel)], find_links=[str(tmp_path / "wheels")])
    (entry,) = Repo.read(repo).entries()
    assert (entry.spec, entry.import_name) == ("common@1.0", "common")
    assert entry.dependencies == {"helper": "2.0"}
    assert (repo / entry.path / "helper" / "__init__.py").exists()


def test_an_extra_that_does_not_exist_is_an_error(repo, tmp_path):
    """pip only warns; the message lists the extras of the adaptor."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "helper", "2.0")
    more = (
        "Provides-Extra: more-help\nProvides-Extra: xml\n"
        'Requires-Dist: helper; extra == "more-help"\n'
    )
    make_wheel(wheels, "ledger", "1.0", more=more)
    make_wheel(wheels, "http", "2.0", more="Provides-Extra: xml\n")
    links = [str(wheels)]
    for spec, has in (
        ("http[evil]", "'evil'; it has no extras"),
        ("http[evil]@1.0.0", "'evil'; it has no extras"),
        ("ledger[evil,xml,worse]", "'evil', 'worse'; it has more-help, xml"),
        ("http[evil]==2.0", "'evil'; it has xml"),
    ):
        with pytest.raises(RepoWriteError) as caught:
            add(repo, [spec], find_links=links)
        assert f"asks for an extra that does not exist: {has}" in str(caught.value)
        assert listed(repo) == []
    add(repo, ["ledger[more-help]", "http[xml]==2.0"], find_links=links)
    entries = {entry.name: entry.dependencies for entry in Repo.read(repo).entries()}
    assert entries == {"ledger": {"helper": "2.0"}, "http": {}}


def test_a_marker_that_does_not_hold_is_an_error(repo):
    """Also for an adaptor that comes with jobcell, which no installer sees."""
    with pytest.raises(RepoWriteError, match="its marker does not hold on this machine"):
        add(repo, ["common; python_version < '3'"])
    add(repo, ["common; python_version > '3'"])


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param(lambda d: (d / "setup.py").write_text(""), "setup.py", id="setup.py"),
        pytest.param(lambda d: (d / "x.pyx").write_text(""), "compiled", id="cython"),
        pytest.param(lambda d: (d / "pyproject.toml").unlink(), "[project]", id="no project"),
    ],
)
def test_what_must_be_built_is_refused_unless_allowed(repo, tmp_path, prepare, reason):
    """A build runs the adaptor's code on the manager's machine."""
    source = make_source(tmp_path / "src", "common")
    prepare(source)
    with pytest.raises(RepoWriteError, match="--allow-build") as refused:
        add(repo, [str(source)])
    assert reason in str(refused.value)
    assert listed(repo) == []


@pytest.mark.parametrize(
    "spec", ["nowhere==9", "./nowhere", "-e.", "git+https://h.example/x", "a b"]
)
def test_what_cannot_be_installed_changes_nothing(repo, spec):
    """The error is a single line, and no directory is left behind."""
    before = sorted(item.name for item in repo.parent.iterdir())
    with pytest.raises(RepoWriteError) as refused:
        add(repo, [spec])
    assert len(str(refused.value).splitlines()) == 1
    assert (listed(repo), sorted(item.name for item in repo.parent.iterdir())) == ([], before)


@pytest.mark.parametrize("number", [1, 3, 6, 9, 11, 12, 13, 14, 15, 16, 18, 20])
def test_killing_an_add_at_any_moment_leaves_the_repo_as_it_was(repo, tmp_path, number):
    """The repo is completely changed or not at all; the next add works, and cleans up."""
    add(repo, [str(make_source(tmp_path / "a", "first"))])
    before = (repo / "repo.json").read_bytes()
    source = make_source(tmp_path / "b", "second")
    died = run_warm(DYING, number, "repo", "add", source, "--repo", repo, kind="commands")
    after = (repo / "repo.json").read_bytes()
    if died.returncode == -signal.SIGKILL and after == before:
        assert listed(repo) == ["first@1.0.0"]
    else:
        assert listed(repo) == ["first@1.0.0", "second@1.0.0"]
    check(repo)
    add(repo, [str(source)])
    assert listed(repo) == ["first@1.0.0", "second@1.0.0"]
    check(repo)
    assert sorted(item.name for item in repo.iterdir()) == [
        ".lock",
        "first_1.0.0",
        "repo.json",
        "second_1.0.0",
    ]
    assert not list(tmp_path.glob(".repo.stage-*"))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_killing_a_remove_leaves_a_repo_that_verifies(repo, tmp_path, number):
    """Every adaptor in the list is on the disk."""
    for name in ("first", "second"):
        add(repo, [str(make_source(tmp_path / name, name))])
    run_warm(DYING, number, "repo", "remove", "second", "--repo", repo, kind="commands")
    assert listed(repo) in (["first@1.0.0"], ["first@1.0.0", "second@1.0.0"])
    check(repo)


def test_two_adds_at_once_both_succeed(repo, tmp_path):
    """The commands add different adaptors, and the same one."""
    sources = [make_source(tmp_path / name, name) for name in ("first", "second")]
    with ThreadPoolExecutor(3) as pool:
        ends = [
            pool.submit(call, "add", source, "--repo", repo) for source in (*sources, sources[0])
        ]
    assert sorted(end.result().stdout for end in ends) == [
        "first@1.0.0: added\n",
        "first@1.0.0: is there already\n",
        "second@1.0.0: added\n",
    ]
    assert listed(repo) == ["first@1.0.0", "second@1.0.0"]
    check(repo)


def test_a_lock_file_makes_the_same_repo_elsewhere(repo, tmp_path):
    """The other repo has the same versions and files; an adaptor that is not locked is removed."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "helper", "2.0")
    wheel = make_wheel(wheels, "common", "1.0", "helper>=1")
    source = make_source(tmp_path / "src", "second")
    add(repo, [str(wheel), str(source)], find_links=[str(wheels)])
    (tmp_path / "lock.json").write_text(lock(repo))
    make_wheel(wheels, "helper", "3.0")  # a newer version, but not the locked one
    other = tmp_path / "other"
    initialise(other)
    add(other, [str(make_source(tmp_path / "more", "third"))])
    call("sync", tmp_path / "lock.json", "--repo", other, "--find-links", wheels)
    assert listed(other) == ["common@1.0", "second@1.0.0"]
    assert lock(other) == (tmp_path / "lock.json").read_text()
    check(other)
    assert not (other / "third_1.0.0").exists()


def test_sync_refuses_other_files_than_the_locked_ones(repo, tmp_path):
    """The command detects a registry that serves other content under a known version."""
    wheels = tmp_path / "wheels"
    add(repo, [str(make_wheel(wheels, "common", "1.0"))])
    (tmp_path / "lock.json").write_text(lock(repo))
    locked = json.loads((tmp_path / "lock.json").read_text())
    locked["adaptors"][0]["sha256"] = "0" * 64
    with pytest.raises(RepoWriteError, match="the files are not the locked ones"):
        sync(repo, json.dumps(locked), find_links=[str(wheels)])
    assert listed(repo) == ["common@1.0"]


def test_verify_finds_a_changed_file_and_sync_repairs_it(repo, tmp_path):
    """Source files and compiled files are both checked."""
    add(repo, [str(make_source(tmp_path / "src", "common"))])
    (tmp_path / "lock.json").write_text(lock(repo))
    for pattern in ("*.py", "*.pyc"):
        files = Path(Repo.read(repo).resolve("common").path)
        with next(files.rglob(pattern)).open("ab") as file:
            file.write(b"\n")
        refused = call("verify", "--repo", repo, check=False)
        assert (refused.returncode, "changed" in refused.stdout) == (1, pattern == "*.pyc")
        sync(repo, (tmp_path / "lock.json").read_text())
        check(repo)


def test_unknown_keys_of_the_index_survive(repo, tmp_path):
    """`repo.json` may contain keys that this version does not know."""
    index = json.loads((repo / "repo.json").read_text())
    (repo / "repo.json").write_text(json.dumps({**index, "note": "mine"}))
    add(repo, [str(make_source(tmp_path / "src", "common"))])
    assert json.loads((repo / "repo.json").read_text())["note"] == "mine"


def test_a_corrupt_index_is_not_built_upon(repo, tmp_path):
    """The index is left as it is, so that a person can look at it."""
    (repo / "repo.json").write_text("{")
    refused = call("add", make_source(tmp_path / "src", "common"), "--repo", repo, check=False)
    assert refused.returncode == 2
    assert "corrupt" in refused.stderr
    assert (repo / "repo.json").read_text() == "{"


def test_an_entry_without_a_module_is_locked_with_the_module_of_its_name(repo, tmp_path):
    """`module` may be missing in `repo.json`, so a lock file has the name that `import` uses."""
    add(repo, [str(make_source(tmp_path / "source", "ledger"))])
    index = json.loads((repo / "repo.json").read_text())
    for entry in index["adaptors"]:
        del entry["module"]
    (repo / "repo.json").write_text(json.dumps(index))

    (locked,) = json.loads(lock(repo))["adaptors"]

    assert locked["module"] == "ledger"
    assert [item.fresh for item in sync(repo, lock(repo))] == [False]


def test_a_lock_file_that_cannot_be_written_or_read_is_bad_input(repo, tmp_path):
    """The error names the file, and the exit code is that of bad input."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for words, message in (
        (["lock", "-o", tmp_path / "missing" / "x.json"], "cannot be written: No such file"),
        (["sync", tmp_path / "missing.json"], "cannot be read: No such file"),
        (["sync", tmp_path / "binary"], "is not a lock file: it is not UTF-8"),
    ):
        done = call(*words, "--repo", repo, check=False)

        assert done.returncode == 2, done.stderr
        assert f"error: {words[-1]}: {message}" in done.stderr


def test_what_was_removed_is_gone(repo, tmp_path):
    """The adaptor is gone from the index and from the disk; an ambiguous name is an error."""
    for version in ("1.0.0", "2.0.0"):
        add(repo, [str(make_source(tmp_path / version, "common", version))])
    with pytest.raises(RepoWriteError, match="say which"):
        remove(repo, ["common"])
    assert remove(repo, ["common@1.0"]) == ["common@1.0.0"]
    assert listed(repo) == ["common@2.0.0"]
    assert not (repo / "common_1.0.0").exists()
