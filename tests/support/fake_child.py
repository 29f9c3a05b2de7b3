"""An engine whose children are `fake_process`: real processes that break the protocol."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path

from engine import Engine
from engine.start.child import Started, Starter, Watcher, greet
from engine.start.connection import Connection
from engine.start.exec import SpawnedChild, spawn
from protocol.confinement import ConfinementRequest
from protocol.limits import ANSWERS_FD, REQUESTS_FD

SCRIPT = str(Path(__file__).with_name("fake_process.py"))
PLAN = {
    "workflow": {
        "steps": [
            {"id": "a", "expression": "fn()", "configuration": "cred", "next": "b"},
            {"id": "b", "expression": "fn()"},
        ]
    }
}


class FakeStarter:
    """Starts children that hold a part of a conversation, and then do something else."""

    def __init__(self, scenarios: deque[tuple[int, str]]) -> None:
        self._scenarios = scenarios

    def attach(self, watcher: Watcher) -> None:
        pass

    def start(self, request: ConfinementRequest) -> Started:
        connection = Connection()
        ends = connection.child_ends
        count, fault = self._scenarios.popleft()
        pid = spawn(
            [sys.executable, SCRIPT, str(count), fault],
            {1: ends.stdout, 2: ends.stderr, REQUESTS_FD: ends.requests, ANSWERS_FD: ends.answers},
        )
        ends.close()
        greet(connection, request)
        return Started(SpawnedChild(pid), connection)

    def run_ended(self) -> None:
        pass

    def close(self) -> None:
        pass


class FakeEngine(Engine):
    """The runs of this engine get these children, in this order."""

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)  # type: ignore[arg-type]
        self.scenarios: deque[tuple[int, str]] = deque()

    def _make_starter(self) -> Starter:
        return FakeStarter(self.scenarios)
