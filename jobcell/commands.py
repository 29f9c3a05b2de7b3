"""The sub-commands of `jobcell` and their options.

A command imports its modules when it runs: `jobcell --help` does not wait for the engine, and a
broken command does not break the others.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import engine
    from jobcell.output.views import View

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


class StartMode(StrEnum):
    """Where the child comes from."""

    exec = "exec"
    zygote = "zygote"


class LogLevel(StrEnum):
    """The least important log lines to show."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


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
def run(  # long: the signature holds the help text of each option
    target: Annotated[
        Path, typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json) or a single job (.py).")
    ],
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Initial state as JSON; - is stdin.")
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON object of credential id to configuration."),
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Repo of adaptors (otherwise: JOBCELL_REPO, ./repo)."),
    ] = None,
    adaptor: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[@VERSION]", help="Adaptor of a single job; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Final state (otherwise: stdout)."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Write each event to it, as a line of JSON."),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="ID", help="Step to start with.")] = None,
    end: Annotated[str | None, typer.Option(metavar="ID", help="Step to end after.")] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="S", help="Limit of the whole run, in seconds.")
    ] = None,
    step_timeout: Annotated[
        float | None, typer.Option(metavar="S", help="Limit of each step, in seconds.")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(metavar="MB", help="Limit of the run's memory.")
    ] = None,
    net: Annotated[
        list[str] | None,
        typer.Option(
            "--net",
            "--allow-net",
            metavar="RULE",
            help="Let jobs connect to HOST:PORT, HOST (80 and 443) or *; may be repeated.",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(help="Least important level of logs to show.")
    ] = LogLevel.debug,
    adaptor_log_level: Annotated[
        LogLevel, typer.Option(help="The same for libraries that adaptors use.")
    ] = LogLevel.warning,
    start_mode: Annotated[StartMode, typer.Option(help="How the child starts.")] = StartMode.exec,
    sandbox: Annotated[
        bool, typer.Option("--sandbox/--no-sandbox", help="The kernel wall. Off: development only.")
    ] = True,
    plain: Annotated[
        bool, typer.Option("--plain", help="Show lines, not a table, on a terminal too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events and the result as lines of JSON on stdout.")
    ] = False,
) -> None:
    """Run a plan, or a single job.

    Progress goes to standard error, the final state to --output or standard output.
    """
    from jobcell.input.errors import BadInputError, ReaderGoneError
    from jobcell.input.inputs import (
        check_adaptors,
        check_written_files,
        find_repo,
        read_credentials,
        read_json_file,
    )
    from jobcell.input.plan_file import load_plan_file

    if output is None and sys.stdout.closed:
        raise BadInputError(["standard output is closed; give a file with --output"])
    plan = load_plan_file(target, start=start, end=end, adaptors=adaptor or (), warn=_print_warning)
    check_written_files(
        output,
        events,
        {
            "the plan or job": target,
            "the file of --state": state,
            "the file of --credentials": credentials,
        },
    )
    initial = read_json_file(state) if state is not None else None
    known_credentials = read_credentials(credentials) if credentials is not None else None
    repo_dir = find_repo(repo)
    check_adaptors(plan, repo_dir)

    import engine
    from jobcell.runner import RunRequest, run_plan

    options = _run_options(
        net or (),
        {"timeout_s": timeout, "step_timeout_s": step_timeout, "memory_mb": memory},
        log_level=log_level,
        adaptor_log_level=adaptor_log_level,
    )
    request = RunRequest(
        plan=plan,
        state=initial,
        options=options,
        credentials=known_credentials,
        repo_dir=repo_dir,
        start_mode=start_mode.value,
        policy=engine.Policy() if sandbox else engine.Policy(level="none"),
        output=output,
        events=events,
        print_state=not as_json,
    )

    try:
        code = run_plan(request, lambda: _view(plan, as_json=as_json, plain=plain))
    except BrokenPipeError:
        raise ReaderGoneError from None
    raise typer.Exit(code)


def _run_options(
    net: Sequence[str],
    limits: Mapping[str, float | None],
    *,
    log_level: LogLevel,
    adaptor_log_level: LogLevel,
) -> engine.RunOptions:
    """Return the options of a run.

    Raises:
        BadInputError: A rule or a limit is not a valid one.

    """
    import msgspec

    import engine
    from jobcell.input.errors import BadInputError
    from jobcell.output.wording import FLAGS

    try:
        permissions = engine.Permissions(net=tuple(net))
    except ValueError as error:
        raise BadInputError([f"--net: {error}"]) from None
    options = engine.RunOptions(
        log_level=log_level.value,
        adaptor_log_level=adaptor_log_level.value,
        permissions=permissions,
    )
    for name, value in limits.items():
        if value is None:
            continue
        try:
            options = msgspec.structs.replace(options, **{name: value})
        except (TypeError, ValueError):
            message = f"{FLAGS[name]}: must be a finite number above 0, not {value!r}"
            raise BadInputError([message]) from None
    return options


def _view(plan: engine.Plan, *, as_json: bool, plain: bool) -> View:
    """Return what shows the events of a run."""
    if as_json:
        from jobcell.output.views import JsonView

        return JsonView(sys.stdout.buffer)
    from jobcell.runner import attempts_of, names_of

    names, attempts = names_of(plan), attempts_of(plan)
    if sys.stderr.isatty() and not plain:
        from jobcell.output.live import LiveView

        return LiveView(names=names, attempts=attempts)
    from jobcell.output.views import LineView

    return LineView(sys.stderr, names, attempts)


@app.command()
def schema() -> None:
    """Print a JSON Schema of plans, for editors and for programs that write plans.

    The schema accepts every plan that jobcell validate accepts. Only validate can check ids and
    cycles.
    """
    from engine.plan import plan_schema

    print(json.dumps(plan_schema(), indent=2))


def _print_warning(line: str) -> None:
    from jobcell.output.wording import printable

    print(f"warning: {printable(line)}", file=sys.stderr)


@app.command()
def validate(
    target: Annotated[
        Path, typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json) or a single job (.py).")
    ],
    repo: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Repo of adaptors (otherwise: JOBCELL_REPO, ./repo)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
) -> None:
    """Check a plan without running it, and print every problem. The exit code is 2 if it finds one.

    All jobs, conditions and globals are compiled in a confined child, and their imports are linked.
    """
    from jobcell.validate import run as command

    raise typer.Exit(command(target, repo, json=as_json))


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
