"""The engine starts a run, lets it wait for room, or ends it after it has waited too long."""

import errno
import logging
import resource

import pytest

from engine.running import room as room_module
from engine.running.room import GIVE_UP_S, Room, limit_of, spawn_error


class Clock:
    """A monotonic clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(room_module, "time", made)
    return made


@pytest.fixture
def room(clock) -> Room:
    wakes: list[float] = []
    made = Room(wakes.append)
    made.wakes = wakes
    return made


NUMBERS = [
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.ETOOMANYREFS,
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_run_waits_for_what_comes_back(room: Room, clock: Clock, number: int):
    """The run waits while other runs go on, and the supervisor wakes to try again."""
    for _ in range(50):
        assert room.refused(number, running=3)
        assert not room.may_start(3)
        assert room.wakes[-1] > clock.now
        clock.now = room.wakes[-1]
        assert room.may_start(3)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EPERM, None])
def test_a_run_does_not_wait_for_what_will_not_change(room: Room, number: int | None):
    """A missing interpreter will still be missing later."""
    assert not room.refused(number, running=3)
    assert spawn_error(number, "no").message == "the child could not be started: no"


def test_a_run_alone_is_tried_again_for_a_while(room: Room, clock: Clock):
    """Another part of the manager may give resources back, but the run must not hang."""
    began, tries = clock.now, 0
    while room.refused(errno.EAGAIN, running=0):
        tries += 1
        clock.now = room.wakes[-1]
    assert GIVE_UP_S <= clock.now - began < GIVE_UP_S + 1
    assert tries > 5
    assert not room.refused(errno.EAGAIN, running=0), "the next run would wait in vain as well"
    assert room.may_start(0), "it is tried at once"
    clock.now += GIVE_UP_S + 1
    assert room.refused(errno.EAGAIN, running=0), "much later it may help again"


def test_a_run_that_was_left_alone_gets_its_time(room: Room, clock: Clock):
    """Time in which the run waited beside other runs does not count."""
    assert room.refused(errno.EMFILE, running=1)
    clock.now += 60
    assert room.refused(errno.EMFILE, running=0)


def test_one_run_tries_for_all(room: Room, clock: Clock):
    """Until there is more room, one child is tried at a time; a child that lives ends this."""
    room.refused(errno.EAGAIN, running=2)
    clock.now = room.wakes[-1]
    assert [room.may_start(2), room.may_start(2)] == [True, False]
    room.lives()
    assert [room.may_start(2), room.may_start(2)] == [True, True]


def test_the_end_of_a_run_is_a_reason_to_try_at_once(room: Room):
    """A run that ends gives its resources back, so the next one is tried."""
    room.refused(errno.EMFILE, running=1)
    assert not room.may_start(1)
    room.freed()
    assert room.may_start(0)


def test_descriptors_are_left_to_the_manager(room: Room, clock: Clock, monkeypatch):
    """Near the limit the next run waits, unless it is the only run."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    taken = [230]
    monkeypatch.setattr(room_module.os, "listdir", lambda _: range(taken[0]))
    room.started(100)
    assert room.may_start(5)
    room.started(240)
    assert not room.may_start(5)
    clock.now = room.wakes[-1]
    assert not room.may_start(5)
    clock.now = room.wakes[-1]
    assert room.may_start(0)
    taken[0] = 50
    assert room.may_start(5)


@pytest.mark.parametrize("limit", [0, resource.RLIM_INFINITY])
def test_no_limit_holds_nothing_back(room: Room, monkeypatch, limit: int):
    """A limit of zero does not lead to a division by zero."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    room.started(10**6)
    assert room.may_start(1) is (limit == resource.RLIM_INFINITY)


def test_each_limit_is_said_once(room: Room, caplog):
    """The message gives the value of the limit and the way to raise it."""
    with caplog.at_level(logging.WARNING, logger="jobcell"):
        for _ in range(3):
            room.refused(errno.EMFILE, running=2)
            room.refused(errno.EAGAIN, running=2)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    descriptors, processes = [record.getMessage() for record in caplog.records]
    assert f"{soft} open files (RLIMIT_NOFILE)" in descriptors
    assert "ulimit -n" in descriptors
    assert "RLIMIT_NPROC" in processes
    assert "pids.max" in processes


@pytest.mark.parametrize("number", NUMBERS)
def test_an_error_names_the_limit_and_how_to_raise_it(number: int):
    """A run that has waited for its whole time ends with this error."""
    limit, report = limit_of(number), spawn_error(number, "reason")
    assert report.name == "SpawnError"
    assert report.severity == "exception"
    assert limit.what in report.message
    assert report.fix == limit.fix
