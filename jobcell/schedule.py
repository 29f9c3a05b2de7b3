"""`jobcell schedule`: plans that become runs of a store at the ticks of a cron expression."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.api import PlanError
from jobcell.input.errors import BadInputError
from jobcell.input.inputs import read_json_file
from jobcell.input.plan_file import load_plan_file
from jobcell.output.exit_codes import EXCEPTION
from jobcell.output.wording import printable

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
def add(
    name: NameArgument,
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN_OR_JOB", help="A plan (.json) or a single job (.py).")
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
        typer.Option(metavar="FILE", help="Initial state as JSON; - is stdin."),
    ] = None,
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
    checked = load_plan_file(plan, warn=_warn)
    initial = None if state is None else read_json_file(state)
    with _opened(store) as opened:
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
    if as_json:
        print(json.dumps(_as_json(made)))
    else:
        print(f"{made.name}: the first tick is {_shown(made.next)}")


@app.command("list")
def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the schedules, with the next tick and the last run of each."""
    with _opened(store) as opened:
        found = opened.schedules.list()
    if as_json:
        print(json.dumps([_as_json(schedule) for schedule in found]))
        return
    head = ("NAME", "CRON", "TZ", "TENANT", "NEXT", "LAST RUN")
    rows = [(s.name, s.cron, s.tz, s.tenant, _shown(s.next), s.last_run or "-") for s in found]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row, problem in zip([head, *rows], [None, *(s.problem for s in found)], strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(printable("  ".join(cells).rstrip()))
        if problem is not None:
            print(f"  {printable(problem)}")


@app.command()
def remove(name: NameArgument, store: StoreOption = None) -> None:
    """Remove a schedule. Its runs stay, also those that wait for a worker."""
    with _opened(store) as opened:
        opened.schedules.remove(name)
    print(f"{printable(name)}: removed")


@contextmanager
def _opened(url: str | None) -> Iterator[Store]:
    """Open a store; errors of the store end the command with their exit code."""
    try:
        from jobcell import Store, StoreError, StoreUnavailableError
    except ImportError as error:
        raise BadInputError([str(error)]) from None
    try:
        with Store.open(url) as store:
            yield store
    except StoreUnavailableError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        raise typer.Exit(EXCEPTION) from None
    except PlanError as error:
        raise BadInputError(str(problem) for problem in error.problems) from None
    except (StoreError, ValueError) as error:
        raise BadInputError([str(error)]) from None


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
