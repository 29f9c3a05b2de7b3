"""Servers that keep the large contents of a store: FTP by pyftpdlib, S3 by moto.  Both are real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE_S = 60.0

_FTP = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

port, place = int(sys.argv[1]), sys.argv[2]
users = DummyAuthorizer()
users.add_user("jobcell", "s3cr3t", place, perm="elradfmwMT")
FTPHandler.authorizer = users
FTPServer(("127.0.0.1", port), FTPHandler).serve_forever()
"""


class ObjectServer:
    """A server on a free port of this machine, which a test may stop and start again."""

    def __init__(self, kind: str, place: Path) -> None:
        """Start it.  A test without its library is skipped."""
        pytest.importorskip("pyftpdlib" if kind == "ftp" else "moto.server")
        if kind == "s3":
            pytest.importorskip("s3fs")
        self.kind = kind
        self.place = place
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The value of ``JOBCELL_STORE_OBJECTS``."""
        return {
            "ftp": f"ftp://jobcell:s3cr3t@127.0.0.1:{self.port}/objects",
            "s3": "s3://bucket/objects",
        }[self.kind]

    def environment(self) -> dict[str, str]:
        """Return the variables that a program needs besides the address."""
        if self.kind == "ftp":
            return {}
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Start it, and wait until it listens."""
        if self.kind == "ftp":
            command = [sys.executable, "-c", _FTP, str(self.port), str(self.place)]
        else:
            command = [sys.executable, "-m", "moto.server", "-p", str(self.port)]
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=nothing, stderr=nothing)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if self.kind == "s3":
            self._make_bucket()

    def stop(self) -> None:
        """Kill it.  FTP keeps its files for the next start."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _make_bucket(self) -> None:
        script = "import s3fs; s3fs.S3FileSystem().mkdir('bucket')"
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | self.environment(), check=True
        )
