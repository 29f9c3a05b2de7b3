"""The sub-commands of `jobcell` and their options.

A command imports its modules when it runs: `jobcell --help` does not wait for the engine, and a
broken command does not break the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobcell import desk_commands, store_commands
from jobcell import option_types as types
from jobcell.worker_command import worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobcell.journals import StoredOptions

app: typer.Typer = typer.Typer(
    help="Run workflows of Python jobs, each run in a fresh and confined interpreter.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is a line, not a box
)

EPILOG = (
    "Exit codes: 0 success, 1 a job failed, 2 bad input (nothing was started), 3 crash, "
    "4 killed by a limit or for something forbidden, 5 not the job's fault, 130 Ctrl-C, "
    "141 the reader of the output has gone, 143 SIGTERM."
)

PASS_ON: dict[str, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def _print_version(wanted: bool) -> None:
    if wanted:
        from jobcell import __version__

        print(f"jobcell {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command(epilog=EPILOG)
def run(  # long: one line for each option
    target: Annotated[
        Path,
        typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json, .yaml) or a single job (.py)."),
    ],
    state: types.State = None,
    credentials: types.Credentials = None,
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
    log_level: types.Level = types.LogLevel.debug,
    adaptor_log_level: types.AdaptorLevel = types.LogLevel.warning,
    start_mode: types.Mode = types.StartMode.exec,
    sandbox: types.Sandbox = None,
    plain: types.Plain = False,
    as_json: types.AsJson = False,
) -> None:
    """Run a plan, or a single job.

    Progress goes to standard error, the final state to --output or standard output.
    """
    from jobcell.starting import Given, PlanChoice, start_run

    options = _stored_options(
        types.net_rules(net, allow_net),
        read,
        scratch,
        ca_file,
        sandbox,
        repo,
        credentials,
        timeout,
        step_timeout,
        memory,
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
    )
    choice = PlanChoice(
        target, adaptor or (), start, end, journal, from_step, only, autoinstall, yes
    )
    raise typer.Exit(start_run(choice, given))


@app.command(epilog=EPILOG)
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
    log_level: types.Level = types.LogLevel.debug,
    adaptor_log_level: types.AdaptorLevel = types.LogLevel.warning,
    start_mode: types.Mode = types.StartMode.exec,
    sandbox: types.Sandbox = None,
    plain: types.Plain = False,
    as_json: types.AsJson = False,
) -> None:
    """Go on with a run that was interrupted, after its last finished step.

    The journal holds the plan, the initial state and the options of the run. An option that is
    given here wins. Finished steps are not run again.
    """
    from jobcell.starting import Given, resume_run

    options = _stored_options(
        types.net_rules(net, allow_net),
        read,
        scratch,
        ca_file,
        sandbox,
        repo,
        credentials,
        timeout,
        step_timeout,
        memory,
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
    timeout: float | None,
    step_timeout: float | None,
    memory: float | None,
) -> StoredOptions:
    """Return the options that a journal keeps for `jobcell resume`."""
    from jobcell.journals import StoredOptions

    return StoredOptions(
        net=tuple(net or ()),
        read=tuple(map(str, read or ())),
        scratch=scratch,
        ca_file=_text(ca_file),
        sandbox=sandbox,
        repo=_text(repo),
        credentials=_text(credentials),
        timeout=timeout,
        step_timeout=step_timeout,
        memory=memory,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


@app.command()
def schema() -> None:
    """Print a JSON Schema of plans, for editors and for programs that write plans.

    The schema accepts every plan that jobcell validate accepts. Only validate can check ids and
    cycles.
    """
    from engine.plan import plan_schema

    print(json.dumps(plan_schema(), indent=2))


@app.command()
def validate(
    target: Annotated[
        Path,
        typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json, .yaml) or a single job (.py)."),
    ],
    repo: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Repo of adaptors (otherwise: JOBCELL_REPO, ./repo)."),
    ] = None,
    net: types.Net = None,
    allow_net: types.AllowNet = False,
    read: types.Read = None,
    scratch: types.Scratch = None,
    ca_file: types.CaFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
) -> None:
    """Check a plan without running it, and print every problem. The exit code is 2 if it finds one.

    All jobs, conditions and globals are compiled in a confined child, and their imports are linked.
    With --net, --read, --scratch or --ca-file the permissions of each step are compared with those of
    a run that has them.
    """
    from jobcell.validate import run as command

    raise typer.Exit(
        command(target, repo, types.net_rules(net, allow_net), read, scratch, ca_file, json=as_json)
    )


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which layers of the sandbox this machine has, and what each missing one would stop."""
    from jobcell.doctor import run as command

    raise typer.Exit(command(json=as_json))


@app.command()
def check(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="A job (.py).")],
    adaptor: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[@VERSION]", help="An adaptor of the job; may be repeated."),
    ] = None,
    repo: Annotated[Path | None, typer.Option(metavar="DIR", help="The repo of adaptors.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the operations found.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compile a job, without running it, and print everything that is wrong with it."""
    from jobcell.check import run as command

    code = command(job, adaptors=tuple(adaptor or ()), repo=repo, show=show, json=as_json)
    raise typer.Exit(code)


@app.command(context_settings=PASS_ON)
def repo(context: typer.Context) -> None:
    """Install, list and verify adaptors (jobcell repo --help)."""
    from jobcell.repo import app as command

    command(args=context.args, prog_name="jobcell repo")


@app.command()
def stubs(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write the .pyi files.")
    ],
    adaptor: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[@VERSION]", help="An adaptor to include; may be repeated."),
    ] = None,
    repo: Annotated[Path | None, typer.Option(metavar="DIR", help="The repo of adaptors.")] = None,
) -> None:
    """Write stub files, with which an editor knows what a job may use."""
    from jobcell.stubs.command import run as command

    raise typer.Exit(command(adaptors=tuple(adaptor or ()), repo=repo, output=output))


@app.command(context_settings=PASS_ON)
def schedule(context: typer.Context) -> None:
    """Start runs by a timetable (jobcell schedule --help)."""
    from jobcell.schedule import app as command

    command(args=context.args, prog_name="jobcell schedule")


desk_commands.add_to(app)
store_commands.add_to(app, PASS_ON)
app.command()(worker)
