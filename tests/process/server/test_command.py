"""`jobcell serve` refuses what is not safe, and ends when it is asked to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from bundled_repo import make_bundled_repo
from serving import Client
from warm import run_warm

import jobcell


def environment(**variables):
    return {k: v for k, v in os.environ.items() if not k.startswith("JOBCELL_")} | variables


def serve(tmp_path, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "jobcell", "serve", *words],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("words", "variables", "part"),
    [
        (("--engine", "--host", "0.0.0.0"), {}, "set JOBCELL_TOKEN"),
        (("--engine", "--host", "192.0.2.1"), {}, "other machines could run code here"),
        (("--engine",), {"JOBCELL_TOKEN": "short"}, "at least 16 characters"),
        (("--engine", "--store", "sqlite:///x.db"), {}, "leave out --store"),
        (("--net", "x:443"), {}, "are for --engine"),
        (("--engine", "--net", "https://x"), {}, "https://x"),
        (("--collection", "visits"), {}, "--collection is for --engine"),
        (("--engine", "--collection", "a b"), {}, "--collection: "),
        (("--engine", "--collection", "a", "--store", "redis://h"), {}, "a store cannot be in"),
    ],
)
def test_what_is_not_safe_is_refused(tmp_path, words, variables, part):
    """The error is one line, and nothing is served."""
    done = run_warm(
        None, "serve", *words, env=environment(**variables), cwd=tmp_path, kind="servers"
    )
    assert done.returncode == 2, done.stderr
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


def test_served_runs_of_an_engine_have_the_collections_of_their_tenant(tmp_path):
    """The values are in the store, as with `jobcell run --collection`, and outlive the server."""
    make_bundled_repo(tmp_path / "repo", "collections")
    plan = {"workflow": {"steps": [{
        "id": "a",
        "adaptor": "collections",
        "expression": "collections.get('visits', 'p').then(lambda s: {**s, 'before': s['data']})\n"
        "collections.set('visits', 'p', state.n)",
    }]}}  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"sqlite:///{tmp_path}/values.db"
    words = ("--engine", "--collection", "visits", "--store", url, "--port", str(port))
    with serve(tmp_path, *words, "--repo", str(tmp_path / "repo")) as process:
        assert "jobcell serves on" in process.stderr.readline()
        client = Client(port)
        wait_until_served(client, process)
        before = []
        for number, tenant in enumerate(["acme", "globex", "acme"], 1):
            status, made = client.post(
                "/api/v1/runs", {"plan": plan, "state": {"n": number}, "tenant": tenant}
            )
            assert status == 201, made
            _, result = client.get(f"/api/v1/runs/{made['id']}/result?wait_s=60")
            assert result["reason"] == "success", result
            before.append(result["state"]["before"])
        # The permissions of a request replace those of the server.
        _, made = client.post("/api/v1/runs", {"plan": plan, "options": {"permissions": {}}})
        _, result = client.get(f"/api/v1/runs/{made['id']}/result?wait_s=60")
        assert "may not read the collection 'visits'" in result["state"]["errors"]["a"]["message"]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert before == [{}, {}, 1]
    with jobcell.Store.open(url) as store:
        [item] = store.collections("acme").get("visits", jobcell.CollectionQuery(key="p")).items
    assert item.value == b"\x03"


def wait_until_served(client, process):
    """Wait until the server answers."""
    status = None
    while status is None:
        try:
            status, _ = client.get("/livez")
        except ConnectionRefusedError:
            assert process.poll() is None
    assert status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_unix_socket_is_served_until_a_signal(tmp_path, number):
    """A manager on the same machine needs no port and no token."""
    path = tmp_path / "jobcell.sock"
    with serve(tmp_path, "--engine", "--uds", str(path)) as process:
        assert f"jobcell serves on unix:{path}" in process.stderr.readline()
        answer = b""
        while not answer:
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(str(path))
                except (FileNotFoundError, ConnectionRefusedError):
                    assert process.poll() is None
                    continue
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while part := client.recv(65536):
                    answer += part
        assert answer.startswith(b"HTTP/1.1 200 OK")
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    assert process.returncode in {0, -number, 128 + number}
