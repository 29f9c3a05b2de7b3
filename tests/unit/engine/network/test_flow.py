"""A direction of a connection: how many bytes it holds, and its pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket

import pytest

from engine.network.relay import flow
from engine.network.relay.flow import CHUNK_BYTES, LARGE_PIPE_BYTES, LARGE_PIPES, Flow, Pipes

USUAL_PIPE_BYTES = 1 << 16


def tcp_pair():
    """Return both ends of a connection on the loopback device."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        two, _ = listener.accept()
    one.setblocking(False)
    two.setblocking(False)
    return one, two


def fill(end):
    """Send until the kernel takes no more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            end.send(bytes(1 << 18))


@pytest.fixture
def pipes():
    """Pipes that are closed after the test."""
    made = Pipes()
    yield made
    for pipe in made._spare:
        for end in pipe:
            os.close(end)


def size(pipe):
    return fcntl.fcntl(pipe[0], fcntl.F_GETPIPE_SZ)


def test_a_slow_reader_holds_one_chunk_and_no_more(pipes):
    """Memory of a connection is bounded, whatever its pipe could take."""
    writer, source = tcp_pair()
    target, reader = tcp_pair()
    with writer, source, target, reader:
        one = Flow(source, target, pipes)
        for _ in range(100):
            fill(writer)
            one.step(lambda: 1 << 62, lambda count: None)
        fill(writer)
        before = one.moved
        assert one.step(lambda: 1 << 62, lambda count: None) is False
        assert 0 < one.held <= CHUNK_BYTES
        assert one.moved == before
        one.close()


def test_a_step_ends_after_its_turn(pipes):
    """More bytes are there and could be moved; other connections have their turn first."""
    writer, source = tcp_pair()
    target, reader = tcp_pair()
    with writer, source, target, reader:
        one = Flow(source, target, pipes)
        fill(writer)
        assert one.step(lambda: 1 << 62, lambda count: None, 1_000) is True
        assert one.moved == 1_000
        assert one.step(lambda: 1 << 62, lambda count: None, 1_000) is True
        assert (one.moved, one.held) == (2_000, 0)
        one.close()


def test_a_connection_that_waits_for_bytes_holds_no_pipe(pipes):
    """Its pipe serves the next one."""
    writer, source = tcp_pair()
    target, reader = tcp_pair()
    with writer, source, target, reader:
        one = Flow(source, target, pipes)
        writer.send(b"hello")
        while not one.moved:
            one.step(lambda: 1 << 62, lambda count: None)
        assert (one.held, one._pipe, len(pipes._spare)) == (0, None, 1)


def test_the_first_pipes_are_large_and_the_others_as_usual(pipes):
    """The kernel gives a user a limited number of places in pipes."""
    made = [pipes.take() for _ in range(LARGE_PIPES + 3)]
    sizes = [size(pipe) for pipe in made]
    for pipe in made:
        pipes.give_back(pipe, empty=False)
    assert sizes == [LARGE_PIPE_BYTES] * LARGE_PIPES + [USUAL_PIPE_BYTES] * 3


def test_a_pipe_that_was_closed_makes_room_for_a_large_one(pipes):
    """The number counts those that are open."""
    for _ in range(2):
        made = [pipes.take() for _ in range(LARGE_PIPES)]
        assert {size(pipe) for pipe in made} == {LARGE_PIPE_BYTES}
        for pipe in made:
            pipes.give_back(pipe, empty=False)


def test_a_pipe_stays_usual_where_the_kernel_refuses_a_large_one(pipes, monkeypatch):
    """An ordinary user has limits, and the relay works with what it gets."""
    monkeypatch.setattr(flow, "LARGE_PIPE_BYTES", 1 << 30)
    uid = os.geteuid()
    if not uid:
        os.seteuid(54_321)  # without capabilities
    try:
        made = pipes.take()
    finally:
        if not uid:
            os.seteuid(uid)
    assert size(made) == USUAL_PIPE_BYTES
    pipes.give_back(made, empty=True)
    assert pipes.take() == made
    pipes.give_back(made, empty=True)
