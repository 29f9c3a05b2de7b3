"""Every death at every place of a run: afterwards it ends like a run that nothing has disturbed.

Each case runs twice: a plan without any survival, whose run ends and is resumed from its journal; and a plan
that survives deaths, whose run goes on in another child.  All cases of one death run at the same time.
"""

from __future__ import annotations

import itertools
import threading
from typing import NamedTuple

import msgspec
import pytest
from deadly import DEATHS, EDGES, JOBS, SECRET, SHORT_EDGES, TRIGGER, Server, deadly_plan
from runs import finish, make_engine

from engine import Permissions, RunOptions

IN_FLIGHT = {
    "init": 1,
    "import": 1,
    "operation": 2,
    "between operations": 2,
    "condition": 2,
}
"""The places within a step, and how often the effect of the step happens in all."""

BETWEEN = ("record", "between steps", "condition after a trigger", "end")
"""The places at which no step is in flight."""

TWINS = (("a segfault", "kill -9 from outside"), ("a busy loop", "a stop from outside"))
"""Deaths that the engine notices in the same way."""

CHANGING = ("seq", "time", "run_id", "duration_ms", "mem", "versions", "confinement", "replayed")
"""Fields that differ from run to run."""


class Case(NamedTuple):
    """One death."""

    place: str
    victim: str
    death: str

    @property
    def name(self) -> str:
        """The name of the error."""
        return DEATHS[self.death][1]

    @property
    def survived(self) -> bool:
        """Whether a plan that survives deaths goes on by itself: a limit of the run ends it."""
        timed = self.place in ("operation", "between operations", "condition")
        return self.name != "TimeoutError" or timed

    def is_in_flight(self) -> bool:
        """Whether the death comes within a step."""
        return self.place in IN_FLIGHT

    def run_id(self, form: str) -> str:
        """Return the id of the run of a case."""
        return "-".join([form, *map(str, self)]).replace(" ", ".")


class Memory:
    """A journal in memory, which can wait before it keeps the record of one step."""

    def __init__(self, step_id: str = "", until: threading.Event | None = None) -> None:
        self.kept = []
        self._step_id = step_id
        self._until = until

    def record(self, record):
        if self._until is not None and record.step_id == self._step_id:
            assert self._until.wait(20)
        self.kept.append(record)

    def records(self):
        return [*self.kept]


@pytest.fixture(scope="module")
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def options(server):
    return RunOptions(
        timeout_s=60,
        memory_mb=64,  # a death by memory has to fill all of it
        permissions=Permissions(net=(f"127.0.0.1:{server.port}",)),
    )


@pytest.fixture(scope="module")
def shared(server, options, tmp_path_factory):
    repo = server.write_repo(tmp_path_factory.mktemp("deadly") / "repo")
    with make_engine(repo_dir=repo, options=options, max_runs=9) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def told(events, case=None):
    """Return what events say that must not change; the first attempt of a case's step is left out."""
    found = []
    for event in without_connections(events):
        fields = {k: v for k, v in msgspec.structs.asdict(event).items() if k not in CHANGING}
        died = case is not None and fields.get("step_id") == case.victim
        if died and fields.get("attempt") == 1:
            continue
        if fields.get("attempt"):
            fields["attempt"] = 1
        if "no step was running" not in fields.get("message", ""):
            found.append((event.type, fields))
    return found


@pytest.fixture(scope="module")
def calm(shared, server):
    """The events and the result of a run that nothing disturbs, and the order of its jobs."""
    run = shared.execute(deadly_plan("calm"), {"data": {}}, journal=Memory())
    events = finish(run)
    order = [e.step_run_id for e in events if e.type in ("job-complete", "job-error")]
    assert sorted(order) == [*JOBS]
    assert {server.effects[f"calm:{step}"] for step in JOBS} == {1}
    return events, run.result(), order


