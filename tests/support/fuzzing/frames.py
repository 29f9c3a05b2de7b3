"""Frames of a hostile child into the supervisor: framing, codec and session, without a process.

The first two bytes of an input choose the run and the cuts in the stream; the rest is the stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
from fake_process import CONVERSATION
from shelf import Shelf

from engine import RunOptions
from engine.api import parse_collection_rules
from engine.reporting.as_json import event_from_json, result_from_json, to_json
from engine.reporting.eventlog import EventLog
from engine.running.collections import answer
from engine.running.session import Collected, Session
from engine.running.session.effects import Collect, Dismiss, Effect, Effects, Resolve, Send
from engine.running.session.loading import Request
from engine.running.session.moment import Moment
from engine.running.session.order import Order
from engine.running.session.resolution import Resolution
from engine.start.exit import Exit
from fuzzing.mutation import SECRET, mutate_bytes, mutate_value
from fuzzing.target import Target
from protocol import messages as m
from protocol.codec import decode_from_child, decode_to_child, encode
from protocol.collection import CollectionQuery
from protocol.collection_messages import (
    CollectionFailed,
    CollectionGet,
    CollectionGiven,
    CollectionRemove,
    CollectionSet,
    SentItem,
)
from protocol.confinement import ConfinementRequest
from protocol.errors import RemoteProtocolError
from protocol.events import JobComplete, JobError, JobStart, Versions
from protocol.framing import FrameReceiver, header
from protocol.limits import HEADER_BYTES
from protocol.plan import Edge, Step, Workflow
from protocol.report import OperationRef, Position, StackFrame, make_report
from protocol.state import decode_state, encode_state

NO_STATES, SECRETS, SMALL, KILLED, FAILING, CANCELLED, OUTPUT, NO_EXIT = (1 << n for n in range(8))
"""The choices in the first byte."""

ENDS = ("workflow-complete", "workflow-error")
MAX_FRAME_BYTES = 100_000
READ_BYTES = 256
EVENT_BYTES = 200_000
BYTES_PER_BYTE = 200
"""Memory that a run may keep for each byte that its child sent, besides `EVENT_BYTES`."""

LARGE = b"\x92" + msgspec.msgpack.encode("-" * 4_100)
"""The beginning of a list of a long text and of the state after it."""

DEEP_BYTES = 100

BROKEN = (
    b"\x81\xc7",
    b"\x82\x01\x01\xd4",
    b"\x81\x91\x01\x01",
    b"\xd6\xff\0\0\0\0",
    b"\x92\xc0",
    b"\xa9",
)
HEADS = (*BROKEN, *(bytes([head]) for head in range(0x80, 0xE0) if not 0x91 < head < 0xC0))
"""Heads of msgpack: bytes that are not a state, and first bytes."""

NOW = Moment(1000.0, 1.7e9)
PLAN = Workflow(
    steps=(
        Step(id="a", expression="x", next={"b": Edge("x"), "c": Edge(False)}),
        Step(id="b", expression="x"),
        Step(id="c", expression="x", next={"b": Edge()}),
    )
)
OPTIONS = RunOptions()
RULES = parse_collection_rules(["visits", "seen:read"])
SMALL_OPTIONS = RunOptions(
    max_events=12,
    state_items=20,
    max_log_bytes=200,
    payload_mb=0.0001,
    log_payload_mb=0.0001,
    state_mb=0.001,
)


def check(data: bytes) -> None:
    """Hold the conversation of one child, and assert the facts on which the manager may rely."""
    flags = data[0] if data else 0
    log = EventLog()
    session = Session(_order(flags), log)
    session.begin(NOW)
    finished = _hear(session, data[2:], flags, (data[1] if len(data) > 1 else 0) or 1 << 16)
    exited = Exit(signal=9) if flags & KILLED else Exit(code=0)
    no_exit = flags & NO_EXIT and finished
    outcome = session.finish(None if no_exit else exited, NOW)
    log.close()
    _check_events(log, data, secret=bool(flags & SECRETS))
    result = outcome.decode()
    assert result_from_json(to_json(result)).reason == result.reason
    if flags & SECRETS:
        assert not _shows(to_json(result))


def _order(flags: int) -> Order:
    options = SMALL_OPTIONS if flags & SMALL else OPTIONS
    return Order(
        run_id="run-7",
        start=b"",
        workflow=PLAN,
        requests=(ConfinementRequest(),),
        options=msgspec.structs.replace(options, event_state=not flags & NO_STATES),
        credential_ids=frozenset({"cred"}),
        state_ids=frozenset({"stored"}),
        max_step_runs=10,
        versions=Versions(python="3", engine="0"),
        configurations=({"password": SECRET},) if flags & SECRETS else (),
        collections=(RULES,),
    )


def _hear(session: Session, stream: bytes, flags: int, cut: int) -> bool:
    """Do the same with the bytes as a lane; return whether the child ended by itself."""
    receiver = FrameReceiver(MAX_FRAME_BYTES, read_bytes=READ_BYTES)
    turns = 0
    effects: list[Effect] = []
    while stream:
        turns += 1
        buffer = receiver.buffer()
        assert buffer, "no room to read into"
        piece, stream = stream[: min(cut, len(buffer))], stream[min(cut, len(buffer)) :]
        buffer[: len(piece)] = piece
        buffer.release()
        try:
            for frame in receiver.received(len(piece)):
                assert 0 < len(frame) <= MAX_FRAME_BYTES
                message = decode_from_child(frame)
                _check_state(getattr(message, "state", None))
                for effect in session.receive(message, NOW, frame_bytes=len(frame)):
                    effects.append(effect)
                    if isinstance(effect, Resolve):
                        effects += _answer(session, effect.request, flags)
                    elif isinstance(effect, Collect):
                        effects += _collect(session, effect, flags)
        except RemoteProtocolError as error:
            return _break_off(session, str(error))
        if flags & OUTPUT:
            effects += session.output("stderr" if turns % 2 else "stdout", piece, NOW)
        if flags & CANCELLED and turns == 1:
            (sent,) = session.cancel("enough", NOW)
            assert isinstance(sent, Send)
            assert isinstance(decode_to_child(sent.body), m.Cancel)
        if Dismiss() in effects:
            return True
        assert session.check(NOW) == (), "no time has gone by"
    return False


def _check_state(state: memoryview | None) -> None:
    """Assert that a state alone and the same state in a large one both decode, or both fail.

    A small state is decoded at once; for a large state the keys are checked first.
    """
    if state is None:
        return
    large = LARGE + bytes(state)
    values = []
    for encoded in (state, large):
        try:
            values.append(repr(decode_state(encoded, max_items=10_000)))
        except ValueError:
            values.append("none")
    if "none" in values:
        # A single level more may be too many.
        assert values == ["none", "none"] or state.nbytes > DEEP_BYTES, values
    else:
        assert values[1].endswith(f", {values[0]}]"), "a state is another one within a larger one"


def _break_off(session: Session, reason: str) -> bool:
    assert len(reason) < 1000, "the reason quotes the child at length"
    session.break_off(reason)
    return False


def _answer(session: Session, request: Request, flags: int) -> Effects:
    assert request.id in ("cred", "stored")
    value = {"token": SECRET} if flags & SECRETS else {"token": "abcdefgh"}
    outcome: Any = Resolution(value=value, encoded=encode_state(value), expires=None)
    if flags & FAILING:
        outcome = make_report("CredentialLoadError", "no", step_id=request.step_id)
    effects = session.loaded(session.loading.study(request, outcome), NOW)
    assert isinstance(effects[0], Send)
    answer = decode_to_child(effects[0].body)
    assert isinstance(answer, m.LoadFailed if flags & FAILING else m.Loaded)
    assert session.loading.waiting is None
    return effects


def _collect(session: Session, effect: Collect, flags: int) -> Effects:
    """Carry out a request for a collection, as the manager's code would."""
    request = effect.request
    assert request.name in ("visits", "seen"), "a collection that no rule names"
    reads = isinstance(request, CollectionGet) or getattr(request, "dry_run", False)
    assert request.name == "visits" or reads, "no right to write"
    assert not (flags & SECRETS and isinstance(request, CollectionSet) and _holds_secret(request))
    message = answer(Shelf(fails=bool(flags & FAILING)), request)
    effects = session.loaded(Collected(request, message), NOW)
    assert isinstance(effects[0], Send)
    sent = decode_to_child(effects[0].body)
    assert isinstance(sent, CollectionGiven | CollectionFailed)
    assert sent.number == request.number
    return effects


