"""A spare that has died is given to no run, whether or not the engine has taken note of its death."""

from __future__ import annotations

import os
from collections import deque
from types import SimpleNamespace

from engine.start.child import Started
from engine.start.spares import SpareStarter


class Child:
    """A child that has an event for its end, like that of a zygote."""

    def __init__(self):
        self.exit_fd = os.eventfd(0)
        self.is_gone = False
        self.reaped = False

    def gone(self):
        return self.is_gone

    def reap(self):
        self.reaped = True
        os.close(self.exit_fd)

    def kill(self):
        os.eventfd_write(self.exit_fd, 1)


class Inner:
    """A starter that keeps what it has started."""

    def __init__(self):
        self.started = []

    def attach(self, _watcher):
        pass

    def start(self, _request):
        connection = SimpleNamespace(close=lambda: None)
        self.started.append(Started(Child(), connection))
        return self.started[-1]

    def run_ended(self):
        pass

    def close(self):
        pass


class Watcher:
    """The supervisor, with the calls that it would make."""

    def __init__(self):
        self.watched = {}
        self.calls = deque()

    def watch(self, fd, _mask, call):
        self.watched[fd] = call

    def unwatch(self, fd):
        del self.watched[fd]

    def call_at(self, _time, call):
        self.calls.append(call)


def test_a_spare_whose_end_was_not_noted_yet_is_passed_over_and_buried_later():
    """Its zygote may have died a moment ago; a run that gets two dead children in a row fails."""
    inner, watcher = Inner(), Watcher()
    starter = SpareStarter(inner, "request", 1)
    starter.attach(watcher)
    (spare,) = inner.started
    spare.child.is_gone = True

    given = starter.start("request")

    assert given is inner.started[1]
    assert not spare.child.reaped
    spare.child.kill()  # the zygote's end is reported
    watcher.watched[spare.child.exit_fd](0)
    assert spare.child.reaped
    assert list(watcher.watched) == []
    given.child.reap()


def test_a_spare_that_lives_is_given_to_the_run():
    """The twin."""
    inner, watcher = Inner(), Watcher()
    starter = SpareStarter(inner, "request", 1)
    starter.attach(watcher)

    given = starter.start("request")

    assert inner.started == [given._replace(kind="exec")]
    assert given.kind == "spare"
    assert list(watcher.watched) == []
    given.child.reap()
