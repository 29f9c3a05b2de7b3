"""A plan or a job in a file, as the command line takes it.

Parts of a plan may be in files of their own (`jobcell.input.plan_parts`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.api import PlanError, Problem
from engine.plan import load_plan, name_type, plan_of_job, read_file
from jobcell.input.errors import BadInputError
from jobcell.input.plan_parts import load_parts
from jobcell.input.step_choice import choose_step
from jobcell.input.yaml_text import YAML_SUFFIXES, YamlData, read_yaml_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.api import Permissions
    from protocol.plan import Plan


def load_plan_file(
    path: Path,
    *,
    start: str | None = None,
    end: str | None = None,
    adaptors: Sequence[str] = (),
    permissions: Permissions | None = None,
    warn: Callable[[str], object] | None = None,
    say: Callable[[str], object] | None = None,
) -> Plan:
    """Return the checked plan in a ``.json`` or ``.yaml`` file, or a plan of the job in a ``.py`` file.

    Args:
        path: The file.
        start: The step to start with, in place of the plan's, as `choose_step` takes it.
        end: The step to end with, in place of the plan's, in the same way.
        adaptors: The adaptors of a single job; a plan names its own.
        permissions: The permissions of the run, to compare those of the steps with them; None if they
            are not known.
        warn: Takes a line for each key of the plan that is ignored; by default, each is a Python
            warning.
        say: Takes a line if *start* or *end* is not an id or a name to the letter; by default, it is
            not shown.

    Raises:
        BadInputError: The plan is wrong. The error has a line for each problem of the plan and of
            the job files that it names.

    """
    read = read_plan_file(path, adaptors)
    source, problems = read.source, list(read.problems)
    try:
        if start is not None or end is not None:
            whole = load_plan(source, warn=lambda _: None)
            start, end = (
                _chosen(option, wanted, whole, say)
                for option, wanted in (("--start", start), ("--end", end))
            )
        plan = load_plan(
            source, start=start, end=end, permissions=permissions, warn=warn and named(path, warn)
        )
    except PlanError as error:
        problems += error.problems
    if problems:
        raise BadInputError(map(read.tell, problems))
    return plan


class PlanSource(NamedTuple):
    """The plan in a file, read and not checked."""

    path: Path
    source: Any
    problems: tuple[Problem, ...] = ()
    """Problems of the files that the plan names."""
    yaml: YamlData | None = None
    files: tuple[Path, ...] = ()
    """The files that the plan names."""

    def tell(self, problem: Problem) -> str:
        """Return the line about a problem of the plan, with the place in a YAML file."""
        line = str(problem)
        if problem.path == str(self.path):
            return line
        where = ""
        if self.yaml is not None:
            where = ":{}:{}".format(*self.yaml.place_of(problem.path))
        return f"{self.path}{where}: {line.removeprefix('plan: ')}"


def read_plan_file(path: Path, adaptors: Sequence[str] = ()) -> PlanSource:
    """Return the plan in a file as data, and what is wrong with the files that it names.

    Args:
        path: As for `load_plan_file`.
        adaptors: As for `load_plan_file`.

    Raises:
        BadInputError: The file does not hold a plan.

    """
    if path.is_dir():
        raise BadInputError([f"{path}: is a directory; give a plan (.json, .yaml) or a job (.py)"])
    if adaptors and path.suffix != ".py":
        message = f"{path}: --adaptor is for a single job; in a plan each step names its own"
        raise BadInputError([message])
    yaml: YamlData | None = None
    try:
        if path.suffix in YAML_SUFFIXES:
            yaml = read_yaml_file(path)
            source = yaml.value
        elif path.suffix == ".py":
            return PlanSource(path, _plan_of_job(read_file(path), path, adaptors))
        elif path.suffix == ".json":
            source = read_file(path)
        else:
            message = "must be a plan (.json, .yaml) or a job (.py)"
            raise PlanError([Problem(str(path), message)])
        if not isinstance(source, dict):
            message = f"must be an object with a workflow, not {name_type(source)}"
            raise PlanError([Problem(str(path), message)])
    except PlanError as error:
        raise BadInputError(map(str, error.problems)) from None
    problems, files = load_parts(source, path.parent)
    return PlanSource(path, source, tuple(problems), yaml, tuple(files))


def _chosen(
    option: str, wanted: str | None, plan: Plan, say: Callable[[str], object] | None
) -> str | None:
    if wanted is None:
        return None
    choice = choose_step(option, wanted, plan)
    if choice.note is not None and say is not None:
        say(choice.note)
    return choice.step.id


def named(path: Path, warn: Callable[[str], object]) -> Callable[[str], object]:
    """Return a function that warns with the name of the file in front."""
    return lambda sentence: warn(f"{path}: {sentence}")


def _plan_of_job(source: dict[str, Any], path: Path, adaptors: Sequence[str]) -> dict[str, Any]:
    expression = source["workflow"]["steps"][0]["expression"]
    plan = plan_of_job(expression, origin=str(path))
    plan["workflow"]["steps"][0]["adaptors"] = list(adaptors)
    return plan
