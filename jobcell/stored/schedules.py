"""`jobcell schedule`: plans that become runs of a store at the ticks of a cron expression."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobcell.input.errors import BadInputError
from jobcell.input.inputs import read_data_file
from jobcell.input.plan_file import load_plan_file
from jobcell.output.exit_codes import SUCCESS
from jobcell.output.wording import printable
from jobcell.stored.opening import open_store, with_store_errors

if TYPE_CHECKING:
    from jobcell.store import Schedule, Store

app: typer.Typer = typer.Typer(
    help="Start runs by a timetable; workers make them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Missed(StrEnum):
    """How a tick that no worker saw is treated."""

    run = "run"
    skip = "skip"


StoreOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The store (otherwise: JOBCELL_STORE, or a SQLite file)."),
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The name; the ids of the runs begin with it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(  # long: one line for each option
    name: NameArgument,
    plan: Annotated[
        Path,
        typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json, .yaml) or a single job (.py)."),
    ],
    cron: Annotated[
        str,
        typer.Option(
            metavar='"M H D M W"', help="Minute, hour, day of the month, month, day of the week."
        ),
    ],
    tz: Annotated[
        str, typer.Option(metavar="ZONE", help="The time zone of --cron, such as Europe/Berlin.")
    ] = "UTC",
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Initial state as JSON or YAML; - is JSON on stdin."),
    ] = None,
    adaptor: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[@VERSION]", help="Adaptor of a single job; may be repeated."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="STEP", help="Step to start with: its id or name.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="STEP", help="Step to end after.")] = None,
    tenant: Annotated[str, typer.Option(metavar="T", help="The tenant of the runs.")] = "default",
    priority: Annotated[int, typer.Option(metavar="N", help="Lower numbers come first.")] = 0,
    carry_state: Annotated[
        bool,
        typer.Option(
            "--carry-state", help="Begin each run with the final state of the last that succeeded."
        ),
    ] = False,
    missed: Annotated[
        Missed, typer.Option(help="A tick that no worker saw: run it once later, or skip it.")
    ] = Missed.run,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace another schedule with this name.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a schedule. The same schedule again changes nothing."""
    checked = load_plan_file(
        plan, start=start, end=end, adaptors=tuple(adaptor or ()), warn=_warn, say=_say
    )
    initial = None if state is None else read_data_file(state)

    def command(opened: Store) -> None:
        try:
            made = opened.schedules.add(
                name,
                checked,
                cron=cron,
                tz=tz,
                state=initial,
                tenant=tenant,
                priority=priority,
                carry_state=carry_state,
                missed=missed.value,
                replace=replace,
            )
        except ValueError as error:
            word, _, rest = str(error).partition(" ")
            is_option = word in {"tenant", "priority"}
            raise BadInputError([f"--{word}: {rest}" if is_option else str(error)]) from None
        if as_json:
            print(json.dumps(_as_json(made)))
        else:
            print(printable(f"{made.name}: the first tick is {_shown(made.next)}"))

    _carry_out(command, store)


@app.command("list")
def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the schedules, with the next tick and the last run of each."""

    def command(opened: Store) -> None:
        found = opened.schedules.list()
        if as_json:
            print(json.dumps([_as_json(schedule) for schedule in found]))
        else:
            _print_table(found)

    _carry_out(command, store)


@app.command()
def remove(name: NameArgument, store: StoreOption = None) -> None:
    """Remove a schedule. Its runs stay, also those that wait for a worker."""

    def command(opened: Store) -> None:
        opened.schedules.remove(name)
        print(printable(f"{name}: removed"))

    _carry_out(command, store)


def _carry_out(command: Callable[[Store], None], url: str | None) -> None:
    """Open the store and call *command*; an error ends the program with its exit code."""

    def run() -> int:
        with open_store(url) as store:
            command(store)
        return SUCCESS

    raise typer.Exit(with_store_errors(run)())


def _print_table(found: Sequence[Schedule]) -> None:
    head = ("NAME", "CRON", "TZ", "TENANT", "NEXT", "LAST RUN")
    rows = [(s.name, s.cron, s.tz, s.tenant, _shown(s.next), s.last_run or "-") for s in found]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row, problem in zip([head, *rows], [None, *(s.problem for s in found)], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(printable("  ".join(cells).rstrip()))
        if problem is not None:
            print(f"  {printable(problem)}")


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _warn(line: str) -> None:
    print(f"warning: {printable(line)}", file=sys.stderr)


def _as_json(schedule: Schedule) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "tz": schedule.tz,
        "tenant": schedule.tenant,
        "priority": schedule.priority,
        "missed": schedule.missed,
        "carry_state": schedule.carry_state,
        "created": _iso(schedule.created),
        "next": _iso(schedule.next),
        "last": _iso(schedule.last),
        "last_run": schedule.last_run,
        "problem": schedule.problem,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _shown(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
