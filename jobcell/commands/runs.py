"""The sub-commands that carry out a run at once: run and resume.

Like those of `app`, each imports its modules when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobcell.commands import options as types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobcell.reuse.journals import StoredOptions

EPILOG = (
    "Exit codes: 0 success, 1 a job failed, 2 bad input (nothing was started), 3 crash, "
    "4 killed by a limit or for something forbidden, 5 not the job's fault, 130 Ctrl-C, "
    "141 the reader of the output has gone, 143 SIGTERM."
)


def run(  # long: one line for each option
    target: Annotated[
        Path,
        typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json, .yaml) or a single job (.py)."),
    ],
    state: types.State = None,
    credentials: types.Credentials = None,
    env_file: types.EnvFile = None,
    keyring: types.Keyring = None,
    repo: types.Repo = None,
    adaptor: types.Adaptors = None,
    autoinstall: types.Autoinstall = False,
    yes: types.Yes = False,
    output: types.Output = None,
    events: types.Events = None,
    start: types.Start = None,
    end: types.End = None,
    journal: types.JournalFile = None,
    journal_key_env: types.JournalKey = None,
    from_step: types.From = None,
    only: types.Only = None,
    watch: types.Watch = False,
    debug: types.Debug = False,
    cache_steps: types.CacheSteps = False,
    no_cache: types.NoCache = False,
    timeout: types.Timeout = None,
    step_timeout: types.StepTimeout = None,
    memory: types.Memory = None,
    net: types.Net = None,
    allow_net: types.AllowNet = False,
    net_audit: types.NetAudit = False,
    net_proxy: types.NetProxy = None,
    net_by_port: types.NetByPort = False,
    read: types.Read = None,
    scratch: types.Scratch = None,
    ca_file: types.CaFile = None,
    collection: types.Collection = None,
    store: types.Store = None,
    log_level: types.Level = types.LogLevel.debug,
    adaptor_log_level: types.AdaptorLevel = types.LogLevel.warning,
    start_mode: types.Mode = types.StartMode.exec,
    sandbox: types.Sandbox = None,
    plain: types.Plain = False,
    as_json: types.AsJson = False,
    otel: types.Otel = False,
    trace: types.TraceParent = None,
) -> None:
    """Run a plan, or a single job.

    Progress goes to standard error, the final state to --output or standard output.
    """
    from jobcell.running.choices import Given, PlanChoice
    from jobcell.running.starting import start_run

    options = _stored_options(
        types.net_rules(net, allow_net),
        read,
        scratch,
        ca_file,
        sandbox,
        repo,
        credentials,
        env_file,
        keyring,
        timeout,
        step_timeout,
        memory,
        collection,
        store,
    )
    given = Given(
        state=state,
        output=output,
        events=events,
        options=options,
        log_level=log_level.value,
        adaptor_log_level=adaptor_log_level.value,
        start_mode=start_mode.value,
        plain=plain,
        as_json=as_json,
        key_name=journal_key_env,
        net_audit=net_audit,
        net_proxy=net_proxy,
        net_by_port=net_by_port,
        otel=otel,
        trace=trace,
    )
    choice = PlanChoice(
        target,
        adaptor or (),
        start,
        end,
        journal,
        from_step,
        only,
        autoinstall,
        yes,
        cache_steps,
        no_cache,
        debug,
    )
    if watch:
        from jobcell.running.watching import watch_run

        raise typer.Exit(watch_run(choice, given))
    raise typer.Exit(start_run(choice, given))


def resume(  # long: one line for each option
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The journal that jobcell run --journal keeps.")
    ],
    target: Annotated[
        Path | None,
        typer.Argument(metavar="[PLAN]", help="The plan, if the journal does not hold all of it."),
    ] = None,
    state: types.State = None,
    credentials: types.Credentials = None,
    env_file: types.EnvFile = None,
    keyring: types.Keyring = None,
    repo: types.Repo = None,
    output: types.Output = None,
    events: types.Events = None,
    journal_key_env: types.JournalKey = None,
    timeout: types.Timeout = None,
    step_timeout: types.StepTimeout = None,
    memory: types.Memory = None,
    net: types.Net = None,
    allow_net: types.AllowNet = False,
    net_audit: types.NetAudit = False,
    net_proxy: types.NetProxy = None,
    net_by_port: types.NetByPort = False,
    read: types.Read = None,
    scratch: types.Scratch = None,
    ca_file: types.CaFile = None,
    collection: types.Collection = None,
    store: types.Store = None,
    log_level: types.Level = types.LogLevel.debug,
    adaptor_log_level: types.AdaptorLevel = types.LogLevel.warning,
    start_mode: types.Mode = types.StartMode.exec,
    sandbox: types.Sandbox = None,
    plain: types.Plain = False,
    as_json: types.AsJson = False,
    otel: types.Otel = False,
    trace: types.TraceParent = None,
) -> None:
    """Go on with a run that was interrupted, after its last finished step.

    The journal holds the plan, the initial state and the options of the run. An option that is
    given here wins. Finished steps are not run again.
    """
    from jobcell.running.choices import Given
    from jobcell.running.starting import resume_run

    options = _stored_options(
        types.net_rules(net, allow_net),
        read,
        scratch,
        ca_file,
        sandbox,
        repo,
        credentials,
        env_file,
        keyring,
        timeout,
        step_timeout,
        memory,
        collection,
        store,
    )
    given = Given(
        state=state,
        output=output,
        events=events,
        options=options,
        log_level=log_level.value,
        adaptor_log_level=adaptor_log_level.value,
        start_mode=start_mode.value,
        plain=plain,
        as_json=as_json,
        key_name=journal_key_env,
        net_audit=net_audit,
        net_proxy=net_proxy,
        net_by_port=net_by_port,
        otel=otel,
        trace=trace,
    )
    raise typer.Exit(resume_run(file, target, given))


def _stored_options(  # one argument for each option
    net: Sequence[str] | None,
    read: Sequence[Path] | None,
    scratch: float | None,
    ca_file: Path | None,
    sandbox: bool | None,
    repo: Path | None,
    credentials: Path | None,
    env_file: Path | None,
    keyring: str | None,
    timeout: float | None,
    step_timeout: float | None,
    memory: float | None,
    collections: Sequence[str] | None,
    store: str | None,
) -> StoredOptions:
    """Return the options that a journal keeps for `jobcell resume`."""
    from jobcell.reuse.journals import StoredOptions

    return StoredOptions(
        net=tuple(net or ()),
        read=tuple(map(str, read or ())),
        scratch=scratch,
        ca_file=_text(ca_file),
        sandbox=sandbox,
        repo=_text(repo),
        credentials=_text(credentials),
        env_file=_text(env_file),
        keyring=keyring,
        timeout=timeout,
        step_timeout=step_timeout,
        memory=memory,
        collections=tuple(collections or ()),
        store=store,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an application."""
    app.command(epilog=EPILOG)(run)
    app.command(epilog=EPILOG)(resume)
