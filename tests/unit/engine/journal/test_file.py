"""`FileJournal` keeps every record, or reports a fault of its file and leaves the file as it is."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.api.errors import JournalError
from engine.api.journal import Journal, StepRecord
from engine.journal.file import FileJournal
from engine.journal.layout import HEAD_BYTES, HEADER
from protocol.report import ErrorReport, Position, StackFrame

KEY = bytes(range(32))
OTHER_KEY = bytes(32)

RECORDS = [
    StepRecord("a", "a", 1, "success", b"\x81\xa1x\x01", ("b", "c"), None, {"plan": "00ff"}),
    StepRecord(
        "b-1",
        "b",
        3,
        "fail",
        b"\xc0",
        (),
        ErrorReport(
            name="AdaptorError",
            message="bad gateway",
            severity="fail",
            step_id="b",
            position=Position(3, 7, source="get('/')"),
            stack=(StackFrame("http@1.0.0", "get", 12),),
            details={"status": 502, "big": 1 << 70, "body": b"\x00\xff"},
        ),
        {"plan": "00ff", "run_id": "r", "adaptors": {"http": ["1.0.0"]}},
    ),
    StepRecord("c", "c", 1, "success", bytes(50)),
]


def write(path: Path, key: bytes | None = None) -> list[int]:
    """Write `RECORDS`; return the size of the file after its header and after each record."""
    with FileJournal(path, key) as journal:
        sizes = [path.stat().st_size]
        for record in RECORDS:
            journal.record(record)
            sizes.append(path.stat().st_size)
    return sizes


def read(path: Path, key: bytes | None = None) -> list[StepRecord]:
    """Return the records of a file."""
    with FileJournal(path, key) as journal:
        return list(journal.records())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let this process write no file beyond *size* bytes: write(2) gives EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


both = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "with-key"])


@both
def test_records_come_back_as_they_were(tmp_path: Path, key: bytes | None) -> None:
    """All fields survive, in order; also large integers and bytes in the details of an error."""
    path = tmp_path / "run.journal"
    write(path, key)
    assert read(path, key) == RECORDS


def test_a_journal_has_the_methods_of_the_protocol(tmp_path: Path) -> None:
    """The engine accepts it as a `Journal`."""
    with FileJournal(tmp_path / "j") as journal:
        assert isinstance(journal, Journal)


@both
def test_records_are_read_while_the_journal_is_open(tmp_path: Path, key: bytes | None) -> None:
    """A record can be read at once, and more records can be written after that."""
    with FileJournal(tmp_path / "j", key) as journal:
        assert list(journal.records()) == []
        journal.record(RECORDS[0])
        assert list(journal.records()) == RECORDS[:1]
        journal.record(RECORDS[1])
        assert list(journal.records()) == RECORDS[:2]


@pytest.mark.slow
@both
def test_a_file_that_ends_anywhere_keeps_its_whole_records(
    tmp_path: Path, key: bytes | None
) -> None:
    """A part of the last record is cut off, whatever its length, and recording goes on."""
    whole = tmp_path / "whole"
    sizes = write(whole, key)
    data = whole.read_bytes()
    path = tmp_path / "cut"
    edges = {size + more for size in sizes for more in range(-3, HEAD_BYTES + 3)}
    for length in sorted({*range(HEADER.size + 1), *edges} & {*range(len(data))}):
        path.write_bytes(data[:length])
        kept = max(sum(size <= length for size in sizes) - 1, 0)
        with FileJournal(path, key) as journal:
            assert list(journal.records()) == RECORDS[:kept]
            journal.record(RECORDS[2])
        assert read(path, key) == [*RECORDS[:kept], RECORDS[2]]


@pytest.mark.slow
@both
def test_a_changed_byte_is_an_error_and_changes_nothing(tmp_path: Path, key: bytes | None) -> None:
    """A flipped bit at any place is found when the file is opened; the file stays as it is."""
    path = tmp_path / "j"
    write(path, key)
    data = path.read_bytes()
    for place in {*range(0, len(data), 3), *range(100), *range(len(data) - 100, len(data))}:
        changed = bytearray(data)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(JournalError, match="cannot be used"):
            FileJournal(path, key)
        assert path.read_bytes() == changed


@pytest.mark.parametrize("tail", [b"\x00", b"garbage", b"\x1eRED", bytes(64)])
def test_other_bytes_at_the_end_are_an_error(tmp_path: Path, tail: bytes) -> None:
    """Only the beginning of a record is cut off, and not bytes of another program."""
    path = tmp_path / "j"
    write(path)
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(JournalError, match="damaged at byte"):
        FileJournal(path)


def test_records_that_were_removed_or_moved_are_an_error(tmp_path: Path) -> None:
    """Each digest covers the digest before it."""
    path = tmp_path / "j"
    first, second, third, fourth = write(path)
    data = path.read_bytes()
    head, a, b, c = data[:first], data[first:second], data[second:third], data[third:fourth]
    for order in (head + b + c, head + a + c, head + b + a + c, head + a + a + b + c):
        path.write_bytes(order)
        with pytest.raises(JournalError, match="is damaged"):
            FileJournal(path)


@pytest.mark.parametrize(
    ("kept", "asked", "reason"),
    [
        (KEY, OTHER_KEY, "the key does not fit"),
        (KEY, None, "it is encrypted; pass its key"),
        (None, KEY, "it is not encrypted; open it without a key"),
    ],
    ids=["wrong", "missing", "needless"],
)
@pytest.mark.parametrize("empty", [True, False], ids=["empty", "with-records"])
def test_another_key_is_an_error(
    tmp_path: Path, kept: bytes | None, asked: bytes | None, reason: str, empty: bool
) -> None:
    """The key is checked when the file is opened, also before its first record."""
    path = tmp_path / "j"
    if empty:
        FileJournal(path, kept).close()
    else:
        write(path, kept)
    data = path.read_bytes()
    with pytest.raises(JournalError, match=reason):
        FileJournal(path, asked)
    assert path.read_bytes() == data


def test_an_encrypted_file_shows_no_state(tmp_path: Path) -> None:
    """The file has no readable states, ids or error texts."""
    path = tmp_path / "j"
    with FileJournal(path, KEY) as journal:
        journal.record(StepRecord("secret-step", "secret-step", 1, "success", b"secret-state"))
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize("key", ["x" * 32, 32, bytearray(32)])
def test_a_key_that_is_not_bytes_is_a_type_error(tmp_path: Path, key: object) -> None:
    """The error names the type."""
    with pytest.raises(TypeError, match=f"must be bytes, not {type(key).__name__}"):
        FileJournal(tmp_path / "j", key)  # type: ignore[arg-type]


def test_a_key_of_another_length_is_a_value_error(tmp_path: Path) -> None:
    """The error gives the right length; no file is made."""
    with pytest.raises(ValueError, match="must have 32 bytes, not 16"):
        FileJournal(tmp_path / "j", bytes(16))
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(
    "content", [b"{}", b"SQLite format 3\x00" * 10, b"jobcell journal\n\x02" + bytes(15)]
)
def test_a_foreign_file_is_an_error_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    """The journal never writes to a file of another program, or of another version of ours."""
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"it is not a journal|it has version 2"):
        FileJournal(path)
    assert path.read_bytes() == content


@pytest.mark.slow
def test_a_second_user_is_refused_until_the_first_has_closed_it(tmp_path: Path) -> None:
    """The lock holds against this process and against others."""
    path = tmp_path / "j"
    program = (
        "import sys; from engine.journal.file import FileJournal\n"
        "try: FileJournal(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", program, str(path)]
    with FileJournal(path):
        with pytest.raises(JournalError, match="another journal object uses it"):
            FileJournal(path)
        other = subprocess.run(command, capture_output=True, text=True, check=True)
        assert other.stdout.startswith("JournalError")
        assert "another journal object uses it" in other.stdout
    FileJournal(path).close()
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    """The file contains states with their secrets."""
    FileJournal(tmp_path / "j").close()
    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    """`close` may be called again; every other call is an error."""
    journal = FileJournal(tmp_path / "j")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="it was closed"):
        journal.record(RECORDS[0])
    with pytest.raises(JournalError, match="it was closed"):
        list(journal.records())


@pytest.mark.parametrize("name", ["missing/j", ".", "with\0null"])
def test_a_path_that_cannot_be_opened_is_an_error_with_its_reason(
    tmp_path: Path, name: str
) -> None:
    """The error quotes the path."""
    with pytest.raises(JournalError, match=r"the journal .* cannot be used: "):
        FileJournal(f"{tmp_path}/{name}")


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("kind", ["pipe", "/dev/null", "/dev/full", "directory"])
def test_a_path_that_is_no_regular_file_is_an_error_at_once(
    tmp_path: Path, kind: str, read_only: bool
) -> None:
    """A pipe is not waited for, and a device cannot keep anything."""
    path = Path(kind) if kind.startswith("/") else tmp_path / "j"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    with pytest.raises(JournalError, match=r"it is not a regular file|Is a directory"):
        FileJournal(path, read_only=read_only)


def test_a_file_that_its_user_may_not_read_is_an_error(tmp_path: Path) -> None:
    """Root may read every file, so the reader is a process with another user id."""
    path = tmp_path / "j"
    write(path)
    path.chmod(0)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            FileJournal(path)
        except JournalError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    assert os.read(reader, 1000).endswith(b"cannot be used: Permission denied")
    os.close(reader)


def test_a_path_of_another_type_is_a_type_error() -> None:
    """A number would be taken for a descriptor."""
    with pytest.raises(TypeError, match="must be a path, not int"):
        FileJournal(3)  # type: ignore[arg-type]


@both
def test_a_record_that_does_not_fit_on_the_disk_leaves_the_others_whole(
    tmp_path: Path, key: bytes | None
) -> None:
    """The written part of the record is cut off, and the next record can be kept."""
    path = tmp_path / "j"
    with FileJournal(path, key) as journal:
        journal.record(RECORDS[0])
        size = path.stat().st_size
        with largest_file(size + 30), pytest.raises(JournalError, match="could not be written"):
            journal.record(RECORDS[2])
        assert path.stat().st_size == size
        journal.record(RECORDS[1])
    assert read(path, key) == RECORDS[:2]


def test_a_value_that_no_state_can_carry_is_an_error(tmp_path: Path) -> None:
    """A record with such a value is not written."""
    with FileJournal(tmp_path / "j") as journal:
        with pytest.raises(JournalError, match="'a'"):
            journal.record(StepRecord("a", "a", 1, "success", b"", extra={"x": object()}))
        assert list(journal.records()) == []


def test_a_file_that_was_cut_while_it_is_open_is_an_error(tmp_path: Path) -> None:
    """The missing records are reported, and not skipped in silence."""
    path = tmp_path / "j"
    with FileJournal(path) as journal:
        journal.record(RECORDS[0])
        os.truncate(path, HEADER.size + HEAD_BYTES)
        with pytest.raises(JournalError, match="shorter since it was opened"):
            list(journal.records())


def test_the_description_shows_no_state() -> None:
    """A log may contain the description of a record."""
    assert repr(RECORDS[2]) == "<StepRecord c: success, attempt 1>"


ABOUT = {"plan": {"id": "p", "big": 1 << 70}, "net": ["x:443"], "none": None}


@both
def test_a_description_comes_back_before_the_records(tmp_path: Path, key: bytes | None) -> None:
    """A program that knows only the file learns which run it is; the records are the same."""
    path = tmp_path / "j"
    with FileJournal(path, key) as journal:
        assert journal.about is None
        journal.describe(ABOUT)
        assert list(journal.records()) == []
        journal.record(RECORDS[0])
        assert (journal.about, list(journal.records())) == (ABOUT, RECORDS[:1])
    with FileJournal(path, key) as journal:
        assert (journal.about, list(journal.records())) == (ABOUT, RECORDS[:1])
        journal.record(RECORDS[1])
    assert read(path, key) == RECORDS[:2]


@both
@pytest.mark.parametrize("before", ["description", "record"])
def test_a_file_that_holds_a_run_is_not_described_again(
    tmp_path: Path, key: bytes | None, before: str
) -> None:
    """The description is of the run whose records follow; it cannot become that of another."""
    with FileJournal(tmp_path / "j", key) as journal:
        if before == "record":
            journal.record(RECORDS[0])
        else:
            journal.describe(ABOUT)
        with pytest.raises(JournalError, match="holds a run already; name a new file"):
            journal.describe({})
        assert journal.about == (ABOUT if before == "description" else None)


def test_a_description_that_no_state_can_carry_is_an_error(tmp_path: Path) -> None:
    """Nothing is written."""
    with FileJournal(tmp_path / "j") as journal:
        with pytest.raises(JournalError, match="the description of the run"):
            journal.describe({"x": object()})
        assert journal.about is None


def test_a_torn_description_is_cut_off(tmp_path: Path) -> None:
    """The run had not begun, so the file is one without a run."""
    path = tmp_path / "j"
    with FileJournal(path) as journal:
        journal.describe(ABOUT)
    data = path.read_bytes()
    for length in range(HEADER.size, len(data)):
        path.write_bytes(data[:length])
        with FileJournal(path) as journal:
            assert journal.about is None
            assert list(journal.records()) == []


@both
def test_a_journal_that_is_only_read_stays_as_it_is(tmp_path: Path, key: bytes | None) -> None:
    """A torn end is passed over and left; nothing can be recorded; two readers do not mind each other."""
    path = tmp_path / "j"
    sizes = write(path, key)
    torn = path.read_bytes()[: sizes[-1] - 1]
    path.write_bytes(torn)
    with (
        FileJournal(path, key, read_only=True) as journal,
        FileJournal(path, key, read_only=True) as second,
    ):
        assert list(journal.records()) == list(second.records()) == RECORDS[:-1]
        with pytest.raises(JournalError, match="it was opened to be read only"):
            journal.record(RECORDS[2])
        with pytest.raises(JournalError, match="another journal object uses it"):
            FileJournal(path, key)
    assert path.read_bytes() == torn


@both
def test_a_journal_that_is_only_read_is_not_made(tmp_path: Path, key: bytes | None) -> None:
    """A missing file is not made, and one without a header gets none."""
    path = tmp_path / "j"
    with pytest.raises(JournalError, match="No such file"):
        FileJournal(path, key, read_only=True)
    assert not path.exists()
    for content in (b"", b"jobcell"):
        path.write_bytes(content)
        with pytest.raises(JournalError, match="nothing is recorded in it"):
            FileJournal(path, key, read_only=True)
        assert path.read_bytes() == content
