"""Slow sides and hostile name servers, each with a twin that succeeds in a relay without the limit.

`relay_without` has the limits.  The other tests of this directory have the same attacks on a whole relay.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from pathlib import Path

import pytest
from relay_world import CNAME, WAIT_S, A, Job, Relay, echo, reply, served

OUTSIDE = "203.0.113.5"
RULE = f"{OUTSIDE}:443"
MEGABYTE = 1 << 20
LIMITED = [pytest.param(False, id="whole"), pytest.param(True, id="without the limit")]


@pytest.fixture
def made(world):
    """Make a run in a relay of its own: `made(limit, rule)`; None as the limit is a whole relay."""
    relays, runs = [], []

    def make(limit_off, *rules, through=None, **settings):
        relay = through or Relay(world.space, limit_off=limit_off, **settings)
        if through is None:
            relays.append(relay)
        runs.append(Job(relay, world.space.inner(), *rules))
        return runs[-1]

    yield make
    for run in runs:
        run.finish()
    for relay in relays:
        assert relay.close() == 0


def pair(run, listener):
    """Return both ends of a new connection of the job, with small buffers: inside, outside."""
    inside = run.connect(OUTSIDE, 443)
    outside, _ = listener.accept()
    for end in (inside, outside):
        end.settimeout(WAIT_S)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    return inside, outside


def kernel_bytes():
    """Return how many bytes the kernel may keep for the relay's sockets of a connection: tcp(7), tcp_rmem and tcp_wmem."""
    return sum(
        int(Path("/proc/sys/net/ipv4", f"tcp_{end}mem").read_text().split()[2]) for end in "rw"
    )


def wait_until(fact):
    deadline = time.monotonic() + WAIT_S
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("off", LIMITED)
@pytest.mark.parametrize("direction", ["to the job", "from the job"])
def test_a_writer_whose_reader_sleeps_fills_no_memory(made, world, direction, off):
    """The relay takes nothing more from it.  The twin takes 24 MB and keeps them."""
    run = made("wait_for_the_reader" if off else None, RULE)
    most = 24 * MEGABYTE + (0 if off else kernel_bytes())
    with world.space.listener(OUTSIDE, 443) as listener:
        inside, outside = pair(run, listener)
        writer = outside if direction == "to the job" else inside
        before = run.relay.memory_bytes()
        writer.setblocking(False)
        sent, block = 0, bytes(MEGABYTE)
        while sent < most and select.select([], [writer], [], 1)[1]:
            sent += writer.send(block[: most - sent])
        if off:
            assert sent == most
            wait_until(lambda: run.relay.memory_bytes() - before > 20 * MEGABYTE)
        else:
            assert sent < most
            assert run.relay.memory_bytes() - before < MEGABYTE
        inside.close()
        outside.close()


@pytest.mark.parametrize("off", LIMITED)
def test_a_reader_that_sleeps_holds_up_nobody_else(made, world, off):
    """Another connection works meanwhile.  In the twin it waits until the reader has read."""
    run = made("go_on_with_others" if off else None, RULE)
    with world.space.listener(OUTSIDE, 443) as listener:
        inside, outside = pair(run, listener)
        other, answering = pair(run, listener)
        outside.setblocking(False)
        filled = 0
        while select.select([], [outside], [], 0.3)[1]:
            filled += outside.send(bytes(1 << 16))
        other.sendall(b"hello")
        if off:
            assert not select.select([answering], [], [], 0.5)[0]
            outside.close()
            # It reads every byte: with a full window the relay would wait for an end that is closed.
            reader = threading.Thread(target=read_all, args=[inside, filled])
            reader.start()
            assert answering.recv(10) == b"hello"
            reader.join()
        else:
            assert answering.recv(10) == b"hello"
        for end in (inside, outside, other, answering):
            end.close()


def read_all(end, number):
    with contextlib.suppress(TimeoutError):
        while number > 0 and (part := end.recv(MEGABYTE)):
            number -= len(part)


