"""`common`, `http` and `rest` come with jobcell, and a foreign distribution never takes their place."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from bundled_repo import make_bundled_repo

import engine
from engine.adaptors.repo import Repo
from jobcell.repo import RepoWriteError, add, initialise, lock, sync, verify

NAMES_OF_OURS = ("common", "rest", "jobcell-common", "jobcell-javascript", "Jobcell_Javascript")
"""Only one of them has libraries: to copy and to compile them takes a second."""

VERSIONS_THAT_ARE_NOT_OURS = (
    *(
        "rest==2.1.0",
        "rest@2.1.0",
        "jobcell-rest>=2",
        "Common==2.1.0",
        "http==2.1.0",
        "jobcell-http>=2",
        "postgresql==2.1.0",
        "jobcell-postgresql>=2",
        "sheets==2.1.0",
        "javascript==2.1.0",
    ),
)


def make_wheel(directory: Path, name: str, version: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    module = name.removeprefix("jobcell-")
    information = f"{stem}.dist-info"
    with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{module}/__init__.py", "STRANGER = True\n")
        archive.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", f"{module}/__init__.py,,\n")
    return directory / f"{stem}-py3-none-any.whl"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """An index in which other people have published distributions with our names."""
    root = tmp_path_factory.mktemp("index")
    for name in (
        "common",
        "rest",
        "http",
        "jobcell-common",
        "jobcell-rest",
        "jobcell-http",
        "postgresql",
        "jobcell-postgresql",
        "sheets",
        "javascript",
        "jobcell-javascript",
        "ledger",
    ):
        for version in ("1.0.0", "2.1.0"):
            make_wheel(root / name, name, version)
        links = "".join(
            f'<a href="{file.name}">{file.name}</a>' for file in (root / name).iterdir()
        )
        (root / name / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return root


@pytest.fixture
def index(published, monkeypatch):
    """Let the installer ask that index."""
    for variable in ("PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", published.as_uri())


@pytest.fixture
def offline(monkeypatch):
    """Keep the installer away from an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")


@pytest.fixture
def repo(tmp_path):
    directory = tmp_path / "repo"
    assert initialise(directory)
    return directory


def is_a_stranger(repo: Path, name: str) -> bool:
    link = Repo.read(repo).resolve(name)
    return "STRANGER" in Path(link.path, link.module, "__init__.py").read_text()


def test_a_job_uses_the_bundled_adaptors(tmp_path):
    """The adaptors are installed without an index, and the engine finds them under their names."""
    names = ["common", "rest", "fhir", "postgresql", "sheets"]
    repo = make_bundled_repo(tmp_path / "repo", *names)
    job = "import rest\ndef main(state):\n    return {'data': callable(rest.get) and callable(fn)}"

    state = engine.run(
        {"workflow": {"steps": [{"id": "a", "adaptors": ["common", "rest"], "expression": job}]}},
        repo_dir=repo,
    )

    assert [entry.name for entry in Repo.read(repo).entries()] == sorted(names)
    assert state == {"data": True}
    assert {problem for _, problem in verify(repo)} == {None}


@pytest.mark.usefixtures("offline")
def test_adaptors_are_installed_together(repo):
    """A command may name several, and all of them are new."""
    done = add(repo, ["common", "collections", "javascript"])

    assert [item.name for item in done if item.fresh] == ["common", "collections", "javascript"]
    assert {problem for _, problem in verify(repo)} == {None}


@pytest.mark.usefixtures("index")
def test_without_the_rule_the_index_would_have_been_asked(repo):
    """The twin: another name comes from that index."""
    add(repo, ["ledger==2.1.0"])

    assert is_a_stranger(repo, "ledger")


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    "spec", [*NAMES_OF_OURS, "javascript==1.0", "javascript@1.0.0", "common>=1,<3"]
)
def test_a_name_of_ours_is_the_bundled_adaptor(repo, spec):
    """The index may have a newer version, and the name may have any spelling."""
    (done,) = add(repo, [spec])

    versions = {"common": "1.0.0", "rest": "1.1.0", "javascript": "1.0.0"}
    assert done.version == versions[done.name]
    assert not is_a_stranger(repo, done.name)


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("spec", VERSIONS_THAT_ARE_NOT_OURS)
def test_a_version_of_ours_that_is_not_bundled_is_refused(repo, spec):
    """The error gives the existing version, and the index is not asked."""
    with pytest.raises(RepoWriteError, match=r"jobcell comes with \w+ 1\.\d\.0"):
        add(repo, [spec])

    assert Repo.read(repo).entries() == []


