"""Projects of the first platform: jobs that name their triggers, in a `project.yaml` or `project.json`.

A trigger is a message that matches criteria, a time, or the success or failure of another job.  Jobs
that follow one another become one workflow.
"""

from __future__ import annotations

import json
from pathlib import Path

from jobcell.input.errors import BadInputError
from jobcell.moving.documents import Document, Folder
from jobcell.moving.model import Edge, Ids, Item, Job, Trigger, Workflow
from jobcell.moving.reading import is_path, objects, text

_FLOWS = {"success": "on_job_success", "failure": "on_job_failure"}


def is_platform(source: Document) -> bool:
    """Return whether a document has jobs that name their triggers."""
    jobs = source.get("jobs")
    return isinstance(jobs, Document) and any(
        isinstance(job, Document) and isinstance(job.get("trigger"), str) for job in jobs.values()
    )


def read_platform(
    source: Document, folder: Folder, base: Path, items: list[Item]
) -> list[Workflow]:
    """Return the workflows of such a project.

    Raises:
        BadInputError: A trigger or a job is missing.

    """
    triggers = dict(objects(source, "triggers"))
    jobs = [(name or "", part) for name, part in objects(source, "jobs")]
    names = {name for name, _ in jobs}
    after: dict[str, list[tuple[str, str]]] = {}
    first: dict[str, list[str]] = {}
    for name, part in jobs:
        where, key = part.where("trigger"), text(part, "trigger")
        trigger = triggers.get(key)
        if key is None or trigger is None:
            there = ", ".join(map(repr, list(triggers)[:8])) or "none"
            raise BadInputError(
                [
                    f"{where}: the trigger {key!r} of the job {name!r} is not there; there are: {there}"
                ]
            )
        flow = next((word for word in _FLOWS if text(trigger, word) is not None), None)
        if flow is None:
            first.setdefault(key, []).append(name)
            continue
        before = text(trigger, flow) or ""
        if before not in names:
            raise BadInputError(
                [f"{trigger.where(flow)}: the job {before!r} of the trigger {key!r} is not there"]
            )
        after.setdefault(before, []).append((name, _FLOWS[flow]))
    ids = Ids("workflow")
    parts = dict(jobs)
    found = [
        _workflow(key, triggers[key], starting, after, parts, ids, (folder, base, items))
        for key, starting in first.items()
    ]
    reached = {job.name for workflow in found for job in workflow.jobs}
    lost = next((name for name, _ in jobs if name not in reached), None)
    if lost is not None:
        message = f"the job {lost!r} only follows jobs that follow it"
        raise BadInputError([f"{parts[lost].where('trigger')}: {message}"])
    if source.get("credentials"):
        sentence = "move the values of the credentials to the file of credentials; they are not in the plans"
        items.append(Item("credential", source.where("credentials"), sentence))
    return found


def _workflow(
    key: str,
    trigger: Document,
    starting: list[str],
    after: dict[str, list[tuple[str, str]]],
    parts: dict[str, Document],
    ids: Ids,
    tools: tuple[Folder, Path, list[Item]],
) -> Workflow:
    folder, base, items = tools
    found = Workflow(ids.add(key, trigger.where()), key, where=trigger.where())
    steps = Ids(f"step of the workflow {key!r},")
    cron = text(trigger, "cron")
    type_ = "cron" if cron is not None else "webhook"
    made = Trigger(steps.add(key, trigger.where()), type_, cron=cron, where=trigger.where("cron"))
    found.triggers.append(made)
    criteria = text(trigger, "criteria")
    if criteria is not None:
        items.append(
            Item(
                "trigger",
                trigger.where("criteria"),
                f"start the workflow only for messages that match {_short(criteria)}",
            )
        )
    waiting = [(name, made.id, "always") for name in starting]
    known: dict[str, str] = {}
    while waiting:
        name, source, condition = waiting.pop(0)
        part = parts[name]
        if name not in known:
            known[name] = steps.add(name, part.where())
            adaptor = text(part, "adaptor", "language_pack")
            found.jobs.append(
                Job(
                    known[name],
                    name,
                    (adaptor,) if adaptor else (),
                    _script(part, folder, base),
                    text(part, "credential"),
                    where=part.where("adaptor"),
                )
            )
            waiting += [(follower, known[name], word) for follower, word in after.get(name, ())]
        found.edges.append(
            Edge(
                source,
                known[name],
                True if condition == "always" else condition,
                where=part.where("trigger"),
            )
        )
    return found


def _script(part: Document, folder: Folder, base: Path) -> str | None:
    value = text(part, "expression")
    if value is not None and is_path(value):
        return folder.text(value.strip().removeprefix("file://"), base, part.where("expression"))
    return value


def _short(criteria: str) -> str:
    try:
        return json.dumps(json.loads(criteria))[:200]
    except ValueError:
        return repr(criteria[:200])
