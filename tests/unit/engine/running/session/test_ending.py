"""A table of facts decides why a run is over: the engine first, then the kernel, then the child."""

from __future__ import annotations

import signal

import pytest

from engine.reporting.result import Ending, reason_of
from engine.running.session.ending import Facts, decide_ending
from engine.start.exit import Exit
from protocol.messages import ConfineFailed, WorkflowComplete, WorkflowError
from protocol.report import SEVERITY_BY_NAME, ErrorReport, make_report

MEMORY = 500_000_000
RAW = memoryview(b"\xc0")
COMPLETE = WorkflowComplete(state=RAW)
LEAF_FAILED = make_report("JobError", "bad row", step_id="a")
COMPLETE_WITH_ERROR = WorkflowComplete(state=RAW, error=LEAF_FAILED)
CRASHED = WorkflowError(error=make_report("RuntimeCrash", "x is not defined", step_id="a"))
REFUSED = ConfineFailed(layer="landlock", reason="ENOSYS", remedy="use Linux 6.2")
TIMED_OUT = make_report("TimeoutError", "too late")
CANCELLED = make_report("Cancelled", "enough")
BROKEN = make_report("ProtocolError", "child sent nonsense")
CLEAN = Exit(code=0)


def killed(number, peak=0):
    return Exit(signal=number, peak_bytes=peak)