def recorded_in(case, calm):
    """Return the number of steps that were recorded before the death."""
    events, _, order = calm
    if case.place == "end":
        return len(order)
    if case.victim == TRIGGER:
        first = next(i for i, e in enumerate(events) if getattr(e, "from_step_id", "") == TRIGGER)
        return sum(e.type in ("job-complete", "job-error") for e in events[:first])
    return order.index(case.victim) + (not case.is_in_flight())


def without_connections(events):
    """Return the events of steps: that of a connection comes when it ends, between any two of them."""
    return [event for event in events if event.type != "net-connect"]


def rest_of(events, recorded):
    """Return the events after the last recorded step and its edges."""
    events = without_connections(events)
    ended = 0
    for number, event in enumerate(events):
        ended += event.type in ("job-complete", "job-error")
        if ended == recorded and event.type not in ("job-complete", "job-error"):
            if recorded and event.type == "edge-resolved" and event.from_step_id in JOBS:
                continue
            return events[max(1, number) :]
    raise AssertionError("the run has fewer steps")


def cases_of(death, half):
    """Every place, each with another step; a death that has a twin comes at every second place."""
    turn = [*DEATHS].index(death)
    cases = [Case("end", "j", death), Case("condition after a trigger", TRIGGER, death)]
    for number, place in enumerate((*IN_FLIGHT, "record", "between steps")):
        victims = [step for step in JOBS if place != "condition" or EDGES[step]]
        if place == "between steps":
            victims.remove("j")  # the last one
        # Both tests together have each step as a victim of `os._exit`.
        first = 3 * number + 2 * half if death == "os._exit" else 3 * turn + number
        cases.append(Case(place, victims[first % len(victims)], death))
    return [case for number, case in enumerate(cases) if comes(death, number + half)]


def comes(death, number):
    """Return whether a death comes at a place: the engine does not see a difference between twins.

    It sees the signal that has ended the child, or that nothing arrives from it.  Each place has one of the twins.
    In the other test it has the other one.
    """
    twins = next((pair for pair in TWINS if death in pair), (death,))
    return death == twins[number % len(twins)]


def begin(engine, server, options, case, form, **keys):
    """Start the run of a case; return it, its plan and its journal."""
    run_id = case.run_id(form)
    how = DEATHS[case.death][0]
    late = case.victim if case.place == "import" else None
    if late is not None:
        server.orders[run_id, "late"] = how
    else:
        server.orders[run_id, "parts"] = f"{case.place},{case.victim},{how}"
    server.dying[run_id] = threading.Event()
    journal = Memory(case.victim, server.dying[run_id] if case.place == "record" else None)
    plan = deadly_plan(run_id, late, **keys)
    if case.name == "CPULimitError":
        options = msgspec.structs.replace(options, cpu_s=0.1)
    elif case.name == "TimeoutError" and "timeout" not in keys:
        options = msgspec.structs.replace(options, idle_timeout_s=1.0)
    run = engine.execute(plan, {"data": {}}, journal=journal, options=options)
    return run, plan, journal


def check_effects(server, case, run_id):
    """Each effect happened once; that of the step in flight may have happened twice."""
    expected = dict.fromkeys(JOBS, 1)
    if case.victim in expected:
        expected[case.victim] = IN_FLIGHT.get(case.place, 1)
    assert {step: server.effects[f"{run_id}:{step}"] for step in JOBS} == expected, case


@pytest.mark.parametrize("death", DEATHS)
def test_a_run_is_resumed_after_a_death_at_any_place(shared, server, options, calm, death):
    """The rest of the events, the ids, the leaves and the final state are those of a calm run."""
    events, result, order = calm
    started = [(case, *begin(shared, server, options, case, "ends")) for case in cases_of(death, 0)]
    resumed = []
    for case, run, plan, journal in started:
        first = finish(run)
        assert run.result().error.name == case.name, (case, run.result().error)
        assert server.dying[run.id].is_set(), case
        recorded = recorded_in(case, calm)
        assert [record.step_run_id for record in journal.kept] == order[:recorded], case
        assert SECRET not in repr(first)
        later = shared.execute(plan, {"data": {}}, journal=journal, options=options)
        resumed.append((case, recorded, later, journal))
    for case, recorded, run, journal in resumed:
        later = finish(run)
        assert later[0].replayed == recorded, case
        assert told(later[1:]) == told(rest_of(events, recorded)), case
        assert (run.result().state, run.result().reason) == (result.state, result.reason), case
        assert [record.step_run_id for record in journal.kept] == order, case
        assert SECRET not in repr(later)
        assert SECRET.encode() in journal.kept[0].state
        check_effects(server, case, run.id)


