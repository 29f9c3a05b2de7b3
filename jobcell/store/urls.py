"""The address of a store: a SQLite file, or a database of a PostgreSQL server."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from jobcell.store.errors import StoreUrlError

_EXAMPLES: Final = (
    "sqlite:///runs.db, sqlite:////var/lib/jobcell/runs.db, postgresql://user@host/db"
)


def read_url(given: str | os.PathLike[str] | None) -> sa.URL:
    """Return the address of a store.

    Args:
        given: A URL, or the path object of a SQLite file.  None: the value of ``JOBCELL_STORE``, or the
            default file.

    Raises:
        StoreUrlError: It is not the address of a store.
        TypeError: It is of another type.

    """
    if isinstance(given, os.PathLike):
        return _sqlite(os.fspath(given))
    if given is None:
        text = os.environ.get("JOBCELL_STORE", "")
        if not text:
            file = default_file()
            make_private(file)
            return _sqlite(str(file))
        return _parse(text, "JOBCELL_STORE: ")
    if not isinstance(given, str):
        raise TypeError(f"the URL of a store must be text, not {type(given).__name__}")
    return _parse(given, "")


def default_file() -> Path:
    """Return the path of the default store, in the user's state directory.

    The XDG Base Directory Specification says where that is: ``$XDG_STATE_HOME``, which counts only as
    an absolute path, or ``~/.local/state``.

    Raises:
        StoreUrlError: The user has no home directory.

    """
    named = os.environ.get("XDG_STATE_HOME", "")
    if named and Path(named).is_absolute():
        return Path(named) / "jobcell" / "store.db"
    try:
        return Path.home() / ".local" / "state" / "jobcell" / "store.db"
    except RuntimeError:
        raise StoreUrlError(
            "this user has no home directory for the default store; name a store with JOBCELL_STORE"
        ) from None


def shown(url: sa.URL) -> str:
    """Return an address for a message: without the password, and with nothing secret in its options."""
    bare = url.set(query={})
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    return bare.set(drivername="postgresql").render_as_string(hide_password=True)


def make_private(path: Path) -> None:
    """Create the directory and the file of the default store, for this user alone.

    Raises:
        StoreUrlError: This is not possible.

    """
    try:
        missing = [parent for parent in (path.parent, *path.parents[1:]) if not parent.exists()]
        for parent in reversed(missing):  # `parents=True` would leave the upper ones to the umask
            parent.mkdir(mode=0o700, exist_ok=True)
        found = path.parent.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
            path.parent.chmod(0o700)
        # SQLite gives the files beside it the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUrlError(
            f"the default store {path} cannot be opened: {error.strerror};"
            " name another one with JOBCELL_STORE"
        ) from None


def _parse(text: str, origin: str) -> sa.URL:
    if "\0" in text:
        raise StoreUrlError(f"{origin}the URL of a store has a NUL in it: {text!r}")
    if "://" not in text:
        advice = f"; write sqlite:///{text}" if text.endswith((".db", ".sqlite")) else ""
        raise StoreUrlError(f"{origin}{text!r} is not the URL of a store{advice} ({_EXAMPLES})")
    try:
        url = sa.make_url(text)
    # ValueError: a port that is not a number.  The text may hold a password, so it is not shown.
    except (sa.exc.ArgumentError, ValueError):
        raise StoreUrlError(
            f"{origin}this is not the URL of a store: it cannot be read ({_EXAMPLES})"
        ) from None
    _check_characters(url, origin)
    name = url.drivername
    if name == "sqlite":
        return _sqlite_url(url, origin)
    if name in {"postgresql", "postgres", "postgresql+psycopg"}:
        if not url.database:
            raise StoreUrlError(f"{origin}{shown(url)} names no database ({_EXAMPLES})")
        return url.set(drivername="postgresql+psycopg")
    raise StoreUrlError(
        f"{origin}a store cannot be in {name!r}; it is in SQLite or PostgreSQL ({_EXAMPLES})"
    )


def _check_characters(url: sa.URL, origin: str) -> None:
    """Raise StoreUrlError if a part has a character, perhaps written as ``%00``, that no database takes."""
    parts = {"name of the database": url.database, "host": url.host, "user": url.username}
    for part, text in {**parts, "password": url.password}.items():
        try:
            is_wrong = b"\0" in os.fsencode(text or "")
        except UnicodeEncodeError:
            is_wrong = True
        if is_wrong:
            where = "" if part == "password" else f": {text!r}"
            raise StoreUrlError(
                f"{origin}the {part} in the URL of a store has a character that it cannot have{where}"
            )


def _sqlite_url(url: sa.URL, origin: str) -> sa.URL:
    if url.host:
        raise StoreUrlError(
            f"{origin}the URL of a SQLite file has three slashes, or four before an absolute path"
            f" ({_EXAMPLES})"
        )
    if url.query:
        raise StoreUrlError(
            f"{origin}the URL of a SQLite file has no options: {', '.join(url.query)}"
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreUrlError(f"{origin}a store needs a file that stays: sqlite:///runs.db")
    return _sqlite(url.database)


def _sqlite(database: str) -> sa.URL:
    path = Path(database)
    try:
        kind, has_parent = _kind_of(path), _kind_of(path.parent) == stat.S_IFDIR
    except OSError as error:
        raise StoreUrlError(f"the store {path} cannot be opened: {error.strerror}") from None
    if kind == stat.S_IFDIR:
        raise StoreUrlError(
            f"{path} is a directory; a store is a file in it: sqlite:///{path}/runs.db"
        )
    if not has_parent:
        raise StoreUrlError(f"the directory {path.parent} of the store does not exist")
    if kind not in {None, stat.S_IFREG}:
        raise StoreUrlError(f"{path} is not a file, so it cannot be a store")
    # The path stays right when the process changes its directory.
    return sa.URL.create("sqlite", database=str(path.absolute()))


def _kind_of(path: Path) -> int | None:
    """Return the kind of a file, as `stat.S_IFMT` has it; None if the file does not exist.

    Raises:
        OSError: It cannot be looked at: a directory may not be searched, or the name is too long.

    """
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
