"""Workflows with `steps` and `next`: the portable format, and the files of OpenFn's command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from jobcell.input.errors import BadInputError
from jobcell.moving.documents import Document, Folder
from jobcell.moving.model import NAMED, Edge, Ids, Item, Job, Trigger, Workflow
from jobcell.moving.reading import flag, is_path, kind, objects, text

_TRIGGERS: Final = ("webhook", "cron", "kafka")
_OPTIONS: Final = {
    "timeout": "timeout",
    "stepTimeout": "step_timeout",
    "step_timeout": "step_timeout",
    "start": "start",
    "end": "end",
}
_DETAILS: Final = ("webhook_reply", "webhook_response_config", "kafka_configuration", "openfn")


class Portable:
    """Reads workflows of this format.

    Args:
        folder: The directory from which scripts may come.
        base: The directory of the file.
        items: Gets what is left to do by hand.

    """

    def __init__(self, folder: Folder, base: Path, items: list[Item]) -> None:
        self._folder = folder
        self._base = base
        self._items = items

    def workflow(self, name: str, source: Document, ids: Ids, options: Any = None) -> Workflow:
        """Return a workflow.

        Args:
            name: A name for a workflow that has none.
            source: The object with `steps`, or `jobs` in old files.
            ids: The ids of the workflows.
            options: Options beside the workflow.

        Raises:
            BadInputError: It is not one.

        """
        title = text(source, "name", "id") or name
        where = source.where()
        found = Workflow(ids.add(title, where), title, where=where)
        steps = Ids(f"step of the workflow {title!r},")
        known: dict[str, str] = {}
        parts = []
        key = "steps" if source.get("steps") is not None else "jobs"
        for number, (_, part) in enumerate(objects(source, key), 1):
            given = text(part, "id", "name") or f"job-{number}"
            made = steps.add(given, part.where())
            known[given] = made
            parts.append((made, part))
        for made, part in parts:
            self._step(made, part, found)
            found.edges += self._edges(made, part, known)
        self._rest(found, source, options, known)
        return found

    def _step(self, made: str, part: Document, found: Workflow) -> None:
        type_ = text(part, "type")
        if type_ is None and part.get("expression") is None and "enabled" in part:
            type_ = made
        if type_ is not None and part.get("expression") is None:
            if type_ not in _TRIGGERS:
                message = f"a trigger of the type {type_!r} is not known; it can be {', '.join(_TRIGGERS)}"
                raise BadInputError([f"{part.where('type')}: {message}"])
            found.triggers.append(self._trigger(made, type_, part))
            return
        found.jobs.append(
            Job(
                made,
                text(part, "name"),
                self._adaptors(part),
                self._script(part, "expression"),
                self._credential(made, part),
                self._state(part),
                where=part.where("adaptor" if "adaptor" in part else "adaptors"),
            )
        )

    def _trigger(self, made: str, type_: str, part: Document) -> Trigger:
        meta = part.get("openfn")
        cron = text(part, "cron_expression", "cron")
        cursor = text(part, "cron_cursor_job_id", "cron_cursor", "cron_cursor_job")
        if isinstance(meta, Document):
            cron = cron or text(meta, "cron")
            cursor = cursor or text(meta, "cron_cursor")
        extra = {key: part[key] for key in _DETAILS if part.get(key) is not None}
        extra.pop("openfn", None)
        if isinstance(meta, Document) and meta.get("kafka") is not None:
            extra["kafka_configuration"] = meta["kafka"]
        enabled = flag(part, "enabled", otherwise=True)
        where = part.where("cron_expression")
        return Trigger(
            made, type_, enabled=enabled, cron=cron, cursor=cursor, extra=extra, where=where
        )

    def _adaptors(self, part: Document) -> tuple[str, ...]:
        given = part.get("adaptors")
        if given is None:
            one = text(part, "adaptor")
            return (one,) if one else ()
        given = [given] if isinstance(given, str) else given
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise BadInputError([f"{part.where('adaptors')}: adaptors must be a list of texts"])
        return tuple(given)

    def _script(self, part: Document, key: str) -> str | None:
        value = part.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise BadInputError(
                [f"{part.where(key)}: {key} must be a text or a path, not {kind(value)}"]
            )
        if value.strip().endswith(".py") and "\n" not in value:
            message = f"{key} is the Python file {value.strip()!r}, so this is a plan of jobcell"
            raise BadInputError(
                [f"{part.where(key)}: {message}; jobcell import takes projects of OpenFn"]
            )
        if is_path(value):
            return self._folder.text(
                value.strip().removeprefix("file://"), self._base, part.where(key)
            )
        return value

    def _credential(self, made: str, part: Document) -> str | None:
        value = part.get("configuration")
        if value is None:
            return None
        where = part.where("configuration")
        if isinstance(value, str):
            if is_path(value):
                self._say(
                    where, f"move {value!r} to the file of credentials, under the id {made!r}"
                )
                return made
            return value
        if not isinstance(value, Document):
            raise BadInputError(
                [f"{where}: configuration must be an object or a text, not {kind(value)}"]
            )
        named = value.get("$CREDENTIALS$")
        if len(value) == 1 and isinstance(named, str):
            return named
        keys = ", ".join(repr(key[:40]) for key in list(value)[:12])
        self._say(
            where,
            f"move the configuration with {keys} to the file of credentials, under the id {made!r}",
        )
        return made

    def _say(self, where: str, sentence: str) -> None:
        self._items.append(Item("credential", where, sentence))

    def _state(self, part: Document) -> Any:
        value = part.get("state")
        if isinstance(value, str) and is_path(value):
            where = part.where("state")
            try:
                return json.loads(self._folder.text(value.strip(), self._base, where))
            except (ValueError, RecursionError):
                raise BadInputError([f"{where}: {value!r} is not JSON"]) from None
        return value

    def _edges(self, made: str, part: Document, known: dict[str, str]) -> list[Edge]:
        value = part.get("next")
        where = part.where("next")
        if value is None:
            return []
        if isinstance(value, str):
            value = {value: True}
        if not isinstance(value, dict):
            raise BadInputError([f"{where}: next must be a text or an object, not {kind(value)}"])
        edges = []
        for target, given in value.items():
            line = value.where(target) if isinstance(value, Document) else where
            if target not in known:
                there = ", ".join(repr(name[:60]) for name in sorted(known)[:8])
                message = (
                    f"the step {target[:80]!r} after {made!r} is not there; there are: {there}"
                )
                raise BadInputError([f"{line}: {message}"])
            edges.append(self._edge(Edge(made, known[target], where=line), given))
        return edges

    def _edge(self, edge: Edge, given: Any) -> Edge:
        condition = given
        if isinstance(given, Document):
            edge.label = text(given, "label")
            edge.disabled = flag(given, "disabled", otherwise=False)
            edge.where = given.where("condition")
            condition = given.get("condition")
        if condition is None or isinstance(condition, bool):
            edge.condition = condition is not False
        elif not isinstance(condition, str):
            raise BadInputError(
                [f"{edge.where}: a condition must be a text, true or false, not {kind(condition)}"]
            )
        elif condition.strip() in NAMED:
            edge.condition = NAMED[condition.strip()]
        else:
            edge.condition, edge.script = condition, True
        return edge

    def _rest(self, found: Workflow, source: Document, options: Any, known: dict[str, str]) -> None:
        given = [part for part in (source.get("options"), options) if part is not None]
        for part in given:
            if not isinstance(part, Document):
                raise BadInputError(
                    [f"{source.where('options')}: options must be an object, not {kind(part)}"]
                )
            for key, value in part.items():
                if key in _OPTIONS:
                    found.options[_OPTIONS[key]] = value
                else:
                    self._items.append(
                        Item("other", part.where(key), f"the option {key!r} has no counterpart")
                    )
        start = text(source, "start")
        found.start = known.get(start or "", start)
        for key in ("start", "end"):
            if key in found.options:
                found.options[key] = known.get(str(found.options[key]), found.options[key])
        found.globals = self._script(source, "globals")
        credentials = source.get("credentials")
        if isinstance(credentials, str):
            found.credential = credentials
        elif credentials:
            self._say(
                source.where("credentials"),
                "move the credentials of the workflow to the file of credentials",
            )
