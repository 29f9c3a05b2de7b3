"""The sub-commands that work with the runs of a store, and their options.

Like those of `app`, each imports its modules when it runs.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jobcell.commands import options as types

EPILOG = (
    "Exit codes: 0 success, 2 bad input (unknown run, wrong address, newer store), "
    "5 the store is out of reach or damaged, 130 Ctrl-C, 141 the reader of the output has gone."
)
EPILOG_RESULT = (
    "Exit codes: that of jobcell run for the end of the run (0 success, 1 a job failed, 3 crash, "
    "4 killed or cancelled, 5 not the job's fault), 6 the run is not over yet, 2 bad input, "
    "5 the store is out of reach."
)

StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="URL", help="The store (otherwise: JOBCELL_STORE, or a SQLite file)."
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of the run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class RunState(StrEnum):
    """The state of a run in a store."""

    queued = "queued"
    running = "running"
    done = "done"
    dead = "dead"


def enqueue(  # long: one line for each option
    target: Annotated[
        Path,
        typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json, .yaml) or a single job (.py)."),
    ],
    state: types.State = None,
    run_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The id of the run; the same id is the same run."),
    ] = None,
    tenant: Annotated[str, typer.Option(metavar="NAME", help="The user of the run.")] = "default",
    priority: Annotated[
        int, typer.Option(metavar="N", help="Lower numbers come first; may be negative.")
    ] = 0,
    not_before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Earliest start, such as 2026-12-01T08:00+01:00."),
    ] = None,
    adaptor: types.Adaptors = None,
    start: types.Start = None,
    end: types.End = None,
    timeout: types.Timeout = None,
    step_timeout: types.StepTimeout = None,
    memory: types.Memory = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
    trace: types.TraceParent = None,
) -> None:
    """Store a run that a worker will carry out (jobcell worker), and print its id."""
    from jobcell.stored.runs import Order, enqueue_run

    order = Order(
        target=target,
        state=state,
        run_id=run_id,
        tenant=tenant,
        priority=priority,
        not_before=not_before,
        adaptors=tuple(adaptor or ()),
        start=start,
        end=end,
        limits={"timeout_s": timeout, "step_timeout_s": step_timeout, "memory_mb": memory},
        trace=trace,
    )
    raise typer.Exit(enqueue_run(order, store, as_json=as_json))


def events(
    run_id: RunId,
    after: Annotated[
        int, typer.Option(metavar="N", help="Only the events after this number.", min=0)
    ] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for further events until the run is over.")
    ] = False,
    store: StoreUrl = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as a line of JSON.")
    ] = False,
) -> None:
    """Print the events of a run, and with --follow those to come."""
    from jobcell.stored.runs import show_events

    raise typer.Exit(show_events(run_id, store, after=after, follow=follow, as_json=as_json))


def result(
    run_id: RunId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run is over.")] = False,
    store: StoreUrl = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print reason, state and error as JSON.")
    ] = False,
) -> None:
    """Print the final state of a run; the exit code says how it ended."""
    from jobcell.stored.runs import show_result

    raise typer.Exit(show_result(run_id, store, wait=wait, as_json=as_json))


def cancel(
    run_id: RunId,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="The reason, for its last event.")
    ] = "cancelled from the command line",
    store: StoreUrl = None,
) -> None:
    """Cancel a run. A run that is over stays as it is."""
    from jobcell.stored.runs import cancel_run

    raise typer.Exit(cancel_run(run_id, store, reason=reason))


def retry(
    run_id: RunId,
    from_step: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STEP", help="Take over the steps before this one, and run the rest."
        ),
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a new run of a run that is over, and print its id. The old run stays as it is."""
    from jobcell.stored.runs import retry_run

    raise typer.Exit(retry_run(run_id, store, from_step=from_step, as_json=as_json))


def runs(
    state: Annotated[
        RunState | None,
        typer.Option(help="Only such runs; done: over, and not dead."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="Only its runs.")] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="The newest N runs.", min=1)
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a store, the newest first."""
    from jobcell.stored.runs import list_runs

    wanted = None if state is None else state.value
    raise typer.Exit(list_runs(store, state=wanted, tenant=tenant, limit=limit, as_json=as_json))


app: typer.Typer = typer.Typer(
    help="Look after a store.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command(epilog=EPILOG)
def migrate(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Make the tables of a store, or bring them to the version of this program.

    Every command that opens a store does so, too. Workers of the version before may go on meanwhile.
    """
    from jobcell.stored.admin import migrate_store

    raise typer.Exit(migrate_store(store, as_json=as_json))


@app.command(epilog=EPILOG)
def status(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Print the numbers of runs by state and by tenant, the age of the oldest, and the workers."""
    from jobcell.stored.admin import show_status

    raise typer.Exit(show_status(store, as_json=as_json))


@app.command(epilog=EPILOG)
def prune(
    older: Annotated[
        str, typer.Option(metavar="AGE", help="Age of the last event: 90s, 15m, 12h or 30d.")
    ],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove runs that are over, with their events and states, and print their number."""
    from jobcell.stored.admin import prune_store

    raise typer.Exit(prune_store(store, older=older, as_json=as_json))


@app.command(epilog=EPILOG)
def collections(
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only its collections.")
    ] = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the collections: their tenants, names and sizes, and the time of the newest value."""
    from jobcell.stored.admin import show_collections

    raise typer.Exit(show_collections(store, tenant=tenant, as_json=as_json))


@app.command("remove-collection", epilog=EPILOG)
def remove_collection(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the collection.")],
    tenant: Annotated[
        str, typer.Option(metavar="NAME", help="The user whose collection it is.")
    ] = "default",
    is_sure: Annotated[
        bool, typer.Option("--yes", help="Do not ask; needed where no terminal can be asked.")
    ] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove a collection with all its values. On a terminal the command asks first."""
    from jobcell.stored.admin import remove_collection as remove

    raise typer.Exit(remove(store, name, tenant=tenant, is_sure=is_sure, as_json=as_json))


def add_to(root: typer.Typer, pass_on: dict[str, Any]) -> None:
    """Add the commands to those of `jobcell`.

    Args:
        root: The commands of `jobcell`.
        pass_on: The settings of a command that hands all its words to commands of its own.

    """
    for command in (enqueue, events, cancel, retry, runs):
        root.command(epilog=EPILOG)(command)
    root.command(epilog=EPILOG_RESULT)(result)

    @root.command("store", context_settings=pass_on)
    def of_store(context: typer.Context) -> None:
        """Look after a store and its collections (jobcell store --help)."""
        app(args=context.args, prog_name="jobcell store")
