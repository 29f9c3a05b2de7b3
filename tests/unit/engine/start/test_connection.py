"""The pipes to one child: the pipes are real, and the test holds their other end."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.start.connection import BYTES_PER_TURN, LARGE_BYTES_PER_TURN, Connection
from examples import examples
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.framing import header
from protocol.limits import FRAME_SLACK_BYTES, PIPE_BYTES, READ_BYTES


def descriptors():
    """Return the numbers of all open descriptors."""
    return {name.name for name in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def connection():
    """Return a connection whose child ends belong to the test."""
    before = descriptors()
    made = Connection()
    yield made
    made.close()
    made.child_ends.close()
    # The collector may close a descriptor of an earlier test meanwhile.
    assert not descriptors() - before, "descriptors left open"


def drain(fd, count):
    """Read exactly *count* bytes."""
    data = b""
    while len(data) < count:
        data += os.read(fd, count - len(data))
    return data


def frame(body):
    return header(len(body)) + body


def test_frames_go_out_with_their_length(connection):
    """Frames go out in the order in which they were sent."""
    connection.send(b"one")
    connection.send(b"three")
    assert connection.wants_to_write
    connection.write()
    assert not connection.wants_to_write
    assert drain(connection.child_ends.requests, 16) == frame(b"one") + frame(b"three")


def test_writing_never_waits_for_a_child_that_does_not_read(connection):
    """Bytes for which the pipe has no room stay queued, and go out later unchanged."""
    body = bytes(range(256)) * (4 * PIPE_BYTES // 256)
    connection.send(body)
    connection.write()
    assert connection.wants_to_write
    got = b""
    while len(got) < len(body) + 4:
        got += os.read(connection.child_ends.requests, READ_BYTES)
        connection.write()
    assert got == frame(body)
    assert not connection.wants_to_write


def test_many_small_frames_go_out_in_order(connection):
    """The frames are more than one call of `writev` takes."""
    for number in range(1, 101):
        connection.send(bytes([number]) * 3)
    connection.write()
    expected = b"".join(frame(bytes([number]) * 3) for number in range(1, 101))
    assert drain(connection.child_ends.requests, len(expected)) == expected


def test_a_child_that_has_closed_its_end_is_written_to_in_vain(connection):
    """The write drops the bytes in silence; the end of the child is reported elsewhere."""
    connection.child_ends.close()
    connection.send(b"anyone?")
    connection.write()
    assert not connection.wants_to_write


def test_an_empty_frame_is_not_sent(connection):
    """The engine's own mistake is reported before anything is queued."""
    with pytest.raises(LocalProtocolError):
        connection.send(b"")
    assert not connection.wants_to_write


def test_reading_nothing_returns_at_once(connection):
    """The pipe has no frame, but the child has not ended."""
    assert list(connection.read()) == []
    assert not connection.ended
    assert connection.at_boundary


def test_frames_come_in_as_they_were_sent(connection):
    """The connection returns whole frames, and waits for the rest."""
    os.write(connection.child_ends.answers, frame(b"one") + frame(b"two")[:5])
    assert list(connection.read()) == [b"one"]
    assert not connection.at_boundary
    os.write(connection.child_ends.answers, frame(b"two")[5:])
    assert list(connection.read()) == [b"two"]
    assert connection.at_boundary


@examples(20)
@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=4))
def test_frames_of_any_size_come_through_the_pipe(lengths):
    """The receiver gets its buffers back between reads; otherwise it could not grow."""
    connection = Connection()
    try:
        got = []
        for number, length in enumerate(lengths):
            rest = memoryview(frame(bytes([number + 1]) * length))
            while rest:
                rest = rest[os.write(connection.child_ends.answers, rest[: 1 << 15]) :]
                got += map(bytes, connection.read(to_the_end=True))
        assert got == [bytes([n + 1]) * length for n, length in enumerate(lengths)]
    finally:
        connection.close()
        connection.child_ends.close()


