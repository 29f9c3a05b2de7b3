"""Finds the problems of a plan without running it, in all jobs, conditions and globals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from engine.adaptors import Repo, RepoError, adaptor_paths
from engine.api import Permissions, PlanError, Problem, RunOptions
from engine.checker import check_texts
from engine.confinement import Policy
from engine.plan import PlacedText, load_plan, read_plan, texts_of
from protocol import messages as m
from protocol.checks import CheckedText, Finding
from protocol.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from protocol.adaptor import AdaptorLink

PlanSource = Plan | Mapping[str, Any] | str | bytes | os.PathLike[str]


def check_plan(
    plan: PlanSource,
    *,
    repo_dir: str | os.PathLike[str] | None = None,
    options: RunOptions | None = None,
) -> list[Problem]:
    """Return all problems of a plan, without running it.

    Every job, every condition and the globals are compiled in a child with the default walls, and
    their imports are linked; the code of adaptors runs there.  Credentials are not loaded.  The
    call waits until all is checked: in an asynchronous program, call it in a thread.

    Args:
        plan: A plan in any form that `Engine.execute` takes.
        repo_dir: The directory of installed adaptors.
        options: The options of the later run: start and end, modules, whitelist, permissions and
            memory count here.

    Returns:
        The problems, in the order of the plan; an empty list if nothing is wrong.

    Raises:
        EngineError: This machine cannot start a confined child.

    """
    return find_problems(plan, repo_dir=repo_dir, options=options)


def find_problems(
    plan: PlanSource,
    *,
    repo_dir: str | os.PathLike[str] | None = None,
    options: RunOptions | None = None,
    warn: Callable[[str], object] | None = None,
) -> list[Problem]:
    """Do what `check_plan` does; *warn* takes each warning about the plan."""
    permissions = None if options is None else options.permissions
    options = options or RunOptions()
    try:
        source = read_plan(plan)
    except PlanError as error:
        return list(error.problems)
    problems: list[Problem] = []
    try:
        load_plan(source, start=options.start, end=options.end, permissions=permissions, warn=warn)
    except PlanError as error:
        problems += error.problems
    if not isinstance(source, (Mapping, msgspec.Struct)):
        return problems
    wrong = {problem.path for problem in problems}
    linking = _Linking(repo_dir, options, problems)
    texts = [text for text in texts_of(source, linking.resolve) if text.path not in wrong]
    for placed, answer in zip(texts, linking.check(texts), strict=True):
        problems += (_problem(placed, found) for found in answer.findings if not found.note)
    return list(dict.fromkeys(problems))


def check_job(
    source: str, adaptors: Sequence[str] = (), *, repo_dir: str | os.PathLike[str] | None = None
) -> tuple[list[Problem], m.Checked]:
    """Check the source of a job, as `check_plan` does for the jobs of a plan.

    Args:
        source: The Python source of the job.
        adaptors: ``name`` or ``name@version`` of each adaptor that the job uses.  If they are not
            given, a name that is not defined may be a verb, and is only noted.
        repo_dir: The directory of installed adaptors.

    Returns:
        The problems of the repo and the adaptors, and the findings in the job.

    Raises:
        EngineError: This machine cannot start a confined child.

    """
    problems: list[Problem] = []
    linking = _Linking(repo_dir, RunOptions(), problems)
    labels = [linking.resolve(spec, f"adaptor {spec}", None) for spec in adaptors]
    if problems:
        return problems, m.Checked()
    text = CheckedText(
        kind="job",
        source=source,
        step_id="check",
        adaptors=tuple(label for label in labels if label is not None),
        scope="known" if adaptors else "verbs missing",
    )
    placed = PlacedText(text, "job", None)
    (answer,) = linking.check([placed], repo_known=repo_dir is not None)
    return [], answer


class _Linking:
    """Chooses the adaptors of the steps, and has texts checked with them."""

    def __init__(
        self,
        repo_dir: str | os.PathLike[str] | None,
        options: RunOptions,
        problems: list[Problem],
    ) -> None:
        self._repo_dir = repo_dir
        self._options = options
        self._modules = options.modules
        self._problems = problems
        self.complete = True
        try:
            self._repo = Repo.read(repo_dir)
        except RepoError as error:
            self._repo, self.complete = Repo.read(None), False
            problems.append(Problem("repo_dir", str(error)))
        self._links = {_label(link): link for link in self._repo.newest(options.modules)}

    def check(self, texts: Sequence[PlacedText], *, repo_known: bool = True) -> list[m.Checked]:
        """Return the findings about each text.

        Raises:
            EngineError: This machine cannot start a confined child.

        """
        if not texts:
            return []
        helpers = next((one.text.source for one in texts if one.text.kind == "globals"), None)
        check = m.Check(
            texts=tuple(placed.text for placed in texts),
            adaptors=tuple(self._links.values()),
            whitelist=self._options.whitelist,
            repo_known=self.complete and repo_known,
            workflow_globals=helpers,
        )
        places = adaptor_paths(self._repo_dir, self._modules)
        # A check runs no code, so that it needs no network.
        permissions = Permissions(read=self._options.permissions.read)
        options = msgspec.structs.replace(self._options, permissions=permissions)
        return check_texts(check, Policy().request(options=options, read_paths=places))

    def resolve(self, spec: str, path: str, step_id: str | None) -> str | None:
        """Return ``name@version`` of an adaptor, or None if it cannot be used."""
        try:
            link = self._repo.resolve(spec, self._modules)
        except RepoError as error:
            if self.complete or spec.partition("@")[0] in self._modules:
                self._problems.append(Problem(path, str(error), step_id))
            return None
        self._links[_label(link)] = link
        return _label(link)


def _label(link: AdaptorLink) -> str:
    return f"{link.name}@{link.version}"


def _problem(placed: PlacedText, found: Finding) -> Problem:
    step_id = placed.step_id
    if found.adaptor is not None:
        path = placed.adaptor_paths.get(found.adaptor, placed.path)
        return Problem(path, found.message, step_id)
    message = found.message
    if found.kind == "SyntaxError":
        message = f"{found.kind}: {message}"
    if placed.text.kind == "condition":
        shown = " ".join(placed.text.source.split())
        message = f"the condition {shown[:200]!r}: {message}"
    return Problem(placed.path, message, step_id, found.line, found.column, found.fix)
