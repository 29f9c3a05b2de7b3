"""Every message of the wire: one frozen struct each, and the two unions.

A state of a child crosses as msgpack within msgpack, a byte string: the engine passes over it in one
step, whatever it consists of, and it is read where it is needed.  What a child may repeat is limited in
its number by the type of the field, which msgspec checks before it makes a single item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from protocol.adaptor import AdaptorLink
from protocol.checks import CheckedOperation, CheckedText, Finding
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.limits import (
    MAX_FINDINGS,
    MAX_LOG_ENTRIES,
    MAX_NEXT,
    MAX_SENT_FRAMES,
    MAX_WORDS,
)
from protocol.plan import Workflow
from protocol.report import ErrorReport, StackFrame
from protocol.words import LogLevel, LogSource, kebab_case


class Message(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag=kebab_case,
    forbid_unknown_fields=True,
):
    """What all messages have in common: they travel under the name of their class."""


class Hello(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The first frame each way."""

    version: int
    features: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_WORDS)] = ()
    pid: int = 0
    """Of the engine: its child must not outlive it."""


# --- engine to child ---


class Confine(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Put on these layers; nothing of the plan has been sent before the answer is read."""

    request: ConfinementRequest


class ChildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that the child can keep early.  The parent keeps them for certain."""

    state_bytes: int
    state_items: int
    payload_bytes: int
    log_payload_bytes: int
    max_log_bytes: int
    max_step_runs: int
    memory_bytes: int


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """The first execution of a step after the replayed ones, which an earlier child has begun."""

    step_run_id: str
    attempt: int = 1
    """The number of the attempt that begins now, or that has died."""
    died: ErrorReport | None = None
    """The step has failed with this report, because an earlier child died.  It does not run again."""


class Start(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Run this workflow on this state."""

    run_id: str
    workflow: Workflow
    start: str
    state: msgspec.Raw
    limits: ChildLimits
    end: str | None = None
    state_id: str | None = None
    """The initial state is the stored one of this id; ``state`` is then nil."""
    adaptors: tuple[AdaptorLink, ...] = ()
    """Every adaptor version that a job of this run may link."""
    step_adaptors: dict[str, tuple[str, ...]] = {}
    """Step id to the adaptors of that step, as ``name@version``."""
    whitelist: tuple[str, ...] | None = None
    log_level: LogLevel = "debug"
    adaptor_log_level: LogLevel = "warning"
    sanitize: Literal["none", "remove", "obfuscate", "summarize"] = "none"
    remove_from_state: tuple[str, ...] = ("configuration",)
    event_state: bool = True
    language: bool = True
    unlinked: dict[str, str] = {}
    """Step id to the reason why its adaptors cannot be had."""
    repo_error: str | None = None
    """Why no module of the repo can be imported, if none can."""
    replay: int = 0
    """Number of `Replay` messages that follow: the executions that earlier children have finished."""
    resume: Resume | None = None
    """The execution after the replayed ones, if an earlier child has begun it."""
    whole: bool = False
    """The end of a step carries its whole state, whatever ``event_state`` and ``payload_bytes`` say."""
    barrier: bool = False
    """After the end of a step the child waits for `Proceed`."""
    here: tuple[str, ...] | None = None
    """The steps that this child may run; None: all.  For any other step it sends `Elsewhere`."""


class Replay(Message, frozen=True, kw_only=True, tag=kebab_case):
    """One execution of a step that an earlier child has finished, in the order of their ends."""

    step_run_id: str
    state: msgspec.Raw
    next: tuple[str, ...] = ()
    error: ErrorReport | None = None


class Proceed(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Go on: the last end of a step is recorded, or the delay before its next attempt is over."""


class Check(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Check these texts, in place of running a workflow; the child runs nothing of them."""

    texts: tuple[CheckedText, ...]
    adaptors: tuple[AdaptorLink, ...] = ()
    """Every adaptor version that a text may link."""
    broken: tuple[str, ...] = ()
    """Adaptors that cannot be imported, as ``name@version``: what needs them is passed over."""
    whitelist: tuple[str, ...] | None = None
    repo_known: bool = True
    """Whether a module that is not there can be called missing."""
    workflow_globals: str | None = None


class Loaded(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The value that was asked for."""

    value: msgspec.Raw


class LoadFailed(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The value cannot be had; the run ends with this report."""

    error: ErrorReport


class Cancel(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Come to an end; what has not ended after the grace period is killed."""

    reason: str


# --- child to engine ---


if TYPE_CHECKING:
    SentReport = ErrorReport  # the child sends one of these
else:

    class SentReport(ErrorReport, frozen=True, omit_defaults=True, kw_only=True):
        """A report as the engine reads it: a child chooses the details, so they are not decoded."""

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
    """An adaptor is about to be imported for a check; if the child ends now, it is the cause."""

    adaptor: str


class Checked(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The findings in the next text of a check."""

    findings: Annotated[tuple[Finding, ...], msgspec.Meta(max_length=MAX_FINDINGS)] = ()
    form: str | None = None
    """Of a job that compiles: script, function or operations."""
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
    """Encoded.  None if it is too large for an event, or if events carry no state.

    It is the first field, so that its length is known before anything is decoded."""
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
    """One log line; an array on the wire because there are many."""

    level: LogLevel
    source: LogSource
    message: str
    redacted: bool = False


class LogBatch(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Log lines of one step, or of none, in order."""

    entries: Annotated[tuple[LogEntry, ...], msgspec.Meta(max_length=MAX_LOG_ENTRIES)]
    dropped: int = 0
    """Lines that were dropped since the last batch, because there were too many."""
    dropped_bytes: int = 0


class WorkflowComplete(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The workflow was walked to its end.

    ``error`` is the report of the first leaf whose job failed, if one did.
    """

    state: memoryview | None
    state_of: str | None = None
    """The state is that of this execution, sent with its end and before no other; ``state`` is None."""
    error: SentReport | None = None


class WorkflowError(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The workflow cannot go on."""

    error: SentReport


ToChild = Hello | Confine | Start | Check | Loaded | LoadFailed | Cancel | Replay | Proceed
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
