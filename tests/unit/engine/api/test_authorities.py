"""The file of certificate authorities: each wrong file is one clear error."""

from __future__ import annotations

import os
import shutil
import ssl

import pytest
from authority import Authority

from engine.api import Permissions
from engine.api.authorities import MAX_BYTES, read_authorities

WANTED = "name a file with certificates in PEM form"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture
def file(tmp_path, authority):
    """A good file, which a test may change."""
    made = tmp_path / "ca.pem"
    made.write_bytes(authority.certificate.read_bytes())
    made.chmod(0o644)
    return made


def problem(path):
    with pytest.raises(ValueError, match=r"^Permissions\.ca_file has ") as caught:
        Permissions(net=("x:443",), ca_file=str(path))
    return str(caught.value).removeprefix(f"Permissions.ca_file has {str(path)!r}, which ")


def test_certificates_are_found_between_other_lines(file, authority):
    """Bundles have comments, and each certificate may be there twice."""
    one = authority.certificate.read_text()
    file.write_text(
        f"# our authority\n{one}\nIssuer: nobody\n{one.replace(chr(10), chr(13) + chr(10))}"
    )
    assert read_authorities(str(file)) == {ssl.PEM_cert_to_DER_cert(one)}
    assert Permissions(ca_file=str(file)).ca_file == str(file)


def test_a_changed_file_is_read_again(file):
    """A worker lives for months."""
    assert read_authorities(str(file))
    file.write_text("nothing")
    assert problem(file) == f"has no certificate in PEM form; {WANTED}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"has no certificate in PEM form; {WANTED}"),
        (b"hello", f"has no certificate in PEM form; {WANTED}"),
        (
            b"\x30\x82\x01\x00",
            "is in DER form; openssl x509 -inform der -in FILE -out FILE.pem converts it",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            f"is damaged: OpenSSL cannot read certificate 1; {WANTED}",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            f"is damaged: OpenSSL cannot read certificate 1; {WANTED}",
        ),
        (
            b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
            f"has 'PRIVATE KEY' in it; {WANTED} only",
        ),
    ],
    ids=["empty", "text", "DER", "cut", "no base64", "key"],
)
def test_other_content_is_refused(file, content, message):
    """The message says what would be right."""
    file.write_bytes(content)
    assert problem(file) == message


def test_a_key_beside_the_certificate_is_refused(file, authority):
    """A job could read it."""
    file.write_bytes(authority.certificate.read_bytes() + authority._key.read_bytes())
    assert problem(file) == f"has 'PRIVATE KEY' in it; {WANTED} only"


def test_a_certificate_of_openssl_s_own_form_is_refused(file, authority):
    """Other libraries do not read it, and so they would trust others than OpenSSL."""
    text = authority.certificate.read_text().replace("CERTIFICATE", "TRUSTED CERTIFICATE")
    file.write_text(text)
    assert problem(file) == f"has 'TRUSTED CERTIFICATE' in it; {WANTED} only"


def test_a_certificate_without_an_end_is_refused(file, authority):
    """OpenSSL itself does not read it."""
    file.write_text(authority.certificate.read_text().replace("END CERT", "END CORT"))
    assert WANTED in problem(file)


def test_a_file_that_is_not_there(tmp_path):
    """The usual mistake."""
    assert problem(tmp_path / "none.pem") == f"does not exist; {WANTED}"


def test_a_directory_and_a_pipe_are_refused(tmp_path):
    """A pipe without a writer does not hold up the engine."""
    os.mkfifo(tmp_path / "pipe")
    assert problem(tmp_path) == f"is not a regular file; {WANTED}"
    assert problem(tmp_path / "pipe") == f"is not a regular file; {WANTED}"


def test_a_file_that_the_engine_or_a_run_cannot_read(file):
    """A run of root has another user id; the engine of an ordinary user has that of the run."""
    file.chmod(0)
    if os.geteuid():
        assert problem(file) == "cannot be read: Permission denied"
    else:
        assert problem(file) == "a run cannot read as its own user; write chmod a+r for it"


def test_a_huge_file_is_refused(file):
    """It is not read."""
    os.truncate(file, MAX_BYTES + 1)
    assert problem(file) == f"has {MAX_BYTES + 1:,} bytes; at most {MAX_BYTES:,} are read"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "is not an absolute path; write '/etc/company/ca.pem'"),
        ("~/ca.pem", "is not an absolute path; write '/etc/company/ca.pem'"),
        ("/a\0b", f"has a NUL in it; {WANTED}"),
    ],
)
def test_a_path_must_be_absolute(path, message):
    """Otherwise it would depend on where the engine runs."""
    assert problem(path) == message


def test_a_relative_path_names_the_right_one(file, monkeypatch):
    """The message has the path that was meant."""
    monkeypatch.chdir(file.parent)
    assert problem("ca.pem") == f"is not an absolute path; write {os.path.realpath(file)!r}"


@pytest.mark.parametrize("value", [1, b"/etc/ca.pem", ["/etc/ca.pem"]])
def test_another_type_is_an_error(value):
    """The path is text."""
    with pytest.raises(TypeError, match=r"Permissions\.ca_file must be str, not "):
        Permissions(ca_file=value)


def test_many_files_are_remembered(file):
    """The memory of files is bounded."""
    for number in range(40):
        other = file.with_name(f"{number}.pem")
        shutil.copy(file, other)
        assert read_authorities(str(other))
