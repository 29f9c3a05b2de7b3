"""The network: without a permission, no kind of socket reaches anybody."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest
from harness import MEGABYTE, run_hostile

TRY = """
import socket
try:
{body}
except OSError as error:
    print("refused", error.errno)
else:
    print("made")
"""

KINDS = {
    "unix": "socket.AF_UNIX, socket.SOCK_STREAM",
    "unix_datagram": "socket.AF_UNIX, socket.SOCK_DGRAM",
    "tcp": "socket.AF_INET, socket.SOCK_STREAM",
    "tcp6": "socket.AF_INET6, socket.SOCK_STREAM",
    "udp": "socket.AF_INET, socket.SOCK_DGRAM",
    "netlink": "socket.AF_NETLINK, socket.SOCK_RAW",
    "vsock": "socket.AF_VSOCK, socket.SOCK_STREAM",
    "raw": "socket.AF_INET, socket.SOCK_RAW, 1",
    "packet": "socket.AF_PACKET, socket.SOCK_RAW",
    "alg": "socket.AF_ALG, socket.SOCK_SEQPACKET",
    "mptcp": "socket.AF_INET, socket.SOCK_STREAM, 262",
    "sctp": "socket.AF_INET, socket.SOCK_STREAM, 132",
    "udplite": "socket.AF_INET, socket.SOCK_DGRAM, 136",
    "dccp": "socket.AF_INET, 6, 33",
    "smc": "43, socket.SOCK_STREAM",
    "xdp": "44, socket.SOCK_RAW",
    "l2tp": "socket.AF_INET, socket.SOCK_DGRAM, 115",
}


def attempt(body: str) -> str:
    return TRY.format(body="\n".join(f"    {line}" for line in body.splitlines()))


@pytest.mark.parametrize("kind", KINDS)
def test_no_socket_can_be_made(kind):
    """seccomp refuses socket(2) for all its arguments."""
    source = attempt(f"socket.socket({KINDS[kind]})")

    assert run_hostile(source).out == "refused 1\n"

    with contextlib.suppress(
        OSError
    ):  # the machine itself may lack this kind; then the twin is left out
        with socket.socket(*eval(KINDS[kind])):
            pass
        assert run_hostile(source, without=("seccomp", "identity")).out == "made\n"


@pytest.fixture
def listener():
    """A TCP server on this machine that reports whether it was reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def reached(server) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


CONNECTS = {
    "connect": "s = socket.socket()\ns.settimeout(3)\ns.connect(('127.0.0.1', {port}))",
    "fastopen": "s = socket.socket()\ns.sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', {port}))",
}


@pytest.mark.parametrize("how", CONNECTS)
def test_a_server_of_this_machine_cannot_be_reached(listener, how):
    """The filter, the network namespace and Landlock stop connect and TCP fast open."""
    source = attempt(CONNECTS[how].format(port=listener.getsockname()[1]))

    for without in ((), ("seccomp",), ("namespaces",)):
        assert "refused" in run_hostile(source, without=without).out
        assert not reached(listener)

    off = ("seccomp", "namespaces", "landlock", "mounts")
    assert "made" in run_hostile(source, without=off).out
    assert reached(listener)


def test_landlock_alone_stops_a_tcp_connection(listener):
    """Without the filter and the namespace, Landlock still refuses the port of the connection."""
    source = attempt(CONNECTS["connect"].format(port=listener.getsockname()[1]))

    outcome = run_hostile(source, without=("seccomp", "namespaces"))

    assert "refused 13" in outcome.out
    assert not reached(listener)


def test_udp_reaches_nobody():
    """Landlock does not know UDP; the filter and the network namespace each stop it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        address = server.getsockname()
        source = attempt(
            f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'x', {address!r})"
        )

        for without in ((), ("seccomp",), ("namespaces",)):
            run_hostile(source, without=without)
            with pytest.raises(TimeoutError):
                server.recv(1)

        run_hostile(source, without=("seccomp", "namespaces"))
        assert server.recv(1) == b"x"


def test_an_abstract_socket_cannot_be_reached():
    """The socket has no path, so the filter, the namespace or Landlock's scope must stop it."""
    name = f"\0jobcell-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        server.settimeout(0.2)
        source = attempt(f"socket.socket(socket.AF_UNIX).connect({name!r})")

        for without in (
            (),
            ("seccomp",),
            ("seccomp", "namespaces"),  # Landlock alone, since ABI 6
            ("seccomp", "landlock"),  # the network namespace alone
        ):
            outcome = run_hostile(source, without=without)
            assert "refused" in outcome.out, (without, outcome.err)
            assert not reached(server), without

        off = ("seccomp", "namespaces", "landlock")
        assert "made" in run_hostile(source, without=off).out
        assert reached(server)


