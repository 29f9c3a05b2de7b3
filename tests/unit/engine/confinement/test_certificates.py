"""The engine finds the paths of certificate authorities, also through symbolic links."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest

from engine.confinement import certificates as module


@pytest.fixture
def find(monkeypatch):
    """Find certificates only in the directories that a given OpenSSL is compiled for."""

    def find(*compiled_in: Path) -> set[str]:
        monkeypatch.setattr(module, "USUAL", ())
        monkeypatch.setattr(module, "_compiled_in", lambda: map(str, compiled_in))
        return set(module.certificates.__wrapped__())

    return find


def test_the_default_paths_of_this_interpreter_are_among_them():
    """The paths keep the spelling that this interpreter has, because a child looks for that name."""
    paths = ssl.get_default_verify_paths()
    for path in (paths.openssl_cafile, paths.openssl_capath):
        if Path(path).exists():
            assert path in module.certificates()


def test_what_is_not_there_is_left_out(find, tmp_path):
    """Most machines have only a few of the usual places."""
    assert find(tmp_path / "cert.pem", tmp_path / "certs") == set()


def test_links_in_a_directory_lead_to_files_that_can_be_read(find, tmp_path):
    """Links are absolute or relative, over several steps; each file is listed under the name that
    the child will look for.
    """
    certs, named, far = tmp_path / "etc" / "certs", tmp_path / "lib" / "certs", tmp_path / "far"
    for directory in (certs, named.parent, far):
        directory.mkdir(parents=True)
    named.symlink_to(certs)
    (far / "a.crt").write_text("a")
    (tmp_path / "hop.crt").symlink_to(far / "a.crt")
    (certs / "a.pem").symlink_to(tmp_path / "hop.crt")
    (certs / "0a0a0a0a.0").symlink_to("a.pem")
    (tmp_path / "lib" / "b.crt").write_text("b")
    (tmp_path / "etc" / "b.crt").write_text("b")
    (certs / "b.pem").symlink_to("../b.crt")

    found = find(named)

    assert found == {str(named), str(tmp_path / "hop.crt"), str(tmp_path / "lib" / "b.crt")}


def test_a_link_to_a_directory_is_not_followed(find, tmp_path):
    """The directory might contain private keys, and OpenSSL does not look into it."""
    certs, private = tmp_path / "certs", tmp_path / "private"
    certs.mkdir()
    private.mkdir()
    (private / "key.pem").write_text("key")
    (certs / "private").symlink_to(private)
    (certs / "gone.pem").symlink_to(tmp_path / "gone.pem")
    (certs / "loop.pem").symlink_to("loop.pem")

    assert find(certs) == {str(certs)}


def test_a_python_without_tls_has_the_usual_places(monkeypatch):
    """The adaptors of such a Python may have a TLS library of their own."""
    monkeypatch.setitem(sys.modules, "_ssl", None)
    usual = {path for path in module.USUAL if Path(path).exists()}
    assert set(module.certificates.__wrapped__()) >= usual
    assert list(module._compiled_in()) == []
