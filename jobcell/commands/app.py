"""The sub-commands of `jobcell` and their options.

A command imports its modules when it runs: `jobcell --help` does not wait for the engine, and a
broken command does not break the others.
"""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jobcell.commands import desk, runs, stored
from jobcell.commands import options as types
from jobcell.commands.workers import worker

app: typer.Typer = typer.Typer(
    help="Run workflows of Python jobs, each run in a fresh and confined interpreter.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is a line, not a box
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
    collection: types.Collection = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
) -> None:
    """Check a plan without running it, and print every problem. The exit code is 2 if it finds one.

    All jobs, conditions and globals are compiled in a confined child, and their imports are linked.
    With --net, --read, --scratch, --ca-file or --collection the permissions of each step are compared
    with those of a run that has them.
    """
    from jobcell.desk.validating import run as command

    rules = types.net_rules(net, allow_net)
    raise typer.Exit(command(target, repo, rules, read, scratch, ca_file, collection, json=as_json))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which layers of the sandbox this machine has, and what each missing one would stop."""
    from jobcell.desk.doctor import run as command

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
    from jobcell.desk.checking import run as command

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
    from jobcell.stored.schedules import app as command

    command(args=context.args, prog_name="jobcell schedule")


class Shell(StrEnum):
    """A shell with a completion."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command()
def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell: bash, zsh or fish.")],
) -> None:
    """Print the completion of a shell for commands, options, names of steps and ids of runs.

    For bash, put this line into ~/.bashrc: source <(jobcell completion bash)
    """
    from jobcell.commands.completing import SCRIPTS

    print(SCRIPTS[shell.value], end="")


@app.command(hidden=True, context_settings=PASS_ON)
def complete(context: typer.Context) -> None:
    """Print the candidates for a word; the completion of a shell calls this."""
    from jobcell.commands.completing import complete as find

    shell, *words = context.args or ["bash"]
    with suppress(Exception):  # a press of a key must not print an error
        print("".join(f"{text}\n" for text in find(app, shell, words)), end="")


runs.add_to(app)
desk.add_to(app)
stored.add_to(app, PASS_ON)
app.command()(worker)


def app_for(arguments: list[str]) -> typer.Typer:
    """Return the app with only the command that is the first argument, or else with all commands.

    To read the options of all commands takes 35 ms, more than the check of a plan.
    """
    for info in app.registered_commands:
        name = info.name or getattr(info.callback, "__name__", "").replace("_", "-")
        if arguments and arguments[0] == name:
            narrow = copy.copy(app)
            narrow.registered_commands, narrow.registered_groups = [info], []
            return narrow
    return app
