"""A JSON Schema of plans, for editors and for programs that write plans.

The schema is made from the types of a plan and from the keys that the reader of plans knows. So it
accepts every plan that the engine accepts, in every spelling. Only `engine.plan.validation` finds
problems that a schema cannot express: two steps with one id, an edge to an unknown step, a cycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine.plan.objects import ALIASES, IGNORED_KEYS
from engine.plan.permissions import PERMISSION_KEYS
from engine.plan.steps import EDGE_KEYS, JOB_KEYS, STEP_KEYS
from engine.plan.survival import RETRY_KEYS
from engine.plan.validation import IGNORED_OPTION_KEYS, OPTION_KEYS, PLAN_KEYS, WORKFLOW_KEYS
from protocol.plan import Edge, Plan, PlanOptions, Retry, Step, StepPermissions, Workflow
from protocol.retry import RETRIED_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_NAME: Final = {"type": "string", "minLength": 1}
_WRITTEN: Final = {"type": "string", "pattern": "[^\\s\\ufeff]"}
"""Text that is more than white space."""

_SECRETS: Final = {"anyOf": [{"type": "object"}, _NAME]}
_DURATION: Final = {"type": "number", "exclusiveMinimum": 0}
_DELAY: Final = {"type": "number", "minimum": 0}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}

_ACCEPTED: Final[dict[tuple[type, str], Any]] = {
    (Plan, "id"): _NAME,
    (Plan, "workflow"): {"$ref": "#/$defs/workflow"},
    (Plan, "options"): {"$ref": "#/$defs/options"},
    (Workflow, "start"): _NAME,
    (Workflow, "credentials"): _SECRETS,
    (Workflow, "steps"): {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
    (Workflow, "meta"): {"type": "object"},
    (Step, "id"): _NAME,
    (Step, "adaptors"): {"anyOf": [_NAME, {"type": "array", "items": _NAME}]},
    (Step, "configuration"): _SECRETS,
    (Step, "state"): {"not": {"const": ""}},
    (Step, "next"): {
        "anyOf": [
            _NAME,
            {
                "type": "object",
                "propertyNames": _NAME,
                "additionalProperties": {"$ref": "#/$defs/edge"},
            },
        ]
    },
    (Step, "retry"): {"$ref": "#/$defs/retry"},
    (Step, "timeout"): _DURATION,
    (Step, "permissions"): {"$ref": "#/$defs/permissions"},
    (Retry, "attempts"): {"type": "integer", "minimum": 1},
    (Retry, "delay"): _DELAY,
    (Retry, "backoff"): {"type": "number", "minimum": 1},
    (Retry, "max_delay"): _DELAY,
    (Retry, "on"): {"type": "array", "items": {"enum": sorted(RETRIED_NAMES)}},
    (StepPermissions, "net"): _TEXTS,
    (StepPermissions, "read"): _TEXTS,
    (StepPermissions, "scratch_mb"): {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": False}]
    },
    (StepPermissions, "ca_file"): _NAME,
    (StepPermissions, "collections"): _TEXTS,
    (Edge, "condition"): {"anyOf": [{"type": "boolean"}, _WRITTEN]},
    (PlanOptions, "start"): _NAME,
    (PlanOptions, "end"): _NAME,
    (PlanOptions, "timeout"): _DURATION,
    (PlanOptions, "step_timeout"): _DURATION,
}
"""Schemas of keys for which the reader accepts more or less than the type of the field."""

DESCRIPTIONS: Final[dict[tuple[type, str], str]] = {
    (Plan, "id"): "The id of the run. A UUID if it is not given.",
    (Plan, "workflow"): "The steps and what they have in common.",
    (Plan, "options"): "The options that the plan sets for its own run.",
    (Plan, "meta"): "Any object. It is carried to the event workflow-start.",
    (Workflow, "id"): "A name for other programs.",
    (Workflow, "name"): "A name for people.",
    (Workflow, "start"): "The id of the first step. The first step of the list if not given.",
    (Workflow, "globals"): "Python source of helper functions that are in scope in every job.",
    (
        Workflow,
        "credentials",
    ): "Merged into the configuration of every step, or the id of a credential.",
    (Workflow, "steps"): "The steps. `jobs` is another spelling.",
    (Workflow, "meta"): "Any object. The meta of the plan is merged over it.",
    (Step, "id"): "The id of the step, unique in the plan. `job-1`, `job-2`, ... if not given.",
    (Step, "name"): "A name for people.",
    (Step, "expression"): "Python source of the job. A step without one is a trigger.",
    (
        Step,
        "adaptors",
    ): "One adaptor or a list: `name` or `name@version` (also `@latest`, `@next`). `adaptor` is another spelling.",
    (Step, "configuration"): "The configuration of the step, or the id of a credential.",
    (Step, "state"): "The default state, or the id of a stored state.",
    (Step, "next"): "The id of the next step, or an object of step id to edge.",
    (
        Step,
        "join",
    ): "all: the step runs once, after all its branches. any (default): once for each.",
    (Step, "retry"): "How often the job is tried again after a failure, and when.",
    (Step, "timeout"): "Milliseconds for one attempt. The step fails, and the run goes on.",
    (
        Step,
        "on_death",
    ): "fail: the death of the child fails the step. end (default): it ends the run.",
    (Step, "permissions"): "The part of the run's permissions that the step gets.",
    (Retry, "attempts"): "The number of all attempts, the first one included.",
    (Retry, "delay"): "Milliseconds before the second attempt. 1000 if not given.",
    (Retry, "backoff"): "The factor from each delay to the next. 2 if not given.",
    (Retry, "max_delay"): "The longest delay in milliseconds. 60000 if not given.",
    (Retry, "on"): "Names of errors, timeout and death. AdaptorError and timeout if not given.",
    (StepPermissions, "net"): "Network rules. Those of the run if not given.",
    (StepPermissions, "read"): "Absolute paths to read. Those of the run if not given.",
    (
        StepPermissions,
        "scratch_mb",
    ): "Megabytes of /tmp; false: none. The size of the run if not given.",
    (StepPermissions, "collections"): "Rules for collections. Those of the run if not given.",
    (StepPermissions, "ca_file"): "File of trusted authorities. That of the run if not given.",
    (Edge, "condition"): "true, false, a named condition, or a Python expression over state.",
    (Edge, "label"): "A name for people.",
    (Edge, "disabled"): "true: the edge is never taken.",
    (PlanOptions, "start"): "The id of the first step. It wins over workflow.start.",
    (PlanOptions, "end"): "The id of the last step. The run is over when it has run.",
    (PlanOptions, "timeout"): "Milliseconds for the whole run.",
    (PlanOptions, "step_timeout"): "Milliseconds for each step. `stepTimeout` is another spelling.",
}
"""The meaning of each key, in a line."""

KEYS: Final[dict[type, tuple[str, ...]]] = {
    Plan: PLAN_KEYS,
    Workflow: WORKFLOW_KEYS,
    Step: STEP_KEYS,
    Edge: EDGE_KEYS,
    PlanOptions: OPTION_KEYS,
    Retry: RETRY_KEYS,
    StepPermissions: PERMISSION_KEYS,
}
"""The keys that the reader knows, of each object of a plan."""


def plan_schema() -> dict[str, Any]:
    """Return the schema of a plan, as data that ``json.dumps`` writes."""
    options = _properties(PlanOptions, ignored=IGNORED_OPTION_KEYS)
    workflow = _properties(Workflow, ignored=IGNORED_KEYS)
    plan = _properties(Plan, ignored=IGNORED_KEYS)
    step = _properties(Step, ignored=IGNORED_KEYS)
    of_job = {spelling for name in JOB_KEYS for spelling in spellings(name)}
    trigger = {name: found for name, found in step.items() if name not in of_job}
    retry = _properties(Retry, ignored=())
    permissions = _properties(StepPermissions, ignored=())
    flat = {**plan, **workflow}
    del flat["workflow"]
    return {
        "$schema": DIALECT,
        "title": "Plan of jobcell",
        "anyOf": [
            {**_object(plan), "required": ["workflow"], **_one_spelling(plan)},
            # Older plans of the JavaScript runtime have the steps at the top.
            {"$ref": "#/$defs/plan_without_workflow"},
        ],
        "properties": {"workflow": {"not": {"type": "null"}}},
        "$defs": {
            "plan_without_workflow": _with_steps(flat),
            "workflow": _with_steps(workflow),
            "options": {**_object(options), **_one_spelling(options)},
            "step": {
                "if": {"properties": {"expression": _WRITTEN}, "required": ["expression"]},
                "then": {**_object(step), **_one_spelling(step)},
                # A trigger may carry any key, for the programs that start workflows.
                "else": {"type": "object", "properties": trigger, **_one_spelling(trigger)},
            },
            "retry": {**_object(retry), "required": ["attempts"], **_one_spelling(retry)},
            "permissions": _object(permissions),
            "edge": {
                "anyOf": [{"type": "boolean"}, _WRITTEN, _object(_properties(Edge, ignored=()))]
            },
        },
    }


def _properties(struct: type[msgspec.Struct], *, ignored: Iterable[str]) -> dict[str, Any]:
    """Return the schema of each key of an object, in each spelling."""
    types = {field.name: field.type for field in msgspec.structs.fields(struct)}
    properties: dict[str, Any] = {}
    for name in KEYS[struct]:
        accepted = _ACCEPTED.get((struct, name)) or _of_type(types[name])
        found = {
            "description": DESCRIPTIONS[struct, name],
            # The reader treats a key with null as missing.
            "anyOf": [*_variants(accepted), {"type": "null"}],
        }
        properties.update(dict.fromkeys(spellings(name), found))
    for name in ignored:
        for spelling in spellings(name):
            properties.setdefault(spelling, {"description": "Accepted and ignored."})
    return properties


def spellings(name: str) -> list[str]:
    """Return all spellings of a key, ours first."""
    return [name, *(alias for alias, known in ALIASES.items() if known == name)]


def _of_type(annotation: Any) -> dict[str, Any]:
    schema: dict[str, Any] = msgspec.json.schema(annotation)
    return schema


def _variants(schema: Mapping[str, Any]) -> list[Any]:
    variants = schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
    return [variant for variant in variants if variant != {"type": "null"}]


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _with_steps(properties: Mapping[str, Any]) -> dict[str, Any]:
    some = [
        {"required": [spelling], "properties": {spelling: {"not": {"type": "null"}}}}
        for spelling in spellings("steps")
    ]
    return {**_object(properties), "anyOf": some, **_one_spelling(properties)}


def _one_spelling(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rule that a key occurs in one spelling only."""
    present: dict[str, Any] = {"not": {"type": "null"}}
    rules = [
        {"not": {"required": [alias, name], "properties": {alias: present, name: present}}}
        for alias, name in ALIASES.items()
        if alias in properties and name not in IGNORED_KEYS
    ]
    return {"allOf": rules} if rules else {}
