"""Runs that are stopped at a boundary, and a server that counts the actions of their code.

Each run waits at one boundary: its request there gets no answer until the run has received its
stop.  The server counts later requests as well; code that sent these ran after the stop.
"""

from __future__ import annotations

import compileall
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runs import finish, make_engine

from engine import Engine, Permissions, Policy, Resolvers, Run, RunOptions

WAIT_S = 60.0

ADAPTOR = """
import asyncio
import socket

def visit(what):
    with socket.create_connection(("127.0.0.1", {port})) as connection:
        connection.sendall(f"{boundary} {{what}}\\n".encode())
        connection.recv(1)

def hit(*names):
    def operation(state):
        for name in names:
            visit(name)
        return state
    return operation

def hit_and_wait(name):
    async def operation(state):
        visit(name)
        await asyncio.sleep(600)
    return operation

"""

VISIT_IN_A_CONDITION = (
    "[c := __import__('socket').create_connection(('127.0.0.1', {port})),"
    " c.sendall(b'condition {what}\\n'), c.recv(1)] != []"
)
"""A condition can act outside only if the language wall is off."""

JOBS: dict[str, tuple[str, ...]] = {
    "init": ("hit('a.1')", "hit('b.1')"),
    "globals": ("hit('a.1')", "hit('b.1')"),
    "body": ("hit('a.1')\nhit('a.2', 'a.3')", "hit('b.1')"),
    "operations": ("hit('a.1')\nhit('a.2')\nhit('a.3')", "hit('b.1')"),
    "reducer": ("hit('a.1')\nhit('a.2')\nhit('a.3')", "hit('b.1')"),
    "steps": ("hit('a.1')", "hit('b.1')", "hit('c.1')"),
    "async": ("hit_and_wait('a.1')", "hit('b.1')"),
    "condition": ("hit('a.1')", "hit('b.1')"),
    "credential": ("hit('a.1')", "hit('b.1')"),
    "state": ("hit('a.1')", "hit('b.1')"),
    "queued": ("hit('a.1')",),
    "chain": (),
}
"""The boundaries, and the jobs of the run that is stopped there."""

TRAPS = {
    "init": "a.init",
    "globals": "a.globals",
    "body": "a.2",
    "operations": "a.2",
    "reducer": "a.2",
    "steps": "b.1",
    "async": "a.1",
    "condition": "a.condition1",
}
"""The request at which each run waits; the other runs wait in a resolver, or for a place."""

REDUCER = """

def execute(*operations):
    def run(state):
        for operation in operations:
            try:
                state = operation(state)
            except Exception:
                pass
        return state
    return run
"""


class _Listener(socketserver.ThreadingTCPServer):
    """Knows the number of connections that it has taken and not yet served."""

    daemon_threads = True

    def __init__(self, handler: type[socketserver.StreamRequestHandler]) -> None:
        self.open = 0
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", 0), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.changed:
            self.open += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.changed:
                self.open -= 1
                self.changed.notify_all()