@pytest.mark.parametrize("death", DEATHS)
def test_a_plan_that_survives_deaths_goes_on_after_one_at_any_place(
    shared, server, options, calm, death
):
    """The whole events are those of a calm run; a step in flight has one more attempt."""
    events, result, order = calm
    retry = {"attempts": 2, "delay": 0, "on": ["death", "timeout"]}
    started = []
    for case in cases_of(death, 1):
        if case.survived:
            limit = {"timeout": 300 if case.name == "TimeoutError" else 60_000}
            started.append(
                (case, *begin(shared, server, options, case, "survives", retry=retry, **limit))
            )
    for case, run, _, journal in started:
        found = finish(run)
        ended = run.result()
        assert (ended.state, ended.reason, ended.children) == (result.state, result.reason, 2), case
        assert server.dying[run.id].is_set(), case
        assert told(found, case if case.is_in_flight() else None) == told(events), case
        failed = [
            (e.step_id, e.error.name) for e in found if getattr(e, "retry_in_ms", None) is not None
        ]
        assert failed == ([(case.victim, case.name)] if case.is_in_flight() else []), case
        assert [record.step_run_id for record in journal.kept] == order, case
        assert SECRET not in repr(found)
        check_effects(server, case, run.id)


def test_each_step_is_a_victim_and_each_place_has_every_error():
    """The cases of all deaths leave out nothing but the twin of a death at its place."""
    both = [case for half in (0, 1) for death in DEATHS for case in cases_of(death, half)]
    assert {case.victim for case in both if case.death == "os._exit"} == {*JOBS, TRIGGER}
    errors = {name for _, name in DEATHS.values()}
    for half in (0, 1):
        cases = [case for death in DEATHS for case in cases_of(death, half)]
        assert {(case.place, case.name) for case in cases} == {
            *itertools.product((*IN_FLIGHT, *BETWEEN), errors)
        }
    assert {(case.place, case.death) for case in both} == {
        *itertools.product((*IN_FLIGHT, *BETWEEN), DEATHS)
    }


def test_a_step_fails_with_the_name_of_its_death_and_its_edges_are_followed(
    shared, server, options, calm
):
    """With `on_death: "fail"` nothing is repeated: the failing branch has another reason to fail."""
    started = []
    for death, place in itertools.product(DEATHS, IN_FLIGHT):
        case = Case(place, "e", death)
        if case.survived and comes(death, [*IN_FLIGHT].index(place)):
            limit = {"timeout": 300 if case.name == "TimeoutError" else 60_000}
            keys = {"edges": SHORT_EDGES, "on_death": "fail", **limit}
            made = begin(shared, server, options, case, "fails", **keys)
            started.append((case, *made))
    for case, run, _, journal in started:
        found = finish(run)
        ends = [e.step_run_id for e in found if e.type in ("job-complete", "job-error")]
        assert ends == [record.step_run_id for record in journal.kept] == [*SHORT_EDGES], case
        error = run.result().state["errors"]["e"]
        assert (error["name"], error["severity"]) == (case.name, "fail"), case
        assert (run.result().reason, run.result().children) == (calm[1].reason, 2), case
        expected = dict.fromkeys(SHORT_EDGES, 1) | {"e": IN_FLIGHT[case.place] - 1}
        assert {step: server.effects[f"{run.id}:{step}"] for step in SHORT_EDGES} == expected, case