TABLE = {
    # Each row: name, facts, reason, name of the error, words of the message.
    "walked to its end": ({"exit": CLEAN, "last": COMPLETE}, "success", None, ""),
    "a leaf failed": ({"exit": CLEAN, "last": COMPLETE_WITH_ERROR}, "fail", "JobError", "bad row"),
    "crashed and said so": ({"exit": CLEAN, "last": CRASHED}, "crash", "RuntimeCrash", "defined"),
    "no layer": (
        {"exit": CLEAN, "last": REFUSED},
        "exception",
        "ConfinementError",
        "'landlock', which cannot be applied here: ENOSYS; no job was started",
    ),
    "no terminal message": ({"exit": CLEAN}, "crash", "ExitError", "exit code 0 before"),
    "exit code": ({"exit": Exit(code=3)}, "crash", "ExitError", "exit code 3"),
    "terminal message, then an exit code": (
        {"exit": Exit(code=1), "last": COMPLETE},
        "crash",
        "ExitError",
        "exit code 1",
    ),
    "terminal message, then a crash": (
        {"exit": killed(signal.SIGSEGV), "last": COMPLETE},
        "crash",
        "ExitError",
        "SIGSEGV",
    ),
    "an error, then a crash": (
        {"exit": killed(signal.SIGABRT), "last": CRASHED},
        "crash",
        "ExitError",
        "SIGABRT",
    ),
    "heard to its last word, and killed for it": (
        {"exit": None, "last": COMPLETE},
        "success",
        None,
        "",
    ),
    "heard to an error, and killed for it": (
        {"exit": None, "last": CRASHED},
        "crash",
        "RuntimeCrash",
        "defined",
    ),
    "heard to a failed leaf, and killed for it": (
        {"exit": None, "last": COMPLETE_WITH_ERROR},
        "fail",
        "JobError",
        "bad row",
    ),
    "killed by somebody": ({"exit": killed(signal.SIGKILL)}, "crash", "ExitError", "SIGKILL"),
    "a forbidden system call": (
        {"exit": killed(signal.SIGSYS)},
        "kill",
        "SecurityError",
        "forbidden system call",
    ),
    "CPU time": (
        {"exit": killed(signal.SIGXCPU), "cpu_limit_s": 2.5},
        "kill",
        "CPULimitError",
        "CPU time of 2.5 s (cpu_s)",
    ),
    "CPU time, no limit of ours": (
        {"exit": killed(signal.SIGXCPU)},
        "kill",
        "CPULimitError",
        "cpu_s",
    ),
    "the kernel says out of memory": (
        {"exit": killed(signal.SIGKILL), "oom_killed": True},
        "kill",
        "OOMError",
        "memory limit of 500 MB (memory_mb)",
    ),
    "out of memory, after its last word": (
        {"exit": killed(signal.SIGKILL), "oom_killed": True, "last": COMPLETE},
        "kill",
        "OOMError",
        "memory_mb",
    ),
    "died of a signal at its memory limit": (
        {"exit": killed(signal.SIGSEGV, peak=MEMORY * 95 // 100)},
        "kill",
        "OOMError",
        "died of SIGSEGV at its memory limit",
    ),
    "died of a signal below it": (
        {"exit": killed(signal.SIGSEGV, peak=MEMORY // 2)},
        "crash",
        "ExitError",
        "SIGSEGV",
    ),
    "a forbidden call at the memory limit": (
        {"exit": killed(signal.SIGSYS, peak=MEMORY)},
        "kill",
        "SecurityError",
        "system call",
    ),
    "nobody knows": (
        {"exit": Exit(lost="the zygote died before it could tell")},
        "exception",
        "SpawnError",
        "before it could tell",
    ),
    "nobody knows, but it had said its last word": (
        {"exit": Exit(lost="the zygote died"), "last": COMPLETE},
        "exception",
        "SpawnError",
        "zygote",
    ),
    "a limit, then killed": (
        {"exit": killed(signal.SIGKILL), "verdict": TIMED_OUT},
        "kill",
        "TimeoutError",
        "too late",
    ),
    "a limit wins over out of memory": (
        {"exit": killed(signal.SIGKILL), "verdict": TIMED_OUT, "oom_killed": True},
        "kill",
        "TimeoutError",
        "too late",
    ),
    "a limit wins over the last message": (
        {"exit": CLEAN, "verdict": TIMED_OUT, "last": COMPLETE},
        "kill",
        "TimeoutError",
        "too late",
    ),
    "cancelled": (
        {"exit": killed(signal.SIGKILL), "verdict": CANCELLED},
        "cancelled",
        "Cancelled",
        "enough",
    ),
    "cancelled, ended by itself": (
        {"exit": CLEAN, "verdict": CANCELLED, "last": COMPLETE},
        "cancelled",
        "Cancelled",
        "enough",
    ),
    "cancelled in the queue": ({"verdict": CANCELLED}, "cancelled", "Cancelled", "enough"),
    "could not be started": (
        {"verdict": make_report("SpawnError", "no more processes")},
        "exception",
        "SpawnError",
        "no more processes",
    ),
    "broke the protocol": (
        {"exit": killed(signal.SIGKILL), "verdict": BROKEN},
        "exception",
        "ProtocolError",
        "nonsense",
    ),
    "broke the protocol, then exited well": (
        {"exit": CLEAN, "verdict": BROKEN, "last": COMPLETE},
        "exception",
        "ProtocolError",
        "nonsense",
    ),
}


@pytest.mark.parametrize(("facts", "reason", "name", "words"), TABLE.values(), ids=TABLE)
def test_facts_have_one_ending(facts, reason, name, words):
    """Each row is a way in which a run can be over."""
    ending = decide_ending(Facts(memory_bytes=MEMORY, **facts))
    assert ending.reason == reason
    if name is None:
        assert ending.error is None
    else:
        assert ending.error.name == name
        assert ending.error.severity == SEVERITY_BY_NAME[name]
        assert words in ending.error.message


@pytest.mark.parametrize("number", sorted(set(signal.Signals)), ids=lambda number: number.name)
def test_every_signal_is_named(number):
    """The error of a child that a signal killed names the signal."""
    ending = decide_ending(Facts(memory_bytes=MEMORY, exit=killed(int(number))))
    expected = {"SIGSYS": "SecurityError", "SIGXCPU": "CPULimitError"}
    assert ending.error.name == expected.get(number.name, "ExitError")
    if ending.error.name == "ExitError":
        assert number.name in ending.error.message
        assert ending.error.subtype == number.name


def test_a_signal_without_a_name_has_its_number():
    """Python has no names for the real-time signals between the first and the last."""
    ending = decide_ending(Facts(memory_bytes=MEMORY, exit=killed(signal.SIGRTMIN + 3)))
    assert str(signal.SIGRTMIN + 3) in ending.error.message


@pytest.mark.parametrize("code", [1, 2, 3, 4, 127, 255])
@pytest.mark.parametrize("last", [None, COMPLETE, CRASHED])
def test_an_exit_code_is_told_whatever_was_said_before(code, last):
    """The engine believes the kernel before the child."""
    ending = decide_ending(Facts(memory_bytes=MEMORY, exit=Exit(code=code), last=last))
    assert ending.error.message == f"the child ended on its own with exit code {code}"


@pytest.mark.parametrize("facts", [row[0] for row in TABLE.values()], ids=TABLE)
def test_an_error_names_the_step_that_was_open(facts):
    """An error that names a step itself keeps that step."""
    ending = decide_ending(Facts(memory_bytes=MEMORY, step_id="open", **facts))
    if ending.error is not None:
        assert ending.error.step_id in ("open", "a")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ErrorReport(name="Surprise", message="", severity="crash"), id="no such name"),
        pytest.param(ErrorReport(name="\x1b[0m" * 999, message="", severity="kill"), id="escapes"),
        pytest.param(make_report("JobError", ""), id="a fail ends no run"),
        pytest.param(make_report("ProtocolError", ""), id="nobody's fault"),
        pytest.param(make_report("Cancelled", ""), id="not by us"),
    ],
)
def test_a_child_cannot_end_a_run_with_any_error(error):
    """The child may report only errors that it can know; others are a `ProtocolError`."""
    last = WorkflowError(error=error)
    ending = decide_ending(Facts(memory_bytes=MEMORY, exit=CLEAN, last=last))
    assert (ending.reason, ending.error.name) == ("exception", "ProtocolError")
    assert ending.error.message.isascii()
    assert len(ending.error.message) < 600


def test_what_went_wrong_before_a_job_may_be_a_crash():
    """An exception in the helper functions of a workflow is a fail that no edge can follow."""
    error = ErrorReport(name="RuntimeError", message="in globals", severity="crash")
    ending = decide_ending(Facts(memory_bytes=MEMORY, exit=CLEAN, last=WorkflowError(error=error)))
    assert ending == Ending("crash", error)


@pytest.mark.parametrize("name", SEVERITY_BY_NAME)
def test_every_error_has_a_reason(name):
    """The reason is the severity of the error, except for a cancellation."""
    expected = "cancelled" if name == "Cancelled" else SEVERITY_BY_NAME[name]
    assert reason_of(make_report(name, "")) == expected
