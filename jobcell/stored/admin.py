"""`jobcell store migrate`, `status`, `prune`, `collections` and `remove-collection`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from jobcell.input.errors import BadInputError
from jobcell.output.exit_codes import SUCCESS
from jobcell.output.json_text import encode_json
from jobcell.output.wording import printable, tell_duration
from jobcell.stored.opening import PATIENCE_S, open_store, with_store_errors
from jobcell.stored.runs import print_table

if TYPE_CHECKING:
    from jobcell.store import CollectionInfo


@with_store_errors
def migrate_store(url: str | None, *, as_json: bool) -> int:
    """Carry out `jobcell store migrate`; return the exit code."""
    with open_store(url, timeout_s=PATIENCE_S) as store:
        facts = store.migrate()
        if as_json:
            _write_json({"schema_version": facts.schema_version, "store": str(store.database)})
        else:
            print(
                f"{printable(str(store.database))}: the tables have version {facts.schema_version}"
            )
    return SUCCESS


@with_store_errors
def show_status(url: str | None, *, as_json: bool) -> int:
    """Carry out `jobcell store status`; return the exit code."""
    with open_store(url) as store:
        found = store.status()
        where = str(store.database)
    if as_json:
        _write_json(found)
        return SUCCESS
    encrypted = ", encrypted" if found.encrypted else ""
    print(f"{printable(where)}: tables of version {found.schema_version}{encrypted}")
    rows: list[tuple[str, ...]] = [("tenant", "queued", "running", "done", "dead")]
    rows += [
        (name, str(row.queued), str(row.running), str(row.done), str(row.dead))
        for name, row in found.tenants.items()
    ]
    rows.append(("(all)", str(found.queued), str(found.running), str(found.done), str(found.dead)))
    print_table(rows)
    if found.oldest_queued_s is not None:
        print(f"the oldest run waits for {tell_duration(found.oldest_queued_s * 1000)}")
    alive = [worker for worker in found.workers if worker.alive]
    print(f"{len(alive)} of {len(found.workers)} known workers are alive")
    if found.workers:
        lines: list[tuple[str, ...]] = [("worker", "version", "places", "state", "last seen")]
        for worker in found.workers:
            state = "draining" if worker.draining else "alive"
            lines.append(
                (
                    worker.id,
                    worker.version,
                    str(worker.places),
                    state if worker.alive else "gone",
                    f"{tell_duration(worker.seen_s * 1000)} ago",
                )
            )
        print_table(lines)
    return SUCCESS


@with_store_errors
def prune_store(url: str | None, *, older: str, as_json: bool) -> int:
    """Carry out `jobcell store prune`; return the exit code."""
    with open_store(url) as store:
        try:
            number = store.prune(older)
        except ValueError as error:
            raise BadInputError([f"--{error}"]) from None
    if as_json:
        _write_json({"pruned": number})
    else:
        print(f"removed {number} {'run' if number == 1 else 'runs'}")
    return SUCCESS


@with_store_errors
def show_collections(url: str | None, *, tenant: str | None, as_json: bool) -> int:
    """Carry out `jobcell store collections`; return the exit code."""
    from jobcell.store import list_collections

    with open_store(url) as store:
        found = list_collections(store.database, tenant)
    if as_json:
        _write_json(found)
    elif not found:
        print("no collections")
    else:
        rows: list[tuple[str, ...]] = [("tenant", "name", "items", "bytes", "newest")]
        rows += [
            (one.tenant, one.name, str(one.items), str(one.bytes), _moment(one.updated))
            for one in found
        ]
        print_table(rows)
    return SUCCESS


@with_store_errors
def remove_collection(
    url: str | None, name: str, *, tenant: str, is_sure: bool, as_json: bool
) -> int:
    """Carry out `jobcell store remove-collection`; return the exit code.

    Raises:
        BadInputError: The user did not agree, or nobody could be asked.

    """
    from jobcell.store import find_collection
    from jobcell.store import remove_collection as remove

    with open_store(url) as store:
        if not is_sure:
            _ask(find_collection(store.database, tenant, name))
        removed = remove(store.database, tenant, name)
    if as_json:
        _write_json({"removed": removed})
    else:
        print(printable(f"removed {_described(removed)}"))
    return SUCCESS


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _ask(found: CollectionInfo) -> None:
    """Ask the terminal.

    Raises:
        BadInputError: No terminal can be asked, or the answer is not yes.

    """
    what = _described(found)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = f"would remove {what}, but no terminal can be asked; give --yes"
        raise BadInputError([message])
    question = printable(f"Remove {what}? Nothing brings the values back. [y/N] ")
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise BadInputError(["the collection stays as it is"])


def _described(found: CollectionInfo) -> str:
    values = "value" if found.items == 1 else "values"
    return f"the collection {found.name!r} of {found.tenant!r} ({found.items} {values}, {found.bytes} bytes)"


def _write_json(value: Any) -> None:
    sys.stdout.buffer.write(encode_json(value) + b"\n")
    sys.stdout.flush()
