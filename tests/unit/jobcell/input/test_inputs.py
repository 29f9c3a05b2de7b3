"""Files that the user names are checked before a run starts."""

import os
from pathlib import Path

import pytest

from jobcell.input.credentials import read_credentials
from jobcell.input.inputs import (
    BadInputError,
    OutputFile,
    check_repo,
    read_data_file,
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is not JSON: Expecting value at line 1, column 1"),
        (b'{"a": 1,}', "is not JSON: "),
        (b"\xff\xfe{}", "is not text: byte 1 is not UTF-8"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice in one object"),
        (b"[" * 99_999, "is nested too deeply"),
    ],
    ids=["missing", "empty", "not-json", "not-utf-8", "key-twice", "deep"],
)
def test_a_state_that_cannot_be_read_is_named(tmp_path, content, message):
    """The error is a line with the file and the reason."""
    file = tmp_path / "state.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(BadInputError) as raised:
        read_data_file(file)

    (line,) = raised.value.lines
    assert line.startswith(f"{file}: {message}")


@pytest.mark.parametrize("value", ["0", "false", '"id"', "[]", "NaN", "1" * 400])
def test_any_json_value_is_a_state(tmp_path, value):
    """A state is usually an object, but need not be one."""
    file = tmp_path / "state.json"
    file.write_text(value)

    read_data_file(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "must be an object of credential id to configuration, not a list"),
        ('{"ok": {}, "bad": "s3cret-s3cret"}', "must be an object of credential id to"),
    ],
)
def test_credentials_of_the_wrong_shape_are_told_without_their_values(tmp_path, content, message):
    """A secret must not be printed on a terminal."""
    file = tmp_path / "credentials.json"
    file.write_text(content)

    with pytest.raises(BadInputError, match=message) as raised:
        read_credentials(file)

    assert "s3cret" not in str(raised.value)


def test_a_repo_is_a_directory_with_a_list(tmp_path):
    """Each kind of wrong directory has its own remedy."""
    with pytest.raises(BadInputError, match="does not exist"):
        check_repo(tmp_path / "nowhere")
    with pytest.raises(BadInputError, match="jobcell repo init"):
        check_repo(tmp_path)
    (tmp_path / "repo.json").write_text("{}")
    assert check_repo(tmp_path) == tmp_path
    with pytest.raises(BadInputError, match="is not a directory"):
        check_repo(tmp_path / "repo.json")


def test_an_output_file_is_opened_before_and_written_after(tmp_path):
    """The old content of the file stays until the new content is there."""
    file = tmp_path / "out.json"
    file.write_bytes(b"a long old state")

    output = OutputFile(file)
    assert file.read_bytes() == b"a long old state"
    output.write(b"new")

    assert file.read_bytes() == b"new"


def test_an_output_file_that_was_not_written_leaves_no_trace(tmp_path):
    """A crashed run has no state, and does not leave an empty file."""
    file = tmp_path / "out.json"

    OutputFile(file).close()

    assert not file.exists()


def test_an_output_need_not_be_a_file():
    """Devices and pipes have no length to cut."""
    output = OutputFile(Path(os.devnull))
    output.write(b"x")


def test_an_output_that_cannot_be_written_is_told_at_once(tmp_path):
    """The user does not wait an hour for this error."""
    with pytest.raises(BadInputError, match="cannot be written: Is a directory"):
        OutputFile(tmp_path)
    with pytest.raises(BadInputError, match="cannot be written: No such file or directory"):
        OutputFile(tmp_path / "no" / "such.json")
