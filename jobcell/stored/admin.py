"""`jobcell store migrate`, `status` and `prune`."""

from __future__ import annotations

import sys
from typing import Any

from jobcell.input.errors import BadInputError
from jobcell.output.exit_codes import SUCCESS
from jobcell.output.json_text import encode_json
from jobcell.output.wording import printable, tell_duration
from jobcell.stored.opening import PATIENCE_S, open_store, with_store_errors
from jobcell.stored.runs import print_table


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


def _write_json(value: Any) -> None:
    sys.stdout.buffer.write(encode_json(value) + b"\n")
    sys.stdout.flush()
