"""The engine: runs other people's workflow code, every run in a confined child of its own."""

from __future__ import annotations

from engine.as_json import event_from_json, result_from_json, to_json
from engine.checks import check_plan
from engine.confinement.policy import Policy
from engine.ending import Reason
from engine.engine import Engine, StartMode, run
from engine.errors import EngineClosedError, EngineError, PlanError, PlanWarning, Problem, RunError
from engine.options import Permissions, RunOptions
from engine.resolvers import Resolved, Resolvers
from engine.run import Run, RunResult, Usage
from protocol.adaptor import ModuleRef
from protocol.confinement import ConfinementReport, LayerReport, ProbeReport
from protocol.events import (
    AnyEvent,
    CredentialLoad,
    EdgeResolved,
    Event,
    InitComplete,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    Memory,
    StateLoad,
    StepEvent,
    Versions,
    WorkflowComplete,
    WorkflowError,
    WorkflowStart,
)
from protocol.plan import Edge, Plan, PlanOptions, Step, Workflow
from protocol.report import ErrorReport, OperationRef, Position, StackFrame

__all__ = [
    "AnyEvent",
    "ConfinementReport",
    "CredentialLoad",
    "Edge",
    "EdgeResolved",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "ErrorReport",
    "Event",
    "InitComplete",
    "InitStart",
    "JobComplete",
    "JobError",
    "JobStart",
    "LayerReport",
    "Log",
    "Memory",
    "ModuleRef",
    "OperationRef",
    "Permissions",
    "Plan",
    "PlanError",
    "PlanOptions",
    "PlanWarning",
    "Policy",
    "Position",
    "ProbeReport",
    "Problem",
    "Reason",
    "Resolved",
    "Resolvers",
    "Run",
    "RunError",
    "RunOptions",
    "RunResult",
    "StackFrame",
    "StartMode",
    "StateLoad",
    "Step",
    "StepEvent",
    "Usage",
    "Versions",
    "Workflow",
    "WorkflowComplete",
    "WorkflowError",
    "WorkflowStart",
    "check_plan",
    "event_from_json",
    "result_from_json",
    "run",
    "to_json",
]
