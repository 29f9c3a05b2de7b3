"""Attacks on the network of a run with rules, each with a twin that succeeds without the layer `network`."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import socket
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest
from network_jobs import CONNECT, connections, echo, engine_with, options

from engine import Engine
from sandbox_child.confine.kernel import NUMBERS

MODES = ["exec", "zygote"]

DATAGRAM = """
import socket
def main(state):
    for host, port in state["data"]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as end:
            for send in (lambda: end.sendto(b"stolen", (host, port)), lambda: end.connect((host, port)),
                         lambda: end.send(b"stolen")):
                try:
                    send()
                except OSError:
                    pass
    return {}
"""

DESCRIPTORS = """
import os
def main(state):
    found = []
    for fd in range(4096):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(fd)
    return {"data": found}
"""

LINK = """
import socket
from ctypes import CDLL
def main(state):
    found = []
    for what in ("netlink", "raw", "unix"):
        kind = {"netlink": (16, 3, 0), "raw": (2, 3, 1), "unix": (1, 5, 0)}[what]
        try:
            socket.socket(*kind).close()
            found.append(what)
        except OSError:
            pass
    return {"data": found}
"""

WAIT = """
import time
def main(state):
    print("ready")
    time.sleep(30)
"""


@pytest.fixture(scope="module")
def engines(no_descriptor_of_file: None) -> Iterator[Callable[..., Engine]]:
    """Return the engine of a mode without these layers, which all tests share; each run has rules of its own."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def engine(mode: str, *without: str) -> Engine:
            made = engine_with(mode, options("127.0.0.1:80"), without=without)
            return stack.enter_context(made)

        yield engine


@pytest.fixture(autouse=True)
def no_descriptor_is_left(engines: Callable[..., Engine]) -> None:
    """The tests share engines, whose descriptors come and go: `no_descriptor_of_file` looks at the end."""


def reach(eng: Engine, rules: tuple[str, ...], places: list) -> list[str]:
    """Return what comes of a connection to each place."""
    result = eng.execute(CONNECT, {"data": places}, options=options(*rules)).result(60)
    assert result.error is None, result.error
    found: list[str] = result.state["data"]
    return found


@pytest.mark.parametrize("mode", MODES)
def test_another_address_of_this_machine_is_not_reached(mode, engines):
    """In IPv4, in IPv6, and in IPv4 written as IPv6."""
    with echo("127.0.0.2") as other, echo("::1", other.port) as ipv6:
        rules = (f"127.0.0.1:{other.port}",)
        places = [(host, other.port) for host in ("127.0.0.2", "::1", "::ffff:127.0.0.2")]

        assert reach(engines(mode), rules, places) == ["ConnectionResetError"] * 3
        assert (other.connections, ipv6.connections) == (0, 0)

        assert reach(engines(mode, "network"), rules, places) == ["ping"] * 3


@pytest.mark.parametrize("mode", MODES)
def test_a_datagram_reaches_nobody(mode, engines):
    """Not even at an address and a port that a rule names for TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        made = options(f"127.0.0.1:{port}")
        places = {"data": [("127.0.0.1", port), ("::ffff:127.0.0.1", port)]}
        assert engines(mode).execute(DATAGRAM, places, options=made).result(60).error is None
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(10)

        twin = engines(mode, "network").execute(DATAGRAM, places, options=made)
        assert twin.result(60).error is None
        assert server.recv(10) == b"stolen"


@pytest.mark.parametrize("mode", MODES)
def test_no_socket_of_the_network_is_left_in_the_child(mode, real_start):
    """The child has the pipes of the protocol and the standard streams, as any other one."""
    made = options("127.0.0.1:80,443,5000-5100")
    # The twin needs a descriptor to find: without this one, this process may have none that a child inherits.
    left = fcntl.fcntl(0, fcntl.F_DUPFD, 100)
    try:
        with engine_with(mode, made) as eng:
            found = eng.execute(DESCRIPTORS).result(60).state["data"]
        assert found == [0, 1, 2, 10, 11]

        if mode == "exec":  # only a new interpreter inherits it
            with engine_with("exec", made, without=("descriptors",)) as eng:
                assert left in eng.execute(DESCRIPTORS).result(60).state["data"]
    finally:
        os.close(left)


@pytest.mark.parametrize("mode", MODES)
def test_other_kinds_of_sockets_are_refused(mode, engines):
    """With netlink a job could change its routes, and with unix sockets it could look for the relay."""
    assert engines(mode).execute(LINK).result(60).state == {"data": []}
    twin = engines(mode, "seccomp").execute(LINK).result(60)
    assert twin.state["data"] == ["netlink", "unix"]


LISTEN = """
import socket
def main(state):
    found = []
    for family, host, port in ((2, "127.0.0.1", 0), (2, "0.0.0.0", 8080), (10, "::", 8081), (10, "::1", 80)):
        try:
            with socket.socket(family) as end:
                end.bind((host, port))
                end.listen()
            found.append(host)
        except OSError:
            pass
    return {"data": found}
