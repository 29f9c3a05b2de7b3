"""A server of ours in a thread, and a client that speaks plain HTTP to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import uvicorn
import warm_app  # noqa: F401 - it loads the modules of a server before there are forks
from warm import WarmProcess, heard

from jobcell.server import make_app


@contextlib.contextmanager
def served(backend: Any, **options: Any):
    """Serve *backend* on a free port of loopback; yield the port."""
    config = uvicorn.Config(
        make_app(backend, **options),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    started = threading.Event()
    plain_startup = server.startup

    async def startup(sockets: Any = None) -> None:
        await plain_startup(sockets)
        started.set()

    server.startup = startup
    thread = threading.Thread(target=server.run)
    thread.start()
    assert started.wait(60)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


class Client:
    """Sends requests and reads answers as JSON."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port = port
        self.headers = headers

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Return the status, the body and the headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {name.replace("_", "-"): text for name, text in {**self.headers, **headers}.items()}
        content = None
        if body is not None:
            content = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if text and "json" in kind else text, answer.headers

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Return the status and the body of an answer."""
        return self.ask("GET", path, **headers)[:2]

    def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and the body of an answer."""
        return self.ask("POST", path, {} if body is None else body, **headers)[:2]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of this process without variables of ours, and with those given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JOBCELL_")}
    return kept | variables


class WarmServer:
    """A running `jobcell serve` that is a fork of a warm interpreter, with what tests need of `subprocess.Popen`."""

    def __init__(self, process: WarmProcess, errors: TextIO) -> None:
        self._process = process
        self.stderr = errors
        self.poll = process.poll
        self.send_signal = process.send_signal

    @property
    def returncode(self) -> int | None:
        """The exit code of a server that has ended."""
        return self._process.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end; return an empty output, and what is left of standard error."""
        self._process.wait(timeout)
        return "", self.stderr.read()


@contextlib.contextmanager
def serve(tmp_path: Path, *words: str, **variables: str) -> Iterator[WarmServer]:
    """Start the command `jobcell serve`; a test that fails leaves no server behind."""
    with heard("serve", *words, cwd=tmp_path, env=environment(**variables), kind="servers") as made:
        yield WarmServer(*made)


@contextlib.contextmanager
def serve_anew(tmp_path: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start it in an interpreter of its own, for tests of its start and its end."""
    with subprocess.Popen(
        [sys.executable, "-m", "jobcell", "serve", *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # nothing happens if it has ended


def wait_until_served(client: Client, process: WarmServer) -> None:
    """Wait until the server answers."""
    status = None
    while status is None:
        try:
            status, _ = client.get("/livez")
        except ConnectionRefusedError:
            assert process.poll() is None
    assert status == 200


def plan_of(*texts: str, **more: Any) -> dict[str, Any]:
    """Return a plan whose jobs run one after another."""
    steps = [
        {
            "id": f"s{number}",
            "expression": text,
            "next": f"s{number + 1}" if number + 1 < len(texts) else {},
        }
        for number, text in enumerate(texts)
    ]
    return {"workflow": {"steps": steps}, **more}


COUNT = "def main(state): return {**state, 'n': (state.get('n') or 0) + 1}"
FAIL = "def main(state):\n    return 1 / 0"
WAIT = "import time\ndef main(state):\n    time.sleep(300)"
"""A job that goes on until somebody cancels it, and leaves the processor to others."""
