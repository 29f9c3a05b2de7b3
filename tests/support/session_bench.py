"""A session without a process: the test is the child, the lane and the clocks."""

from __future__ import annotations

import msgspec

from engine import RunOptions
from engine.api import parse_collection_rules
from engine.reporting.eventlog import EventLog
from engine.running.session import Collected, Session
from engine.running.session.effects import Collect, Dismiss, Kill, Resolve, Send
from engine.running.session.loading import Answer
from engine.running.session.moment import Moment
from engine.running.session.order import Order
from engine.start.exit import Exit
from protocol import messages as m
from protocol.codec import decode_from_child, decode_to_child, encode
from protocol.collection import CollectionQuery
from protocol.collection_messages import CollectionGet, CollectionRemove
from protocol.confinement import ConfinementReport, ConfinementRequest
from protocol.events import Versions
from protocol.limits import PROTOCOL_VERSION
from protocol.plan import Edge, Step, Workflow
from protocol.report import make_report
from protocol.state import encode_state

CLEAN = Exit(code=0)
KILLED = Exit(signal=9)
HELLO = m.Hello(version=PROTOCOL_VERSION)
READY = m.Ready(
    confinement=ConfinementReport(level="default", language=True, landlock_abi=4), python="3.11.9"
)
INIT = m.InitStart(step_id="a", step_run_id="a")
LINKED = m.InitComplete(duration_ms=1)
STARTED = [INIT, LINKED, m.JobStart()]
FAILED = make_report("JobError", "bad row", step_id="a")
TERMINAL = ("workflow-complete", "workflow-error")
PLAN = Workflow(
    steps=(
        Step(id="a", expression="x", next={"b": Edge("x"), "c": Edge(False)}),
        Step(id="b", expression="x"),
        Step(id="c", expression="x", next={"b": Edge()}),
    )
)
EDGES = {("a", "b"): "x", ("a", "c"): False, ("c", "b"): True}
PLAIN = (ConfinementRequest(),)
NOW = Moment(1000.0, 1.7e9)


def complete(state=None, **fields):
    encoded = memoryview(encode_state({"data": 1} if state is None else state))
    fields = {"state_bytes": len(encoded), "next": (), "duration_ms": 1, **fields}
    return m.JobComplete(state=encoded, **fields)


def failed(report=FAILED, state=None):
    encoded = memoryview(encode_state(state))
    return m.JobError(error=report, state=encoded, state_bytes=len(encoded), next=(), duration_ms=1)


def end(state=None, error=None):
    return m.WorkflowComplete(state=memoryview(encode_state(state)), error=error)


def said(*texts, level="info"):
    return m.LogBatch(entries=tuple(m.LogEntry(level, "job", text) for text in texts))


ANY = [
    HELLO,
    READY,
    m.ConfineFailed(layer="x", reason="y", remedy="z"),
    INIT,
    m.InitStart(step_id="a", step_run_id="a-1"),
    m.InitStart(step_id="b", step_run_id="b"),
    m.InitStart(step_id="forged", step_run_id="forged-9"),
    LINKED,
    m.LoadCredential(step_id="a", step_run_id="a", id="cred"),
    m.LoadState(step_id="b", step_run_id="b", id="stored"),
    CollectionGet(number=1, name="visits", query=CollectionQuery()),
    CollectionRemove(number=2, name="other", query=CollectionQuery(key="x")),
    m.JobStart(),
    complete(),
    complete(next=("b",)),
    complete(next=("forged",)),
    failed(),
    msgspec.structs.replace(failed(), retry=True),
    m.StepDied(step_id="a", step_run_id="a"),
    m.Elsewhere(step_id="b", step_run_id="b"),
    m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True),
    m.EdgeResolved(from_step_id="b", to_step_id="a", taken=True),
    said("one", "two"),
    end({"data": 1}),
    end({"data": 1}, error=FAILED),
    m.WorkflowError(error=make_report("RuntimeCrash", "x")),
    m.WorkflowError(error=make_report("JobError", "x")),
]
EXITS = [None, CLEAN, Exit(code=1), KILLED, Exit(lost="nobody knows")]