"""


@pytest.mark.parametrize("mode", MODES)
def test_a_job_has_no_listener_of_its_own(mode, engines):
    """The filter and Landlock each refuse it.  Without them only the port of a rule is taken already."""
    for without in ((), ("seccomp",), ("landlock",)):
        assert engines(mode, *without).execute(LISTEN).result(60).state == {"data": []}, without
    found = engines(mode, "seccomp", "landlock").execute(LISTEN).result(60).state["data"]
    assert found[:3] == ["127.0.0.1", "0.0.0.0", "::"]


@pytest.mark.parametrize("mode", MODES)
def test_the_network_of_another_run_is_not_reached(mode, engines):
    """Both runs are alive: the sockets of the other one are in another namespace."""
    with echo() as server, echo() as mine:
        made = options(f"127.0.0.1:{mine.port}")
        other = options(f"127.0.0.1:{server.port}")
        waiting = engines(mode).execute(WAIT, options=other)
        while not any(event.type == "log" for event in waiting.poll(timeout_s=20)):
            assert not waiting.done
        places = [("127.0.0.1", server.port), ("127.0.0.1", mine.port)]
        run = engines(mode).execute(CONNECT, {"data": places}, options=made)
        assert run.result(60).state == {"data": ["ConnectionRefusedError", "ping"]}
        waiting.cancel("enough")
        waiting.result(60)
        assert connections(run) == [("127.0.0.1", mine.port, "open")]
        assert connections(waiting) == []
        assert server.connections == 0

        twin = engines(mode, "network", "landlock")
        run = twin.execute(CONNECT, {"data": places}, options=made)
        assert run.result(60).state == {"data": ["ping"] * 2}
        assert server.connections == 1


INTRUDE = """
import ctypes, os, socket

def attempt(pid, port):
    try:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        if ctypes.CDLL(None).setns(fd, 0x40000000):
            return "setns"
        with socket.create_connection(("127.0.0.1", port), timeout=20) as end:
            end.sendall(b"ping")
            return end.recv(4).decode()
    except OSError as error:
        return type(error).__name__

def main(state):
    return {"data": [attempt(pid, state["port"]) for pid in state["pids"]]}
"""
WALLS = ("seccomp", "mounts", "landlock", "identity", "namespaces")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no right to enter a namespace")
def test_the_namespace_of_another_run_cannot_be_entered(engines):
    """A job that could would use the other run's rules, and its connections would count for that run."""
    with echo() as server:
        made = options("127.0.0.1:9")
        before = psutil.Process().children(recursive=True)
        with engine_with("zygote", options(f"127.0.0.1:{server.port}")) as victims:
            victim = victims.execute(WAIT)
            while not any(event.type == "log" for event in victim.poll(timeout_s=20)):
                assert not victim.done
            children = psutil.Process().children(recursive=True)
            pids = [child.pid for child in children if child not in before]
            attack = {"pids": pids, "port": server.port}
            for without in ((), *((name,) for name in WALLS)):
                result = engines("exec", *without).execute(INTRUDE, attack, options=made).result(60)
                assert "ping" not in str(result.state), without
            assert connections(victim) == []

            twin = engines("exec", *WALLS, "network").execute(INTRUDE, attack, options=made)
            assert "ping" in twin.result(60).state["data"]
            victim.cancel("enough")
            victim.result(60)
        assert connections(victim) == [("127.0.0.1", server.port, "open")]


HOLD = """
import socket

def main(state):
    held = []
    for _ in range(10_000):
        try:
            end = socket.create_connection(("127.0.0.1", state["port"]), timeout=20)
            end.sendall(b"ping")
            if end.recv(4) != b"ping":
                break
        except OSError:
            break
        held.append(end)
    return {"data": len(held)}
"""


def test_a_job_that_holds_all_connections_that_it_can_get_has_a_limit(engines):
    """Of ten thousand attempts a few are kept open.  Without the layer only descriptors are limited."""
    with echo() as server:
        made = options(f"127.0.0.1:{server.port}", max_connections=5)
        for without, least, most in (((), 5, 5), (("network",), 6, 10_000)):
            run = engines("exec", *without).execute(HOLD, {"port": server.port}, options=made)
            held = run.result(60).state["data"]
            assert least <= held <= most, without


@pytest.mark.parametrize("call", ["setns", "unshare"])
def test_a_job_cannot_change_its_namespace(call, engines):
    """The filter ends a process that tries; without the filter it lacks the right."""
    number = NUMBERS[call]
    source = (
        "import ctypes\ndef main(state):\n"
        f"    return {{'data': ctypes.CDLL(None).syscall({number}, 0x40000000, 0x40000000)}}"
    )
    error = engines("exec").execute(source).result(60).error
    assert (error.name, error.subtype) == ("SecurityError", "SIGSYS")
    assert engines("exec", "seccomp").execute(source).result(60).state == {"data": -1}


def test_many_connections_of_many_runs_at_once(engines):
    """The relay keeps them apart: each run gets its own bytes back."""
    with echo() as server:
        made = options(f"127.0.0.1:{server.port}")
        places = {"data": [("127.0.0.1", server.port)] * 20}
        runs = [engines("zygote").execute(CONNECT, places, options=made) for _ in range(6)]
        for run in runs:
            assert run.result(120).state == {"data": ["ping"] * 20}
            assert run.result().usage.connections == 20
    assert server.connections == 120
    assert threading.active_count() < 60
