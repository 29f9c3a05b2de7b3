"""The codec turns every decode failure into one error, which says whose fault it is."""

from __future__ import annotations

import msgspec
import pytest

from engine.reporting.eventlog import with_details
from protocol.codec import decode_from_child, decode_to_child, encode
from protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from protocol.messages import Cancel, JobStart, WorkflowComplete, WorkflowError
from protocol.report import make_report
from protocol.state import BIG_INTEGER


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc1", id="no opcode"),
        pytest.param(b"\x81\xa4type\xa4nope", id="unknown message"),
        pytest.param(b"\x80", id="no type"),
        pytest.param(b"\x90", id="no map"),
        pytest.param(b"\x81\xa4type\xa1\xff", id="bad UTF-8"),
        pytest.param(b"\x81\xa4type\xadinit-complete", id="a field is missing"),
        pytest.param(b"\x91" * 100_000, id="deep"),
        pytest.param(b"\x81\x80\xc0", id="unhashable key"),
    ],
)
def test_what_is_no_message_is_a_remote_protocol_error(body):
    """The error drops the traceback of the decoder, because that would keep the bytes in memory."""
    with pytest.raises(
        RemoteProtocolError, match=r"^child sent an undecodable frame: ['\"]"
    ) as caught:
        decode_from_child(body)
    assert caught.value.__suppress_context__
    with pytest.raises(RemoteProtocolError, match=r"^engine sent an undecodable frame: ['\"]"):
        decode_to_child(body)


def test_text_of_the_peer_is_quoted_cut_and_in_ascii():
    """A log never gets terminal escapes or megabytes from a child."""
    body = msgspec.msgpack.encode({"type": "\x1b[31m\xe9" + "x" * 100_000})
    with pytest.raises(RemoteProtocolError) as caught:
        decode_from_child(body)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_the_two_directions_do_not_mix():
    """A child cannot send a message that only an engine sends, and the other way round."""
    with pytest.raises(RemoteProtocolError):
        decode_from_child(encode(Cancel(reason="x")))
    with pytest.raises(RemoteProtocolError):
        decode_to_child(encode(JobStart()))


def test_a_state_crosses_unread():
    """The engine does not look inside a state: the same bytes come out."""
    state = b"\x81\xa1n\xc7\x09\x01" + b"\x01" + bytes(8)
    message = decode_from_child(encode(WorkflowComplete(state=memoryview(state))))
    assert bytes(message.state) == state


def test_details_of_a_report_cross_unread():
    """A child chooses the details; they are decoded when somebody reads the event."""
    details = {"n": msgspec.msgpack.Ext(BIG_INTEGER, b"\1" * 9)}
    report = make_report("JobError", "x", details=details)
    error = decode_from_child(encode(WorkflowError(error=report))).error
    assert bytes(error.details) == msgspec.msgpack.encode(details)
    assert with_details(error).details == {"n": int.from_bytes(b"\1" * 9, "big")}

    report = make_report("JobError", "x", details=msgspec.msgpack.Ext(9, b""))
    error = decode_from_child(encode(WorkflowError(error=report))).error
    assert with_details(error).details is None


def test_errors_say_whose_fault_it_is():
    """A caller can catch both kinds together, or each of them alone."""
    assert issubclass(LocalProtocolError, ProtocolError)
    assert issubclass(RemoteProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
