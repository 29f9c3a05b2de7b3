"""The engine: runs other people's workflow code, every run in a confined child of its own.

Raises:
    ImportError: Another module called ``protocol`` or ``sandbox_child`` comes first on the import path.

"""

from __future__ import annotations

from engine.neighbours import check_neighbours

check_neighbours()  # before anything of ours is imported from there

from engine.api.errors import EngineClosedError, EngineError, PlanError, PlanWarning, Problem
from engine.api.options import Permissions, RunOptions
from engine.api.version import __version__ as __version__
from engine.checks import check_plan
from engine.confinement.policy import Policy
from engine.engine import Engine, StartMode, run
from engine.reporting.as_json import event_from_json, result_from_json, to_json
from engine.reporting.result import Reason, RunError, RunResult, Usage
from engine.reporting.run import Run
from engine.running.resolvers import Resolved, Resolvers
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