@pytest.mark.parametrize("off", LIMITED)
def test_a_writer_that_says_nothing_loses_its_connection(made, world, off):
    """It ends after the idle time.  The twin has an hour of it, and the connection lives on."""
    quick = made(None, RULE, idle_s=0.2)
    run = made(None, RULE, idle_s=3_600.0) if off else quick
    with (
        served(world.space.listener(OUTSIDE, 443), echo),
        run.connect(OUTSIDE, 443) as end,
        quick.connect(OUTSIDE, 443) as other,
    ):
        for one in (end, other):
            one.sendall(b"x")
            assert one.recv(1) == b"x"
        with pytest.raises(ConnectionResetError):
            other.recv(1)  # the idle time of a whole relay is over
        if off:
            end.sendall(b"y")
            assert end.recv(1) == b"y"
        else:
            with pytest.raises(ConnectionResetError):
                end.recv(1)


@pytest.mark.parametrize("off", LIMITED)
def test_slow_names_of_a_run_leave_threads_for_others(made, world, off):
    """The relay asks for few of them at once.  In the twin forty slow names have all of its threads."""
    slow = made("look_up_few_names" if off else None, "*.slow.example.org:443")
    names = [f"s{number}.slow.example.org" for number in range(40)]
    for name in names:
        world.names.records[name] = lambda *_: b""
    world.names.records["quick.example.org"] = [OUTSIDE]
    world.names.asked.clear()
    with contextlib.ExitStack() as stack:
        stack.enter_context(served(world.space.listener(OUTSIDE, 443), echo))
        for name in names:
            stack.enter_context(slow.connect(name, 443))
        wait_until(lambda: len(asked(world, names)) >= (32 if off else 4))
        other = made(None, "quick.example.org:443", through=slow.relay)
        end = stack.enter_context(other.connect("quick.example.org", 443))
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        before = world.names.asked[: world.names.asked.index("quick.example.org")]
        assert (len(set(before) & set(names)) >= 32) is off


def asked(world, names):
    return set(world.names.asked) & set(names)


@pytest.mark.parametrize("off", LIMITED)
def test_of_thousands_of_addresses_the_first_are_tried(made, world, off):
    """A name server cannot have the relay try them all.  The twin sends a packet to each."""
    many = [
        (A, socket.inet_aton(f"203.0.{number // 250}.{number % 250 + 1}")) for number in range(500)
    ]
    world.names.records["many.example.org"] = lambda message, over_tcp: reply(
        message,
        many if over_tcp and message[-4:-2] == b"\0\1" else [],
        flags=0 if over_tcp else 0x0200,
    )
    run = made("look_at_few_addresses" if off else None, "many.example.org:443")
    with world.space.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MEGABYTE)
        wire.bind(("lo", 0x0800))
        assert run.refused("many.example.org", 443).reason == "connection refused"
        tried = called(wire, 443)
    assert len(tried) == (500 if off else 64)


def called(wire, port):
    """Return the addresses to which packets for a port were sent: RFC 791 and RFC 9293 have the places."""
    found = set()
    wire.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while packet := wire.recv(2048):
            head = 4 * (packet[0] & 15)
            if packet[9] == socket.IPPROTO_TCP and packet[head + 2 : head + 4] == port.to_bytes(
                2, "big"
            ):
                found.add(packet[16:20])
    return found


@pytest.mark.parametrize("off", LIMITED)
def test_a_name_that_leads_to_itself_is_soon_given_up(made, world, off):
    """The relay asks a few times.  The twin follows the name for ever."""
    world.names.records["loop.example.org"] = lambda message, _: reply(
        message, [(CNAME, b"\xc0\x0c")]
    )
    world.names.asked.clear()
    run = made("follow_few_names" if off else None, "loop.example.org:443")
    if off:
        with run.connect("loop.example.org", 443):
            wait_until(lambda: world.names.asked.count("loop.example.org") > 500)
    else:
        assert "name" in run.refused("loop.example.org", 443).reason
        assert world.names.asked.count("loop.example.org") <= 16
