"""Any bytes from a peer give a message or a RemoteProtocolError, and claim no memory for it."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from examples import examples
from protocol import messages as m
from protocol.checks import CheckedText, Finding
from protocol.codec import decode_from_child, decode_to_child, encode
from protocol.collection import CollectionItem, CollectionQuery
from protocol.collection_messages import (
    CollectionFailed,
    CollectionGet,
    CollectionGiven,
    CollectionRemove,
    CollectionSet,
    SentItem,
)
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.errors import RemoteProtocolError
from protocol.plan import Step, Workflow
from protocol.report import make_report

QUICK = examples(80)
RAW = memoryview(b"\x81\xa4data\x80")
REPORT = make_report("JobError", "boom", details={"code": [1, None, "x"]})
LIMITS = m.ChildLimits(
    state_bytes=1,
    state_items=1,
    payload_bytes=2,
    log_payload_bytes=3,
    max_log_bytes=4,
    max_step_runs=5,
    memory_bytes=6,
)
FROM_CHILD = [
    m.Hello(version=1, features=("x",)),
    m.Ready(confinement=ConfinementReport(level="none", language=True), python="3.11.9"),
    m.ConfineFailed(layer="seccomp", reason="EPERM", remedy="none"),
    m.InitStart(step_id="a", step_run_id="a-1"),
    m.InitComplete(duration_ms=3),
    m.LoadCredential(step_id="a", step_run_id="a", id="c"),
    m.LoadState(step_id="a", step_run_id="a", id="s"),
    CollectionGet(number=1, name="visits", query=CollectionQuery(key="a*", cursor="b")),
    CollectionSet(number=2, name="visits", items=(SentItem("a", RAW),)),
    CollectionRemove(number=3, name="visits", query=CollectionQuery(), dry_run=True),
    m.JobStart(),
    m.JobComplete(state=RAW, state_bytes=7, next=("b",), duration_ms=1),
    m.JobError(error=REPORT, state=RAW, state_bytes=7, next=(), duration_ms=1),
    m.StepDied(step_id="a", step_run_id="a-1"),
    m.Elsewhere(step_id="a", step_run_id="a-1"),
    m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True),
    m.LogBatch(entries=(m.LogEntry("info", "job", "hé\n"),), dropped=2),
    m.WorkflowComplete(state=RAW, error=REPORT),
    m.WorkflowError(error=REPORT),
    m.Linking(adaptor="rest@1.0.0"),
    m.Checked(findings=(Finding("CompileError", "no"),), form="script"),
]
TO_CHILD = [
    m.Hello(version=1, pid=4),
    m.Confine(request=ConfinementRequest()),
    m.Start(
        run_id="r",
        workflow=Workflow(steps=(Step(id="a", expression="x", state={"a": 1}),)),
        start="a",
        state=msgspec.Raw(RAW),
        limits=LIMITS,
    ),
    m.Loaded(value=msgspec.Raw(RAW)),
    m.LoadFailed(error=REPORT),
    CollectionGiven(number=1, items=(CollectionItem("a", b"\xc0", 1, 2),), cursor="a", count=1),
    CollectionFailed(number=2, reason="no", fix="ask", refused=True),
    m.Cancel(reason="enough"),
    m.Replay(step_run_id="a-1", state=msgspec.Raw(RAW), next=("b",), error=REPORT),
    m.Proceed(),
    m.Check(texts=(CheckedText(kind="job", source="x"),)),
]
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = sorted({field for message in FROM_CHILD for field in message.__struct_fields__} | {"type"})
TAGS = sorted(str(message.__struct_config__.tag) for message in FROM_CHILD)
DEEP = {
    "arrays": b"\x91" * 300_000 + b"\xc0",
    "maps": b"\x81\xa1a" * 100_000 + b"\xc0",
    "arrays in a raw field": b"\x82\xa4type\xb1workflow-complete\xa5state"
    + b"\x91" * 300_000
    + b"\xc0",
    "maps in a field that is not known": (
        b"\x82\xa4type\xa9job-start\xa1x" + b"\x81\xa1a" * 100_000 + b"\xc0"
    ),
}


def attempt(body, decode=decode_from_child):
    """Decode; return the message, or None if it was refused in the right way."""
    try:
        message = decode(body)
    except RemoteProtocolError as error:
        text = str(error)
    else:
        assert isinstance(message, m.Message)
        return message
    assert len(text) < 800
    assert text.isascii()
    assert text.isprintable()
    return None


@pytest.mark.parametrize("message", FROM_CHILD, ids=lambda message: type(message).__name__)
def test_a_message_of_a_child_comes_back_equal(message):
    """Every message that a child may send survives the wire."""
    assert set(map(type, FROM_CHILD)) == set(m.FromChild.__args__)
    for body in (encode(message), bytearray(encode(message))):
        decoded = decode_from_child(body)
        assert type(decoded) is type(message)
        assert msgspec.msgpack.decode(encode(decoded)) == msgspec.msgpack.decode(body)


@pytest.mark.parametrize("message", TO_CHILD, ids=lambda message: type(message).__name__)
def test_a_message_of_the_engine_comes_back_equal(message):
    """Every message that an engine may send survives the wire."""
    assert set(map(type, TO_CHILD)) == set(m.ToChild.__args__)
    assert decode_to_child(encode(message)) == message


@pytest.mark.parametrize("message", TO_CHILD[1:], ids=lambda message: type(message).__name__)
def test_a_message_of_the_engine_is_none_of_a_child(message):
    """A child that answers with a message of the engine is refused."""
    assert attempt(encode(message)) is None


@QUICK
@given(st.binary(max_size=300))
@example(b"").via("an empty body")
@example(b"\x81\xa4type\xa1\xff").via("a tag that is not UTF-8")
@example(b"\x81\xa4type\xa9job-start\xc0").via("something after the message")
@example(b"\x81\xa4type\xc0").via("a tag that is no text")
@example(b"\x81\x80\xc0").via("a key that cannot be one")
@example(b"\xc1").via("an opcode that does not exist")
def test_garbage_is_refused(body):
    """Random bytes are not a message."""
    attempt(body)
    attempt(body, decode_to_child)


@QUICK
@given(
    st.sampled_from([encode(message) for message in FROM_CHILD]),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_message_with_bytes_changed_is_a_message_or_refused(body, changes):
    """Bytes that are nearly right get further into the decoder than garbage."""
    mutated = bytearray(body)
    for place, value in changes:
        mutated[place % len(mutated)] = value
    attempt(mutated)


@QUICK
@given(st.sampled_from([encode(message) for message in FROM_CHILD + TO_CHILD]), st.data())
def test_a_truncated_message_is_refused(body, data):
    """A part of a message, cut anywhere, is not a message."""
    cut = data.draw(st.integers(0, len(body) - 1))
    assert attempt(body[:cut]) is None
    assert attempt(body[:cut], decode_to_child) is None


@QUICK
@given(st.sampled_from(TAGS), st.dictionaries(st.sampled_from(FIELDS), PLAIN, max_size=6))
def test_a_message_of_wrong_types_is_a_message_or_refused(tag, fields):
    """Any field of well-formed msgpack may hold any value."""
    attempt(msgspec.msgpack.encode({**fields, "type": tag}))


@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP)
def test_deep_nesting_is_refused(body):
    """Nesting beyond the interpreter's stack gives the same error, even in an unread field."""
    assert attempt(body) is None


@pytest.mark.parametrize(
    "code", [b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff"]
)
@pytest.mark.parametrize(
    "before",
    [
        b"\x82\xa4type\xa9log-batch\xa7entries",
        b"\x82\xa4type\xa5hello\xa8features",
        b"\x82\xa4type\xb1workflow-complete\xa5state",
        b"\x82\xa4type\xaeworkflow-error\xa5error\x84\xa4name\xa1x\xa7message\xa1x\xa8severity\xa4fail\xa7details",
        b"\x82\xa4type\xa9job-start\xa1x",
        b"",
    ],
)
def test_a_container_that_announces_items_takes_no_memory_for_them(before, code):
    """The container announces 2**32 items and sends none."""
    tracemalloc.start()
    try:
        assert attempt(before + code) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 100_000


@QUICK
@given(st.text(min_size=200, max_size=400))
@example("\x1b[31m" * 100)
@example("\ud7ff" * 400)
def test_an_error_quotes_the_peer_cut_and_in_ascii(tag):
    """A tag of any length and with any characters is shortened before it reaches a log."""
    assert attempt(msgspec.msgpack.encode({"type": tag})) is None
