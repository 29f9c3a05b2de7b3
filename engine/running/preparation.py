"""Makes all decisions about a run before its child is started."""

from __future__ import annotations

import copy
import os
import platform
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.adaptors import LATEST, NEXT, Repo, RepoError, canonical_name
from engine.api import (
    Attempts,
    JournalError,
    PlanError,
    Problem,
    RunOptions,
    StepRecord,
    __version__,
)
from engine.running.groups import first_group, group_steps
from engine.running.session import Order, configurations_of, questions_about
from protocol import codec
from protocol.adaptor import AdaptorLink
from protocol.confinement import ConfinementRequest
from protocol.events import Versions
from protocol.limits import MEGABYTE
from protocol.messages import ChildLimits, Start
from protocol.plan import Plan, Step, Workflow
from protocol.report import ErrorReport
from protocol.state import NIL, StateNotCarriedError, encode_state
from protocol.trace import Trace
from protocol.zygote import AdaptorSet

_NEXT: Final = f"@{NEXT}"
_MIN_STEP_RUNS: Final = 1_000
_STEP_RUNS_PER_STEP: Final = 10


class Past(msgspec.Struct, frozen=True):
    """The contents of a journal that belong to the same run."""

    journaled: bool = False
    """Whether the run has a journal that can be used."""
    records: tuple[StepRecord, ...] = ()
    versions: dict[str, str] = {}
    extra: dict[str, Any] = {}
    failed: ErrorReport | None = None
    """The error of a journal that cannot be used; the run ends with it."""
    begun: dict[str, Attempts] = {}
    """The attempts of executions that have no record."""
    keeps_events: bool = False
    """Whether the end event of a step comes before its record."""


class _Linking(msgspec.Struct, frozen=True):
    """The adaptors that a run may link, and the steps whose adaptors cannot be linked."""

    links: tuple[AdaptorLink, ...]
    newest: tuple[AdaptorLink, ...]
    """The versions that names alone mean in this run."""
    tagged: dict[str, AdaptorLink]
    """The versions that `name@next` means in this run, by that text in its canonical form."""
    by_step: dict[str, tuple[str, ...]]
    unlinked: dict[str, str]
    repo_error: str | None


def prepare(
    plan: Plan,
    state: Any,
    *,
    options: RunOptions,
    request: Callable[[RunOptions], ConfinementRequest],
    repo_dir: str | os.PathLike[str] | None,
    past: Past | None = None,
    trace: Trace | None = None,
) -> Order:
    """Return the order for one run of a checked plan.

    Args:
        plan: The plan.
        state: The initial state, or the id of a stored state.
        options: The options of the run.
        request: Returns the walls of a child for options.
        repo_dir: The directory of adaptors.
        past: The records of the run; None without a journal.
        trace: The trace of the run.

    Raises:
        PlanError: The initial state cannot be carried.

    """
    options = _limits_of(plan, options)
    past = past or Past()
    linking = _link(plan, options, repo_dir, past.versions)
    workflow = plan.workflow
    max_step_runs = options.max_step_runs or max(
        _MIN_STEP_RUNS, _STEP_RUNS_PER_STEP * len(workflow.steps)
    )
    requests, collections, groups = group_steps(workflow, options, request)
    start = _start(plan, state, linking, options, request=requests[0], max_step_runs=max_step_runs)
    if trace is not None:
        start = msgspec.structs.replace(start, trace=trace)
    survives = len(requests) > 1 or any(map(_may_survive, workflow.steps))
    used = {spec for specs in linking.by_step.values() for spec in specs}
    return Order(
        run_id=plan.id,
        start=start if survives or past.journaled else codec.encode(start),
        workflow=workflow,
        requests=requests,
        adaptors=tuple(
            _adaptors_of(linking, options, groups, number) for number in range(len(requests))
        ),
        groups=groups,
        collections=collections,
        first_group=first_group(start, groups),
        survives=survives,
        journaled=past.journaled,
        recorded=past.records,
        extra={**past.extra, "adaptors": _pins(linking, past)},
        to_learn=questions_about(workflow, state, past.records),
        failed=past.failed,
        begun=past.begun,
        keeps_events=past.keeps_events,
        options=options,
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
        configurations=tuple(configurations_of(plan, state)),
    )


