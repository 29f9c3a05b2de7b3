"""`jobcell serve` refuses what is not safe, and ends when it is asked to."""

from __future__ import annotations

import http.client
import signal
import socket

import pytest
from bundled_repo import make_bundled_repo
from serving import Client, environment, serve, serve_anew, wait_until_served
from warm import run_warm

import jobcell


@pytest.mark.parametrize(
    ("words", "variables", "part"),
    [
        (("--engine", "--host", "0.0.0.0"), {}, "set JOBCELL_TOKEN"),
        (("--engine", "--host", "192.0.2.1"), {}, "other machines could run code here"),
        (("--engine",), {"JOBCELL_TOKEN": "short"}, "at least 16 characters"),
        (("--engine",), {"JOBCELL_TOKEN": "t\u00f6ken-0123456789\u20ac"}, "printable ASCII"),
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


# An interpreter of its own takes 2 s; it shows that Ctrl-C finds the command as a shell has started it.
@pytest.mark.parametrize(
    ("number", "serve"), [(signal.SIGTERM, serve), (signal.SIGINT, serve_anew)], ids=["15", "2"]
)
def test_a_unix_socket_is_served_until_a_signal(tmp_path, number, serve):
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


def test_only_the_user_of_the_server_may_connect(tmp_path):
    """The socket is private from its first moment, is not taken from its server, and is removed."""
    path = tmp_path / "jobcell.sock"
    with serve(tmp_path, "--engine", "--uds", str(path)) as process:
        assert "jobcell serves on" in process.stderr.readline()
        assert path.stat().st_mode & 0o777 == 0o600
        second = run_warm(
            None,
            "serve",
            "--engine",
            "--uds",
            str(path),
            env=environment(),
            cwd=tmp_path,
            kind="servers",
        )
        assert second.returncode == 2
        assert f"--uds {path}: cannot listen there" in second.stderr
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 143
    assert not path.exists()


def test_the_socket_of_a_server_that_is_gone_is_replaced(tmp_path):
    """A server that was killed leaves a file, and the next one starts all the same."""
    path = tmp_path / "jobcell.sock"
    with socket.socket(socket.AF_UNIX) as lost:
        lost.bind(str(path))
    with serve(tmp_path, "--engine", "--uds", str(path)) as process:
        assert "jobcell serves on" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130


def test_a_file_is_never_replaced_by_a_socket(tmp_path):
    """A wrong path does not cost a file."""
    path = tmp_path / "plan.json"
    path.write_text("{}")
    done = run_warm(
        None,
        "serve",
        "--engine",
        "--uds",
        str(path),
        env=environment(),
        cwd=tmp_path,
        kind="servers",
    )
    assert done.returncode == 2
    assert path.read_text() == "{}"


def test_a_taken_port_is_one_clear_error(tmp_path):
    """The server does not say that it serves."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_warm(
            None,
            "serve",
            "--engine",
            "--port",
            str(port),
            env=environment(),
            cwd=tmp_path,
            kind="servers",
        )
    assert done.returncode == 2
    assert done.stderr == (
        f"error: --host 127.0.0.1 --port {port}: cannot listen there: Address already in use\n"
    )


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_is_served(tmp_path, host):
    """The line has an address that a browser takes, with the free port that was found."""
    with serve(tmp_path, "--engine", "--host", host, "--port", "0") as process:
        told = process.stderr.readline().split()[-1]
        assert told.startswith("http://[::1]:")
        port = int(told.rpartition(":")[2])
        connection = http.client.HTTPConnection("::1", port, timeout=60)
        connection.request("GET", "/api/v1/counts")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
