"""`jobcell serve`: the HTTP interface and its pages, for a store or for an engine in this process."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from engine import Engine, RunOptions
from jobcell.input.errors import BadInputError
from jobcell.input.following import followed
from jobcell.input.inputs import find_repo, read_permissions
from jobcell.output.exit_codes import SUCCESS
from jobcell.stored.opening import open_store, with_store_errors

if TYPE_CHECKING:
    from jobcell.server import Backend
    from jobcell.store import Store

TOKEN: Final = "JOBCELL_TOKEN"  # noqa: S105 - the name of a variable
"""The environment variable with the token that clients have to send."""
_SHORTEST: Final = 16
_PRIVATE: Final = 0o600
"""The permissions of a Unix socket."""


class Serving(msgspec.Struct):
    """How to serve."""

    host: str
    port: int
    uds: Path | None
    store: str | None
    engine: bool
    max_runs: int | None
    repo: Path | None
    net: tuple[str, ...]
    https: bool
    otel: bool = False
    collections: tuple[str, ...] = ()


@with_store_errors
def serve(given: Serving) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code, which is 128 and the number of the signal.

    Raises:
        BadInputError: An option is wrong, the token is missing, or the extra is not installed.

    """
    try:
        from jobcell.server import Listener, make_app
        from jobcell.server.security import is_loopback, loopback_hosts
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"litestar", "uvicorn", "multidict"}:
            raise
        words = "the command serve needs more packages: pip install 'jobcell[serve]'"
        raise BadInputError([words]) from None
    token = os.environ.get(TOKEN) or None
    local = given.uds is not None or is_loopback(given.host)
    if token is None and not local:
        message = (
            f"--host {given.host}: other machines could run code here; set {TOKEN} to a long random"
            " text that clients have to send, or listen on 127.0.0.1"
        )
        raise BadInputError([message])
    if token is not None and len(token) < _SHORTEST:
        raise BadInputError([f"{TOKEN}: must have at least {_SHORTEST} characters"])
    if token is not None and not (token.isascii() and token.isprintable()):
        message = f"{TOKEN}: must have only printable ASCII characters, as headers and cookies do"
        raise BadInputError([message])
    hosts = loopback_hosts(given.host) if token is None and given.uds is None else None
    repo = find_repo(given.repo)
    with ExitStack() as stack:
        shelves = stack.enter_context(_shelves(given)) if given.collections else None
        runs = _open(given, repo)
        backend = _backend(runs, shelves)
        app = make_app(backend, token=token, hosts=hosts, secure=given.https, repo_dir=repo)
        sockets = _listen(given)
        for made in sockets:
            stack.callback(made.close)
        if given.uds is not None:
            stack.callback(given.uds.unlink, missing_ok=True)
        words = f"jobcell serves on {_place(given, sockets[0])}"
        engine, store = (runs, None) if isinstance(runs, Engine) else (None, runs)
        stack.enter_context(followed(engine, store=store, wanted=given.otel))
        # A program that has read the line may send a signal at once.
        listener = Listener(app, lambda: print(words, file=sys.stderr, flush=True))
        listener.run(sockets)
    return SUCCESS if listener.ended_by is None else 128 + listener.ended_by


def _listen(given: Serving) -> list[socket.socket]:
    """Return the sockets of the server.

    Raises:
        BadInputError: Nothing can listen there.

    """
    from jobcell.server import listen, listen_unix

    try:
        if given.uds is not None:
            return [listen_unix(given.uds, _PRIVATE)]
        return listen(given.host.strip("[]"), given.port)
    except OSError as error:
        where = f"--host {given.host} --port {given.port}"
        if given.uds is not None:
            where = f"--uds {given.uds}"
        raise BadInputError([f"{where}: cannot listen there: {error.strerror or error}"]) from None


def _place(given: Serving, made: socket.socket) -> str:
    if given.uds is not None:
        return f"unix:{given.uds}"
    host = given.host.strip("[]")
    return f"http://{f'[{host}]' if ':' in host else host}:{made.getsockname()[1]}"


def _shelves(given: Serving) -> Store:
    """Return the store with the collections of the runs of an engine."""
    if not given.engine:
        raise BadInputError(["--collection is for --engine; workers have their own"])
    return open_store(given.store, timeout_s=30.0)


def _backend(runs: Engine | Store, shelves: Store | None) -> Backend:
    from jobcell.server import EngineBackend, StoreBackend

    if not isinstance(runs, Engine):
        return StoreBackend(runs)
    return EngineBackend(runs, collections=None if shelves is None else shelves.collections)


def _open(given: Serving, repo: Path | None) -> Engine | Store:
    if not given.engine:
        if given.net or given.max_runs is not None:
            raise BadInputError(["--net and --max-runs are for --engine; workers have their own"])
        return open_store(given.store, timeout_s=30.0)
    if given.store is not None and not given.collections:
        message = (
            "--engine keeps runs in memory; leave out --store, or give --collection as well: the store"
            " then has the collections"
        )
        raise BadInputError([message])
    options = RunOptions(permissions=read_permissions(given.net, (), collections=given.collections))
    return Engine(repo_dir=repo, max_runs=given.max_runs, options=options)
