"""Clients that wait hold up nobody: not other clients, not the memory, and not the end of the server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import threading
import time

import pytest
from serving import WAIT, Client, plan_of, serve, served, wait_until_served

import jobcell
from jobcell.server import EngineBackend, StoreBackend
from jobcell.server.backend import NewRun
from jobcell.server.streams import READERS

MANY = "def main(state):\n    for i in range(2000): print('line', i, 'x' * 200)"


@pytest.fixture(params=["engine", "store"])
def client(request):
    """A client of a server with a run that waits, in an engine or in a store."""
    if request.param == "engine":
        backend = EngineBackend(jobcell.Engine(max_runs=1, start_mode="exec"))
        plan = plan_of(WAIT)
    else:
        backend = StoreBackend(jobcell.Store.open(request.getfixturevalue("sqlite_url")))
        plan = plan_of("def main(state): return state")  # no worker takes it
    with served(backend) as port:
        made = Client(port)
        assert made.post("/api/v1/runs", {"plan": plan, "id": "waits"})[0] == 201
        yield made


@pytest.fixture
def sqlite_url(made_file, tmp_path):
    return f"sqlite:///{shutil.copy(made_file, tmp_path)}"


@contextlib.contextmanager
def sockets(port, path, count):
    """Open *count* connections that ask for *path*, and read nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            made = stack.enter_context(socket.socket())
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            made.connect(("127.0.0.1", port))
            made.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield


@pytest.mark.parametrize(
    "path", ["result?wait_s=60", "events?after=1000000&wait_s=60", "stream?after=1000000"]
)
def test_clients_that_wait_take_no_turn_of_others(client, path):
    """A list is read while more clients wait than the server has threads."""
    with sockets(client.port, f"/api/v1/runs/waits/{path}", 60):
        begin = time.monotonic()
        assert client.get("/api/v1/runs")[0] == 200
        assert client.get("/readyz")[0] == 200
        assert time.monotonic() - begin < 30  # half of the time that the others wait


class SlowBackend(StoreBackend):
    """Reads events only when it may, and counts the threads that read."""

    def __init__(self, store):
        super().__init__(store)
        self.may_read = threading.Event()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def poll(self, *arguments):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.may_read.wait()
        with self._lock:
            self._now -= 1
        return super().poll(*arguments)


@pytest.mark.parametrize("path", ["stream", "events"])
def test_clients_that_read_much_take_no_turn_of_others(sqlite_url, path):
    """The events of two of them are read at once, so a list has a thread, however many there are."""
    backend = SlowBackend(jobcell.Store.open(sqlite_url))
    with served(backend) as port:
        client = Client(port)
        client.post("/api/v1/runs", {"plan": plan_of("def main(state): return state"), "id": "r"})
        with sockets(port, f"/api/v1/runs/r/{path}", 60):
            try:
                while backend.most < READERS:
                    assert client.get("/api/v1/counts")[0] == 200
                assert client.get("/api/v1/runs")[0] == 200
                assert backend.most == READERS
            finally:
                backend.may_read.set()


def test_a_client_that_waits_is_answered_when_the_run_is_over(client):
    """The end of a run wakes each client that waits for its result or for an event; each of them reads that it is over."""
    last = client.get("/api/v1/runs/waits/events")[1]["events"]
    after = last[-1]["seq"] if last else 0
    answers = []

    def ask(path):
        answers.append(client.get(path))

    paths = ["/api/v1/runs/waits/result?wait_s=60", "/api/v1/runs/waits/events?after=99&wait_s=60"]
    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    assert client.post("/api/v1/runs/waits/cancel")[0] == 202
    for thread in threads:
        thread.join(50)  # shorter than they would wait
    assert len(answers) == 2
    assert client.get(f"/api/v1/runs/waits/events?after={after}")[1]["over"] is True
    assert {body.get("reason", body.get("over")) for _, body in answers} == {"cancelled", True}


def test_a_row_says_how_a_run_was_when_it_was_read():
    """Another thread that reads the same run later does not change it."""
    backend = EngineBackend(jobcell.Engine(max_runs=1, start_mode="exec"))
    with served(backend):
        backend.add(NewRun(plan=plan_of(WAIT), id="r"))
        before = backend.row("r")
        backend.cancel("r", "not needed")
        asyncio.run(backend.wait("r", None))
        after = backend.row("r")
    assert (before.ended, before.reason) == (None, None)
    assert before.state != "done"
    assert (after.state, after.reason) == ("done", "cancelled")


def test_events_come_in_portions(client):
    """A limit gives the first events; the cursor of the last one gives those after it."""
    assert client.post("/api/v1/runs", {"plan": plan_of(MANY), "id": "many"})[0] == 201
    assert client.post("/api/v1/runs/waits/cancel")[0] == 202
    if client.get("/api/v1/runs/many")[1]["state"] == "queued":
        client.post("/api/v1/runs/many/cancel")  # in the store, whose runs nobody takes
    seen, over = [], False
    while not over:
        after = seen[-1] if seen else 0
        _, page = client.get(f"/api/v1/runs/many/events?after={after}&limit=300&wait_s=60")
        assert len(page["events"]) <= 300
        seen += [event["seq"] for event in page["events"]]
        over = page["over"]
    assert seen == list(range(1, len(seen) + 1))
    assert client.get("/api/v1/runs/many/events?limit=0")[0] == 400


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_although_clients_wait(tmp_path, number):
    """A signal ends streams, long requests and readers that do not read, and prints no traceback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("--engine", "--max-runs", "2", "--port", str(port))
    with serve(tmp_path, *words) as process, contextlib.ExitStack() as stack:
        client = Client(port)
        assert "jobcell serves on" in process.stderr.readline()
        wait_until_served(client, process)
        lots = WAIT.replace(
            "time.sleep", "for i in range(5000): print('line', i, 'x' * 500)\n    time.sleep"
        )
        client.post(
            "/api/v1/runs", {"plan": plan_of(lots), "id": "r", "options": {"timeout_s": 300}}
        )
        for path in ("stream", "result?wait_s=60", "events?after=99999&wait_s=60"):
            stack.enter_context(sockets(port, f"/api/v1/runs/r/{path}", 5))
        assert client.get("/api/v1/runs/r")[0] == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert "Cancel" not in errors
    assert process.returncode in {-number, 128 + number}
