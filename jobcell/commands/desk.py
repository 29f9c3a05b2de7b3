"""The sub-commands of a person who writes jobs: report, serve, new, test, cache and import.

Like those of `app`, each imports its modules when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobcell.commands import options as types


def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A file of events (.jsonl), a journal, or a run of a store."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", help="The page; - is stdout.")
    ] = Path("run.html"),
    plan: Annotated[
        Path | None,
        typer.Option(metavar="PLAN", help="The plan, for names, jobs and steps that did not run."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The store of the run (otherwise: JOBCELL_STORE)."),
    ] = None,
    journal_key_env: types.JournalKey = None,
) -> None:
    """Write a page about a run: its graph, timeline, logs, states and errors.

    The page is one HTML file. It needs no network, and it loads nothing.
    """
    from jobcell.desk.reporting import run as command

    raise typer.Exit(command(source, output, plan, store, journal_key_env))


def serve(  # long: one line for each option
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port to listen on.")] = 8321,
    uds: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Unix socket to listen on, in place of both."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The store (otherwise: JOBCELL_STORE, or a SQLite file)."),
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Run in this process, and keep runs in memory.")
    ] = False,
    max_runs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --engine: runs at once.")
    ] = None,
    repo: types.Repo = None,
    net: types.Net = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="NAME[:read|:write]",
            help="With --engine: let runs use this collection of the store; may be repeated.",
        ),
    ] = None,
    https: Annotated[
        bool, typer.Option("--https", help="Clients come by HTTPS, through a proxy.")
    ] = False,
    otel: types.Otel = False,
) -> None:
    """Serve pages about runs, and a JSON interface for managers in any language.

    Other machines need the token in JOBCELL_TOKEN. The interface describes itself: /api/v1/openapi.json.
    """
    from jobcell.desk.serving import Serving
    from jobcell.desk.serving import serve as command

    given = Serving(
        host=host,
        port=port,
        uds=uds,
        store=store,
        engine=engine,
        max_runs=max_runs,
        repo=repo,
        net=tuple(net or ()),
        https=https,
        otel=otel,
        collections=tuple(collection or ()),
    )
    raise typer.Exit(command(given))


def new(
    target: Annotated[Path, typer.Argument(metavar="NAME", help="A new directory.")],
) -> None:
    """Make a small project: jobs, a plan, tests, and settings for editors."""
    from jobcell.desk.new_project import run as command

    raise typer.Exit(command(target))


def run_tests(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR_OR_FILE", help="Tests (otherwise: this directory)."),
    ] = None,
    repo: types.Repo = None,
    record: Annotated[
        types.Record, typer.Option(help="Which HTTP exchanges are recorded in cassettes.")
    ] = types.Record.none,
    pytest: Annotated[
        list[str] | None,
        typer.Option("--pytest", metavar="ARG", help="An argument for pytest; may be repeated."),
    ] = None,
) -> None:
    """Run the tests of jobs: test_*.py and *.job.yaml, each job in the sandbox.

    The exit code is that of pytest: 0 all passed, 1 a test failed, 5 there are no tests.
    """
    from jobcell.testing.command import run as command

    raise typer.Exit(command(places or [Path()], repo, record.value, pytest or ()))


def clear_cache() -> None:
    """Remove all results that jobcell run --cache-steps has kept, and print their number."""
    from jobcell.running.cached_runs import clear

    raise typer.Exit(clear())


def import_project(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="project.yaml, openfn.yaml, workflow.json, or such."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Directory for the plans.")
    ] = Path("imported"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there already.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Turn a project or a workflow of OpenFn into plans, and translate what is certain.

    The exit code is 0 if nothing is left to do by hand, and 1 if TODO.md lists something.
    """
    from jobcell.desk.importing import run as command

    raise typer.Exit(command(source, output, force=force, json=json))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an application."""
    app.command()(report)
    app.command()(serve)
    app.command()(new)
    app.command("test")(run_tests)
    app.command("import")(import_project)
    cache = typer.Typer(
        help="Look after the results of steps.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    cache.callback()(_of_cache)
    cache.command("clear")(clear_cache)
    app.add_typer(cache, name="cache")


def _of_cache() -> None:
    """Look after the results of steps that jobcell run --cache-steps keeps."""
