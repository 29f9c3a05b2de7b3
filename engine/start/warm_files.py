"""Notices that the files of an adaptor have changed since it was imported.

The kernel tells which directories have changed (inotify(7)), so that looking costs a run nothing.  Without that, each
look asks for the times of all files.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

MOST_DIRECTORIES: Final = 4_000
"""Most directories of a set of adaptors.  A repo has one for each adaptor; a path that a manager gives may have more
below it than adaptors."""

_CACHE: Final = "__pycache__"
_CHANGED: Final = 0x0FCA
"""MODIFY, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF."""
_ONLY_DIRECTORIES: Final = 0x01000000
_OVERFLOW: Final = 0x4000
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 1 << 16

_Stamp = tuple[int, int, int]


class TooManyFilesError(Exception):
    """There are too many directories to watch."""


class Notices:
    """The changes that the kernel reports, for all sets of an engine."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._users: dict[int, list[Files]] = {}
        """For each watched directory, the sets that have files in it."""

    def open(self) -> None:
        """Begin to hear of changes.

        Raises:
            OSError: The kernel has no room for it.

        """
        if self._fd is None:
            self._fd = _libc("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)

    def watch(self, path: str, files: Files) -> None:
        """Hear of changes in a directory.

        Raises:
            OSError: The kernel has no room for it.

        """
        assert self._fd is not None
        number = _libc(
            "inotify_add_watch", self._fd, os.fsencode(path), _CHANGED | _ONLY_DIRECTORIES
        )
        self._users.setdefault(number, []).append(files)

    def look(self) -> None:
        """Take all changes so far."""
        while self._fd is not None:
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                return
            for number, mask, name in _events(data):
                if mask & _OVERFLOW:
                    for users in self._users.values():
                        _mark(users)
                elif name != _CACHE:
                    _mark(self._users.get(number, ()))

    def forget(self, files: Files) -> None:
        """Hear no more of changes for a set."""
        for number, users in tuple(self._users.items()):
            if files in users:
                users[:] = [one for one in users if one is not files]
            if not users:
                del self._users[number]
                if self._fd is not None:
                    try:
                        _libc("inotify_rm_watch", self._fd, number)
                    except OSError:
                        pass  # the directory is gone

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._users.clear()


class Files:
    """The files below some directories, as they were when this object was made.

    Raises:
        TooManyFilesError: There are too many directories.

    """

    def __init__(self, paths: Sequence[str], notices: Notices) -> None:
        self.changed = False
        self._notices = notices
        self._stamps: dict[str, _Stamp | None] = {}
        directories = list(_directories(paths))
        try:
            notices.open()
            for path in directories:
                notices.watch(path, self)
        except OSError:
            notices.forget(self)
            self._stamps = {file: _stamp(file) for path in directories for file in _files(path)}

    def unchanged(self) -> bool:
        """Return whether the files are what they were."""
        self._notices.look()
        if not self.changed and any(_stamp(file) != was for file, was in self._stamps.items()):
            self.changed = True
        return not self.changed

    def close(self) -> None:
        """Stop looking."""
        self._notices.forget(self)


def _mark(users: Sequence[Files]) -> None:
    for files in users:
        files.changed = True


def _directories(paths: Sequence[str]) -> Iterator[str]:
    pending, count = list(paths), 0
    while pending:
        path = pending.pop()
        count += 1
        if count > MOST_DIRECTORIES:
            raise TooManyFilesError
        yield path
        try:
            with os.scandir(path) as found:
                pending += [
                    entry.path
                    for entry in found
                    if entry.name != _CACHE and entry.is_dir(follow_symlinks=False)
                ]
        except OSError:
            continue  # it cannot be imported from either


def _files(path: str) -> Iterator[str]:
    yield path
    try:
        with os.scandir(path) as found:
            yield from [entry.path for entry in found if entry.name != _CACHE]
    except OSError:
        return


def _stamp(file: str) -> _Stamp | None:
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    at = 0
    while at < len(data):
        number, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        yield number, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length


def _libc(name: str, *arguments: int | bytes) -> int:
    """Call a function of the C library; a failure is an OSError."""
    import ctypes  # only an engine with warm adaptors waits for it

    result: int = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