@pytest.mark.parametrize("cut", [0, 2, 5])
def test_the_end_of_the_pipe_is_noticed(connection, cut):
    """The connection also knows whether the pipe ended in the middle of a frame."""
    os.write(connection.child_ends.answers, frame(b"abc") + frame(b"def")[:cut])
    connection.child_ends.close()
    assert list(connection.read(to_the_end=True)) == [b"abc"]
    assert connection.ended
    assert connection.at_boundary is (cut == 0)
    assert list(connection.read(to_the_end=True)) == []


@pytest.mark.parametrize("size", [50_000, 20])
def test_a_turn_has_an_end(connection, size):
    """A child that writes faster than the engine reads does not take the turns of others."""
    body = b"x" * size
    stream = memoryview(frame(body) * 40)
    written = 0
    os.set_blocking(connection.child_ends.answers, False)

    def refill():
        nonlocal written
        try:
            while True:
                written += os.write(connection.child_ends.answers, stream[written % len(stream) :])
        except BlockingIOError:
            pass

    refill()
    for frames, _ in enumerate(connection.read(), start=1):
        refill()
        most = LARGE_BYTES_PER_TURN if size > READ_BYTES // 2 else BYTES_PER_TURN
        assert frames * len(body) <= most + PIPE_BYTES
    assert not connection.emptied


def test_before_a_run_is_assigned_only_small_frames_are_taken(connection):
    """A child that waits for its plan has no reason to send a large frame."""
    os.write(connection.child_ends.answers, (FRAME_SLACK_BYTES + 1).to_bytes(4, "little"))
    with pytest.raises(RemoteProtocolError, match=f"allowed: 1 to {FRAME_SLACK_BYTES}"):
        list(connection.read())


def test_a_run_allows_frames_of_its_size(connection):
    """The size is known when the child gets its plan."""
    connection.allow(10)
    os.write(connection.child_ends.answers, frame(b"x" * 10) + frame(b"x" * 11))
    with pytest.raises(RemoteProtocolError, match="a frame of 11 bytes; allowed: 1 to 10"):
        list(connection.read())


def test_standard_output_is_read_as_it_comes(connection):
    """The engine reads until the child closes its output, and then closes its own end."""
    os.write(connection.child_ends.stdout, b"hello")
    assert connection.read_output(connection.stdout) == b"hello"
    assert connection.read_output(connection.stdout) == b""
    assert connection.is_open(connection.stdout)
    connection.child_ends.close()
    assert connection.read_output(connection.stdout) == b""
    assert not connection.is_open(connection.stdout)
    assert connection.is_open(connection.stderr)


def test_the_ends_of_the_child_are_above_the_numbers_they_get(connection):
    """Otherwise moving a descriptor to its place in the child would close another one."""
    ends = connection.child_ends
    assert all(end >= 20 for end in ends.descriptors)
    assert ends.descriptors == (ends.requests, ends.answers, ends.stdout, ends.stderr)
    assert not any(map(os.get_inheritable, ends.descriptors))


def test_everything_can_be_closed_twice(connection):
    """Several parts of the engine may close the same connection."""
    connection.send(b"x")
    for _ in range(2):
        connection.close()
        connection.child_ends.close()
    assert not connection.wants_to_write
    connection.send(b"x")
    assert not connection.wants_to_write


def test_ends_that_are_high_enough_are_left_where_they_are():
    """A manager with many open files has such descriptors."""
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(30)]
    try:
        made = Connection()
        assert all(end >= 20 for end in made.child_ends.descriptors)
        made.child_ends.close()
        made.close_end(made.stdout)
        made.close_end(made.stdout)
        made.close()
    finally:
        for end in taken:
            os.close(end)


def test_too_few_descriptors_leave_none_behind():
    """The error of a run that cannot be started leaves the same descriptors open as before."""
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (22, hard))
    try:
        with pytest.raises(OSError):
            Connection()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not descriptors() - before
