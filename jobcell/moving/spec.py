"""Workflows with `jobs`, `triggers` and `edges`: the format of Lightning's `project.yaml` and `projectState.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobcell.input.errors import BadInputError
from jobcell.moving.documents import Document, Folder
from jobcell.moving.model import NAMED, Edge, Ids, Item, Job, Trigger, Workflow
from jobcell.moving.reading import flag, is_path, kind, objects, text


class Spec:
    """Reads workflows of this format.

    Args:
        folder: The directory from which scripts may come.
        base: The directory of the file.
        credentials: Key or uuid of a credential to the id that it gets.

    """

    def __init__(self, folder: Folder, base: Path, credentials: dict[str, str]) -> None:
        self._folder = folder
        self._base = base
        self._credentials = credentials

    def workflow(self, name: str | None, source: Document, ids: Ids, items: list[Item]) -> Workflow:
        """Return a workflow.

        Raises:
            BadInputError: It is not one.

        """
        title = text(source, "name") or name or "workflow"
        where = source.where()
        found = Workflow(ids.add(title, where), title, where=where)
        steps = Ids(f"step of the workflow {title!r},")
        known: dict[str, str] = {}
        for key, part in objects(source, "triggers"):
            trigger = self._trigger(key, part, steps)
            found.triggers.append(trigger)
            _know(known, trigger.id, key, part, text(part, "type"))
        jobs: dict[str, str] = {}
        for key, part in objects(source, "jobs"):
            job = self._job(key, part, steps)
            found.jobs.append(job)
            _know(jobs, job.id, key, part, text(part, "name"))
        for key, part in objects(source, "edges"):
            found.edges.append(self._edge(key, part, known, jobs))
        for trigger in found.triggers:
            if trigger.cursor is not None:
                trigger.cursor = jobs.get(trigger.cursor, trigger.cursor)
        if source.get("deleted_at") is not None:
            items.append(Item("other", where, f"the workflow {title!r} is deleted in the project"))
        return found

    def _trigger(self, key: str | None, part: Document, steps: Ids) -> Trigger:
        type_ = text(part, "type") or key or ""
        if type_ not in ("webhook", "cron", "kafka"):
            message = (
                f"a trigger of the type {type_!r} is not known; it can be webhook, cron or kafka"
            )
            raise BadInputError([f"{part.where('type')}: {message}"])
        where = part.where()
        extra = {
            name: part[name]
            for name in ("webhook_reply", "webhook_response_config", "kafka_configuration")
            if part.get(name) is not None
        }
        return Trigger(
            steps.add(key or type_, where),
            type_,
            enabled=flag(part, "enabled", otherwise=True),
            cron=text(part, "cron_expression"),
            cursor=text(part, "cron_cursor_job", "cron_cursor_job_id"),
            extra=extra,
            where=part.where("cron_expression"),
        )

    def _job(self, key: str | None, part: Document, steps: Ids) -> Job:
        where = part.where()
        name = text(part, "name") or key
        if name is None:
            raise BadInputError([f"{where}: a job needs a name"])
        credential = text(part, "credential", "project_credential_id", "keychain_credential_id")
        if credential is not None:
            credential = self._credentials.get(credential, credential)
        adaptor = text(part, "adaptor")
        return Job(
            steps.add(name, where),
            name,
            (adaptor,) if adaptor else (),
            self._body(part),
            credential,
            where=part.where("adaptor"),
        )

    def _body(self, part: Document) -> str | None:
        body: Any = part.get("body")
        where = part.where("body")
        if isinstance(body, Document):
            path = text(body, "path")
            if path is not None:
                return self._folder.text(path, self._base, where)
            body = body.get("content")
        if body is None or isinstance(body, str):
            if isinstance(body, str) and is_path(body):
                return self._folder.text(body.strip(), self._base, where)
            return body
        raise BadInputError([f"{where}: body must be a text or a path, not {kind(body)}"])

    def _edge(
        self, key: str | None, part: Document, triggers: dict[str, str], jobs: dict[str, str]
    ) -> Edge:
        where = part.where()
        shown = f"the edge {key!r}" if key is not None else "an edge"
        ends: list[str | None] = []
        for word, known, names in (
            ("source_trigger", triggers, ("source_trigger", "source_trigger_id")),
            ("source_job", jobs, ("source_job", "source_job_id")),
            ("target_job", jobs, ("target_job", "target_job_id")),
        ):
            name = text(part, *names)
            if name is None:
                ends.append(None)
                continue
            if name not in known:
                there = _list(known)
                raise BadInputError(
                    [f"{where}: {shown}: {word} {name[:80]!r} is not there; there are: {there}"]
                )
            ends.append(known[name])
        trigger, source, target = ends
        if target is None or (trigger is None) == (source is None):
            message = "needs target_job, and either source_trigger or source_job"
            raise BadInputError([f"{where}: {shown} {message}"])
        edge = Edge(trigger or source or "", target, label=text(part, "condition_label"))
        edge.where = part.where("condition_expression")
        edge.disabled = not flag(part, "enabled", otherwise=True)
        condition = text(part, "condition_type") or "always"
        if condition == "js_expression":
            value = part.get("condition_expression")
            if isinstance(value, bool):
                edge.condition = value
            else:
                edge.condition, edge.script = text(part, "condition_expression") or "", True
        elif condition in NAMED:
            edge.condition = NAMED[condition]
        else:
            known_words = ", ".join(("js_expression", *NAMED))
            raise BadInputError(
                [
                    f"{where}: {shown}: condition_type {condition[:80]!r} is not known; it can be {known_words}"
                ]
            )
        return edge


def _know(known: dict[str, str], made: str, *names: Any) -> None:
    for given in names:
        name = text(given, "id") if isinstance(given, Document) else given
        if name is not None:
            known.setdefault(name, made)


def _list(known: dict[str, str]) -> str:
    names = sorted(set(known))
    return ", ".join(repr(name[:60]) for name in names[:8]) or "none"