def check_end(bench, outcome):
    """Check the facts that hold for every run."""
    types = bench.types
    assert types[-1] in TERMINAL
    assert sum(kind in TERMINAL for kind in types) == 1
    assert [event.seq for event in bench.events] == list(range(1, len(types) + 1))
    jobs = [kind for kind in types if kind in ("job-start", "job-complete", "job-error")]
    assert all((kind == "job-start") == (index % 2 == 0) for index, kind in enumerate(jobs))
    assert len(jobs) % 2 == 0
    for event in bench.events:
        if event.type == "edge-resolved":
            assert EDGES[event.from_step_id, event.to_step_id] == event.condition
        elif event.type in ("job-complete", "job-error"):
            assert all((event.step_id, target) in EDGES for target in event.next)
        assert getattr(event, "step_id", None) in (None, "a", "b", "c")
    started = [event.step_run_id for event in bench.events if event.type == "job-start"]
    assert len(set(started)) == len(started)
    reason = outcome.ending.reason
    assert (types[-1] == "workflow-complete") == (reason in ("success", "fail"))
    assert (outcome.ending.error is None) == (reason == "success")
    assert (outcome.state is None) == (types[-1] == "workflow-error")


class Bench:
    """A session, its log, its clocks, and short methods to send messages to it."""

    def __init__(
        self,
        *,
        workflow=PLAN,
        configurations=(),
        max_step_runs=1000,
        begin=True,
        requests=PLAIN,
        collections=(),
        **options,
    ):
        self.log = EventLog()
        self.now = NOW
        self.effects = []
        """All effects that the session has returned, in order."""
        self.request = None
        """The request that waits for a resolver."""
        self.asked = None
        """The last request that the collections are to carry out."""
        self.session = Session(
            Order(
                run_id="run-7",
                start=b"",
                workflow=workflow,
                requests=requests,
                options=RunOptions(**options),
                credential_ids=frozenset({"cred"}),
                state_ids=frozenset({"stored"}),
                max_step_runs=max_step_runs,
                versions=Versions(python="3", engine="0"),
                configurations=configurations,
                collections=(parse_collection_rules(collections),) * len(requests),
            ),
            self.log,
        )
        if begin:
            self.session.begin(self.now)

    # --- what happens ---

    def pass_time(self, seconds):
        self.now = Moment(self.now.s + seconds, self.now.wall_s + seconds)
        return self

    def say(self, *messages, **facts):
        for message in messages:
            heard = decode_from_child(encode(message))
            self.take(self.session.receive(heard, self.now, **facts))
        return self

    def greet(self):
        return self.say(HELLO, READY)

    def start_job(self):
        return self.greet().say(*STARTED)

    def output(self, source, data):
        self.take(self.session.output(source, data, self.now))

    def judge(self, report):
        self.take(self.session.judge(report))

    def cancel(self, reason, **facts):
        """Cancel; return the message for the child."""
        effects = self.session.cancel(reason, self.now, **facts)
        self.take(effects)
        return decode_to_child(effects[0].body) if isinstance(effects[0], Send) else None

    def check(self, used=None):
        effects = self.session.check(self.now, used)
        self.take(effects)
        return effects

    def answer(self, outcome, secrets=None):
        """Answer the request that waits for a resolver; return the message for the child."""
        effects = self.session.loaded(Answer(self.request, outcome, secrets), self.now)
        self.request = None
        self.take(effects)
        return decode_to_child(effects[0].body)

    def collected(self, message, request=None):
        """Give the answer of the collections; return the messages for the child."""
        answer = Collected(request or self.asked, message)
        effects = self.session.loaded(answer, self.now)
        self.take(effects)
        return [decode_to_child(effect.body) for effect in effects]

    def take(self, effects):
        self.effects.extend(effects)
        for effect in effects:
            if isinstance(effect, Resolve):
                self.request = effect.request
            elif isinstance(effect, Collect):
                self.asked = effect.request

    def finish(self, exited=CLEAN, **facts):
        return self.session.finish(exited, self.now, **facts)

    # --- the outcome ---

    @property
    def killed(self):
        return Kill() in self.effects

    @property
    def dismissed(self):
        return Dismiss() in self.effects

    @property
    def sent(self):
        return [decode_to_child(e.body) for e in self.effects if isinstance(e, Send)]

    @property
    def events(self):
        return self.log.read(0, 0.0)

    @property
    def types(self):
        return [event.type for event in self.events]
