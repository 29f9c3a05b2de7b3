"""Makes all decisions about a run before its child is started."""

from __future__ import annotations

import copy
import os
import platform
from typing import Any, Final

import msgspec

from engine.adaptors import Repo, RepoError
from engine.api import PlanError, Problem, RunOptions, __version__
from engine.running.resolvers import Resolvers
from protocol import codec
from protocol.adaptor import AdaptorLink
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.events import Versions
from protocol.limits import MEGABYTE
from protocol.messages import ChildLimits, Start
from protocol.plan import Plan, Workflow
from protocol.state import NIL, StateNotCarriedError, encode_state

_MIN_STEP_RUNS: Final = 1_000
_STEP_RUNS_PER_STEP: Final = 10


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is ready to be sent to a child.

    It has secrets, and is dropped once they are sent.
    """

    run_id: str
    start: bytes
    """The encoded `Start`."""
    workflow: Workflow
    """The steps and edges, to check the child's messages against them."""
    request: ConfinementRequest
    """The layers that the child puts on before it reads `start`."""
    options: RunOptions
    """The options, with the limits of the plan: the smaller one of each two holds."""
    resolvers: Resolvers
    credential_ids: frozenset[str]
    state_ids: frozenset[str]
    max_step_runs: int
    versions: Versions
    meta: dict[str, Any] = {}
    """The ``meta`` of the plan, for ``workflow-start``."""
    configurations: tuple[Any, ...]
    """Every value in the plan and the state that may contain secrets."""

    def __repr__(self) -> str:
        return f"<Order {self.run_id}>"

    @property
    def confinement(self) -> ConfinementReport:
        """The report about the walls before the child has tried them."""
        return ConfinementReport(level=self.request.level, language=self.request.language)


class _Linking(msgspec.Struct, frozen=True):
    """The adaptors that a run may link, and the steps whose adaptors cannot be linked."""

    links: tuple[AdaptorLink, ...]
    by_step: dict[str, tuple[str, ...]]
    unlinked: dict[str, str]
    repo_error: str | None


def prepare(
    plan: Plan,
    state: Any,
    *,
    options: RunOptions,
    request: ConfinementRequest,
    resolvers: Resolvers,
    repo_dir: str | os.PathLike[str] | None,
) -> Order:
    """Return the order for one run of a checked plan; *request* has the walls of its child.

    Raises:
        PlanError: The initial state cannot be carried.

    """
    options = _limits_of(plan, options)
    linking = _link(plan, options, repo_dir)
    workflow = plan.workflow
    max_step_runs = options.max_step_runs or max(
        _MIN_STEP_RUNS, _STEP_RUNS_PER_STEP * len(workflow.steps)
    )
    start = _start(
        plan, state, linking, options, language=request.language, max_step_runs=max_step_runs
    )
    used = {spec for specs in linking.by_step.values() for spec in specs}
    return Order(
        run_id=plan.id,
        start=codec.encode(start),
        workflow=workflow,
        request=request,
        options=options,
        resolvers=resolvers,
        credential_ids=frozenset(
            value
            for value in (*(step.configuration for step in workflow.steps), workflow.credentials)
            if isinstance(value, str)
        ),
        state_ids=frozenset(
            value for value in (*(s.state for s in workflow.steps), state) if isinstance(value, str)
        ),
        max_step_runs=max_step_runs,
        versions=Versions(
            python=platform.python_version(),
            engine=__version__,
            adaptors=_versions(link for link in linking.links if _spec(link) in used),
        ),
        meta=plan.meta,
        configurations=tuple(_configurations(plan, state)),
    )


