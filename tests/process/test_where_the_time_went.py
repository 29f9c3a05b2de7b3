"""A limit of time names the line of the job that was running, in real children of both kinds."""

from __future__ import annotations

import pytest

from engine import Engine, RunOptions
from protocol.events import Log

LOOP = """\
def count(n):
    while True:
        n = n + 1


def main(state):
    print("begun")
    return count(0)
"""
IN_C = """\
def main(state):
    ten = 10
    return sum(range(10**12))
"""
FORGED = """\
import sys
import time


def main(state):
    while True:
        sys.stderr.write("Stack (most recent call first):\\n")
        sys.stderr.write('  File "<job a>", line 1 in \\x1b[31mforged\\n')
        time.sleep(0.01)
"""
GLOBALS = """\
def wait(n):
    while True:
        n = n + 1
"""


def run(eng, source, *, globals_=None, credential=None, **limits):
    """Return the result and the events of a run with one step."""
    step = {"id": "a", "expression": source}
    if credential is not None:
        step["configuration"] = {"password": credential}
    workflow = {"steps": [step]} | ({} if globals_ is None else {"globals": globals_})
    handle = eng.execute({"workflow": workflow}, options=RunOptions(**limits))
    result = handle.result()
    return result, handle.poll(after=0)


@pytest.fixture(params=["exec", "zygote"])
def eng(request, zygote):
    """An engine whose children start in one of the two ways."""
    if request.param == "zygote":
        yield zygote
        return
    with Engine(max_runs=1, start_mode="exec") as made:
        yield made


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"step_timeout_s": 0.2}, "TimeoutError"),
        ({"timeout_s": 0.6}, "TimeoutError"),
        ({"cpu_s": 0.1}, "CPULimitError"),
    ],
)
def test_the_error_has_the_line_of_the_author(eng, limits, name):
    """The error of the run and the event of the step have it; the log is as before."""
    result, events = run(eng, LOOP, **limits)
    (failed,) = [event for event in events if event.type == "job-error"]
    for error in (result.error, failed.error):
        assert (error.name, error.step_id) == (name, "a")
        assert error.position.line in {2, 3}
        assert error.position.source == LOOP.splitlines()[error.position.line - 1]
    logs = [event.message for event in events if isinstance(event, Log)]
    assert logs == ["begun"]


def test_a_job_within_c_code_answers_too(eng):
    """The handler is in C, and does not wait for the interpreter."""
    result, _ = run(eng, IN_C, step_timeout_s=0.2)
    assert result.error.position.line == 3


def test_the_line_is_that_of_the_job_when_globals_run(eng):
    """The place in the job that called them."""
    result, _ = run(
        eng, "def main(state):\n    x = 1\n    wait(x)\n", globals_=GLOBALS, step_timeout_s=0.2
    )
    assert result.error.position.line == 3


def test_a_forged_answer_shows_no_text_of_the_job(plain):
    """A job that got around the language wall can write the same text; only a number is taken."""
    result, events = run(plain, FORGED, step_timeout_s=0.6)
    assert result.error.name == "TimeoutError", result.error
    assert result.error.position is None or result.error.position.source in FORGED.splitlines()
    assert "forged" not in (result.error.message, result.error.stack, result.error.details)
    assert not any("forged" in event.error.message for event in events if event.type == "job-error")


def test_the_line_is_redacted(eng):
    """A job may have the value of a credential in its source."""
    secret = "hunter2-hunter2"
    source = f"def main(state):\n    while '{secret}': pass\n"
    result, events = run(eng, source, credential=secret, step_timeout_s=0.2)
    assert result.error.position.line == 2
    assert "[redacted]" in result.error.position.source
    assert secret not in str(events)