class Server:
    """Counts requests of the form ``boundary what``, and holds back the answer at a trap."""

    def __init__(self, traps: dict[str, str]) -> None:
        self.on_request: Callable[[int], None] = lambda _number: None
        """Called with the number of requests of the chain before it is answered."""
        self.counted: dict[str, list[str]] = {boundary: [] for boundary in JOBS}
        self.reached = {boundary: threading.Event() for boundary in JOBS}
        self.release = threading.Event()
        self._traps = traps
        self._server = _Listener(self._handler())
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                words = self.rfile.readline().decode().split()
                if words:  # otherwise the client was killed before it sent anything
                    server.take(*words)
                    self.wfile.write(b"!")

        return Handler

    def take(self, boundary: str, what: str) -> None:
        """Count one request; wait if it is the trap of its run."""
        if boundary == "settle":
            return
        self.counted[boundary].append(what)
        if boundary == "chain":
            self.on_request(len(self.counted[boundary]))
        if self._traps.get(boundary) == what:
            self.hold(boundary)

    def settle(self) -> None:
        """Wait until all requests are counted that were sent before this call.

        A killed child may have sent a request that no thread has read yet.
        """
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"settle it\n")
            last.recv(1)  # connections are taken in the order in which they were made
        with self._server.changed:
            assert self._server.changed.wait_for(lambda: self._server.open == 0, 60)

    def hold(self, boundary: str) -> None:
        """Report that a run has come to its boundary, and wait until it has received its stop."""
        self.reached[boundary].set()
        assert self.release.wait(WAIT_S)

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Stopping:
    """A run at each boundary, in one engine.

    Args:
        directory: For the adaptors.
        mode: How children are started.
        boundaries: The boundaries of the test.
        options: Beyond the permission to reach the server.
    """

    def __init__(self, directory: Path, mode: str, boundaries: list[str], **options: Any) -> None:
        self.boundaries = boundaries
        self.server = Server(TRAPS)
        permissions = Permissions(net=(f"127.0.0.1:{self.server.port}",))
        self.options = RunOptions(permissions=permissions, **options)
        self.resolved: list[str] = []
        write_repo(directory, self.server.port)
        places = len([boundary for boundary in boundaries if boundary != "queued"])
        self.engine: Engine = make_engine(
            mode,
            max_runs=places,
            repo_dir=directory,
            policy=Policy(language=False),
            options=self.options,
        )
        self.runs: dict[str, Run] = {}

    def start(self) -> None:
        """Start all runs, and wait until each has come to its boundary."""
        assert self.reaches_all(), {name: run.poll(after=0) for name, run in self.runs.items()}

    def reaches_all(self) -> bool:
        """Start all runs; return whether each has come to its boundary, and not ended before."""
        for boundary in sorted(self.boundaries, key="queued".__eq__):
            resolvers = Resolvers(credential=self._resolve, state=self._resolve)
            self.runs[boundary] = self.engine.execute(
                plan_for(boundary, self.server.port), {}, resolvers=resolvers
            )
        for boundary in self.boundaries:
            reached, deadline = self.server.reached[boundary], time.monotonic() + WAIT_S
            while boundary != "queued" and not reached.wait(0.01):
                if self.runs[boundary].done or time.monotonic() > deadline:
                    return False
        return True

    def _resolve(self, value_id: str) -> dict[str, Any]:
        self.resolved.append(value_id)
        if value_id in self.runs or value_id in self.boundaries:
            self.server.hold(value_id)
        return {}

    def delivered(self) -> None:
        """Wait until the supervisor has done all earlier work, so that children have its messages."""
        done = threading.Event()
        self.engine._supervisor.post(done.set)
        assert done.wait(WAIT_S)

    def events(self, boundary: str) -> list[Any]:
        """Wait for the end of one run; return its events."""
        return finish(self.runs[boundary], WAIT_S)

    def close(self) -> None:
        self.engine.close()
        self.server.close()


def chain(length: int) -> dict[str, Any]:
    """Return a plan of many short steps, each of which sends one request."""
    steps = [
        {"id": f"s{n}", "expression": f"hit('s{n}.1')", "adaptor": "chain", "next": f"s{n + 1}"}
        for n in range(length)
    ]
    del steps[-1]["next"]
    return {"id": "chain", "workflow": {"steps": steps}}


def plan_for(boundary: str, port: int) -> dict[str, Any]:
    """Return the plan of the run that is stopped at *boundary*."""
    names = "abc"[: len(JOBS[boundary])]
    steps: list[dict[str, Any]] = []
    for name, following, source in zip(names, [*names[1:], None], JOBS[boundary], strict=True):
        condition: object = True
        if boundary == "condition":
            condition = VISIT_IN_A_CONDITION.format(port=port, what=f"{name}.condition1")
        step = {"id": name, "expression": source, "adaptor": boundary}
        if following is not None:
            step["next"] = {following: condition}
        steps.append(step)
    if boundary == "condition":
        second = VISIT_IN_A_CONDITION.format(port=port, what="a.condition2")
        steps[0]["next"]["z"] = second
        steps.append({"id": "z", "expression": "hit('z.1')", "adaptor": boundary})
    if boundary == "credential":
        steps[0]["configuration"] = boundary
        steps[1]["configuration"] = "another"
    if boundary == "state":
        steps[0]["state"] = boundary
    workflow: dict[str, Any] = {"steps": steps}
    if boundary == "globals":
        workflow["globals"] = f"import {boundary}\nSEEN = {boundary}.visit('a.globals')\n"
    return {"id": boundary, "workflow": workflow}


def write_repo(directory: Path, port: int) -> None:
    """Write an adaptor for each boundary, whose code knows the server."""
    adaptors = []
    for boundary in JOBS:
        source = ADAPTOR.format(port=port, boundary=boundary)
        if boundary == "init":
            source += "\nvisit('a.init')\n"
        if boundary == "reducer":
            source += REDUCER
        (directory / boundary).mkdir()
        (directory / boundary / f"{boundary}.py").write_text(source)
        adaptors.append(
            {"name": boundary, "version": "1.0.0", "path": boundary, "module": boundary}
        )
    (directory / "repo.json").write_text(json.dumps({"adaptors": adaptors}))
    compileall.compile_dir(directory, quiet=1)  # otherwise each child would compile them


def unreported(requests: list[str], events: list[Any]) -> list[str]:
    """Return the requests of steps whose events do not show that this code has run."""
    known = {
        kind: {event.step_id for event in events if event.type == kind}
        for kind in ("init-start", "job-start")
    }
    while_linking = ("init", "globals")
    return [
        what
        for what in requests
        if what.partition(".")[0]
        not in known["init-start" if what.partition(".")[2] in while_linking else "job-start"]
    ]