def _adaptors_of(
    linking: _Linking, options: RunOptions, groups: Mapping[str, int], group: int
) -> AdaptorSet | None:
    """Return the adaptors that the steps of a group name, in the order of the steps."""
    specs = dict.fromkeys(
        spec
        for step_id, specs in linking.by_step.items()
        if groups.get(step_id, 0) == group
        for spec in specs
    )
    if not specs:
        return None
    links = {_spec(link): link for link in linking.links}
    return AdaptorSet(tuple(links[spec] for spec in specs), options.adaptor_log_level)


def _start(
    plan: Plan,
    state: Any,
    linking: _Linking,
    options: RunOptions,
    *,
    request: ConfinementRequest,
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
        language=request.language,
        net=request.mediated_rules,
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


def _link(
    plan: Plan,
    options: RunOptions,
    repo_dir: str | os.PathLike[str] | None,
    versions: Mapping[str, str],
) -> _Linking:
    """Choose a version for every adaptor of every step, once for the whole run.

    Args:
        plan: The plan.
        options: The options, whose modules have priority.
        repo_dir: The directory of adaptors.
        versions: The versions with which the run has begun, by name; a resumed run keeps them.

    Raises:
        JournalError: A version of the run is not installed any more.

    """
    repo_error = None
    try:
        repo = Repo.read(repo_dir)
    except RepoError as error:
        repo, repo_error = Repo.read(None), str(error)
    try:
        newest = {canonical_name(link.name): link for link in repo.newest(options.modules)}
        tagged: dict[str, AdaptorLink] = {}
        for name, link in _pinned(repo, versions, options).items():
            (tagged if name.endswith(_NEXT) else newest)[canonical_name(name)] = link
    except RepoError as error:
        raise JournalError(
            f"the run cannot go on with the versions it has begun with: {error}"
        ) from None
    links = {_spec(link): link for link in newest.values()}
    by_step: dict[str, tuple[str, ...]] = {}
    unlinked: dict[str, str] = {}
    for step in plan.workflow.steps:
        specs = []
        for spec in step.adaptors:
            try:
                link = _chosen(spec, newest, tagged) or repo.resolve(spec, options.modules)
            except RepoError as error:
                unlinked.setdefault(step.id, repo_error or str(error))
                continue
            links[_spec(link)] = link
            if spec.endswith(_NEXT):
                tagged[canonical_name(spec)] = link
            specs.append(_spec(link))
        if specs:
            by_step[step.id] = tuple(specs)
    return _Linking(
        tuple(links.values()), tuple(newest.values()), tagged, by_step, unlinked, repo_error
    )


def _chosen(
    spec: str, newest: Mapping[str, AdaptorLink], tagged: Mapping[str, AdaptorLink]
) -> AdaptorLink | None:
    """Return the version of the run for a name alone or a tag; None for `name@version`."""
    if spec.endswith(_NEXT):
        return tagged.get(canonical_name(spec))
    return newest.get(canonical_name(spec.removesuffix(f"@{LATEST}")))


def _pins(linking: _Linking, past: Past) -> dict[str, str]:
    """Return the versions that the records of a run name; all records of a run name the same ones."""
    if past.records:
        return past.versions
    return {
        **{link.name: link.version for link in linking.newest},
        **{spec: link.version for spec, link in linking.tagged.items()},
    }


def _pinned(repo: Repo, versions: Mapping[str, str], options: RunOptions) -> dict[str, AdaptorLink]:
    """Return the links of the versions with which a run has begun."""
    return {
        name: repo.resolve(f"{name.removesuffix(_NEXT)}@{version}", options.modules)
        for name, version in versions.items()
    }


def _may_survive(step: Step) -> bool:
    """Whether a step may outlive its child."""
    return step.retry is not None or step.timeout is not None or step.on_death == "fail"


def _spec(link: AdaptorLink) -> str:
    return f"{link.name}@{link.version}"


def _versions(links: Any) -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for link in links:
        versions.setdefault(link.name, []).append(link.version)
    return versions