def test_a_socket_pair_cannot_be_turned_on_somebody_else():
    """asyncio needs socketpair, but only as a stream: a datagram socket could name an address."""
    name = f"\0jobcell-pair-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name)
        server.settimeout(0.2)
        source = attempt(
            f"a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\na.sendto(b'x', {name!r})"
        )
        assert "refused 1" in run_hostile(source).out
        with pytest.raises(TimeoutError):
            server.recv(1)

        run_hostile(source, without=("seccomp", "namespaces", "landlock"))
        assert server.recv(1) == b"x"

    honest = "import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))"
    assert run_hostile(honest).out == "b'x'\n"


def test_a_permission_opens_the_port_that_it_names_and_no_other(listener):
    """By port alone, the filter lets TCP through, and Landlock only TCP to that port."""
    port = listener.getsockname()[1]
    source = attempt(CONNECTS["connect"].format(port=port))
    by_port = {"without": ("network",)}

    assert "made" in run_hostile(source, net=(f"127.0.0.1:{port}",), **by_port).out
    assert reached(listener)

    assert "refused 13" in run_hostile(source, net=(f"127.0.0.1:{port + 1}",), **by_port).out
    assert not reached(listener)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"tcp", "tcp6", "udp"}))
def test_a_permission_opens_no_other_kind_of_socket(kind):
    """A network permission is for TCP and UDP."""
    source = attempt(f"socket.socket({KINDS[kind]})")

    assert "refused 1\n" in run_hostile(source, net=("*",)).out
    # In a private network, too.
    assert "refused 1\n" in run_hostile(source, net=("127.0.0.1:1",)).out


OPTIONS = {
    "bind to a device": "s.setsockopt(socket.SOL_SOCKET, 25, b'lo')",
    "a mark for routes": "s.setsockopt(socket.SOL_SOCKET, 36, 1)",
    "a source route": "s.setsockopt(socket.IPPROTO_IP, 4, bytes(4))",
    "a foreign source": "s.setsockopt(socket.IPPROTO_IP, 19, 1)",
    "a filter of packets": "s.setsockopt(socket.SOL_SOCKET, 26, bytes(16))",
    "a protocol above TCP": "s.setsockopt(socket.IPPROTO_TCP, 31, b'tls')",
    "another congestion": "s.setsockopt(socket.IPPROTO_TCP, 13, b'reno')",
    "fast open": "s.setsockopt(socket.IPPROTO_TCP, 30, 1)",
    "repair": "s.setsockopt(socket.IPPROTO_TCP, 19, 1)",
    "an address of a device": "import fcntl; fcntl.ioctl(s, 0x8916, b'lo'.ljust(40, b'\\0'))",
    "a device that is down": "import fcntl; fcntl.ioctl(s, 0x8914, b'lo'.ljust(40, b'\\0'))",
    "a route": "import fcntl; fcntl.ioctl(s, 0x890B, bytes(120))",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_permitted_socket_cannot_be_given_more(option):
    """Options and requests that reach past the ports of the rules, or into drivers of the kernel."""
    source = attempt(f"s = socket.socket()\n{OPTIONS[option]}")

    outcome = run_hostile(source, net=("127.0.0.1:1",))
    # ENOTTY is the answer of the filter for an ioctl that it does not know.
    assert outcome.out in ("refused 1\n", "refused 25\n"), outcome.err


@pytest.mark.parametrize("option", ["bind to a device", "another congestion", "fast open"])
def test_the_filter_is_what_refuses_these_options(option):
    """The twin: without it an ordinary process gets them."""
    source = attempt(f"s = socket.socket()\n{OPTIONS[option]}")
    assert run_hostile(source, net=("127.0.0.1:1",), without=("seccomp",)).out == "made\n"


def test_fast_open_does_not_get_around_the_ports_of_a_permission(listener):
    """Landlock does not see a connection that sendto makes; the filter refuses the flag."""
    source = attempt(CONNECTS["fastopen"].format(port=listener.getsockname()[1]))

    by_port = {"net": ("127.0.0.1:1",), "without": ("network",)}
    assert "refused" in run_hostile(source, **by_port).out
    assert not reached(listener)

    by_port["without"] += ("seccomp",)
    assert "made" in run_hostile(source, **by_port).out
    assert reached(listener)


def test_with_a_permission_no_port_can_be_listened_on():
    """A permission allows outgoing connections, and not incoming ones."""
    source = attempt("s = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()")

    assert "refused" in run_hostile(source, net=("*",)).out
    assert "made" in run_hostile(source, net=("*",), without=("seccomp", "landlock")).out


def test_asyncio_talks_to_a_permitted_server(listener):
    """A client on an event loop reaches the server of its permission."""
    listener.settimeout(10)
    port = listener.getsockname()[1]

    def serve():
        with listener.accept()[0] as connection:
            connection.sendall(b"hello\n")

    thread = threading.Thread(target=serve)
    thread.start()
    source = f"""
import asyncio
async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    print(await reader.readline())
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
"""
    outcome = run_hostile(source, net=("*",), memory_bytes=256 * MEGABYTE)
    thread.join()
    assert outcome.out == "b'hello\\n'\n", outcome.err