def _start(
    plan: Plan,
    state: Any,
    linking: _Linking,
    options: RunOptions,
    *,
    language: bool,
    max_step_runs: int,
) -> Start:
    """Return the message that carries the run to its child."""
    state_id = state if isinstance(state, str) else None
    return Start(
        run_id=plan.id,
        workflow=_with_encoded_values(plan.workflow),
        start=options.start
        or plan.options.start
        or plan.workflow.start
        or plan.workflow.steps[0].id,
        end=options.end or plan.options.end,
        state=msgspec.Raw(NIL if state_id is not None else _encode_initial(state)),
        state_id=state_id,
        limits=ChildLimits(
            state_bytes=options.state_bytes,
            state_items=options.state_items,
            payload_bytes=int(options.payload_mb * MEGABYTE),
            log_payload_bytes=int(options.log_payload_mb * MEGABYTE),
            max_log_bytes=options.max_log_bytes,
            max_step_runs=max_step_runs,
            memory_bytes=options.memory_bytes,
        ),
        adaptors=linking.links,
        step_adaptors=linking.by_step,
        unlinked=linking.unlinked,
        repo_error=linking.repo_error,
        whitelist=options.whitelist,
        log_level=options.log_level,
        adaptor_log_level=options.adaptor_log_level,
        sanitize=options.sanitize,
        remove_from_state=options.remove_from_state,
        event_state=options.event_state,
        language=language,
    )


def _with_encoded_values(workflow: Workflow) -> Workflow:
    """Encode the user's values by the rules for states, because they may have larger integers.

    They are sent inside the plan, whose own encoder does not know these rules.
    """
    steps = tuple(
        msgspec.structs.replace(
            step, state=_encoded(step.state), configuration=_encoded(step.configuration)
        )
        for step in workflow.steps
    )
    credentials = _encoded(workflow.credentials)
    return msgspec.structs.replace(workflow, steps=steps, credentials=credentials)


def _encoded(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else msgspec.Raw(encode_state(value))


def _encode_initial(state: Any) -> bytes:
    try:
        return encode_state({} if state is None else state)
    except StateNotCarriedError as error:
        raise PlanError([Problem(error.path, error.reason)]) from None


def _limits_of(plan: Plan, options: RunOptions) -> RunOptions:
    """Merge the limits of a plan (milliseconds) into those of the caller (seconds)."""
    timeout_s = _smaller(options.timeout_s, plan.options.timeout)
    step_timeout_s = _smaller(options.step_timeout_s, plan.options.step_timeout)
    if (timeout_s, step_timeout_s) == (options.timeout_s, options.step_timeout_s):
        return options
    limited = copy.copy(options)  # not `replace`, which would check all of them again
    msgspec.structs.force_setattr(limited, "timeout_s", timeout_s)
    msgspec.structs.force_setattr(limited, "step_timeout_s", step_timeout_s)
    return limited


def _smaller(seconds: float | None, milliseconds: float | None) -> float | None:
    if milliseconds is None:
        return seconds
    return milliseconds / 1000 if seconds is None else min(seconds, milliseconds / 1000)


def _link(plan: Plan, options: RunOptions, repo_dir: str | os.PathLike[str] | None) -> _Linking:
    """Choose a version for every adaptor of every step, once for the whole run."""
    repo_error = None
    try:
        repo = Repo.read(repo_dir)
    except RepoError as error:
        repo, repo_error = Repo.read(None), str(error)
    links = {_spec(link): link for link in repo.newest(options.modules)}
    by_step: dict[str, tuple[str, ...]] = {}
    unlinked: dict[str, str] = {}
    for step in plan.workflow.steps:
        specs = []
        for spec in step.adaptors:
            try:
                link = repo.resolve(spec, options.modules)
            except RepoError as error:
                unlinked.setdefault(step.id, repo_error or str(error))
                continue
            links[_spec(link)] = link
            specs.append(_spec(link))
        if specs:
            by_step[step.id] = tuple(specs)
    return _Linking(tuple(links.values()), by_step, unlinked, repo_error)


def _spec(link: AdaptorLink) -> str:
    return f"{link.name}@{link.version}"


def _versions(links: Any) -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for link in links:
        versions.setdefault(link.name, []).append(link.version)
    return versions


def _configurations(plan: Plan, state: Any) -> list[Any]:
    steps = plan.workflow.steps
    holders = (state, *(step.state for step in steps))
    given = (plan.workflow.credentials, *(step.configuration for step in steps))
    return [
        # Elsewhere a string is the id of a credential and not a secret, but in a state it may be a
        # secret.
        *(value for value in given if not isinstance(value, str)),
        *(holder.get("configuration") for holder in holders if isinstance(holder, dict)),
    ]