def _holds_secret(request: CollectionSet) -> bool:
    return any(SECRET in item.key or SECRET.encode() in item.value for item in request.items)


def _check_events(log: EventLog, data: bytes, *, secret: bool) -> None:
    """Assert that the events are numbered, end once, close each job, and carry no secret."""
    events = log.read(0, 0.0)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events if event.type in ENDS] == [events[-1].type]
    running = False
    size = 0
    for event in events:
        if isinstance(event, JobStart):
            assert not running, "a job starts within a job"
            running = True
        elif isinstance(event, (JobComplete, JobError)):
            running = False
        text = to_json(event)
        size += len(text)
        assert not (secret and _shows(text)), f"a secret is in a {event.type}"
        assert event_from_json(text).type == event.type
    assert not running, "a job has no end"
    assert size <= EVENT_BYTES + BYTES_PER_BYTE * len(data), f"{size} bytes of events are kept"


def _shows(text: str) -> bool:
    """Whether the secret is in a text or a key of a JSON value; escapes may look similar."""
    if SECRET not in text:
        return False
    pending = [json.loads(text)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += [*value, *value.values()]
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str) and SECRET in value:
            return True
    return False


def split(stream: bytes) -> Iterator[bytes]:
    """Cut a stream into the bodies of its frames; the last body may be an incomplete rest."""
    while stream:
        length = int.from_bytes(stream[:HEADER_BYTES], "little")
        yield stream[HEADER_BYTES : HEADER_BYTES + length]
        stream = stream[HEADER_BYTES + length :]


