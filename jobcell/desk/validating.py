"""`jobcell validate`: everything that is wrong with a plan, a line each, without running it."""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING

from engine.api import PlanError, RunOptions
from engine.checks import find_problems
from engine.plan import load_plan
from jobcell.input.errors import BadInputError
from jobcell.input.inputs import find_repo, read_permissions
from jobcell.input.plan_file import named, read_plan_file
from jobcell.output.exit_codes import BAD_INPUT, SUCCESS
from jobcell.output.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from protocol.plan import Plan


def run(
    target: Path,
    repo: Path | None,
    net: Sequence[str] | None,
    read: Sequence[Path] | None,
    scratch: float | None = None,
    ca_file: Path | None = None,
    collections: Sequence[str] | None = None,
    *,
    json: bool,
) -> int:
    """Check the plan or job in the file *target*; print what was found.

    Args:
        target: A plan (.json, .yaml) or a job (.py).
        repo: Directory of installed adaptors; None: that of JOBCELL_REPO, else ``./repo``.
        net: The network rules of the later run, to compare those of the steps with them.
        read: Its readable paths, in the same way.
        scratch: The size of its scratch directory.
        ca_file: Its authorities.
        collections: The rules for its collections.  If all five are None, the run is not known.
        json: Print one JSON object instead of lines.

    Returns:
        0, or 2 if something is wrong.

    Raises:
        BadInputError: A rule, a path or a size is not a valid one.
        BadInputError: The plan is wrong and *json* is false. The error has a line for each problem.
        EngineError: This machine cannot start a confined child.

    """
    warnings: list[str] = []
    options = None
    if any(given is not None for given in (net, read, scratch, ca_file, collections)):
        permissions = read_permissions(net or (), read or (), scratch, ca_file, collections or ())
        # The memory of the later run is not known, and is not compared.
        memory_mb = max(RunOptions().memory_mb, scratch or 0)
        options = RunOptions(permissions=permissions, memory_mb=memory_mb)
    try:
        plan, lines = _check(target, repo, options, warnings)
    except BadInputError as error:
        plan, lines = None, list(error.lines)
    if json:
        found = {"ok": not lines, "problems": lines, "warnings": warnings}
        print(json_text.dumps(found, indent=2))
        return BAD_INPUT if lines else SUCCESS
    for line in warnings:
        print(f"warning: {printable(line)}")
    if lines or plan is None:
        raise BadInputError(lines)
    steps = plan.workflow.steps
    edges = sum(len(step.next) for step in steps)
    counts = f"{_count(len(steps), 'step')}, {_count(edges, 'edge')}"
    print(f"{printable(str(target))}: ok ({counts}, starts with {plan.start!r})")
    return SUCCESS


def _check(
    target: Path, repo: Path | None, options: RunOptions | None, warnings: list[str]
) -> tuple[Plan | None, list[str]]:
    found = read_plan_file(target)
    source, problems = found.source, list(found.problems)
    plan: Plan | None = None
    try:
        plan = load_plan(source, warn=named(target, warnings.append))
    except PlanError:
        pass  # checking it finds the same problems again
    if plan is not None and options is None:
        warnings += _not_compared(plan, target)
    problems += find_problems(
        source, repo_dir=find_repo(repo), options=options, warn=lambda _: None
    )
    return plan, [printable(found.tell(problem)) for problem in problems]


def _not_compared(plan: Plan, target: Path) -> list[str]:
    """Return a warning if steps have rules that a run may not allow."""
    names = [
        step.id
        for step in plan.workflow.steps
        if (own := step.permissions) is not None
        and (own.net or own.read or own.scratch_mb or own.ca_file or own.collections)
    ]
    if not names:
        return []
    first = printable(repr(names[0]))
    warning = (
        f"{target}: the permissions of step {first} are not compared with those of the run;"
        " give --net, --read, --scratch, --ca-file and --collection as for jobcell run"
    )
    return [warning]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
