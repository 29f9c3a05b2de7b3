"""`jobcell serve` refuses what is not safe, and ends when it is asked to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from warm import run_warm


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
