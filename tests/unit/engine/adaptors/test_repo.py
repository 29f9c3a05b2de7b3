"""The repo chooses a version of an adaptor, and each error says how the repo is broken."""

from __future__ import annotations

import json

import pytest

from engine.adaptors import Repo, RepoError, canonical_name, module_name, split_spec
from engine.adaptors.treehash import tree_hash
from protocol.adaptor import AdaptorLink, ModuleRef


def make_repo(directory, *specs, **changes):
    """Write a repo with an adaptor of one file for each ``name@version``."""
    entries = []
    for spec in specs:
        name, version = split_spec(spec)
        module = module_name(name)
        path = f"{module}_{version}"
        (directory / path).mkdir(parents=True)
        (directory / path / f"{module}.py").write_text("")
        entries.append({"name": name, "version": version, "path": path, **changes})
    directory.mkdir(exist_ok=True)
    (directory / "repo.json").write_text(json.dumps({"adaptors": entries, "later": 1}))
    return directory


def test_a_bare_name_is_the_newest_version(tmp_path):
    """The error gives the nearest name or, for a known name, its versions."""
    repo = Repo.read(make_repo(tmp_path, "common@1.9.0", "common@1.10.0", "common@2.0.0rc1"))
    link = repo.resolve("common")
    assert link == AdaptorLink("common", "1.10.0", str(tmp_path / "common_1.10.0"), "common")
    assert repo.resolve("common@2.0.0rc1").version == "2.0.0rc1"
    assert repo.resolve("common@1.9").version == "1.9.0"
    assert repo.newest() == [link]


def test_a_prerelease_is_chosen_if_there_is_nothing_else(tmp_path):
    """If only a pre-release is installed, a bare name means the pre-release."""
    repo = Repo.read(make_repo(tmp_path, "common@1.0a1", "common@1.0a2"))
    assert repo.resolve("common").version == "1.0a2"


def test_scoped_names_are_split_at_the_last_at_sign(tmp_path):
    """The name `@openfn/language-common` itself begins with an at sign."""
    spec = "@openfn/language-common@1.0.0"
    repo = Repo.read(make_repo(tmp_path, spec))
    assert repo.resolve(spec).module == "language_common"
    assert repo.resolve("@openfn/language-common").name == "@openfn/language-common"


@pytest.mark.parametrize("spec", ["", "@", "common@"])
def test_half_a_name_is_refused(spec):
    """The error says how a full name is written."""
    with pytest.raises(RepoError, match=r"write name or name@version"):
        Repo.read(None).resolve(spec)


