"""Every limit in every phase of a run: each cell has one verdict, and the table is complete.

Readers see the same table in `docs/adr/0019-a-failure-is-never-replaced.md`.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from runs import finish, wait_for

from engine import Engine, Resolvers, Run, RunOptions

PHASES = (
    "starting",
    "reading the plan",
    "state load",
    "credential load",
    "compiling",
    "globals",
    "job",
    "condition",
    "encoding",
    "final message",
)
LIMITS = (
    "timeout_s",
    "step_timeout_s",
    "memory_mb",
    "cpu_s",
    "state_mb",
    "max_log_bytes",
    "cancel",
)

OK = "def main(state): return state"
FOR_EVER = "all(n >= 0 for n in range(10**12))"
MUCH = "[[n] for n in range(10**8)]"
NOISE = "[print('x' * 900) for _ in range(10**6)]"
ROWS = [{"id": n, "name": f"n{n}", "v": [n, n + 1]} for n in range(60_000)]
LONG_SOURCE = "def main(state): return state\n" + "x = [1, 2, 3, {'a': 'b'}]\n" * 30_000
BOMB = "def main(state):\n    x = [0]\n    for _ in range(26):\n        x = [x, x]\n    return x"


@dataclass
class Cell:
    """A run that meets a limit, and its expected end."""

    verdict: str
    plan: Any = OK
    state: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    resolver: str = ""
    """``blocks`` waits until the test is over; ``large`` returns a value of many rows."""
    cancel_at: str = ""
    """The run is cancelled after this event; ``now`` means at once, and an empty text means never.
    """
    also: tuple[str, ...] = ()
    """Other verdicts that are right, because the same action meets two limits."""


def with_globals(value: str) -> dict[str, Any]:
    return {"workflow": {"globals": f"x = {value}\n", "steps": [{"expression": OK}]}}


def with_condition(condition: str) -> dict[str, Any]:
    steps = [
        {"id": "a", "expression": OK, "next": {"b": condition}},
        {"id": "b", "expression": OK},
    ]
    return {"workflow": {"steps": steps}}


def with_id(member: str) -> dict[str, Any]:
    return {"workflow": {"steps": [{"id": "a", "expression": OK, member: "the-id"}]}}


def job(value: str) -> str:
    return f"def main(state):\n    x = {value}\n    return state"


SHORT = {"timeout_s": 0.15}
STEP = {"step_timeout_s": 0.1}
SMALL = {"memory_mb": 60, "state_mb": 100}
CPU = {"cpu_s": 0.1}
QUIET = {"max_log_bytes": 1_000}

# Two leaves: each of their states fits alone, but not both together.
LEAVES = {
    "workflow": {
        "steps": [
            {"id": "a", "expression": OK, "next": {"b": True, "c": True}},
            {"id": "b", "expression": "def main(state): return 'x' * 700_000"},
            {"id": "c", "expression": "def main(state): return 'x' * 700_000"},
        ]
    }
}

TABLE: dict[tuple[str, str], Cell] = {
    ("starting", "timeout_s"): Cell("TimeoutError", options={"timeout_s": 0.0001}),
    # The job is not quick, because a busy machine could end it before the test cancels it.
    ("starting", "cancel"): Cell("Cancelled", job(FOR_EVER), cancel_at="now"),
    ("reading the plan", "memory_mb"): Cell(
        "OOMError", state={"data": ["x" * 10**8]}, options=SMALL
    ),
    ("reading the plan", "state_mb"): Cell(
        "StateTooLargeError", state={"data": "x" * 3_000_000}, options={"state_mb": 1}
    ),
    ("state load", "timeout_s"): Cell(
        "TimeoutError", with_id("state"), options=SHORT, resolver="blocks"
    ),
    ("state load", "memory_mb"): Cell(
        "OOMError", with_id("state"), options=SMALL, resolver="large"
    ),
    ("state load", "cancel"): Cell(
        "Cancelled", with_id("state"), resolver="blocks", cancel_at="init-start"
    ),
    ("credential load", "timeout_s"): Cell(
        "TimeoutError", with_id("configuration"), options=SHORT, resolver="blocks"
    ),
    ("credential load", "memory_mb"): Cell(
        "OOMError", with_id("configuration"), options=SMALL, resolver="large"
    ),
    ("credential load", "cancel"): Cell(
        "Cancelled", with_id("configuration"), resolver="blocks", cancel_at="init-start"
    ),
    ("compiling", "timeout_s"): Cell("TimeoutError", LONG_SOURCE, options=SHORT),
    ("compiling", "memory_mb"): Cell("OOMError", LONG_SOURCE, options=SMALL),
    ("compiling", "cpu_s"): Cell("CPULimitError", LONG_SOURCE, options=CPU),
    ("compiling", "cancel"): Cell("Cancelled", LONG_SOURCE, cancel_at="init-start"),
    ("globals", "timeout_s"): Cell("TimeoutError", with_globals(FOR_EVER), options=SHORT),
    ("globals", "memory_mb"): Cell("OOMError", with_globals(MUCH), options=SMALL),
    ("globals", "cpu_s"): Cell("CPULimitError", with_globals(FOR_EVER), options=CPU),
    ("globals", "max_log_bytes"): Cell("OutputLimitError", with_globals(NOISE), options=QUIET),
    ("globals", "cancel"): Cell("Cancelled", with_globals(FOR_EVER), cancel_at="init-start"),
    ("job", "timeout_s"): Cell("TimeoutError", job(FOR_EVER), options=SHORT),
    ("job", "step_timeout_s"): Cell("TimeoutError", job(FOR_EVER), options=STEP),
    ("job", "memory_mb"): Cell("OOMError", job(MUCH), options=SMALL),
    ("job", "cpu_s"): Cell("CPULimitError", job(FOR_EVER), options=CPU),
    ("job", "max_log_bytes"): Cell("OutputLimitError", job(NOISE), options=QUIET),
    ("job", "cancel"): Cell("Cancelled", job(FOR_EVER), cancel_at="job-start"),
    ("condition", "timeout_s"): Cell("TimeoutError", with_condition(FOR_EVER), options=SHORT),
    ("condition", "memory_mb"): Cell("OOMError", with_condition(MUCH), options=SMALL),
    ("condition", "cpu_s"): Cell("CPULimitError", with_condition(FOR_EVER), options=CPU),
    ("condition", "cancel"): Cell("Cancelled", with_condition(FOR_EVER), cancel_at="job-start"),
    ("encoding", "timeout_s"): Cell(
        "TimeoutError", BOMB, options={**SHORT, "memory_mb": 4_000, "state_mb": 1_000}
    ),
    ("encoding", "step_timeout_s"): Cell(
        "TimeoutError", BOMB, options={**STEP, "memory_mb": 4_000, "state_mb": 1_000}
    ),
    ("encoding", "memory_mb"): Cell(
        "OOMError", "def main(state): return ['x' * 30_000_000] * 2", options=SMALL
    ),
    ("encoding", "cpu_s"): Cell(
        "CPULimitError", BOMB, options={**CPU, "memory_mb": 4_000, "state_mb": 1_000}
    ),
    ("encoding", "state_mb"): Cell(
        "StateTooLargeError", "def main(state): return 'x' * 2_000_000", options={"state_mb": 1}
    ),
    ("encoding", "cancel"): Cell(
        "Cancelled", BOMB, options={"memory_mb": 4_000, "state_mb": 1_000}, cancel_at="job-start"
    ),
    ("final message", "state_mb"): Cell("StateTooLargeError", LEAVES, options={"state_mb": 1}),
}

NO_JOB = "the clock of a step runs from job-start to its end event"
NO_STATE = "no state of a step is made here"
NO_CODE = "no code that could write runs here"
SHORT_PHASE = "the phase takes less than the clock can resolve; the phase after it is in the table"
WAITS = "the child waits here and uses no processor time"
WRITTEN = "what a step writes is counted as it arrives; by this phase all of it has arrived"

IMPOSSIBLE: dict[tuple[str, str], str] = {
    ("starting", "memory_mb"): "a fork starts within the memory that its zygote has already",
    **{(phase, "step_timeout_s"): NO_JOB for phase in PHASES if phase not in ("job", "encoding")},
    **{
        (phase, "state_mb"): NO_STATE
        for phase in ("starting", "compiling", "globals", "job", "condition")
    },
    ("state load", "state_mb"): "a stored state may be large; the limit is for what a step returns",
    ("credential load", "state_mb"): NO_STATE,
    **{
        (phase, "max_log_bytes"): NO_CODE
        for phase in ("starting", "reading the plan", "state load", "credential load", "compiling")
    },
    ("condition", "max_log_bytes"): "a condition cannot print",
    ("encoding", "max_log_bytes"): WRITTEN,
    ("final message", "max_log_bytes"): WRITTEN,
    ("starting", "cpu_s"): SHORT_PHASE,
    ("state load", "cpu_s"): WAITS,
    ("credential load", "cpu_s"): WAITS,
    **dict.fromkeys(
        itertools.product(("reading the plan", "final message"), ("timeout_s", "cpu_s", "cancel")),
        SHORT_PHASE,
    ),
    ("final message", "memory_mb"): "states are joined as bytes that are there already",
}


def test_the_table_has_every_cell_once():
    """Each cell has a test, or a reason why it cannot have one."""
    assert not TABLE.keys() & IMPOSSIBLE.keys()
    assert TABLE.keys() | IMPOSSIBLE.keys() == set(itertools.product(PHASES, LIMITS))


@pytest.fixture(scope="module")
def shared():
    """All cells share this engine, whose threads are all started: the first run that lasts starts
    one.
    """
    with Engine(max_runs=1) as engine:
        assert engine.execute("import time\ndef main(state): time.sleep(0.3)").result(20)
        yield engine


@pytest.fixture
def blocked():
    """An event that releases a resolver when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def resolvers(kind: str, blocked: threading.Event) -> Resolvers | None:
    if not kind:
        return None

    def resolve(_value_id: str) -> Any:
        if kind == "large":
            return {"rows": [[1] * 100_000] * 100}  # texts would be searched as secrets
        blocked.wait(30)
        return {}

    return Resolvers(credential=resolve, state=resolve)


def cancel(run: Run, at: str) -> None:
    if at and at != "now":
        wait_for(run, at)
    if at:
        run.cancel("enough")


@pytest.mark.parametrize("cell", TABLE, ids=" - ".join)
def test_a_limit_has_one_verdict_in_each_phase(shared: Engine, blocked, cell):
    """The verdict has the limit's own name in each phase, and the events are complete."""
    case = TABLE[cell]
    options = RunOptions(**{"timeout_s": 20.0, "cancel_grace_s": 0.05, **case.options})
    run = shared.execute(case.plan, case.state, options, resolvers(case.resolver, blocked))
    cancel(run, case.cancel_at)
    finish(run)
    result = run.result()
    assert result.error is not None
    assert result.error.name == case.verdict, result.error
    assert result.reason == ("cancelled" if case.verdict == "Cancelled" else "kill")
    limit = cell[1]
    if limit != "cancel":
        assert f"({limit})" in result.error.message
    if limit == "memory_mb":
        assert f"{options.memory_mb:g} MB" in result.error.message
