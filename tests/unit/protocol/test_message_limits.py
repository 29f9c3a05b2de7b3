"""The cost of a child's message is bounded before the message is decoded."""

from __future__ import annotations

import time

import msgspec
import pytest

from protocol import messages as m
from protocol.codec import decode_from_child, encode
from protocol.errors import RemoteProtocolError
from protocol.limits import MAX_LOG_ENTRIES, MAX_MESSAGE_BYTES, MAX_NEXT, MAX_SENT_FRAMES
from protocol.report import StackFrame, make_report

EMPTY_LINE = b"\x93\xa4info\xa3job\xa0"


def batch(count):
    """Return a frame of *count* empty log lines."""
    entries = b"\xdd" + count.to_bytes(4, "big") + EMPTY_LINE * count
    return b"\x82\xa4type\xa9log-batch\xa7entries" + entries


@pytest.mark.slow
def test_a_large_state_is_passed_over_at_once():
    """The length comes before the state, so the content of the state does not matter."""
    state = b"\xdd" + (50_000_000).to_bytes(4, "big") + b"\x80" * 50_000_000
    frame = encode(m.WorkflowComplete(state=memoryview(state)))
    began = time.thread_time()
    message = decode_from_child(frame)
    assert time.thread_time() - began < 0.01
    assert message.state == state
    # The twin: a state that is a value within the message is read item by item.
    began = time.thread_time()
    msgspec.msgpack.decode(state, type=msgspec.Raw)
    assert time.thread_time() - began > 0.01


def test_a_batch_of_too_many_lines_is_refused_before_one_is_made():
    """Two million lines would hold the supervisor for seconds."""
    assert len(decode_from_child(batch(MAX_LOG_ENTRIES)).entries) == MAX_LOG_ENTRIES
    frame = batch(2_000_000)
    began = time.thread_time()
    with pytest.raises(RemoteProtocolError, match="length <= 1024"):
        decode_from_child(frame, log_bytes=len(frame))
    assert time.thread_time() - began < 0.05


@pytest.mark.parametrize("padding", [b"\xc4", b"\xd9"])
def test_a_message_is_not_larger_than_its_type_allows(padding):
    """A job-start has no fields, so a megabyte cannot be an honest message."""
    body = b"\x82\xa4type\xa9job-start\xa1x\xc6" + (MAX_MESSAGE_BYTES).to_bytes(4, "big")
    with pytest.raises(RemoteProtocolError, match=r"in one message of the type 'job-start'"):
        decode_from_child(body + padding * MAX_MESSAGE_BYTES)


def test_a_large_frame_says_its_type_first():
    """Otherwise its type would be known only after the whole frame was read."""
    body = b"\x82\xa1x\xc6" + MAX_MESSAGE_BYTES.to_bytes(4, "big") + bytes(MAX_MESSAGE_BYTES)
    with pytest.raises(RemoteProtocolError, match=r"of the type '\?'; allowed: 1000000"):
        decode_from_child(body + b"\xa4type\xa9job-start")


def test_a_state_counts_for_itself_and_nothing_else_does():
    """Without its state, such a message is as small as any other message."""
    big = memoryview(bytes(3 * MAX_MESSAGE_BYTES))
    report = make_report("JobError", "no")
    message = m.JobError(state=big, error=report, state_bytes=1, next=(), duration_ms=1)
    assert decode_from_child(encode(message)).state == big
    long = msgspec.structs.replace(report, message="x" * MAX_MESSAGE_BYTES)
    with pytest.raises(RemoteProtocolError, match="'job-error'; allowed: 1000000"):
        decode_from_child(encode(msgspec.structs.replace(message, error=long)))
    with pytest.raises(RemoteProtocolError, match="'workflow-error'; allowed: 1000000"):
        decode_from_child(encode(m.WorkflowError(error=long)))


def test_a_state_cannot_claim_more_bytes_than_there_are():
    """A false length would excuse the rest of the frame."""
    body = b"\x83\xa4type\xacjob-complete\xa5state\xc6\xff\xff\xff\xff" + bytes(MAX_MESSAGE_BYTES)
    with pytest.raises(RemoteProtocolError):
        decode_from_child(body)


def test_lists_in_messages_have_a_limit():
    """The lists are the next steps, the frames of a stack, and the features of a peer."""
    many = ("x",) * (MAX_NEXT + 1)
    with pytest.raises(RemoteProtocolError, match="length <= 10000"):
        decode_from_child(
            encode(m.JobComplete(state=None, state_bytes=1, next=many, duration_ms=1))
        )
    stack = (StackFrame("a", "f"),) * (MAX_SENT_FRAMES + 1)
    report = make_report("JobError", "no", stack=stack)
    with pytest.raises(RemoteProtocolError, match="length <= 200"):
        decode_from_child(encode(m.WorkflowError(error=report)))
    with pytest.raises(RemoteProtocolError, match="length <= 100"):
        decode_from_child(encode(m.Hello(version=1, features=("x",) * 101)))


def test_no_message_of_a_child_has_a_field_of_any_type():
    """The supervisor would decode any value of a child, even keys whose hashes collide."""
    schema = msgspec.json.schema_components(m.FromChild.__args__)[1]
    open_fields = {
        f"{name}.{field}"
        for name, struct in schema.items()
        for field, kind in struct.get("properties", {}).items()
        if kind.keys() <= {"default", "description"}
    }
    assert open_fields == {"SentReport.details"}  # a msgspec.Raw
    fields = {field.name: field.type for field in msgspec.structs.fields(m.SentReport)}
    assert fields["details"] is msgspec.Raw
