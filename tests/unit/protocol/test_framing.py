"""Frames at the edges: the values that a prefix may have, and the places where a stream may end."""

from __future__ import annotations

import pytest

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.framing import FrameReceiver, header
from protocol.limits import MAX_FRAME_BYTES, READ_BYTES

LARGE_BYTES = READ_BYTES // 2 + 1


def put(receiver, data):
    """Give the receiver some bytes; return the frames."""
    buffer = receiver.buffer()
    buffer[: len(data)] = data
    buffer.release()
    return list(receiver.received(len(data)))


def test_a_header_is_four_bytes_little_endian():
    """The header is the first fact of the wire."""
    assert header(1) == b"\x01\0\0\0"
    assert header(0x0A0B0C) == b"\x0c\x0b\x0a\0"


@pytest.mark.parametrize("length", [0, -1, MAX_FRAME_BYTES + 1, 2**32])
def test_a_sender_refuses_a_length_that_no_frame_may_have(length):
    """A mistake of the sender is found at the sender, and is reported as its own."""
    with pytest.raises(LocalProtocolError, match=f"cannot send a frame of {length} bytes"):
        header(length)


def test_a_length_of_zero_is_an_error():
    """An empty frame is not a message, and a reader that accepts it would spin."""
    with pytest.raises(RemoteProtocolError, match="a frame of 0 bytes; allowed: 1 to 100"):
        put(FrameReceiver(100), b"\0\0\0\0")


def test_a_prefix_is_checked_before_the_body_comes():
    """A reader does not wait for a body that it would refuse in the end."""
    receiver = FrameReceiver(100)
    assert put(receiver, b"\x65\0\0") == []
    with pytest.raises(RemoteProtocolError, match="a frame of 101 bytes"):
        put(receiver, b"\0")


def test_no_limit_of_a_caller_is_above_that_of_the_wire():
    """The options of a run cannot raise the limit of the wire."""
    assert FrameReceiver(2**40).max_frame_bytes == MAX_FRAME_BYTES


def test_a_limit_can_be_raised_between_two_frames():
    """The limit of a run is known only when the run is assigned to the child."""
    receiver = FrameReceiver(10)
    assert put(receiver, header(3) + b"abc") == [b"abc"]
    receiver.max_frame_bytes = 20
    assert put(receiver, header(20) + b"x" * 20) == [b"x" * 20]


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        pytest.param(b"", True, id="nothing"),
        pytest.param(b"\x01", False, id="part of a prefix"),
        pytest.param(b"\x01\0\0\0", False, id="a prefix"),
        pytest.param(b"\x02\0\0\0a", False, id="part of a body"),
        pytest.param(b"\x01\0\0\0a", True, id="a frame"),
        pytest.param(b"\x01\0\0\0a\x01", False, id="a frame and part of a prefix"),
        pytest.param(header(LARGE_BYTES) + b"a", False, id="part of a large body"),
        pytest.param(header(LARGE_BYTES) + b"a" * LARGE_BYTES, True, id="a large one"),
    ],
)
def test_the_end_of_input_inside_a_frame_can_be_told(data, whole):
    """A child that ends between two frames differs from a child that was cut off."""
    receiver = FrameReceiver(MAX_FRAME_BYTES)
    put(receiver, data)
    assert receiver.at_boundary is whole


def test_a_large_frame_is_handed_on_without_a_copy():
    """The message uses the buffer that was read into, and the receiver keeps nothing of it."""
    receiver = FrameReceiver(MAX_FRAME_BYTES)
    put(receiver, header(LARGE_BYTES) + b"a" * 100)
    (frame,) = put(receiver, b"a" * (LARGE_BYTES - 100))
    assert type(frame) is bytearray
    frame.clear()
    assert put(receiver, b"\x01\0\0\0b") == [b"b"]


def test_there_is_always_room_to_read_into():
    """With an empty buffer, a read of zero bytes would look like the end."""
    receiver = FrameReceiver(MAX_FRAME_BYTES)
    for _ in range(40):
        assert len(receiver.buffer()) > 0
        put(receiver, (header(60_000) + b"a" * 59_999 + b"a")[: len(receiver.buffer())])
