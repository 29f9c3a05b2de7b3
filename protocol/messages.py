"""Every message of the wire as a frozen struct, and the two unions of them.

A child sends a state as msgpack within msgpack, in a byte string.  The engine passes over it in one
step, and decodes it only where it is needed.  The type of a field limits the number of items that a
child may repeat, and msgspec checks it before it makes the first item.
"""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from protocol.adaptor import AdaptorLink
from protocol.checks import CheckedOperation, CheckedText, Finding
from protocol.collection_messages import (
    CollectionFailed,
    CollectionGet,
    CollectionGiven,
    CollectionRemove,
    CollectionSet,
)
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.limits import (
    MAX_FINDINGS,
    MAX_LOG_ENTRIES,
    MAX_NEXT,
    MAX_SENT_FRAMES,
    MAX_WORDS,
)
from protocol.message import Message
from protocol.plan import Workflow
from protocol.report import ErrorReport, StackFrame
from protocol.trace import Trace
from protocol.words import LogLevel, LogSource, kebab_case


class Hello(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The first frame each way."""

    version: int
    features: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_WORDS)] = ()
    pid: int = 0
    """The pid of the engine, which its child must not outlive."""


# --- engine to child ---


class Confine(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Put on these layers.  `Start` may follow at once, but the child reads it only afterwards."""

    request: ConfinementRequest


class ChildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that the child checks early.  The parent enforces them for certain."""

    state_bytes: int
    state_items: int
    payload_bytes: int
    log_payload_bytes: int
    max_log_bytes: int
    max_step_runs: int
    memory_bytes: int


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """The first step run after the replayed ones, if an earlier child has begun that step run."""

    step_run_id: str
    attempt: int = 1
    """The number of the attempt that begins now; with ``died``, of the attempt that has died."""
    died: ErrorReport | None = None
    """The step has failed with this report, because an earlier child died.  It does not run again."""


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """The attempts of a step run that were made before the present manager took up the run."""

    attempts: int
    """Their number: the next attempt has the number after it."""
    counted: int = 0
    """The number of those that count against ``retry.attempts``."""


class Start(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Run this workflow on this state."""

    run_id: str
    workflow: Workflow
    start: str
    state: msgspec.Raw
    limits: ChildLimits
    end: str | None = None
    state_id: str | None = None
    """The id of the stored state to begin with; ``state`` is then nil."""
    adaptors: tuple[AdaptorLink, ...] = ()
    """Every adaptor version that a job of this run may link."""
    step_adaptors: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - a Struct copies it
    """Step id to the adaptors of that step, as ``name@version``."""
    whitelist: tuple[str, ...] | None = None
    log_level: LogLevel = "debug"
    adaptor_log_level: LogLevel = "warning"
    sanitize: Literal["none", "remove", "obfuscate", "summarize"] = "none"
    remove_from_state: tuple[str, ...] = ("configuration",)
    event_state: bool = True
    language: bool = True
    unlinked: dict[str, str] = {}  # noqa: RUF012 - a Struct copies it
    """Step id to the reason why its adaptors cannot be linked."""
    repo_error: str | None = None
    """The reason why modules of the repo cannot be imported, if that is so."""
    replay: int = 0
    """Number of `Replay` messages that follow: the step runs that earlier children have finished."""
    resume: Resume | None = None
    """The step run after the replayed ones, if an earlier child has begun it."""
    whole: bool = False
    """The end of a step always carries its whole state; ``event_state`` and ``payload_bytes`` do not
    apply."""
    barrier: bool = False
    """After the end of a step the child waits for `Proceed`."""
    here: tuple[str, ...] | None = None
    """The steps that this child may run; None: all.  For any other step it sends `Elsewhere`."""
    net: tuple[str, ...] = ()
    """The network rules of this child, if a relay enforces them; only for the texts of errors."""
    begun: dict[str, Begun] = {}  # noqa: RUF012 - a Struct copies it
    """Step runs that began before the journal of the run was read, and that are not recorded."""
    trace: Trace | None = None
    """The trace of the run, for jobs and adaptors that send it on."""


class Replay(Message, frozen=True, kw_only=True, tag=kebab_case):
    """A step run of an earlier child.  The messages come in the order in which the step runs ended."""

    step_run_id: str
    state: msgspec.Raw
    next: tuple[str, ...] = ()
    error: ErrorReport | None = None


class Proceed(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Go on: the last end of a step is recorded, or the delay before its next attempt is over."""


class Check(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Check these texts, in place of running a workflow; the child does not run them."""

    texts: tuple[CheckedText, ...]
    adaptors: tuple[AdaptorLink, ...] = ()
    """Every adaptor version that a text may link."""
    broken: tuple[str, ...] = ()
    """Adaptors that cannot be imported, as ``name@version``; checks that need them are left out."""
    whitelist: tuple[str, ...] | None = None
    repo_known: bool = True
    """Whether a module that is not found may be reported as missing."""
    workflow_globals: str | None = None


class Loaded(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The answer to `LoadCredential` or `LoadState`."""

    value: msgspec.Raw


class LoadFailed(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The value cannot be loaded; the run ends with this report."""

    error: ErrorReport


class Cancel(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Come to an end; the engine kills the child after the grace period."""

    reason: str


# --- child to engine ---


if TYPE_CHECKING:
    SentReport = ErrorReport  # the child sends one of these
else:

    class SentReport(ErrorReport, frozen=True, omit_defaults=True, kw_only=True):
        """A report as the engine reads it: it does not decode details that a child chooses."""

        details: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
        stack: Annotated[tuple[StackFrame, ...], msgspec.Meta(max_length=MAX_SENT_FRAMES)] = ()


class Ready(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The child is confined and waits for its plan."""

    confinement: ConfinementReport
    python: str


class ConfineFailed(Message, frozen=True, kw_only=True, tag=kebab_case):
    """A required layer is missing; the child ends without reading a plan."""

    layer: str
    reason: str
    remedy: str


class Linking(Message, frozen=True, kw_only=True, tag=kebab_case):
    """An adaptor is about to be imported for a check; if the child ends now, this is the cause."""

    adaptor: str


class Checked(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The findings in the next text of a check."""

    findings: Annotated[tuple[Finding, ...], msgspec.Meta(max_length=MAX_FINDINGS)] = ()
    form: str | None = None
    """The form of a job that compiles: script, function or operations."""
    operations: Annotated[tuple[CheckedOperation, ...], msgspec.Meta(max_length=MAX_FINDINGS)] = ()


class InitStart(Message, frozen=True, kw_only=True, tag=kebab_case):
    """See the event of this name."""

    step_id: str
    step_run_id: str
    attempt: int = 1


class InitComplete(Message, frozen=True, kw_only=True, tag=kebab_case):
    """See the event of this name."""

    duration_ms: int


class LoadCredential(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Ask for a credential; answered by `Loaded` or `LoadFailed`."""

    step_id: str
    step_run_id: str
    id: str


class LoadState(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Ask for a stored state; answered by `Loaded` or `LoadFailed`."""

    step_id: str
    step_run_id: str
    id: str


class JobStart(Message, frozen=True, kw_only=True, tag=kebab_case):
    """See the event of this name."""


class JobComplete(Message, frozen=True, kw_only=True, tag=kebab_case):
    """See the event of this name."""

    state: memoryview | None
    """The encoded state.  None if it is too large for an event, or if events do not carry states.

    This is the first field, so that its length is known before anything is decoded."""
    state_bytes: int
    next: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_NEXT)]
    duration_ms: int
    ends_run: bool = False
    """The workflow cannot go on after this step: `WorkflowError` follows without a `Proceed`."""


class JobError(Message, frozen=True, kw_only=True, tag=kebab_case):
    """See the event of this name."""

    state: memoryview | None
    error: SentReport
    state_bytes: int
    next: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_NEXT)]
    duration_ms: int
    ends_run: bool = False
    """The workflow cannot go on after this step: `WorkflowError` follows without a `Proceed`."""
    retry: bool = False
    """Another attempt follows after a `Proceed`.  Edges are not decided: ``next`` is empty."""
    retry_after_s: float | None = None
    """The delay in seconds that the exception of an adaptor asks for: finite and not negative."""


class StepDied(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The step of ``Start.resume`` has died with an earlier child; `JobError` with its state follows."""

    step_id: str
    step_run_id: str


class Elsewhere(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The next step is not one of ``Start.here``; the child ends."""

    step_id: str
    step_run_id: str


class EdgeResolved(Message, frozen=True, kw_only=True, tag=kebab_case):
    """See the event of this name."""

    from_step_id: str
    to_step_id: str
    taken: bool


class LogEntry(msgspec.Struct, frozen=True, array_like=True):
    """A log line; it is an array on the wire because there are many."""

    level: LogLevel
    source: LogSource
    message: str
    redacted: bool = False


class LogBatch(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Log lines of one step, or of the time between two steps, in order."""

    entries: Annotated[tuple[LogEntry, ...], msgspec.Meta(max_length=MAX_LOG_ENTRIES)]
    dropped: int = 0
    """Number of lines dropped since the last batch, because there were too many."""
    dropped_bytes: int = 0


class WorkflowComplete(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The workflow was walked to its end.

    ``error`` is the report of the first leaf whose job failed, if one did.
    """

    state: memoryview | None
    state_of: str | None = None
    """If the last step run to end carried this state: its id.  ``state`` is then None."""
    error: SentReport | None = None


class WorkflowError(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The workflow cannot go on."""

    error: SentReport


ToChild = (
    Hello
    | Confine
    | Start
    | Check
    | Loaded
    | LoadFailed
    | CollectionGiven
    | CollectionFailed
    | Cancel
    | Replay
    | Proceed
)
FromChild = (
    Hello
    | Ready
    | ConfineFailed
    | Linking
    | Checked
    | InitStart
    | InitComplete
    | LoadCredential
    | LoadState
    | CollectionGet
    | CollectionSet
    | CollectionRemove
    | JobStart
    | JobComplete
    | JobError
    | StepDied
    | Elsewhere
    | EdgeResolved
    | LogBatch
    | WorkflowComplete
    | WorkflowError
)
