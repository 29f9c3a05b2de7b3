"""Decides why a run is over, as a pure function of facts.

The order follows trust.  Actions of the engine come first (a limit that fired, a cancellation).
Then come facts from the kernel (exit status, signal, out of memory), and only then the child's last
message.
"""

from __future__ import annotations

import signal

import msgspec

from engine.reporting import Ending, reason_of
from engine.running.session.roles import described, may_claim
from engine.start import Exit
from protocol.limits import MEGABYTE, OUT_OF_MEMORY_CODE
from protocol.messages import ConfineFailed, WorkflowComplete, WorkflowError
from protocol.report import ErrorReport, make_report

_MOSTLY = 0.9
"""Share of its memory limit above which a child without another cause of death died of memory."""

_MAX_LINE = 300
"""Most characters that are quoted of the last line of a child."""

_OF_ITS_OWN = frozenset(
    {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGTRAP, signal.SIGILL}
)
"""Signals that end a program without memory: it aborts, or uses an address that it did not get."""

_SIGNS_OF_MEMORY = (
    b"memoryerror",
    b"bad_alloc",
    b"cannot allocate memory",
    b"out of memory",
    b"memory allocation of",
    b"failed to allocate",
)
"""Messages of C, C++, Rust and Python about missing memory, in lower case."""

_MUCH = 0.6
"""The same for a child that crashed.  When a buffer is full, C code asks for one of 1.5 or 2 times
the size.  If that request fails, none of it is resident. msgspec, for example, crashes then."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All known facts about the end of a run."""

    verdict: ErrorReport | None = None
    """The first limit that fired, a cancellation, or a frame that the protocol forbids."""
    exit: Exit | None = None
    """The exit of the child.  None if it was never started, or was killed after its last
    message."""
    oom_killed: bool = False
    """Whether the kernel killed a process of the run's cgroup for its memory."""
    memory_bytes: int
    """The memory limit."""
    cpu_limit_s: float | None = None
    last: WorkflowComplete | WorkflowError | ConfineFailed | None = None
    """The child's last message, if it sent one."""
    step_id: str | None = None
    """The step that was open at the end."""
    ready: bool = True
    """Whether the child had reported that it was confined; before that, a job cannot be at
    fault."""
    stderr: bytes = b""
    """The end of its standard error."""


def decide_ending(facts: Facts) -> Ending:
    """Return why the run is over."""
    report = facts.verdict or _kernel_report(facts) or _last_report(facts)
    if report is not None:
        if report.step_id is None and facts.step_id is not None:
            report = msgspec.structs.replace(report, step_id=facts.step_id)
        return Ending(reason_of(report), report)
    assert isinstance(facts.last, WorkflowComplete)
    if facts.last.error is not None:
        return Ending("fail", facts.last.error)
    return Ending("success")


def _kernel_report(facts: Facts) -> ErrorReport | None:
    ended = facts.exit
    if facts.oom_killed:
        return _out_of_memory(facts, "the kernel ended the run")
    if ended is None:
        return None
    if ended.lost is not None:
        return make_report("SpawnError", ended.lost)
    if ended.code == OUT_OF_MEMORY_CODE:
        return _out_of_memory(facts, "the child ended")
    if not facts.ready and not isinstance(facts.last, ConfineFailed):
        return _never_ready(facts, ended)
    if ended.signal is not None:
        return _signal_report(facts, ended.signal, ended.peak_bytes)
    if ended.code:
        if _speaks_of_memory(facts.stderr):
            return _out_of_memory(facts, f"the child ended with exit code {ended.code}")
        return make_report("ExitError", f"the child ended on its own with exit code {ended.code}")
    return None


def _never_ready(facts: Facts, ended: Exit) -> ErrorReport:
    """Return the report of a child that ended before it could read its plan."""
    how = f"exit code {ended.code}"
    if ended.signal is not None:
        how = f"the signal {_signal_name(ended.signal)}"
    if _died_of_memory(facts, ended):
        return _out_of_memory(facts, f"the child ended with {how} before it was ready")
    lines = facts.stderr.decode(errors="replace").strip().splitlines()
    said = f": {lines[-1][:_MAX_LINE]}" if lines else ""
    return make_report("SpawnError", f"the child ended with {how} before it was ready{said}")


def _died_of_memory(facts: Facts, ended: Exit) -> bool:
    return ended.peak_bytes >= _MOSTLY * facts.memory_bytes or _speaks_of_memory(facts.stderr)


def _speaks_of_memory(stderr: bytes) -> bool:
    """Whether a library or the interpreter has written that it could not get memory.

    The kernel's counts do not show a large request that failed.
    """
    text = stderr.lower()
    return any(sign in text for sign in _SIGNS_OF_MEMORY)


def _signal_report(facts: Facts, number: int, peak_bytes: int) -> ErrorReport:
    if number == signal.SIGSYS:
        return make_report(
            "SecurityError",
            "the run was ended by the kernel because of a forbidden system call",
            subtype="SIGSYS",
        )
    if number == signal.SIGXCPU:
        limit = f" of {facts.cpu_limit_s:g} s" if facts.cpu_limit_s else ""
        return make_report(
            "CPULimitError", f"the run used up its CPU time{limit} (cpu_s)", option="cpu_s"
        )
    crashed = number in _OF_ITS_OWN
    share = _MUCH if crashed else _MOSTLY
    if peak_bytes >= share * facts.memory_bytes or (crashed and _speaks_of_memory(facts.stderr)):
        return _out_of_memory(facts, f"the child died of {_signal_name(number)}")
    name = _signal_name(number)
    return make_report("ExitError", f"the child was ended by the signal {name}", subtype=name)


def _out_of_memory(facts: Facts, what: str) -> ErrorReport:
    return make_report(
        "OOMError",
        f"{what} at its memory limit of {facts.memory_bytes / MEGABYTE:g} MB (memory_mb)",
        option="memory_mb",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"number {number}"


def _last_report(facts: Facts) -> ErrorReport | None:
    if isinstance(facts.last, WorkflowError):
        return _claimed_report(facts.last.error)
    if isinstance(facts.last, ConfineFailed):
        return confinement_report(facts.last)
    if facts.last is None:
        return make_report(
            "ExitError", "the child ended on its own with exit code 0 before the workflow did"
        )
    return None


def _claimed_report(error: ErrorReport) -> ErrorReport:
    """Return the report of the child's last message, if a run may end with it.

    A ``fail`` does not end a run, ``exception`` would mean that the job is not at fault, and the
    engine itself knows whether a run was cancelled.
    """
    if error.severity in ("crash", "kill") and may_claim(error):
        return error
    return make_report(
        "ProtocolError", f"child ended the run with {described(error)}, with which it may not"
    )


def confinement_report(failed: ConfineFailed) -> ErrorReport:
    """Return the report of a required layer that is missing."""
    return make_report(
        "ConfinementError",
        f"the policy requires the layer {failed.layer!r}, which cannot be applied here:"
        f" {failed.reason}; no job was started",
        fix=failed.remedy,
    )
