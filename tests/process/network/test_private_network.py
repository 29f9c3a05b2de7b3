"""A run with network rules reaches the hosts and ports that they name, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from network_jobs import CONNECT, connections, echo, engine_with, options
from runs import MODES, finish

from engine import Engine

OTHER = "10.1.2.3"


@pytest.fixture(scope="module", params=["exec", "zygote"])
def eng(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine of each start mode that the tests share, and with it the relay."""
    with engine_with(request.param, options("127.0.0.1:1")) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file: None) -> None:
    """The engines outlive each test."""


@pytest.mark.parametrize("mode", MODES)
def test_a_job_reaches_what_its_rules_name_and_nothing_else(mode):
    """The rules hold for names, addresses and ports, and each decision of the relay is an event."""
    with echo() as server, echo() as other:
        made = options(f"127.0.0.1:{server.port}")
        places = [
            ("127.0.0.1", server.port),
            (OTHER, server.port),
            ("127.0.0.1", other.port),
            ("nobody.example.org", server.port),
        ]
        with engine_with(mode, made) as eng:
            run = eng.execute(CONNECT, {"data": places})
            finish(run)
            result = run.result()

    assert result.error is None
    outcomes = ["ping", "ConnectionResetError", "ConnectionRefusedError", "gaierror"]
    assert result.state == {"data": outcomes}
    assert sorted(connections(run)) == [
        (OTHER, server.port, "refused"),
        ("127.0.0.1", server.port, "open"),
        ("nobody.example.org", 0, "refused"),
    ]
    assert (server.connections, other.connections) == (1, 0)
    assert (result.usage.connections, result.usage.net_sent_bytes) == (1, 4)
    assert result.usage.net_received_bytes == 4


LEAVES_OPEN = """
import socket

kept = []

def main(state):
    kept.append(socket.create_connection(("127.0.0.1", state["data"]), timeout=20))
    kept[0].sendall(b"last")
    kept[0].recv(1)
    return state
"""


def test_a_connection_that_a_job_leaves_open_ends_and_is_not_reset(eng):
    """A pool of connections is never closed by its job.  A reset could take its last bytes with it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        port = listener.getsockname()[1]
        run = eng.execute(LEAVES_OPEN, {"data": port}, options=options(f"127.0.0.1:{port}"))
        outside, _ = listener.accept()
        with outside:
            outside.settimeout(20)
            assert outside.recv(100) == b"last"
            outside.sendall(b"x")
            assert outside.recv(100) == b""
        assert run.result().reason == "success"


def test_the_report_says_how_the_network_is_enforced(eng):
    """The child has tried it: an address that belongs to nobody is its own."""
    result = eng.execute(CONNECT, {"data": []}, options=options("127.0.0.1:80")).result()

    layers = {layer.name: layer for layer in result.confinement.layers}
    assert result.confinement.net == "by name"
    assert (layers["network"].state, layers["network"].required) == ("on", True)
    assert layers["network"].detail == "by name"
    assert {probe.name: probe.blocked for probe in result.confinement.probes}["network"]


def test_a_star_is_the_network_of_the_machine(eng):
    """Such a run has no relay, so that nobody counts its connections."""
    with echo() as server:
        run = eng.execute(CONNECT, {"data": [("127.0.0.1", server.port)]}, options=options("*"))
        result = run.result()

    layers = {layer.name: layer for layer in result.confinement.layers}
    assert result.state == {"data": ["ping"]}
    assert connections(run) == []
    assert result.confinement.net == "open"
    assert (layers["network"].state, layers["network"].detail) == ("off", "open")


def test_without_the_layer_another_host_is_reached(eng, request):
    """The twin: the ports alone say nothing about a host."""
    with echo("127.0.0.2") as server:
        made = options(f"127.0.0.1:{server.port}")
        places = {"data": [("127.0.0.2", server.port)]}
        result = eng.execute(CONNECT, places, options=made).result()
        assert result.state == {"data": ["ConnectionResetError"]}
        assert server.connections == 0

        mode = request.node.callspec.params["eng"]
        with engine_with(mode, made, without=("network",)) as open_engine:
            result = open_engine.execute(CONNECT, places).result()
        assert result.state == {"data": ["ping"]}
    assert result.confinement.net == "open"


def test_many_ports_have_a_listener_each(eng):
    """There are more of them than a child may have open files, and than one message can carry."""
    with echo() as server:
        low = min(server.port, 65_535 - 1_023)
        made = options(f"127.0.0.1:{low}-{low + 1_023}")
        places = {"data": [("127.0.0.1", server.port)]}
        result = eng.execute(CONNECT, places, options=made).result()

    assert result.error is None
    assert result.state == {"data": ["ping"]}


METHOD = """
import socket
def main(state):
    found = []
    for host, port in state["data"]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as end:
            end.settimeout(20)
            try:
                end.connect((host, port))
            except ConnectionResetError:
                pass  # the relay has refused it before this process looked
            name = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            found.append(name.rstrip(b"\\0").decode())
    return {"data": found}
"""


def test_tcp_does_not_pace_its_packets_inside(eng):
    """Nothing is lost there.  On the machine's own network a job gets the machine's method."""
    with echo() as server, socket.socket() as outside:
        machine = outside.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        places = [(host, server.port) for host in ("127.0.0.1", "127.1.2.3", OTHER, "2001:db8::1")]
        made = options(f"127.0.0.1:{server.port}")
        result = eng.execute(METHOD, {"data": places}, options=made).result()
        assert result.state == {"data": ["reno"] * 4}
        result = eng.execute(METHOD, {"data": places[:1]}, options=options("*")).result()
    assert result.state == {"data": [machine.rstrip(b"\0").decode()]}
