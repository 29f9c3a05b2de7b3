"""The results of steps on disk, by a hash of everything that a result depends on.

Only the user can use the directory. A result that holds the value of a credential is not kept.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

import engine
from engine import StepRecord
from jobcell.input.errors import BadInputError
from protocol.plan import Plan, Step

MAX_BYTES: Final = 512_000_000
"""The oldest results are removed when the directory holds more than this."""
_KEY_FILE: Final = "key"
_SUFFIX: Final = ".step"
_records = msgspec.msgpack.Decoder(StepRecord)


def cache_directory() -> Path:
    """Return the directory of the cache, whether it exists or not."""
    named = os.environ.get("JOBCELL_CACHE_DIR")
    if named:
        return Path(named) / "steps"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "jobcell" / "steps"


class StepCache:
    """The directory of results."""

    def __init__(self, directory: Path) -> None:
        """Open the directory, and make it if it is not there.

        Raises:
            BadInputError: Another user may use it, or it cannot be made.

        """
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = directory.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise BadInputError(
                    [f"{directory}: is not a directory, so steps cannot be kept there"]
                )
            mode = stat.S_IMODE(found.st_mode)
            if found.st_uid != os.geteuid() or mode & 0o077:
                message = (
                    f"{directory}: other users may use it (owner {found.st_uid}, mode {mode:04o}), and"
                    f" results of steps are private; chmod 700 {directory}"
                )
                raise BadInputError([message])
            self._key = self._read_key()
        except OSError as error:
            raise BadInputError([f"{directory}: cannot be used: {error.strerror}"]) from None

    def _read_key(self) -> bytes:
        """Return the key of the hashes: without it, a name says nothing about a configuration."""
        path = self._directory / _KEY_FILE
        with suppress(FileNotFoundError):
            return path.read_bytes()[:64]
        self._write(path, secrets.token_bytes(32))
        return path.read_bytes()[:64]

    def digest(self, *parts: Any) -> bytes:
        """Return the hash of these parts."""
        encoded = msgspec.msgpack.encode(parts)
        return hashlib.blake2b(encoded, digest_size=24, key=self._key).digest()

    def get(self, name: bytes) -> StepRecord | None:
        """Return a result; None without a file, or if the file is damaged."""
        path = self._path(name)
        try:
            record = _records.decode(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        with suppress(OSError):
            os.utime(path)  # it was used, so it is not among the oldest
        return record

    def put(self, name: bytes, record: StepRecord) -> None:
        """Keep a result."""
        # A run must not fail because its cache is full.
        with suppress(OSError):
            self._write(self._path(name), msgspec.msgpack.encode(record))

    def prune(self) -> None:
        """Remove the oldest results, if all of them take too much room."""
        kept = 0
        for when, size, path in sorted(self._files(), reverse=True):
            kept += size
            if kept > MAX_BYTES and when:
                path.unlink(missing_ok=True)

    def clear(self) -> int:
        """Remove all results; return their number."""
        paths = [path for _, _, path in self._files()]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self._directory.iterdir():
            if path.suffix == _SUFFIX:
                with suppress(OSError):
                    about = path.stat()
                    found.append((about.st_mtime, about.st_size, path))
        return found

    def _path(self, name: bytes) -> Path:
        return self._directory / f"{name.hex()}{_SUFFIX}"

    def _write(self, path: Path, content: bytes) -> None:
        new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def facts_of_plan(plan: Plan) -> list[Any]:
    """Return the facts that every step of a plan depends on."""
    workflow = plan.workflow
    versions = [engine.__version__, platform.python_version()]
    return [versions, workflow.globals, workflow.credentials]


def facts_of_step(step: Step, hashes: dict[str, str]) -> list[Any] | None:
    """Return the facts that the result of a step depends on, apart from its input.

    Args:
        step: The step.
        hashes: The hash of the files of each adaptor, by what the plan calls it.

    Returns:
        The facts; None if an adaptor is not installed.

    """
    adaptors = []
    for spec in step.adaptors:
        if spec not in hashes:
            return None
        adaptors.append([spec, hashes[spec]])
    edges = [[target, edge.condition, edge.disabled] for target, edge in step.next.items()]
    own = msgspec.to_builtins(step)
    parts = [own.get(key) for key in ("id", "expression", "configuration", "state", "permissions")]
    return [parts, adaptors, edges]