def joined(bodies: list[bytes]) -> bytes:
    """Put bodies into frames."""
    return b"".join(header(len(body)) + body for body in bodies if body)


def mutate(data: bytes, rng: Random) -> bytes:
    """Change the choice, the order of the frames, the values in one frame, or any byte."""
    head, bodies = data[:2].ljust(2, b"\0"), list(split(data[2:]))
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(2) + data[2:]
    if kind == 1:
        return mutate_bytes(data, rng)
    if not bodies or kind == 2:
        bodies.insert(rng.randint(0, len(bodies)), rng.choice(BODIES))
    elif kind == 3:
        del bodies[rng.randrange(len(bodies))]
    elif kind == 4:
        bodies.insert(rng.randint(0, len(bodies)), rng.choice(bodies))
    else:
        place = rng.randrange(len(bodies))
        bodies[place] = _changed(bodies[place], rng)
    return head + joined(bodies)


def _changed(body: bytes, rng: Random) -> bytes:
    """Change a message: any of its values, or a value in its state, which is bytes within it."""
    try:
        value = msgspec.msgpack.decode(body)
        state = value.get("state") if isinstance(value, dict) else None
        if isinstance(state, bytes) and rng.randrange(3) == 0:
            cut = state[: rng.randint(0, len(state))] + rng.choice(HEADS)
            ways = (_changed(state, rng), mutate_bytes(state, rng, HEADS), cut)
            value["state"] = rng.choice(ways)
        else:
            value = mutate_value(value, rng)
        return msgspec.msgpack.encode(value)
    except (ValueError, TypeError, RecursionError, OverflowError, MemoryError):
        return mutate_bytes(body, rng)


