"""`FileJournal`: the records of one run in one file, for a manager that keeps its own state."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engine.api import JournalError, StepRecord
from engine.journal import codec, layout
from engine.journal.seal import KeySeal, OpenSeal, Seal
from protocol.state import StateNotCarriedError

_MODE: Final = 0o600
"""A journal holds states with their secrets, so only its owner may read it."""


class FileJournal:
    """A journal in a file, to which records are only appended.

    Each record has a checksum and is on the disk (fdatasync(2)) before `record` returns.  The file
    is locked (flock(2)) until `close`.  Opening a file cuts off a last record that is incomplete.
    Every other damage is an error, and the file stays as it is.

    Use it as a context manager, or call `close`.

    Args:
        path: The file; it is made if it does not exist, readable by its owner only.
        key: 32 bytes with which all records are encrypted (AES-256-GCM), or None.
        read_only: The file must exist and stays as it is, also a torn end.  Others may read it, too.

    Raises:
        TypeError: *path* is not a path, or *key* is not bytes.
        ValueError: *key* has another length.
        JournalError: The file cannot be opened, is in use, is not a journal, is damaged, or has another key.

    """

    def __init__(
        self, path: str | os.PathLike[str], key: bytes | None = None, *, read_only: bool = False
    ) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"the path of a journal must be a path, not {type(path).__name__}")
        self._path = os.fspath(path)
        self._seal: Seal = OpenSeal() if key is None else KeySeal(key)
        self._writing = threading.Lock()
        self._broken: str | None = None
        """The reason why the file takes no more records."""
        self._read_only = read_only
        self._about: dict[str, Any] | None = None
        self._fd = -1
        self._fd = self._open()
        try:
            self._lock()
            self._begin, self._end, self._digest = self._check(encrypted=key is not None)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<FileJournal {self._path!r}>"

    @property
    def about(self) -> dict[str, Any] | None:
        """The description of the run, as `describe` has kept it; None without one."""
        return self._about

    def describe(self, about: dict[str, Any]) -> None:
        """Keep a description of the run, before its first record.

        The engine does not need it.  It is for a program that resumes a run of which it knows the
        file only, such as the command `jobcell resume`.

        Args:
            about: Any values that a state can have.

        Raises:
            JournalError: It cannot be written, or the file has a description or a record already.

        """
        try:
            body = codec.encode_about(about)
        except ValueError as error:
            raise self._error(str(error)) from None
        with self._writing:
            self._check_usable()
            if self._end > self._begin[0] or self._about is not None:
                raise self._error("it holds a run already; name a new file")
            self._keep(body)
            self._begin = (self._end, self._digest)
            self._about = codec.decode_about(body)

    def record(self, record: StepRecord) -> None:
        """Append a record; return when it is on the disk.

        Raises:
            JournalError: The record cannot be written.  The earlier records stay whole.

        """
        try:
            body = codec.encode(record)
        except ValueError as error:
            raise self._error(str(error)) from None
        with self._writing:
            self._check_usable()
            self._keep(body)

    def records(self) -> Iterator[StepRecord]:
        """Yield the records in the order in which they were kept.

        Raises:
            JournalError: The journal was closed, or the file was changed since it was opened.

        """
        with self._writing:
            self._check_usable(writing=False)
            end = self._end
        for _, body in self._read(self._begin[0], self._begin[1], end):
            try:
                yield codec.decode(body)
            except ValueError as error:
                raise self._error(f"a record is not one of ours: {error}") from None

    def _keep(self, body: bytes) -> None:
        """Append a body; `_writing` is held."""
        written, digest = layout.encode_record(self._digest, self._seal.close(body, self._digest))
        self._append(written)
        self._end += len(written)
        self._digest = digest

    def close(self) -> None:
        """Close the file and release its lock.  May be called again."""
        with self._writing:
            descriptor, self._fd = self._fd, -1
            if descriptor >= 0:
                os.close(descriptor)  # the lock ends with it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- opening ---

    def _open(self) -> int:
        # O_NONBLOCK: opening a pipe to be read would wait for a writer, fifo(7).
        flags = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        flags |= os.O_RDONLY if self._read_only else os.O_RDWR | os.O_CREAT
        try:
            descriptor = os.open(self._path, flags, _MODE)
        except (OSError, ValueError) as error:  # ValueError: a path with a null byte
            raise self._error(_reason(error)) from None
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            what = os.strerror(errno.EISDIR) if stat.S_ISDIR(mode) else "it is not a regular file"
            raise self._error(what)
        return descriptor

    def _sync_directory(self) -> None:
        """Write the name of the file to the disk, too; fsync(2) of the file does not."""
        directory = os.open(Path(self._path).parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _lock(self) -> None:
        try:
            kind = fcntl.LOCK_SH if self._read_only else fcntl.LOCK_EX
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._error("another journal object uses it; close that first") from None
        except OSError as error:
            raise self._error(f"it cannot be locked: {_reason(error)}") from None

    def _check(self, *, encrypted: bool) -> tuple[tuple[int, bytes], int, bytes]:
        """Check the file; return where its records begin and end, and the last digest."""
        header = layout.HEADER.pack(layout.MAGIC, layout.VERSION, encrypted)
        size = os.fstat(self._fd).st_size
        found = self._pread(layout.HEADER.size, 0)
        if len(found) < layout.HEADER.size and found == header[: len(found)]:
            return self._write_header(header, encrypted=encrypted)
        self._check_header(found, encrypted=encrypted)
        start = layout.HEADER.size
        digest = layout.digest_of(b"", header)
        begin = (start, digest)
        end = start
        first = True
        for place, body in self._read(start, digest, size, torn=True):
            if first and encrypted:
                begin = place
                if body:
                    raise self._error("its first record is not the check of the key")
            elif codec.is_about(body):
                if begin != (end, digest):
                    raise self._error("the description of the run does not come first")
                begin = place
                self._about = self._decode_about(body)
            first = False
            end, digest = place
        if first and encrypted:
            # Its writer stopped before it wrote the check of the key.
            return self._write_header(header, encrypted=True)
        if end < size and not self._read_only:
            self._shorten(end)
        return begin, end, digest

    def _shorten(self, size: int) -> None:
        """Cut off the end of the file, and write this to the disk."""
        try:
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)
        except OSError as error:
            raise self._error(f"its end could not be cut off: {_reason(error)}") from None

    def _write_header(
        self, header: bytes, *, encrypted: bool
    ) -> tuple[tuple[int, bytes], int, bytes]:
        if self._read_only:
            raise self._error("nothing is recorded in it")
        if os.fstat(self._fd).st_size:
            self._shorten(0)
        digest = layout.digest_of(b"", header)
        written = header
        if encrypted:  # an empty record, with which `open` notices a wrong key
            record, after = layout.encode_record(digest, self._seal.close(b"", digest))
            written, digest = written + record, after
        self._end = 0
        self._append(written)
        try:
            self._sync_directory()
        except OSError as error:
            raise self._error(_reason(error)) from None
        return (len(written), digest), len(written), digest

    def _decode_about(self, body: bytes) -> dict[str, Any]:
        try:
            return codec.decode_about(body)
        except (ValueError, StateNotCarriedError) as error:
            raise self._error(f"its description of the run is not one of ours: {error}") from None

    def _check_header(self, found: bytes, *, encrypted: bool) -> None:
        if len(found) < layout.HEADER.size or not found.startswith(layout.MAGIC):
            raise self._error("it is not a journal; name a new file, or one that FileJournal made")
        _, version, has_key = layout.HEADER.unpack(found)
        if version != layout.VERSION:
            advice = "use the version of jobcell that made it, or a newer one"
            raise self._error(
                f"it has version {version} of the format, not {layout.VERSION}; {advice}"
            )
        if found != layout.HEADER.pack(layout.MAGIC, version, has_key) or has_key > 1:
            raise self._error("its header is damaged")
        if has_key and not encrypted:
            raise self._error("it is encrypted; pass its key")
        if encrypted and not has_key:
            raise self._error("it is not encrypted; open it without a key")

    # --- reading and writing ---

    def _read(
        self, start: int, digest: bytes, end: int, *, torn: bool = False
    ) -> Iterator[tuple[tuple[int, bytes], bytes]]:
        """Yield for each record the byte after it, its digest and its body.

        Args:
            start: Where the first record begins, in bytes.
            digest: The digest of everything before that record.
            end: Where to stop.
            torn: Whether an incomplete last record is skipped.

        """
        while start < end:
            head = self._read_head(start, end)
            after = start + layout.HEAD_BYTES + (head.body_bytes if head else 0)
            if head is None or after > end:
                if torn:
                    return
                raise self._error("it has become shorter since it was opened")
            sealed = self._pread(head.body_bytes, start + layout.HEAD_BYTES)
            if len(sealed) < head.body_bytes:
                raise self._error("it has become shorter since it was opened")
            if head.digest != layout.digest_of(digest, sealed):
                raise self._error(f"the record at byte {start} is damaged")
            try:
                body = self._seal.open(sealed, digest)
            except ValueError as error:
                raise self._error(str(error)) from None
            start, digest = after, head.digest
            yield (start, digest), body

    def _read_head(self, start: int, end: int) -> layout.Head | None:
        try:
            return layout.decode_head(self._pread(min(layout.HEAD_BYTES, end - start), start))
        except layout.DamagedError as error:
            raise self._error(f"it is damaged at byte {start}: {error}") from None

    def _pread(self, count: int, offset: int) -> bytes:
        parts = []
        try:
            while count and (part := os.pread(self._fd, count, offset)):
                parts.append(part)
                count -= len(part)
                offset += len(part)
        except OSError as error:
            raise self._error(_reason(error)) from None
        return b"".join(parts)

    def _append(self, data: bytes) -> None:
        """Write *data* at the end; after an error, remove the written part of it."""
        rest, offset = memoryview(data), self._end
        try:
            while rest:
                count = os.pwrite(self._fd, rest, offset)
                rest, offset = rest[count:], offset + count
        except OSError as error:
            self._cut_off()
            raise self._error(f"it could not be written: {_reason(error)}") from None
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            # The kernel may have dropped the unwritten data, and reports that only once: fsync(2).
            self._broken = f"it could not be written: {_reason(error)}"
            self._cut_off()
            raise self._error(self._broken) from None

    def _cut_off(self) -> None:
        """Remove an incomplete record from the end of the file."""
        try:
            os.ftruncate(self._fd, self._end)
        except OSError as error:
            self._broken = f"the part of a record could not be removed: {_reason(error)}"

    def _check_usable(self, *, writing: bool = True) -> None:
        if self._fd < 0:
            raise self._error("it was closed")
        if writing and self._read_only:
            raise self._error("it was opened to be read only")
        if self._broken is not None:
            raise self._error(self._broken)

    def _error(self, reason: str) -> JournalError:
        return JournalError(f"the journal {self._path!r} cannot be used: {reason}")


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
