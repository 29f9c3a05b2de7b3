"""Deadlines decide when the time of a run is over, and which limit the report names."""

from __future__ import annotations

import math
import time

import pytest

from engine.api.options import RunOptions
from engine.running.clocks import read_clocks
from engine.running.session import deadlines as module
from engine.running.session.deadlines import Deadlines

NOW = 1000.0


class Clock:
    """A monotonic clock that a test moves by hand."""

    def __init__(self):
        self.now = NOW


@pytest.fixture
def clock():
    """The time that the test hands in."""
    return Clock()


def running(**options):
    """Return the deadlines of a run whose child is ready."""
    made = Deadlines(RunOptions(**options))
    made.begin(NOW)
    made.ready()
    return made


@pytest.mark.parametrize(
    ("options", "prepare", "message", "step_id"),
    [
        pytest.param(
            {"timeout_s": 5},
            lambda run: None,
            "the run took longer than its limit of 5000 ms (timeout_s)",
            None,
            id="run",
        ),
        pytest.param(
            {"idle_timeout_s": 5},
            lambda run: None,
            "nothing was heard from the run for its limit of 5000 ms (idle_timeout_s)",
            None,
            id="idle",
        ),
        pytest.param(
            {"step_timeout_s": 5},
            lambda run: run.job_started("a", NOW),
            "step 'a' took longer than its limit of 5000 ms (step_timeout_s)",
            "a",
            id="step",
        ),
    ],
)
def test_a_limit_is_named_with_its_value(clock, options, prepare, message, step_id):
    """The limit is reported only after it has passed."""
    run = running(**options)
    prepare(run)
    assert run.next == NOW + 5
    clock.now = NOW + 4.99
    assert run.exceeded(clock.now) is None
    clock.now = NOW + 5
    report = run.exceeded(clock.now)
    assert (report.name, report.severity, report.step_id) == ("TimeoutError", "kill", step_id)
    assert report.message == message


def test_a_limit_below_a_millisecond_is_shown(clock):
    """The report does not round such a limit to zero."""
    run = running(timeout_s=0.0005)
    clock.now += 1
    assert "0.5 ms" in run.exceeded(clock.now).message


def test_the_queue_does_not_count(clock):
    """The clock of a run starts with its child."""
    run = Deadlines(RunOptions(timeout_s=5))
    clock.now += 100
    run.begin(clock.now)
    run.ready()
    assert run.exceeded(clock.now) is None
    assert run.elapsed_ms(clock.now) == 0
    clock.now += 1.5
    assert run.elapsed_ms(clock.now) == 1500


def test_a_child_that_is_never_ready_is_not_the_fault_of_the_job(clock):
    """A start normally takes milliseconds, so a late child is a fault of the host."""
    run = Deadlines(RunOptions(timeout_s=None))
    run.begin(clock.now)
    clock.now += module.START_S
    report = run.exceeded(clock.now)
    assert (report.name, report.severity) == ("SpawnError", "exception")
    run.ready()
    assert run.exceeded(clock.now) is None
    assert run.next == math.inf


def test_a_step_that_ended_has_no_deadline(clock):
    """Each job gets the whole limit again."""
    run = running(timeout_s=None, step_timeout_s=5)
    run.job_started("a", clock.now)
    clock.now += 4
    run.job_ended()
    clock.now += 4
    assert run.exceeded(clock.now) is None
    run.job_started("b", clock.now)
    clock.now += 4
    assert run.exceeded(clock.now) is None
    clock.now += 1
    assert run.exceeded(clock.now).step_id == "b"


def test_any_sign_of_life_starts_the_silence_anew(clock):
    """The engine measures silence from the last message."""
    run = running(idle_timeout_s=5)
    clock.now += 4
    run.heard(clock.now)
    assert run.next == clock.now + 5
    clock.now += 4
    assert run.exceeded(clock.now) is None


def test_waiting_for_the_manager_is_no_silence_of_the_child(clock):
    """The load has its own deadline; after the answer the child has its whole time again."""
    run = running(timeout_s=None, idle_timeout_s=5, resolve_timeout_s=20)
    run.loading(clock.now)
    assert run.next == NOW + 20
    clock.now += 19
    assert run.exceeded(clock.now) is None
    assert not run.load_is_late(clock.now)
    clock.now += 1
    assert run.load_is_late(clock.now)
    assert run.exceeded(clock.now) is None
    run.loaded(clock.now)
    assert not run.load_is_late(clock.now)
    assert run.next == clock.now + 5


def test_waiting_for_the_manager_counts_for_the_run(clock):
    """A resolver that takes for ever does not keep a run alive."""
    run = running(timeout_s=3, resolve_timeout_s=20)
    run.loading(clock.now)
    clock.now += 3
    assert "timeout_s" in run.exceeded(clock.now).message


@pytest.mark.parametrize(
    ("end", "timeout_s", "patience"),
    [
        pytest.param(Deadlines.finished, 0.001, module.LINGER_S, id="finished"),
        pytest.param(Deadlines.cancelled, 0.25, 0.25, id="cancelled"),
        pytest.param(Deadlines.cancelled, None, 0.25, id="cancelled without a limit"),
    ],
)
def test_a_child_that_should_be_gone_has_a_moment(clock, end, timeout_s, patience):
    """Only the deadline for its end is left; the other limits do not fire any longer."""
    run = running(timeout_s=timeout_s, step_timeout_s=0.001, idle_timeout_s=0.001)
    run.job_started("a", clock.now)
    end(run, clock.now)
    clock.now += patience - 0.01
    assert not run.must_stop(clock.now)
    assert run.exceeded(clock.now) is None
    assert run.next == NOW + patience
    clock.now = NOW + patience
    assert run.must_stop(clock.now)


@pytest.mark.parametrize(
    ("elapsed", "left"),
    [(0.0, 0.25), (4.5, 0.25), (4.75, 0.25), (4.9, 0.1), (5.0, 0.0), (7.0, 0.0)],
)
def test_the_grace_of_a_cancelled_child_ends_with_the_time_of_its_run(clock, elapsed, left):
    """A cancellation does not extend the run's time; the report stays that of the cancellation."""
    run = running(timeout_s=5, cancel_grace_s=0.25)
    clock.now += elapsed
    run.cancelled(clock.now)
    assert max(run.next, clock.now) == pytest.approx(clock.now + left)
    assert run.must_stop(clock.now) is (left == 0)
    assert run.exceeded(clock.now) is None
    clock.now += left + 0.001
    assert run.must_stop(clock.now)
    assert run.exceeded(clock.now) is None


def test_the_moment_is_not_prolonged_by_saying_so_again(clock):
    """A child that keeps sending, and a manager that keeps cancelling, get no more time."""
    run = running()
    run.cancelled(clock.now)
    clock.now += 0.2
    run.cancelled(clock.now)
    run.finished(clock.now)
    assert run.next == NOW + 0.25


def test_the_earliest_deadline_is_next(clock):
    """The next deadline is the earliest of all kinds."""
    run = running(timeout_s=9, step_timeout_s=2, idle_timeout_s=4)
    assert run.next == NOW + 4
    run.job_started("a", clock.now)
    assert run.next == NOW + 2


def test_the_clock_is_the_monotonic_one():
    """A change of the time of day does not end a run."""
    run = Deadlines(RunOptions(timeout_s=60))
    run.begin(read_clocks().s)
    run.ready()
    assert abs(run.next - time.monotonic() - 60) < 5
