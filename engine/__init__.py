"""The engine: runs other people's workflow code, every run in a confined child of its own.

Raises:
    ImportError: Another module called ``protocol`` or ``sandbox_child`` comes first on the import path.

"""

from __future__ import annotations

from engine.neighbours import check_neighbours

check_neighbours()  # before one of them is imported

from engine.api import (
    Attempts,
    CollectionItem,
    CollectionPage,
    CollectionQuery,
    Collections,
    CollectionsError,
    EngineClosedError,
    EngineError,
    Journal,
    JournalError,
    Permissions,
    PlanError,
    PlanWarning,
    Problem,
    RunOptions,
    StepRecord,
)
from engine.api import __version__ as __version__
from engine.checks import check_plan
from engine.confinement import Policy
from engine.engine import Engine, run
from engine.journal import FileJournal
from engine.observing import Beginning, EngineLoad, Observer, Watch
from engine.reporting import (
    Reason,
    Run,
    RunError,
    RunResult,
    Usage,
    event_from_json,
    result_from_json,
    to_json,
)
from engine.running import Resolved, Resolvers
from engine.start import StartMode, WarmSet
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
    NetConnect,
    StateLoad,
    StepEvent,
    Versions,
    WorkflowComplete,
    WorkflowError,
    WorkflowStart,
)
from protocol.plan import Edge, Plan, PlanOptions, Step, Workflow
from protocol.report import ErrorReport, OperationRef, Position, StackFrame
from protocol.trace import Trace

__all__ = [
    "AnyEvent",
    "Attempts",
    "Beginning",
    "CollectionItem",
    "CollectionPage",
    "CollectionQuery",
    "Collections",
    "CollectionsError",
    "ConfinementReport",
    "CredentialLoad",
    "Edge",
    "EdgeResolved",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "EngineLoad",
    "ErrorReport",
    "Event",
    "FileJournal",
    "InitComplete",
    "InitStart",
    "JobComplete",
    "JobError",
    "JobStart",
    "Journal",
    "JournalError",
    "LayerReport",
    "Log",
    "Memory",
    "ModuleRef",
    "NetConnect",
    "Observer",
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
    "StepRecord",
    "Trace",
    "Usage",
    "Versions",
    "WarmSet",
    "Watch",
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