def _raw(value: Any) -> memoryview:
    return memoryview(encode_state(value))


def _done(state: bytes) -> m.JobComplete:
    view = memoryview(state)
    return m.JobComplete(state=view, state_bytes=len(view), next=(), duration_ms=1)


def _rich() -> list[m.Message]:
    """Return messages with more content than those of an ordinary conversation."""
    report = make_report(
        "AdaptorError",
        f"refused {SECRET}",
        step_id="b",
        subtype="HTTPError",
        operation=OperationRef(1, "get"),
        position=Position(1, 2, 1, 5, f"get('{SECRET}')"),
        stack=(StackFrame("b", "<job>", 3, f"x = '{SECRET}'"),),
        details={"body": {"token": SECRET}, "codes": [1, 2]},
        fix="no",
        option="net",
        option_value="host:443",
    )
    state = {
        "data": {"text": SECRET, SECRET: [1, 2.5, None], 2**70: -(2**70), b"k": b"v" * 300},
        "errors": {"b": {"message": "m"}},
    }
    raw = _raw(state)
    said = [m.LogEntry(level, "job", f"{level} {SECRET[:9]}") for level in ("debug", "error")]
    size = len(raw)
    return [
        m.JobError(error=report, state=raw, state_bytes=size, next=(), duration_ms=1),
        m.JobComplete(state=raw, state_bytes=size, next=("b",), duration_ms=-1),
        m.JobComplete(state=_raw(2**80), state_bytes=1 << 40, next=("b", "c"), duration_ms=1),
        m.LogBatch(entries=(*said, m.LogEntry("info", "job", SECRET[9:])), dropped=3),
        m.LoadState(step_id="a", step_run_id="a", id="stored"),
        CollectionGet(number=1, name="seen", query=CollectionQuery(key="a*b", limit=5, cursor="c")),
        CollectionSet(
            number=1, name="visits", items=(SentItem("k", raw), SentItem("j", _raw([1])))
        ),
        CollectionSet(number=2, name="visits", items=(SentItem("j", _raw({"n": 2**70})),)),
        CollectionRemove(number=1, name="visits", query=CollectionQuery(created_after_ms=5)),
        CollectionRemove(number=1, name="seen", query=CollectionQuery(), dry_run=True),
        m.WorkflowComplete(state=None, state_of="a"),
        m.WorkflowComplete(state=raw, error=report),
        m.WorkflowError(error=report),
        m.ConfineFailed(layer="landlock", reason="no", remedy="none"),
        m.InitStart(step_id="a", step_run_id="a-2"),
        m.Linking(adaptor="common@1.0.0"),
        m.Checked(),
        m.EdgeResolved(from_step_id="a", to_step_id="c", taken=False),
    ]


BODIES = [encode(message) for message in (*CONVERSATION, *_rich())]


def seeds() -> list[bytes]:
    """Return a whole conversation in several kinds of run, its beginnings, and single messages."""
    usual = [encode(message) for message in CONVERSATION]
    stored = [*usual[:3], encode(_rich()[4]), *usual[4:]]
    whole = [
        bytes((flags, cut)) + joined(usual) for flags, cut in ((0, 0), (2, 7), (6, 0), (66, 1))
    ]
    whole += [bytes((flags, 0)) + joined(stored) for flags in (SECRETS, FAILING, CANCELLED)]
    rich = [bytes((SECRETS, 0)) + joined([*usual[:6], body]) for body in BODIES[len(usual) :]]
    broken = [bytes((0, 0)) + joined([*usual[:6], encode(_done(state))]) for state in BROKEN]
    return whole + rich + broken


TARGET = Target(
    "frames", check, mutate, seeds, limit_s=1.0
)  # fmt: skip