def test_unknown_names_and_versions_come_with_what_there_is(tmp_path):
    """The error for an unknown name gives the nearest name, and the error for an unknown version
    gives the versions.
    """
    repo = Repo.read(make_repo(tmp_path, "common@1.0.0", "common@2.0.0"))
    with pytest.raises(RepoError, match=r"no adaptor 'comon'; did you mean 'common'"):
        repo.resolve("comon")
    with pytest.raises(RepoError, match=r"'3' of adaptor 'common'.*; installed: 2.0.0, 1.0.0"):
        repo.resolve("common@3")
    with pytest.raises(RepoError, match=r"the engine has no repo_dir"):
        Repo.read(None).resolve("common")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "corrupt", id="empty"),
        pytest.param("{", "corrupt", id="cut"),
        pytest.param("[" * 100_000, "corrupt", id="deep"),
        pytest.param("[]", "Expected `object`", id="list"),
        pytest.param('{"adaptors": {}}', "Expected `array`", id="adaptors"),
        pytest.param('{"adaptors": [{"name": 1}]}', "Expected `str`", id="type"),
        pytest.param('{"adaptors": [{"name": "a"}]}', "missing required field", id="missing"),
        pytest.param(
            '{"adaptors": [{"name": "", "version": "1", "path": "a"}]}', "name is ''", id="blank"
        ),
        pytest.param(
            '{"adaptors": [{"name": "a", "version": "1", "path": "a", "module": "a-b"}]}',
            "not an import name",
            id="module",
        ),
    ],
)
def test_a_corrupt_index_is_one_clear_line(tmp_path, text, reason):
    """For any content of the file, the error is a RepoError of one line without a path of the host."""
    (tmp_path / "repo.json").write_text(text)
    with pytest.raises(RepoError, match=r"repo.json of the repo is corrupt") as caught:
        Repo.read(tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_an_index_that_is_no_text_is_corrupt(tmp_path):
    """Bad UTF-8 and bad JSON are different exceptions of Python, and give the same error here."""
    (tmp_path / "repo.json").write_bytes(b'{"adaptors": [{"name": "\xff\xfe"}]}')
    with pytest.raises(RepoError, match=r"corrupt"):
        Repo.read(tmp_path)


def test_two_entries_of_one_version_are_corrupt(tmp_path):
    """1.0 and 1.0.0 are the same version, so the repo cannot know which entry is meant."""
    with pytest.raises(RepoError, match=r"adaptors\[1\] is a second entry of common@1.0.0"):
        Repo.read(make_repo(tmp_path, "common@1.0", "common@1.0.0"))


def test_a_missing_index_is_an_error(tmp_path):
    """A typing error in `repo_dir` must not look like an empty repo."""
    with pytest.raises(RepoError, match=r"repo.json of the repo cannot be read"):
        Repo.read(tmp_path / "absent")


@pytest.mark.parametrize("path", ["../out", "/etc", "common_1.0.0/../../out", "link"])
def test_a_path_that_leads_out_of_the_repo_is_refused(tmp_path, path):
    """A path may not leave the repo by a symbolic link either; the other adaptors stay usable."""
    (tmp_path / "out").mkdir()
    repo_dir = make_repo(tmp_path / "repo", "common@1.0.0")
    (repo_dir / "link").symlink_to(tmp_path / "out")
    index = json.loads((repo_dir / "repo.json").read_text())
    index["adaptors"].append({"name": "evil", "version": "1", "path": path})
    (repo_dir / "repo.json").write_text(json.dumps(index))
    repo = Repo.read(repo_dir)
    with pytest.raises(RepoError, match=r"evil@1: its path leads out of the repo"):
        repo.resolve("evil")
    assert [link.name for link in repo.newest()] == ["common"]


def test_broken_entries_name_adaptor_version_and_reason(tmp_path):
    """A directory is missing, a module is missing, or the name is that of a standard module."""
    for name, reason in [
        ("gone", "gone@1: its directory 'gone_1' is missing"),
        ("empty", "empty@1: its directory does not contain the module 'empty'"),
        ("json", "json@1: its module 'json' has the name of a standard module"),
    ]:
        repo_dir = make_repo(tmp_path / name, f"{name}@1")
        if name != "json":
            (repo_dir / f"{name}_1" / f"{name}.py").unlink()
        if name == "gone":
            (repo_dir / "gone_1").rmdir()
        with pytest.raises(RepoError) as caught:
            Repo.read(repo_dir).resolve(name)
        assert reason in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def test_a_module_ref_wins_over_the_repo(tmp_path):
    """The name decides, not the version; a `ModuleRef` names a container, a package or a file."""
    repo = Repo.read(make_repo(tmp_path / "repo", "common@1.0.0"))
    package = tmp_path / "dev" / "common"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (tmp_path / "dev" / "single.py").write_text("")
    expected = AdaptorLink("common", "7", str(tmp_path / "dev"), "common")
    for path in (package, tmp_path / "dev"):
        refs = {"common": ModuleRef(path=str(path), version="7")}
        assert repo.resolve("common@1.0.0", refs) == expected
        assert repo.newest(refs) == [expected]
    ref = ModuleRef(path=str(tmp_path / "dev" / "single.py"))
    assert Repo.read(None).resolve("x", {"x": ref}).module == "single"
    with pytest.raises(RepoError, match=r"neither a directory nor a .py file"):
        repo.resolve("common", {"common": ModuleRef(path=str(tmp_path / "nowhere"))})


def test_a_module_ref_without_a_path_takes_that_version_from_the_repo(tmp_path):
    """The version of the `ModuleRef` replaces each version that was asked for, and is also the
    version that jobs can import.
    """
    repo = Repo.read(make_repo(tmp_path, "common@1.0.0", "common@2.0.0", "other@1.0.0"))
    refs = {"common": ModuleRef(version="1.0")}
    for spec in ("common", "common@2.0.0", "common@9"):
        assert repo.resolve(spec, refs).version == "1.0.0"
    assert repo.resolve("other", refs).version == "1.0.0"
    assert [link.version for link in repo.newest(refs)] == ["1.0.0", "1.0.0"]


def test_a_version_that_the_repo_does_not_have_is_told_with_where_it_was_asked_for(tmp_path):
    """The error names the place for a wrong version, for a wrong name, and for a missing repo."""
    repo = Repo.read(make_repo(tmp_path, "common@1.0.0"))
    refs = {"common": ModuleRef(version="3"), "nothing": ModuleRef(version="1")}
    for one, spec, told in (
        (
            repo,
            "common@1.0.0",
            "the repo has no version '3' of adaptor 'common'; installed: 1.0.0",
        ),
        (repo, "nothing", "the repo has no adaptor 'nothing'"),
        (Repo.read(None), "common", "the engine has no repo_dir"),
    ):
        with pytest.raises(RepoError) as caught:
            one.resolve(spec, refs)
        assert told in str(caught.value)
        assert str(caught.value).endswith(" (asked for by RunOptions.modules)")


def test_an_empty_repo_is_told_with_how_to_install_an_adaptor(tmp_path):
    """The first run with an adaptor often meets this."""
    with pytest.raises(RepoError) as caught:
        Repo.read(make_repo(tmp_path)).resolve("http")
    assert str(caught.value) == (
        "the repo is empty, so it has no adaptor 'http'; jobcell repo add installs adaptors"
    )


def test_verify_compares_files_with_the_recorded_hash(tmp_path):
    """The check finds a changed, an added and a replaced file, and ignores compiled files."""
    repo_dir = make_repo(tmp_path, "common@1.0.0")
    files = repo_dir / "common_1.0.0"
    with pytest.raises(RepoError, match=r"no sha256 is recorded"):
        Repo.read(repo_dir).verify(Repo.read(repo_dir).resolve("common"))
    index = json.loads((repo_dir / "repo.json").read_text())
    index["adaptors"][0]["sha256"] = tree_hash(str(files))
    (repo_dir / "repo.json").write_text(json.dumps(index))
    repo = Repo.read(repo_dir)
    link = repo.resolve("common")
    repo.verify(link)
    (files / "__pycache__").mkdir()
    (files / "__pycache__" / "common.pyc").write_bytes(b"compiled")
    repo.verify(link)
    (files / "more.py").write_text("")
    with pytest.raises(RepoError, match=r"common@1.0.0: its files are not those"):
        repo.verify(link)
    (files / "more.py").unlink()
    (files / "link").symlink_to("/etc/passwd")
    with pytest.raises(RepoError, match=r"'link' is a symbolic link"):
        repo.verify(link)


@pytest.mark.parametrize(
    ("version", "told"), [("newest", True), ("^1.0.0", True), ("2.0.0", False)]
)
def test_a_version_that_is_a_word_is_answered_with_how_to_get_the_newest(tmp_path, version, told):
    """There are the tags `latest` and `next`, and no ranges."""
    repo = Repo.read(make_repo(tmp_path, "common@1.9.0"))
    with pytest.raises(RepoError, match=r"installed: 1\.9\.0") as caught:
        repo.resolve(f"common@{version}")
    assert ("'common' alone means the newest version" in str(caught.value)) is told


def test_latest_is_the_newest_version_and_next_counts_prereleases_too(tmp_path):
    """Both are chosen among the installed versions."""
    repo = Repo.read(make_repo(tmp_path, "common@1.9.0", "common@1.10.0", "common@2.0.0rc1"))
    assert repo.resolve("common@latest").version == "1.10.0"
    assert repo.resolve("common@next").version == "2.0.0rc1"
    modules = {"common": ModuleRef(version="next")}
    assert repo.resolve("common@1.9.0", modules).version == "2.0.0rc1"


def test_next_is_the_newest_version_without_prereleases(tmp_path):
    """A pre-release of an older version is not newer."""
    repo = Repo.read(make_repo(tmp_path, "common@1.9.0rc1", "common@1.10.0"))
    assert repo.resolve("common@next").version == "1.10.0"


@pytest.mark.parametrize("tag", ["latest", "next"])
def test_a_tag_of_an_adaptor_that_is_not_installed_is_refused(tmp_path, tag):
    """The error is that of any other version."""
    repo = Repo.read(make_repo(tmp_path, "common@1.9.0"))
    assert not repo.has(f"rest@{tag}")
    with pytest.raises(RepoError, match="the repo has no adaptor 'rest'"):
        repo.resolve(f"rest@{tag}")


def test_a_version_that_is_called_latest_wins_over_the_tag(tmp_path):
    """An index that was written by hand may have one."""
    repo = Repo.read(make_repo(tmp_path, "common@latest", "common@1.10.0"))
    assert repo.resolve("common@latest").version == "latest"


@pytest.mark.parametrize("asked", ["jinja2", "JINJA2", "Jinja2", "jinja2@3.1", "Jinja2@latest"])
def test_a_name_has_every_spelling_that_pip_accepts(tmp_path, asked):
    """The entry keeps its own spelling, and the import name that it has."""
    repo = Repo.read(make_repo(tmp_path, "Jinja2@3.1.0", module="Jinja2"))
    link = repo.resolve(asked)
    assert (link.name, link.version, link.module) == ("Jinja2", "3.1.0", "Jinja2")
    assert repo.has(asked)


def test_separators_of_a_name_are_alike(tmp_path):
    """PEP 503: runs of '-', '_' and '.' are one '-'; the scope of a name stays."""
    assert canonical_name("My__Ad.aptor") == "my-ad-aptor"
    assert canonical_name("@openfn/Language-HTTP") == "@openfn/language-http"
    repo = Repo.read(make_repo(tmp_path, "my-adaptor@1.0"))
    assert repo.resolve("My.Adaptor").name == "my-adaptor"
    assert [link.name for link in repo.newest()] == ["my-adaptor"]


def test_a_replacement_has_every_spelling_too(tmp_path):
    """It is found under another spelling, and appears once among the newest versions."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "jinja2.py").write_text("")
    repo = Repo.read(make_repo(tmp_path / "repo", "Jinja2@3.1.0", module="Jinja2"))
    modules = {"jinja2": ModuleRef(path=str(tmp_path / "other"), version="9")}
    assert repo.resolve("Jinja2", modules).version == "9"
    assert [link.version for link in repo.newest(modules)] == ["9"]


def test_one_version_under_two_spellings_is_a_corrupt_repo(tmp_path):
    """Nobody could say which of them a plan means."""
    make_repo(tmp_path, "Jinja2@3.1.0", "jinja2@3.1")
    with pytest.raises(RepoError, match="second entry"):
        Repo.read(tmp_path)
