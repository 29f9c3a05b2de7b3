"""A stream of bytes that is cut anywhere gives the frames that were sent, or one clear error."""

from __future__ import annotations

import tracemalloc
from itertools import cycle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from examples import examples
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.framing import FrameReceiver, header
from protocol.limits import HEADER_BYTES, MAX_FRAME_BYTES, READ_BYTES

LARGE_BYTES = READ_BYTES // 2 + 1

QUICK = examples(80)
LENGTHS = st.one_of(
    st.integers(1, 64),
    st.sampled_from(
        [
            LARGE_BYTES - 1,
            LARGE_BYTES,
            LARGE_BYTES + 1,
            READ_BYTES - HEADER_BYTES,
            READ_BYTES,
            READ_BYTES + 1,
        ]
    ),
)
CHUNKS = st.lists(
    st.one_of(st.integers(1, 9), st.integers(1, 3 * READ_BYTES)), min_size=1, max_size=8
)


def feed(receiver, stream, sizes=(READ_BYTES,)):
    """Give the receiver a stream in chunks that cycle through these sizes; return the frames."""
    frames = []
    rest, sizes = memoryview(stream), cycle(sizes)
    while rest:
        buffer = receiver.buffer()
        count = min(len(buffer), len(rest), next(sizes))
        assert count > 0
        buffer[:count] = rest[:count]
        buffer.release()
        rest = rest[count:]
        frames += map(bytes, receiver.received(count))
    return frames


def body(number, length):
    """Return a frame that differs from its neighbours in every byte."""
    return bytes([number % 251 + 1]) * length


@QUICK
@given(st.lists(LENGTHS, max_size=6), CHUNKS)
@example([1, LARGE_BYTES, 1], [1 << 15]).via("a large frame between small ones")
@example([3_000_000, 5], [READ_BYTES]).via("a frame that grows more than once")
def test_frames_survive_any_chunking(lengths, chunks):
    """The frames arrive as they were sent, in order."""
    bodies = [body(number, length) for number, length in enumerate(lengths)]
    stream = b"".join(header(len(sent)) + sent for sent in bodies)
    if len(stream) > 5000:  # single bytes take long, and show nothing more
        chunks = [max(chunk, 4000) for chunk in chunks]
    receiver = FrameReceiver(MAX_FRAME_BYTES)

    assert feed(receiver, stream, chunks) == bodies
    assert receiver.at_boundary


@QUICK
@given(st.lists(LENGTHS, min_size=1, max_size=3), CHUNKS, st.integers(1, 10**6))
def test_a_cut_stream_ends_inside_a_frame(lengths, chunks, cut):
    """The end of input between two frames differs from the end inside a frame."""
    bodies = [body(number, length) for number, length in enumerate(lengths)]
    stream = b"".join(header(len(sent)) + sent for sent in bodies)
    last = HEADER_BYTES + len(bodies[-1])
    receiver = FrameReceiver(MAX_FRAME_BYTES)
    frames = feed(
        receiver, stream[: len(stream) - 1 - cut % (last - 1)], [max(400, c) for c in chunks]
    )

    assert frames == bodies[:-1]
    assert not receiver.at_boundary


@QUICK
@given(st.binary(max_size=600), st.integers(1, 300), CHUNKS)
@example(b"\0\0\0\0", 10, [1]).via("length zero")
@example(b"\x0b\0\0\0", 10, [4]).via("one above the limit")
def test_garbage_is_frames_or_a_remote_protocol_error(garbage, limit, chunks):
    """Each byte of a child ends in one of these, and no frame is longer than allowed."""
    frames, refusal = [], f"allowed: 1 to {limit}"
    try:
        frames = feed(FrameReceiver(limit), garbage, chunks)
    except RemoteProtocolError as error:
        refusal = str(error)
    assert refusal.endswith(f"allowed: 1 to {limit}")
    assert all(1 <= len(frame) <= limit for frame in frames)


@QUICK
@given(st.lists(st.integers(1, 64), max_size=5), st.sampled_from([0, 65, 2**31, 2**32 - 1]), CHUNKS)
def test_a_forbidden_length_comes_after_the_frames_before_it(lengths, forbidden, chunks):
    """Frames before the broken prefix arrive, wherever the stream is cut."""
    bodies = [body(number, length) for number, length in enumerate(lengths)]
    stream = b"".join(header(len(sent)) + sent for sent in bodies)
    stream += forbidden.to_bytes(4, "little")
    receiver, frames = FrameReceiver(64), []

    def receive():
        for start in range(0, len(stream), chunks[0]):
            chunk = stream[start : start + chunks[0]]
            receiver.buffer()[: len(chunk)] = chunk
            for frame in receiver.received(len(chunk)):
                frames.append(
                    bytes(frame)
                )  # one frame at a time, because the error comes in the middle

    with pytest.raises(RemoteProtocolError, match=f"a frame of {forbidden} bytes"):
        receive()
    assert frames == bodies


@QUICK
@given(st.integers())
@example(0)
@example(MAX_FRAME_BYTES)
@example(MAX_FRAME_BYTES + 1)
def test_the_sender_checks_the_length_too(length):
    """A frame that the other side would refuse is refused before it is sent."""
    if 1 <= length <= MAX_FRAME_BYTES:
        assert int.from_bytes(header(length), "little") == length
    else:
        with pytest.raises(LocalProtocolError, match="allowed: 1 to 2147483647"):
            header(length)


@pytest.mark.parametrize("arrived", [0, 1, 1000, 3_000_000])
def test_memory_grows_with_what_arrived_not_with_what_was_announced(arrived):
    """A prefix that announces 1 GB takes at most a few times the memory of the bytes that came."""
    stream = (1_000_000_000).to_bytes(4, "little") + bytes(arrived)
    receiver = FrameReceiver(MAX_FRAME_BYTES)
    tracemalloc.start()
    try:
        assert feed(receiver, stream) == []
        receiver.buffer().release()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak <= 4 * arrived + 4 * (1 << 20)