@pytest.mark.usefixtures("index")
def test_another_version_of_ours_comes_from_a_directory_that_the_user_names(repo, tmp_path):
    """The newest wheel that fits is taken; other files in that directory do not matter."""
    links = tmp_path / "wheels"
    for version in ("2.1.0", "2.2.0", "3.0.0"):
        make_wheel(links, "rest", version)
    (links / "not-a-wheel.whl").write_text("")

    (done,) = add(repo, ["rest>=2,<3"], find_links=[str(links)])

    assert done.version == "2.2.0"


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("again", [False, True])
def test_a_dependency_on_ours_is_the_bundled_adaptor(repo, tmp_path, again):
    """The installer takes it from our own wheel, also when it follows a lock file."""
    source = tmp_path / "src"
    (source / "mine").mkdir(parents=True)
    (source / "mine" / "__init__.py").write_text("import common\n")
    (source / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1.0"\ndependencies = ["jobcell-common", "ledger"]\n'
    )
    add(repo, [str(source)])
    if again:
        text, repo = lock(repo), tmp_path / "second"
        initialise(repo)
        sync(repo, text)

    link = Repo.read(repo).resolve("mine")

    assert "STRANGER" not in Path(link.path, "common", "__init__.py").read_text()
    assert "STRANGER" in Path(link.path, "ledger", "__init__.py").read_text()


@pytest.mark.usefixtures("index")
def test_a_lock_file_brings_the_bundled_adaptor_to_another_machine(tmp_path):
    """The lock file has no path of this machine, and the same files arrive."""
    repo = make_bundled_repo(tmp_path / "repo", "common", "rest")
    text = lock(repo)
    other = tmp_path / "other"
    initialise(other)

    sync(other, text)

    assert str(tmp_path.parents[2]) not in text
    assert "source" not in text
    assert Repo.read(other).entries() == Repo.read(repo).entries()


@pytest.mark.usefixtures("index")
def test_a_locked_wheel_with_the_name_of_ours_is_not_looked_up_in_an_index(repo, tmp_path):
    """The wheel came from a file, so it comes from a file again."""
    wheel = make_wheel(tmp_path / "wheels", "rest", "2.1.0")
    add(repo, [str(wheel)])
    text = lock(repo)
    other = tmp_path / "other"
    initialise(other)

    with pytest.raises(RepoWriteError, match="--find-links"):
        sync(other, text)
    sync(other, text, find_links=[str(wheel.parent)])

    assert [entry.spec for entry in Repo.read(other).entries()] == ["rest@2.1.0"]


@pytest.mark.usefixtures("offline")
def test_a_locked_version_that_no_longer_comes_with_jobcell_is_refused(tmp_path):
    """The error names the existing version."""
    repo = make_bundled_repo(tmp_path / "repo", "rest")
    plain = json.loads(lock(repo))
    plain["adaptors"][0]["version"] = "0.9.0"
    other = tmp_path / "other"
    initialise(other)

    with pytest.raises(RepoWriteError, match=r"jobcell comes with rest 1\.1\.0"):
        sync(other, json.dumps(plain))


@pytest.mark.usefixtures("offline")
def test_a_directory_with_the_name_of_ours_is_written_as_a_path(repo, tmp_path, monkeypatch):
    """The bare name means the same in every directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "javascript" / "javascript").mkdir(parents=True)
    (tmp_path / "javascript" / "javascript" / "__init__.py").write_text("STRANGER = True\n")
    (tmp_path / "javascript" / "pyproject.toml").write_text(
        '[project]\nname = "javascript"\nversion = "7.0"\n'
    )

    add(repo, ["javascript"])
    add(repo, ["./javascript"])

    assert [entry.spec for entry in Repo.read(repo).entries()] == [
        "javascript@7.0",
        "javascript@1.0.0",
    ]
