"""Large contents in an object store: any address that fsspec knows (``s3://``, ``gs://``, ``file://``)."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar
from uuid import uuid4

from jobcell.store.errors import StoreDamagedError, StoreUnavailableError, StoreUrlError

OBJECTS_VARIABLE: Final = "JOBCELL_STORE_OBJECTS"

_NAME: Final = re.compile(r"[0-9a-f]{2}/[^/]+\.([0-9a-f]{1,10})-[0-9a-f]{32}")
_RACES: Final = 8
"""Number of times that the folders of an object are made: others may make each of them at the same moment."""

_T = TypeVar("_T")


class Objects:
    """A directory of an object store.  Any thread may use it, and a fork of this process too.

    Args:
        url: Its address.

    Raises:
        StoreUrlError: No installed library knows such an address.

    """

    def __init__(self, url: str) -> None:
        if "://" not in url:
            raise StoreUrlError(
                f"{url!r} is not the URL of an object store; write s3://bucket/jobcell, or file:///path"
            )
        self._url = url
        self._home = ""
        self._pid = 0
        self._shared: Any = None
        self._own = threading.local()
        try:
            self._open()
        except (ImportError, ValueError) as error:
            raise StoreUrlError(f"the object store {self} cannot be used: {error}") from None
        # A server that cannot be reached now is an error of the first call.
        except Exception:  # noqa: BLE001, S110 - each implementation has errors of its own
            pass

    def __str__(self) -> str:
        return re.sub(r"//[^/@]*@", "//***@", self._url)

    def use(self, store_id: str) -> None:
        """Give each store a directory of its own, so that none removes the objects of another."""
        self._home = f"{store_id}/"

    def close(self) -> None:
        """Let go of all connections; a later call opens new ones."""
        self._shared, self._own = None, threading.local()

    def write(self, key: str, body: bytes) -> str:
        """Store bytes and return their name.

        Each call makes a new object, so that the removal of an old one never meets a new one of the
        same content.

        Raises:
            StoreUnavailableError: The object store is out of reach.

        """
        name = f"{self._home}{key[:2]}/{key}.{int(time.time()):x}-{uuid4().hex}"
        try:
            self._try(lambda files, root: _write(files, f"{root}/{name}", body))
        except StoreDamagedError as error:  # there is no such bucket, for example
            raise StoreUnavailableError(
                f"the object store {self} takes no object: {error}"
            ) from None
        return name

    def read(self, name: str) -> bytes:
        """Return the bytes of an object.

        Raises:
            StoreDamagedError: The object is missing.
            StoreUnavailableError: The object store is out of reach.

        """
        return self._try(lambda files, root: bytes(files.cat_file(f"{root}/{name}")))

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        try:
            self._try(lambda files, root: files.rm_file(f"{root}/{name}"))
        except StoreDamagedError:
            pass

    def old_names(self, before_s: float) -> Iterator[list[str]]:
        """Yield the names of the objects of this store that were made before a Unix time, in parts.

        Raises:
            StoreUnavailableError: The object store is out of reach.

        """
        for folder in self._names(self._home.rstrip("/")):
            old = [name for name in self._names(folder) if self._is_older(name, before_s)]
            if old:
                yield old

    def _names(self, folder: str) -> list[str]:
        """Return the names in a folder; none if the folder is missing."""
        try:
            paths = self._try(lambda files, root: _list(files, f"{root}/{folder}"))
        except StoreDamagedError:
            return []  # no object has been there yet
        return [f"{folder}/{path.rstrip('/').rpartition('/')[2]}" for path in paths]

    def _is_older(self, name: str, before_s: float) -> bool:
        found = _NAME.fullmatch(name.removeprefix(self._home))
        return found is not None and int(found[1], 16) < before_s

    def _open(self) -> tuple[Any, str]:
        """Return the files of fsspec, and the path of the directory."""
        import fsspec

        if self._pid != os.getpid():  # connections belong to the process that has opened them
            self._shared, self._own, self._pid = None, threading.local(), os.getpid()
        known = self._shared or getattr(self._own, "opened", None)
        if known is None:
            files, root = fsspec.core.url_to_fs(self._url, skip_instance_cache=True)
            known = files, root.rstrip("/")
            # Others, such as those for FTP and SFTP, have one connection, which takes one call at a time.
            if files.async_impl:
                self._shared = known
            else:
                self._own.opened = known
        return known

    def _try(self, action: Callable[[Any, str], _T]) -> _T:
        try:
            return action(*self._open())
        except FileNotFoundError as error:
            raise StoreDamagedError(f"the object store {self} lacks an object: {error}") from None
        # Each implementation raises errors of its own library.
        except Exception as error:
            self._own.opened = None  # the connection may be broken
            kind = type(error).__name__
            raise StoreUnavailableError(
                f"the object store {self} is out of reach: {kind}: {error}"
            ) from error


def open_objects(given: str | None) -> Objects | None:
    """Return the object store at *given* or at the address in the environment; None without one."""
    url = given if given is not None else os.environ.get(OBJECTS_VARIABLE, "")
    return Objects(url) if url else None


def _write(files: Any, path: str, body: bytes) -> None:
    for _ in range(_RACES):
        try:
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            break
        # FTP refuses a folder that another program makes at this moment.  If there is none, the next call fails.
        except Exception:  # noqa: BLE001
            files.invalidate_cache()
    files.pipe_file(path, body)


def _list(files: Any, path: str) -> list[str]:
    files.invalidate_cache()  # a listing that fsspec has kept would lack new objects
    return [str(name) for name in files.ls(path, detail=False)]
