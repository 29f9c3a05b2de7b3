"""The public lifecycle events: immutable facts about a run, read by cursor."""

from typing import Any

import msgspec

from protocol.confinement import ConfinementReport
from protocol.report import ErrorReport
from protocol.words import LogLevel, LogSource, NetOutcome, kebab_case

REDACTED = "[redacted]"
"""The text that replaces a secret, or a payload that was too large for its event."""


class Versions(msgspec.Struct, frozen=True):
    """Versions of the programs that ran; for adaptors ``{"common": ["1.0.0", "2.0.0"]}``."""

    python: str
    engine: str
    adaptors: dict[str, list[str]] = {}


class Memory(msgspec.Struct, frozen=True):
    """Memory of the child when a job ended, in bytes.

    ``job`` is the growth since the run started; ``system`` is the resident set of the whole child;
    ``peak`` is the largest resident set so far.
    """

    job: int
    system: int
    peak: int


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=kebab_case):
    """The fields of every event: its number in the run (1, 2, 3, ...), the run, Unix seconds."""

    seq: int
    run_id: str
    time: float

    @property
    def type(self) -> str:
        """The name of the event, ``job-complete`` for a `JobComplete`."""
        return str(self.__struct_config__.tag)


class StepEvent(Event, frozen=True, kw_only=True, tag=kebab_case):
    """An event of one execution of a step."""

    step_id: str
    step_run_id: str
    attempt: int = 1


class WorkflowStart(Event, frozen=True, kw_only=True, tag=kebab_case):
    """The child is ready, and has not read a job yet."""

    versions: Versions
    confinement: ConfinementReport
    meta: dict[str, Any] = {}
    """The ``meta`` of the plan, merged over that of its workflow."""
    replayed: int = 0
    """The number of steps that were taken from a journal and do not run again."""


class InitStart(StepEvent, frozen=True, kw_only=True, tag=kebab_case):
    """A job is about to be resolved, compiled and linked."""


class InitComplete(StepEvent, frozen=True, kw_only=True, tag=kebab_case):
    """A job was resolved, compiled and linked."""

    duration_ms: int


class StateLoad(StepEvent, frozen=True, kw_only=True, tag=kebab_case):
    """A stored state was fetched from the manager."""

    id: str
    duration_ms: int


class CredentialLoad(StepEvent, frozen=True, kw_only=True, tag=kebab_case):
    """A credential was fetched from the manager."""

    id: str
    duration_ms: int


class JobStart(StepEvent, frozen=True, kw_only=True, tag=kebab_case):
    """The first operation of a job is about to run."""


class JobComplete(StepEvent, frozen=True, kw_only=True, tag=kebab_case, weakref=True):
    """A job has returned."""

    state: Any
    next: tuple[str, ...]
    duration_ms: int
    mem: Memory
    redacted: bool = False


class JobError(StepEvent, frozen=True, kw_only=True, tag=kebab_case, weakref=True):
    """A job has failed, or was ended."""

    error: ErrorReport
    state: Any
    next: tuple[str, ...]
    duration_ms: int
    redacted: bool = False
    retry_in_ms: int | None = None
    """Milliseconds until the next attempt; None if no attempt follows."""


class EdgeResolved(Event, frozen=True, kw_only=True, tag=kebab_case):
    """The runtime has decided whether an edge is taken."""

    from_step_id: str
    to_step_id: str
    condition: bool | str
    taken: bool


class Log(Event, frozen=True, kw_only=True, tag=kebab_case):
    """A line from a job, an adaptor, the runtime, or the child's standard streams."""

    level: LogLevel
    source: LogSource
    message: str
    redacted: bool = False
    step_id: str | None = None
    step_run_id: str | None = None
    attempt: int | None = None


class NetConnect(Event, frozen=True, kw_only=True, tag=kebab_case):
    """A connection of a job has ended, or a connection or a name was refused.

    It has no step: an event comes when the connection ends, and a later step may run by then.
    """

    host: str
    """The name or the address that the job has named."""
    port: int
    """0 for a name that was refused."""
    outcome: NetOutcome
    reason: str = ""
    """Empty for ``open``."""
    bytes_sent: int = 0
    """Bytes from the job."""
    bytes_received: int = 0
    """Bytes to the job."""
    duration_ms: int = 0


class WorkflowComplete(Event, frozen=True, kw_only=True, tag=kebab_case, weakref=True):
    """The workflow was walked to its end; always the last event."""

    state: Any
    duration_ms: int
    redacted: bool = False


class WorkflowError(Event, frozen=True, kw_only=True, tag=kebab_case):
    """The run ended before the workflow did; always the last event."""

    error: ErrorReport
    duration_ms: int


AnyEvent = (
    WorkflowStart
    | InitStart
    | InitComplete
    | StateLoad
    | CredentialLoad
    | JobStart
    | JobComplete
    | JobError
    | EdgeResolved
    | Log
    | NetConnect
    | WorkflowComplete
    | WorkflowError
)
"""The union of all events; ``msgspec.json.decode(line, type=AnyEvent)`` reads an event back."""
