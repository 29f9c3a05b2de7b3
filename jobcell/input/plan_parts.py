"""Parts of a plan in files of their own: jobs, globals, and the states of steps.

A path is relative to the plan. The engine does not know about such paths: it gets the content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeGuard

from engine.api import PlanError, Problem
from engine.plan import name_type, plan_of_job, read_json, read_text_file
from jobcell.input.errors import BadInputError
from jobcell.input.yaml_text import YAML_SUFFIXES, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNREAD: Final = "def main(state): return state"
"""A placeholder for a job that cannot be read, while the rest of the plan is checked."""
_DATA: Final = (".json", *YAML_SUFFIXES)


def load_parts(source: Any, directory: Path) -> tuple[list[Problem], list[Path]]:
    """Replace the paths in a plan by the content of their files.

    Args:
        source: The plan, as it was read.
        directory: The directory of the plan.

    Returns:
        A problem for each file that cannot be read, and the paths of all files.

    """
    problems: list[Problem] = []
    files: list[Path] = []
    for holder, prefix in _holders(source):
        path = holder.get("globals")
        if _is_path(path, ".py"):
            files.append(directory / path)
            try:
                holder["globals"] = read_text_file(directory / path)
            except PlanError as error:
                problems.append(_problem(f"{prefix}globals", path, error))
                holder["globals"] = ""
    for step, place in _steps(source):
        path = step.get("expression")
        if _is_path(path, ".py"):
            files.append(directory / path)
            _load_expression(step, path, place, directory, problems)
        path = step.get("state")
        if _is_path(path, *_DATA):
            files.append(directory / path)
            step["state"] = {}
            try:
                step["state"] = _read_state(path, directory)
            except PlanError as error:
                problems.append(_problem(f"{place}.state", path, error))
            except BadInputError as error:
                problems.append(Problem(f"{place}.state", error.lines[0]))
    return problems, files


def _load_expression(
    step: dict[str, Any], path: str, place: str, directory: Path, problems: list[Problem]
) -> None:
    try:
        source = read_text_file(directory / path)
        # A step without an expression is a trigger: this file was meant to be a job.
        plan_of_job(source, origin=path)
        step["expression"] = source
    except PlanError as error:
        problems.append(_problem(f"{place}.expression", path, error))
        step["expression"] = _UNREAD  # the path is not a job, so nothing in it is wrong


def _read_state(path: str, directory: Path) -> dict[str, Any]:
    text = read_text_file(directory / path)
    if not path.endswith(".json"):
        # A state may have secrets in its configuration.
        found = read_yaml(text, origin=path, is_secret=True).value
    else:
        found = read_json(text, origin=path)
    if not isinstance(found, dict):
        raise PlanError([Problem(path, f"must be an object, not {name_type(found)}")])
    return found


def _problem(place: str, path: str, error: PlanError) -> Problem:
    return Problem(place, f"{path} {error.problems[0].message}")


def _holders(source: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each object that may have the keys of a workflow; the whole plan is checked later."""
    if isinstance(source, dict):
        yield source, ""
        workflow = source.get("workflow")
        if isinstance(workflow, dict):
            yield workflow, "workflow."


def _steps(source: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield every object at a place for steps."""
    for holder, prefix in _holders(source):
        for key in ("steps", "jobs"):
            steps = holder.get(key)
            for index, step in enumerate(steps if isinstance(steps, list) else ()):
                if isinstance(step, dict):
                    yield step, f"{prefix}{key}[{index}]"


def _is_path(text: object, *suffixes: str) -> TypeGuard[str]:
    return isinstance(text, str) and text.endswith(suffixes) and "\n" not in text
