"""Credentials come from a file, a ``.env`` file and the keyring; no message shows a value."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.errors
import pytest

from jobcell.input.credentials import open_credentials
from jobcell.input.env_file import read_env_file
from jobcell.input.errors import BadInputError

SECRET = "s3cret-s3cret"


class Memory(keyring.backend.KeyringBackend):
    """A keyring in memory, as a desktop would have one on disk."""

    priority = 1
    contents: ClassVar[dict[tuple[str, str], str]] = {}

    def get_password(self, service, username):
        if username == "broken":
            raise keyring.errors.KeyringLocked(SECRET)
        return self.contents.get((service, username))

    def set_password(self, service, username, password):
        self.contents[service, username] = password


@pytest.fixture
def memory():
    """This process uses the keyring in memory for the time of a test."""
    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    Memory.contents.clear()
    yield keyring
    keyring.set_keyring(before)


@pytest.fixture
def write(tmp_path):
    def write(name, content, mode=0o600):
        file = tmp_path / name
        file.write_text(content)
        file.chmod(mode)
        return str(file)

    return write


def opened(file=None, env_file=None, service=None):
    """Return the resolver and the warnings."""
    warnings = []
    return open_credentials(file, env_file, service, warn=warnings.append), warnings


@pytest.mark.parametrize("name", ["c.json", "c.yaml", "c.yml"])
def test_a_file_may_be_json_or_yaml(write, name):
    """A YAML file has the same values."""
    resolve, warnings = opened(write(name, '{"crm": {"password": "no"}}'))
    assert resolve("crm") == {"password": "no"}
    assert warnings == []
    with pytest.raises(LookupError, match=r"^the file of --credentials has no 'x'$"):
        resolve("x")


def test_without_a_source_there_is_no_resolver():
    """The engine then says that the run has no resolver."""
    assert opened() == (None, [])


def test_an_env_file_has_keys_of_credentials(write):
    """A name is that of the credential, two underscores, and the key."""
    other = 'OTHER=\'{"port": 5, "user": "x"}\'\nOTHER__USER=y\n'
    text = f"CRM_1__PASSWORD=a\ncrm_1__baseUrl=b\n{other}CRM=z\n"
    resolve, _ = opened(env_file=write(".env", text))
    assert resolve("crm-1") == {"password": "a", "baseUrl": "b"}
    assert resolve("other") == {"port": 5, "user": "y"}
    with pytest.raises(ValueError, match=r"\.env: CRM must be a JSON object") as raised:
        resolve("crm")
    assert "z" not in str(raised.value).rpartition("CRM")[2]
    with pytest.raises(LookupError, match="the file of --env-file has no 'crm_2'"):
        resolve("crm_2")


def test_the_first_source_that_has_a_credential_gives_all_of_it(write, memory):
    """Credentials are not mixed: a key that is missing is not taken from another account."""
    file = write("c.json", '{"a": {"from": "file"}}')
    env_file = write(".env", "A__TOKEN=env\nB__FROM=env\n")
    for name in ("a", "b", "c"):
        memory.set_password("jobs", name, json.dumps({"from": "keyring"}))
    resolve, _ = opened(file, env_file, "jobs")
    assert [resolve(name) for name in "abc"] == [
        {"from": "file"},
        {"from": "env"},
        {"from": "keyring"},
    ]
    with pytest.raises(
        LookupError, match="--credentials and the file of --env-file and the keyring"
    ):
        resolve("d")


def test_a_keyring_that_fails_does_not_show_what_it_read(memory):
    """A locked keyring, and a text that is not an object, are errors without values."""
    memory.set_password("jobs", "text", SECRET)
    resolve, _ = opened(service="jobs")
    for name, kind, words in (
        ("text", ValueError, "the keyring's 'text' must be a JSON object"),
        ("broken", LookupError, "the keyring cannot be read: KeyringLocked"),
    ):
        with pytest.raises(kind, match=words) as raised:
            resolve(name)
        assert SECRET not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_machine_without_a_keyring_is_said_before_the_run(memory, monkeypatch):
    """The same is true without the package."""
    keyring.set_keyring(keyring.backends.fail.Keyring())
    with pytest.raises(BadInputError, match="this machine has no keyring"):
        opened(service="jobs")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(BadInputError, match=r"pip install 'jobcell\[keyring\]'"):
        opened(service="jobs")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o400, 0), (0o640, 2), (0o602, 2)])
def test_files_that_others_may_use_are_warned_of(write, mode, warned):
    """The warning has the command that mends it."""
    file, env_file = write("c.json", "{}", mode), write(".env", "", mode)
    _, warnings = opened(file, env_file)
    assert len(warnings) == warned
    assert all("chmod 600" in line and f"mode {mode:04o}" in line for line in warnings)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.yaml", f"a: {{password: *{SECRET}}}"),
        ("c.yaml", f"a: {{password: !{SECRET} x}}"),
        ("c.yaml", f"a: {{password: !{SECRET}!x y}}"),
        ("c.yaml", f"a: {{password: &{SECRET}}}\nb: *{SECRET}"),
        ("c.yaml", f"a: {{password: {SECRET}: b: c}}"),
        ("c.yaml", f"a: '{SECRET}"),
        ("c.yaml", f"a: {{password: %{SECRET}}}"),
        ("c.yaml", f"a: {SECRET}"),
        ("c.json", f'{{"a": {SECRET}}}'),
        ("c.json", f'{{"a": "{SECRET}'),
        ("c.json", f'["{SECRET}"]'),
    ],
)
def test_a_wrong_file_is_told_without_its_values(write, name, content):
    """A password may look like an alias or a tag of YAML."""
    with pytest.raises(BadInputError) as raised:
        opened(write(name, content))
    assert SECRET not in str(raised.value)
    assert SECRET.upper() not in str(raised.value).upper()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  export A = b c  # comment", "b c"),
        ("A=", ""),
        ("A=b#c", "b#c"),
        ("A='b # \"$x\\n'", 'b # "$x\\n'),
        ('A="a\\n\\"b\\" \\$x \\\\ # c" # d', 'a\n"b" $x \\ # c'),
        ("A=http://x/?a=b&c=d", "http://x/?a=b&c=d"),
        ("A=b\r", "b"),
    ],
)
def test_a_line_of_an_env_file(write, line, value):
    """These are the forms that programs agree on."""
    assert read_env_file_of(write, f"# first\n\n{line}\n") == {"A": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A", ":1:1: must be NAME=value, a comment, or empty"),
        ("A=1\n1B=2", ":2:1: must be NAME=value"),
        ("A-B=2", ":1:1: must be NAME=value"),
        ("A='x", ":1:3: has no closing quote; a value has one line"),
        ('A="x\ny"', ":1:3: has no closing quote"),
        ("A='x'y", ":1:6: has text after the closing quote"),
        ("A=x$HOME", ":1:4: has a '$', so the value must be in single quotes"),
        ("A=`id`", ":1:3: has a '`', so"),
        ("A=it's", ":1:5: has a"),
        ("A= # b", ":1:4: has a '#', so"),
        ('A="\\q"', ":1:4: may have only"),
        ("A=1\nA=2", ":2:1: has the variable A for the second time"),
    ],
)
def test_every_other_line_is_an_error_with_its_place(write, text, message):
    """Programs differ in what such a line means."""
    with pytest.raises(BadInputError) as raised:
        read_env_file_of(write, text)
    assert f".env{message}" in str(raised.value)


def read_env_file_of(write, text):
    return read_env_file(Path(write(".env", text)))
