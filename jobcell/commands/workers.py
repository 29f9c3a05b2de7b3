"""The command `jobcell worker` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from jobcell.commands import options as types


def worker(  # long: one line for each option
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The store (otherwise: JOBCELL_STORE, or a SQLite file)."),
    ] = None,
    max_runs: Annotated[int, typer.Option(metavar="N", help="Runs at once.")] = 8,
    tenant_limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Runs of one tenant at once, over all workers of the store."
        ),
    ] = None,
    heartbeat: Annotated[
        float, typer.Option(metavar="S", help="Seconds between two signs of life in the store.")
    ] = 2.0,
    dead_after: Annotated[
        float,
        typer.Option(
            metavar="S", help="Seconds without one, after which others take the runs over."
        ),
    ] = 10.0,
    drain: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="After SIGTERM, seconds to wait for runs before they are given back. Otherwise: no limit.",
        ),
    ] = None,
    repo: types.Repo = None,
    net: types.Net = None,
    allow_net: types.AllowNet = False,
    net_proxy: types.NetProxy = None,
    net_by_port: types.NetByPort = False,
    read: types.Read = None,
    scratch: types.Scratch = None,
    ca_file: types.CaFile = None,
    collection: types.Collection = None,
    timeout: types.Timeout = None,
    step_timeout: types.StepTimeout = None,
    memory: types.Memory = None,
    sandbox: types.Sandbox = None,
    resolvers: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME|DIR",
            help="Where credentials come from: a Python object, or a directory with a file for each.",
        ),
    ] = None,
    health: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve /livez, /readyz and /metrics there."),
    ] = None,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Write the log as lines of JSON.")
    ] = False,
    otel: types.Otel = False,
) -> None:
    """Carry out the runs of a store, until SIGTERM or Ctrl-C.

    The worker then takes no new run, and ends when its runs are over. A second signal gives them back
    at once.
    """
    from jobcell.worker.command import Given
    from jobcell.worker.command import run as command

    given = Given(
        store=store,
        max_runs=max_runs,
        tenant_limit=tenant_limit,
        heartbeat=heartbeat,
        dead_after=dead_after,
        drain=drain,
        repo=repo,
        net=types.net_rules(net, allow_net) or (),
        net_proxy=net_proxy,
        net_by_port=net_by_port,
        read=read or (),
        scratch=scratch,
        ca_file=ca_file,
        collections=collection or (),
        timeout=timeout,
        step_timeout=step_timeout,
        memory=memory,
        sandbox=sandbox,
        resolvers=resolvers,
        health=health,
        log_json=log_json,
        otel=otel,
    )
    raise typer.Exit(command(given))
