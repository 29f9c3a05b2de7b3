"""Where a worker gets credentials from: an object of a module, or a directory of files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine import Resolvers
from jobcell.worker.resolvers import MAX_BYTES, ResolversError, SecretFiles, load_resolvers


def put(directory: Path, **files: str | bytes) -> SecretFiles:
    """Write files (``__`` in a name means a dot), and return the directory as a resolver."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (directory / name.replace("__", ".")).write_bytes(data)
    return SecretFiles(directory)


def test_a_file_of_json_is_a_credential(tmp_path: Path) -> None:
    """Its name is the id, with or without the ending."""
    load = put(tmp_path, crm__json='{"token": "t"}', erp='{"user": "u"}')
    assert load("crm") == {"token": "t"}
    assert load("crm.json") == {"token": "t"}
    assert load("erp") == {"user": "u"}


def test_a_file_of_plain_text_is_a_credential_with_one_value(tmp_path: Path) -> None:
    """The line break that an editor adds does not belong to it."""
    load = put(tmp_path, token="abc\n", windows="abc\r\n", two="a\n\n")
    assert load("token") == load("windows") == {"value": "abc"}
    assert load("two") == {"value": "a\n"}


def test_a_file_is_read_anew_for_each_run(tmp_path: Path) -> None:
    """Credentials change while a worker serves."""
    load = put(tmp_path, crm="old")
    put(tmp_path, crm="new")
    assert load("crm") == {"value": "new"}


def test_the_links_of_kubernetes_are_followed(tmp_path: Path) -> None:
    """A mounted secret is a link to a link: crm -> ..data/crm, ..data -> ..2026_01."""
    for version in ("one", "two"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "crm").write_text(version)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "crm").symlink_to("..data/crm")
    load = SecretFiles(tmp_path)
    assert load("crm") == {"value": "one"}
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert load("crm") == {"value": "two"}


@pytest.mark.parametrize(
    "name",
    [
        "../crm",
        "/etc/passwd",
        "a/b",
        "..",
        ".hidden",
        "..data",
        "",
        "a\0b",
        "a\\b",
        "x" * 300,
        "a\nb",
    ],
    ids=[
        "up",
        "absolute",
        "below",
        "parent",
        "hidden",
        "data",
        "empty",
        "nul",
        "back",
        "long",
        "line",
    ],
)
def test_an_id_that_is_not_a_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    """No id of a plan leads out of the directory."""
    (tmp_path.parent / "crm").write_text("outside")
    with pytest.raises(ValueError, match="is not the name of a file"):
        SecretFiles(tmp_path)(name)


def test_a_link_that_leads_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    """Neither a file nor a directory outside is read."""
    inside = tmp_path / "secrets"
    inside.mkdir()
    (tmp_path / "other").write_text("outside")
    (inside / "crm").symlink_to("../other")
    with pytest.raises(ValueError, match="leads out of its directory"):
        SecretFiles(inside)("crm")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not valid JSON .line 1"),
        (b"[1]", "must hold a JSON object, not list"),
        (b"\xff", "not text in UTF-8"),
        (b"a" * (MAX_BYTES + 1), "more than"),
    ],
    ids=["broken", "list", "bytes", "large"],
)
def test_a_file_that_cannot_be_used_is_named_and_not_shown(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    """The error reaches a log, so it has nothing of the content."""
    load = put(tmp_path, crm__json=content)
    with pytest.raises(ValueError, match=problem) as caught:
        load("crm")
    assert "crm.json" in str(caught.value)


def test_a_missing_file_names_both_places(tmp_path: Path) -> None:
    """The author of the plan may have a wrong id."""
    with pytest.raises(LookupError, match=r"'crm' nor 'crm\.json'"):
        SecretFiles(tmp_path)("crm")


def test_a_pipe_or_a_directory_in_the_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    """Opening a pipe for reading would wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name in ("pipe", "directory"):
        with pytest.raises(ValueError, match="is not a file"):
            SecretFiles(tmp_path)(name)


def test_resolvers_come_from_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object is a function, or all resolvers."""
    (tmp_path / "my_secrets_of_test.py").write_text(
        "from engine import Resolvers\n"
        "def load(credential_id):\n    return {'id': credential_id}\n"
        "class Vault:\n    both = Resolvers(credential=load, state=lambda _id: {})\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    loaded = load_resolvers("my_secrets_of_test:load")
    assert loaded.credential is not None
    assert loaded.credential("crm") == {"id": "crm"}
    assert load_resolvers("my_secrets_of_test:Vault.both").state is not None
    with pytest.raises(ResolversError, match="has no 'other'"):
        load_resolvers("my_secrets_of_test:other")
    with pytest.raises(
        ResolversError, match=r"must be a jobcell\.Resolvers or a function, not int"
    ):
        load_resolvers("my_secrets_of_test:number")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("no_such_module:load", "module 'no_such_module' was not found"),
        ("json", "must be package.module:object, or a directory such as /run/secrets, not 'json'"),
        ("json:", "not 'json:'"),
        ("", "a directory such as /run/secrets, not ''"),
        ("./nowhere", "cannot be read: No such file"),
    ],
)
def test_an_option_that_names_nothing_says_what_is_right(given: str, problem: str) -> None:
    """Each is one line for the command."""
    with pytest.raises(ResolversError, match=problem):
        load_resolvers(given)


def test_a_directory_is_a_resolver(tmp_path: Path) -> None:
    """Its path is enough."""
    put(tmp_path, crm="t")
    loaded = load_resolvers(str(tmp_path))
    assert isinstance(loaded, Resolvers)
    assert loaded.credential is not None
    assert loaded.credential("crm") == {"value": "t"}
