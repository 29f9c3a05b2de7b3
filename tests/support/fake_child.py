"""An engine whose children are `fake_process`: real processes that break the protocol."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

from engine import Engine
from engine.start.child import Started, Starter, Watcher, greet
from engine.start.connection import ChildEnds, Connection
from engine.start.exec import SpawnedChild
from protocol.confinement import ConfinementRequest

SCRIPT = str(Path(__file__).with_name("fake_process.py"))
PLAN = {
    "workflow": {
        "steps": [
            {"id": "a", "expression": "fn()", "configuration": "cred", "next": "b"},
            {"id": "b", "expression": "fn()"},
        ]
    }
}


class FakeChildren:
    """Starts children that hold a part of a conversation, and then do something else.

    They are forks of one interpreter, whose start takes ten times as long as a fork. Their parent is this process.
    """

    def __init__(self) -> None:
        self._server, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, SCRIPT, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )

    def start(self, count: int, fault: str, ends: ChildEnds) -> int:
        """Start a child on these pipes that sends *count* messages and then does this; return its pid."""
        fds = [ends.stdout, ends.stderr, ends.requests, ends.answers]
        socket.send_fds(self._server, [f"{count} {fault}".encode()], fds)
        return int(self._server.recv(100))

    def close(self) -> None:
        """End the interpreter."""
        self._server.close()
        self._process.wait()


class FakeStarter:
    """Starts these children for an engine."""

    def __init__(self, children: FakeChildren, scenarios: deque[tuple[int, str]]) -> None:
        self._children = children
        self._scenarios = scenarios

    def attach(self, watcher: Watcher) -> None:
        pass

    def start(self, request: ConfinementRequest) -> Started:
        connection = Connection()
        ends = connection.child_ends
        pid = self._children.start(*self._scenarios.popleft(), ends)
        ends.close()
        greet(connection, request)
        return Started(SpawnedChild(pid), connection)

    def run_ended(self) -> None:
        pass

    def close(self) -> None:
        pass


class FakeEngine(Engine):
    """The runs of this engine get these children, in this order."""

    def __init__(self, children: FakeChildren, **changes: object) -> None:
        super().__init__(**changes)  # type: ignore[arg-type]
        self.scenarios: deque[tuple[int, str]] = deque()
        self._children = children

    def _make_starter(self) -> Starter:
        return FakeStarter(self._children, self.scenarios)
