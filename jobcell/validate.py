"""`jobcell validate`: everything that is wrong with a plan, a line each, without running it."""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING

from engine.api import PlanError
from engine.checks import find_problems
from engine.plan import load_plan
from jobcell.input.errors import BadInputError
from jobcell.input.inputs import find_repo
from jobcell.input.plan_file import named, read_plan_file, tell_problem
from jobcell.output.exit_codes import BAD_INPUT, SUCCESS
from jobcell.output.wording import printable

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.plan import Plan


def run(target: Path, repo: Path | None, *, json: bool) -> int:
    """Check the plan or job in the file *target*; print what was found.

    Args:
        target: A plan (.json) or a job (.py).
        repo: Directory of installed adaptors; None: that of JOBCELL_REPO, else ``./repo``.
        json: Print one JSON object instead of lines.

    Returns:
        0, or 2 if something is wrong.

    Raises:
        BadInputError: The plan is wrong and *json* is false. The error has a line for each problem.
        EngineError: This machine cannot start a confined child.

    """
    warnings: list[str] = []
    try:
        plan, lines = _check(target, repo, warnings)
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


def _check(target: Path, repo: Path | None, warnings: list[str]) -> tuple[Plan | None, list[str]]:
    source, problems = read_plan_file(target)
    plan: Plan | None = None
    try:
        plan = load_plan(source, warn=named(target, warnings.append))
    except PlanError:
        pass  # checking it finds the same problems again
    problems += find_problems(source, repo_dir=find_repo(repo), warn=lambda _: None)
    return plan, [printable(tell_problem(problem, target)) for problem in problems]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
