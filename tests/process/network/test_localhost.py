"""A run with a rule for localhost reaches a server that listens on one of its two addresses only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from network_jobs import echo, engine_with, options

from engine import Engine

TALK = """
import socket

def main(state):
    with socket.create_connection((state["host"], state["port"]), timeout=20) as end:
        end.sendall(b"ping")
        return {"answer": end.recv(4).decode()}
"""


@pytest.fixture(scope="module")
def eng() -> Iterator[Engine]:
    """An engine that the tests share, and with it the relay."""
    with engine_with("zygote", options("localhost:1")) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file: None, eng: Engine) -> None:
    """The engine outlives each test."""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_localhost_is_where_the_server_listens(eng, address, host):
    """The name and both of its addresses lead to the server."""
    with echo(address) as server:
        made = options(f"localhost:{server.port}")
        run = eng.execute(TALK, {"host": host, "port": server.port}, options=made)
        assert run.result(60).state == {"answer": "ping"}


def test_a_rule_with_one_address_means_this_one(eng):
    """The other address is not tried for a rule that does not name localhost."""
    with echo("::1") as server:
        made = options(f"127.0.0.1:{server.port}")
        run = eng.execute(TALK, {"host": "127.0.0.1", "port": server.port}, options=made)
        assert run.result(60).reason == "fail"
        assert [e.outcome for e in run.poll(after=0) if e.type == "net-connect"] == ["failed"]
