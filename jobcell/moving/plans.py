"""Makes plans, jobs in Python and a list of work of a project."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.api import PlanError
from engine.plan import load_plan
from jobcell.input.errors import BadInputError
from jobcell.moving.adaptors import TRANSLATED, Adaptor, adaptor_of
from jobcell.moving.model import TODO, Edge, Item, Job, Project, Trigger, Workflow
from jobcell.moving.script.conditions import translate_condition, unwritten
from jobcell.moving.script.job import translate_job
from jobcell.moving.script.tree import UntranslatedError

_TITLES: Final = {
    "script": "Scripts to translate",
    "condition": "Conditions to write",
    "adaptor": "Adaptors without a counterpart",
    "credential": "Credentials",
    "schedule": "Schedules",
    "trigger": "Triggers",
    "other": "Other things",
}


@dataclass
class Output:
    """The files to write, and the work that is left.

    Attributes:
        files: Path below the directory of the output to text.
        items: What is left to do by hand.
        steps: The number of jobs.
        operations: The number of operations in their scripts.
        left: The number of places in scripts and conditions that are not translated.
        adaptors: The adaptors that the plans need.

    """

    files: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)
    steps: int = 0
    operations: int = 0
    left: int = 0
    adaptors: set[str] = field(default_factory=set)


def make_output(project: Project) -> Output:
    """Return the files for a project.

    Raises:
        BadInputError: A workflow cannot be a plan, for example because its steps form a circle.

    """
    output = Output()
    for workflow in project.workflows:
        _Plan(workflow, output).make()
    output.items += project.items
    output.files[TODO] = _todo(project, output)
    return output


class _Plan:
    """The plan of one workflow."""

    def __init__(self, workflow: Workflow, output: Output) -> None:
        self._workflow = workflow
        self._output = output
        self._credentials: dict[str, str] = {}

    def make(self) -> None:
        workflow = self._workflow
        following: dict[str, dict[str, Any]] = {}
        for edge in workflow.edges:
            targets = following.setdefault(edge.source, {})
            if edge.target in targets:
                message = (
                    f"two edges go from {edge.source!r} to {edge.target!r}; join their conditions"
                )
                raise BadInputError([f"{edge.where}: {message}"])
            targets[edge.target] = self._edge(edge)
        steps = [self._trigger(trigger) for trigger in workflow.triggers]
        steps += [self._job(job) for job in workflow.jobs]
        for step in steps:
            if step["id"] in following:
                step["next"] = following[step["id"]]
        start = self._start()
        plan: dict[str, Any] = {"workflow": {"id": workflow.id, "name": workflow.name}}
        if start is not None:
            plan["workflow"]["start"] = start
        if workflow.credential is not None:
            plan["workflow"]["credentials"] = workflow.credential
            self._credentials[workflow.credential] = workflow.where
        plan["workflow"]["steps"] = steps
        options = {key: value for key, value in workflow.options.items() if key != "start"}
        if options:
            plan["options"] = options
        self._check(plan)
        self._write("plan.json", plan)
        for trigger in workflow.triggers:
            self._triggered(trigger, start)
        if workflow.globals:
            self._put("globals.js", workflow.globals)
            self._say(
                "other",
                workflow.where,
                "write the functions of globals.js in Python, and give them to the plan as `globals`",
            )
        for credential, where in self._credentials.items():
            self._say(
                "credential",
                where,
                f"give the credential {credential!r} in the file of --credentials",
            )

    def _start(self) -> str | None:
        workflow = self._workflow
        given = workflow.options.get("start", workflow.start)
        if given is not None:
            return str(given)
        enabled = [trigger for trigger in workflow.triggers if trigger.enabled] or workflow.triggers
        return enabled[0].id if enabled else None

    def _check(self, plan: dict[str, Any]) -> None:
        """Have the engine read the plan, as it will when the plan is run."""
        read = json.loads(json.dumps(plan))
        for step in read["workflow"]["steps"]:
            if "expression" in step:
                step["expression"] = "def main(state): return state"
        try:
            load_plan(read, warn=lambda _: None)
        except PlanError as error:
            where = self._workflow.where
            raise BadInputError(f"{where}: {problem}" for problem in error.problems) from None

    def _edge(self, edge: Edge) -> dict[str, Any]:
        made: dict[str, Any] = {"condition": edge.condition}
        if edge.script:
            assert isinstance(edge.condition, str)
            try:
                made["condition"] = translate_condition(edge.condition)
            except (UntranslatedError, RecursionError) as error:
                made["condition"] = unwritten(edge.condition, edge.where)
                self._output.left += 1
                shown = " ".join(edge.condition.split())[:200]
                sentence = (
                    f"write the condition of the edge {edge.source!r} -> {edge.target!r}: `{shown}` ({error})."
                    " Until then a run that gets there ends with an error"
                )
                self._say("condition", edge.where, sentence)
        if edge.label:
            made["label"] = edge.label
        if edge.disabled:
            made["disabled"] = True
        return made

    def _trigger(self, trigger: Trigger) -> dict[str, Any]:
        made: dict[str, Any] = {"id": trigger.id, "type": trigger.type, "enabled": trigger.enabled}
        if trigger.cron is not None:
            made["cron"] = trigger.cron
        if trigger.cursor is not None:
            made["cron_cursor_job"] = trigger.cursor
        return {**made, **trigger.extra}

    def _job(self, job: Job) -> dict[str, Any]:
        self._output.steps += 1
        made: dict[str, Any] = {"id": job.id}
        if job.name:
            made["name"] = job.name
        if job.credential is not None:
            made["configuration"] = job.credential
            self._credentials.setdefault(job.credential, job.where)
        if job.state is not None:
            made["state"] = job.state
        if job.script is None or not job.script.strip():
            return made
        adaptors = self._adaptors(job)
        file = f"{job.id}.js"
        majors = {found.name: found.major for found in adaptors if found.name in TRANSLATED}
        translation = translate_job(job.script, file, {"common": None, **majors})
        names = [found.name for found in adaptors if found.name is not None]
        names += ["common", *(["javascript"] if translation.needs_javascript else [])]
        made["adaptors"] = list(dict.fromkeys(names))
        self._output.adaptors |= set(names)
        made["expression"] = f"{job.id}.py"
        self._put(file, job.script)
        self._put(f"{job.id}.py", translation.source)
        self._output.operations += translation.operations
        self._output.left += len(translation.left)
        for left in translation.left:
            where = f"{self._workflow.id}/{file}:{left.line}"
            self._say("script", where, f"not translated: {left.reason}")
        return made

    def _adaptors(self, job: Job) -> list[Adaptor]:
        found = [adaptor_of(name) for name in job.adaptors]
        for adaptor in found:
            if adaptor.name is None:
                sentence = (
                    f"the adaptor {adaptor.given!r} of the step {job.id!r} has no counterpart here"
                )
                self._say("adaptor", job.where, sentence)
        return found

    def _triggered(self, trigger: Trigger, start: str | None) -> None:
        off = "" if trigger.enabled else "the trigger is disabled; when it is wanted: "
        if trigger.type == "cron":
            if trigger.cron is None:
                self._say(
                    "schedule",
                    trigger.where,
                    f"{off}the trigger {trigger.id!r} has no cron expression",
                )
                return
            name, options = self._workflow.id, ["--cron", trigger.cron, "--carry-state"]
            if trigger.id != start:
                name = f"{name}-{trigger.id}"
                options += ["--start", trigger.id]
            words = ["jobcell", "schedule", "add", name, *options]
            command = shlex.join([*words, f"{self._workflow.id}/plan.json"])
            self._say("schedule", trigger.where, f"{off}`{command}`")
            if trigger.cursor is not None:
                sentence = (
                    f"the next run began with the state after the step {trigger.cursor!r};"
                    " with --carry-state it begins with the final state"
                )
                self._say("schedule", trigger.where, sentence)
        elif trigger.type == "webhook":
            from_it = "" if trigger.id == start else f" --start {trigger.id}"
            command = f"jobcell enqueue {self._workflow.id}/plan.json{from_it} --state FILE"
            sentence = (
                f"{off}start the workflow for each request, with `{command}` or `jobcell serve`"
            )
            self._say("trigger", trigger.where, sentence)
        else:
            self._say(
                "trigger", trigger.where, f"{off}start the workflow for each message of Kafka"
            )

    def _say(self, topic: Any, where: str, sentence: str) -> None:
        self._output.items.append(Item(topic, where, sentence))

    def _write(self, name: str, plan: Mapping[str, Any]) -> None:
        self._put(name, json.dumps(plan, indent=2, ensure_ascii=False) + "\n")
        self._output.plans.append(f"{self._workflow.id}/{name}")

    def _put(self, name: str, text: str) -> None:
        path = f"{self._workflow.id}/{name}"
        if path in self._output.files:
            raise BadInputError(
                [f"{self._workflow.where}: two parts would be the file {path!r}; rename one"]
            )
        self._output.files[path] = text


def _todo(project: Project, output: Output) -> str:
    lines = [f"# {_line(project.name)}: what is left to do", ""]
    if output.adaptors:
        lines += [
            f"The plans need adaptors: `jobcell repo add {' '.join(sorted(output.adaptors))}`.",
            "",
        ]
    if not output.items:
        lines.append("Nothing is left to do by hand.")
    for topic, title in _TITLES.items():
        items = [item for item in output.items if item.topic == topic]
        if items:
            lines += [f"## {title}", ""]
            lines += [f"- [ ] {_line(item.where)}: {_line(item.text)}" for item in items]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
