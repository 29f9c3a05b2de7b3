"""Large contents in an object store: any address that fsspec knows (``s3://``, ``gs://``, ``file://``)."""

from __future__ import annotations

import os
from typing import Any, Final
from uuid import uuid4

from jobcell.store.errors import StoreDamagedError, StoreUnavailableError, StoreUrlError

OBJECTS_VARIABLE: Final = "JOBCELL_STORE_OBJECTS"


class Objects:
    """A directory of an object store.

    Args:
        url: Its address.

    Raises:
        StoreUrlError: No installed library knows such an address.

    """

    def __init__(self, url: str) -> None:
        import fsspec

        if "://" not in url:
            raise StoreUrlError(
                f"{url!r} is not the URL of an object store; write s3://bucket/jobcell, or file:///path"
            )
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreUrlError(f"the object store {url!r} cannot be used: {error}") from None
        self._root = self._root.rstrip("/")

    def write(self, key: str, body: bytes) -> str:
        """Store bytes and return their name.

        Each call makes a new object, so that the removal of an old one never meets a new one of the
        same content.

        Raises:
            StoreUnavailableError: The object store is out of reach.

        """
        name = f"{key[:2]}/{key}.{uuid4().hex}"
        self._try(lambda: self._write(f"{self._root}/{name}", body))
        return name

    def read(self, name: str) -> bytes:
        """Return the bytes of an object.

        Raises:
            StoreDamagedError: The object is missing.
            StoreUnavailableError: The object store is out of reach.

        """
        content: bytes = self._try(lambda: self._files.cat_file(f"{self._root}/{name}"))
        return content

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        try:
            self._try(lambda: self._files.rm_file(f"{self._root}/{name}"))
        except StoreDamagedError:
            pass

    def _write(self, path: str, body: bytes) -> None:
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(path, body)

    def _try(self, action: Any) -> Any:
        try:
            return action()
        except FileNotFoundError as error:
            raise StoreDamagedError(f"the object store lacks an object: {error}") from None
        # Each implementation raises errors of its own library.
        except Exception as error:
            kind = type(error).__name__
            raise StoreUnavailableError(
                f"the object store is out of reach: {kind}: {error}"
            ) from error


def open_objects(given: str | None) -> Objects | None:
    """Return the object store at *given* or at the address in the environment; None if there is none."""
    url = given if given is not None else os.environ.get(OBJECTS_VARIABLE, "")
    return Objects(url) if url else None
