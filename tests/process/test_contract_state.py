"""CONTRACT section 1, state, input, result: a state comes out as it went in; a step's input."""

from __future__ import annotations

import datetime as dt
import math
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from runs import QUICK, finish, make_engine

from engine import Engine, Resolvers, RunOptions

SAME = "def main(state):\n    return state"


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """All tests of this file share this engine."""
    with make_engine("zygote", options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def one(expression: str, **rest: Any) -> dict[str, Any]:
    """Return a plan of one step."""
    return {"workflow": {"steps": [{"id": "a", "expression": expression, **rest}]}}


ROUND_TRIP = [
    {},
    {"data": {}},
    {"big": 2**64, "bigger": -(2**200), "edge": [2**63, 2**63 - 1, -(2**63), -(2**63) - 1]},
    {"huge": 1 << 20_000},
    {"bytes": b"\x00\xff", "empty": b""},
    {"float": [0.1, -0.0, 1e308, 5e-324, math.inf, -math.inf]},
    {1: "int key", 2.5: "float key", False: "bool key", None: "none key"},
    {b"bytes": 1, 2**70: "big key"},
    {-1: {-2: {-3: []}}},
    {"text": "é 患者 🙂 \u0000 \u2028 \\ \" '"},
    {"nested": [[[[[{"a": [None, True, False]}]]]]]},
    {"long": "x" * 300_000, "many": list(range(10_000))},
    {"": {"": ""}},
    {"type": "Struct", "__class__": "dict", "$ext": 1},
]


@pytest.mark.parametrize("state", ROUND_TRIP, ids=lambda s: type(next(iter(s), None)).__name__)
def test_state_comes_back_equal(shared: Engine, state: dict[Any, Any]):
    """The state goes through two steps and keeps its types and the order of its keys."""
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", "expression": SAME, "next": "b"},
                {"id": "b", "expression": SAME},
            ]
        }
    }
    run = shared.execute(plan, {"data": {}, "keep": state})
    result = run.result(20)
    assert result.reason == "success", result.error
    back = result.state["keep"]
    assert back == state
    if "huge" not in state:
        assert repr(back) == repr(state)
    assert finish(run)[-1].state["keep"] == state


def test_nan_comes_back(shared: Engine):
    """NaN is a float like others."""
    assert math.isnan(shared.execute(SAME, {"n": math.nan}).result(20).state["n"])


@pytest.mark.parametrize("state", [[], [1, {"a": 2}], 0, 7, 2**80, 1.5, True, b"bytes"], ids=repr)
def test_a_state_need_not_be_a_dict(shared: Engine, state: Any):
    """Any value that can be carried is a state; the next step gets it as it is."""
    assert shared.execute(SAME, state).result(20).state == state


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(1, 2, (3,))", [1, 2, [3]]),
        ("{3}", [3]),
        ("frozenset([3])", [3]),
        ("range(3)", None),
        ("datetime.datetime(2026, 1, 2, 3, 4, 5)", "2026-01-02T03:04:05"),
        (
            "datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)",
            "2026-01-02T03:04:05Z",
        ),
        ("datetime.date(2026, 1, 2)", "2026-01-02"),
        ("datetime.time(3, 4, 5)", "03:04:05"),
        ("datetime.timedelta(days=1, seconds=1)", "P1DT1S"),
        ("decimal.Decimal('1.50')", "1.50"),
        ("uuid.UUID(int=5)", "00000000-0000-0000-0000-000000000005"),
        ("Color.RED", "red"),
        ("Number.ONE", 1),
        ("Point(1, Point(2, None))", {"x": 1, "y": {"x": 2, "y": None}}),
        ("bytearray(b'ab')", b"ab"),
        ("collections.OrderedDict(a=1)", {"a": 1}),
        ("collections.Counter('aab')", {"a": 2, "b": 1}),
        ("collections.defaultdict(list, a=[1])", {"a": [1]}),
        ("collections.namedtuple('P', 'x y')(1, 2)", [1, 2]),
        ("collections.deque([1, 2])", [1, 2]),
        ("{(1, 2): 'tuple key'}", None),
        ("{'k': 1}.keys()", None),
        ("fractions.Fraction(1, 2)", None),
    ],
)
def test_what_msgspec_can_say_plainly_comes_back_plain(shared: Engine, expression: str, value: Any):
    """Rich values become plain values; None here means a plain value or a StateError."""
    source = (
        "import datetime, decimal, uuid, collections, enum, dataclasses, fractions\n"
        "class Color(enum.Enum):\n    RED = 'red'\n"
        "class Number(enum.IntEnum):\n    ONE = 1\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n    y: object\n"
        f"def main(state):\n    return {{'v': {expression}}}\n"
    )
    result = shared.execute(source).result(20)
    if value is None:
        assert result.reason == "success" or (
            result.error is not None and result.error.name == "StateError"
        ), result.error
    else:
        assert result.reason == "success", result.error
        assert result.state == {"v": value}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("lambda: 0", "state.data.rows[3].callback: cannot carry a function"),
        ("(i for i in [])", "state.data.rows[3].callback: cannot carry a generator"),
        ("main", "state.data.rows[3].callback: cannot carry a function"),
        ("int", "state.data.rows[3].callback: cannot carry a class"),
        ("Thing()", "state.data.rows[3].callback: cannot carry a Thing"),
        ("iter([])", "state.data.rows[3].callback: cannot carry a list_iterator"),
    ],
)
def test_what_cannot_be_carried_fails_the_step_with_its_path(
    shared: Engine, rows: str, message: str
):
    """The error names the first such value, and the state of the step is its input."""
    source = (
        "class Thing: pass\n"
        "def main(state):\n"
        f"    return {{**state, 'data': {{'rows': [1, 2, 3, {{'callback': {rows}}}]}}}}\n"
    )
    result = shared.execute(one(source), {"data": {"in": 1}}).result(20)
    assert result.reason == "fail"
    assert result.error.name == "StateError"
    assert result.error.severity == "fail"
    assert result.error.step_id == "a"
    assert result.error.message.startswith(message), result.error.message
    assert result.state["data"] == {"in": 1}
    assert result.state["errors"]["a"]["name"] == "StateError"


def test_a_cycle_fails_the_step(shared: Engine):
    """The error is neither a recursion error nor a crash."""
    for source in (
        "def main(state):\n    state['me'] = state\n    return state",
        "def main(state):\n    a = []\n    a.append(a)\n    return {'data': {'a': a}}",
    ):
        result = shared.execute(one(source), {"data": {"in": 1}}).result(20)
        assert (result.reason, result.error.name) == ("fail", "StateError"), result.error
        assert "cycle" in result.error.message
        assert result.state["data"] == {"in": 1}


def test_very_deep_nesting_is_an_answer_not_a_death(shared: Engine):
    """The state is either carried or gives a StateError."""
    source = "def main(state):\n    x = []\n    for _ in range({n}):\n        x = [x]\n    return {{'x': x}}"
    for depth in (100, 400, 2000, 100_000):
        result = shared.execute(one(source.format(n=depth))).result(20)
        assert result.reason == "success" or result.error.name == "StateError", result.error


# --- the input of a step ---

SHOW = "def main(state):\n    return {'saw': dict(state)}"


@pytest.mark.parametrize(
    ("default", "given", "saw"),
    [
        (None, None, {"data": {}}),
        (None, {"a": 1}, {"a": 1, "data": {}}),
        ({"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2, "data": {}}),
        ({"data": {"x": 1, "y": 1}}, {"data": {"y": 2}}, {"data": {"x": 1, "y": 2}}),
        ({"data": {"x": {"p": 1}}}, {"data": {"x": {"q": 1}}}, {"data": {"x": {"q": 1}}}),
        ({"data": {"x": 1}}, {}, {"data": {"x": 1}}),
        ({"data": {"x": 1}}, {"data": [1]}, {"data": [1]}),
        ({"data": [1]}, {"data": {"x": 1}}, {"data": {"x": 1}}),
        ({"data": "text"}, {}, {"data": "text"}),
        (None, {"data": None}, {"data": None}),
        (None, {"data": 0}, {"data": 0}),
    ],
)
def test_default_state_and_input_are_merged(shared: Engine, default: Any, given: Any, saw: Any):
    """The input wins, and data is merged key by key; data that is not a dict is taken as it is."""
    rest = {} if default is None else {"state": default}
    result = shared.execute(one(SHOW, **rest), given).result(20)
    assert result.reason == "success", result.error
    got = result.state["saw"]
    got.pop("configuration", None)
    assert got == saw


def test_configuration_is_merged_and_removed(shared: Engine):
    """The order is workflow credentials, input, step; afterwards the configuration is gone."""
    plan = {
        "workflow": {
            "credentials": {"a": "w-w", "b": "w-w", "c": "w-w"},
            "steps": [
                {
                    "id": "s",
                    "expression": "def main(state):\n    return {**state, 'saw': sorted(state.configuration.items())}",
                    "configuration": {"c": "s-s"},
                    "next": "t",
                },
                {
                    "id": "t",
                    "expression": "def main(state):\n    return {**state, 'then': sorted(state.configuration.items())}",
                },
            ],
        }
    }
    run = shared.execute(plan, {"configuration": {"b": "i-i", "c": "i-i"}})
    result = run.result(20)
    assert result.state == {
        "data": {},
        "saw": [["a", "w-w"], ["b", "i-i"], ["c", "s-s"]],
        "then": [["a", "w-w"], ["b", "w-w"], ["c", "w-w"]],
    }
    for event in finish(run):
        if event.type in ("job-complete", "workflow-complete"):
            assert "configuration" not in event.state


@pytest.mark.parametrize(
    "value",
    [
        "Rows([1])",
        "Visit(1)",
        "collections.deque([1])",
        "collections.OrderedDict(a=1)",
        "collections.namedtuple('P', 'a')(1)",
        "2**70",
        "{1}",
        "decimal.Decimal('1.5')",
    ],
)
def test_a_configuration_does_not_reach_the_next_step_beside_any_value(shared: Engine, value: str):
    """Also beside values that a state does not have, and that become others."""
    job = f"""
        import collections, dataclasses, decimal
        class Rows(list):
            pass
        @dataclasses.dataclass
        class Visit:
            id: int
        def main(state):
            return {{**state, "data": {value}}}
    """
    steps = [
        {
            "id": "s",
            "expression": textwrap.dedent(job),
            "configuration": {"password": "only-for-s"},
            "next": "t",
        },
        {
            "id": "t",
            "expression": "def main(state):\n    return {'saw': sorted(state.configuration.items())}",
        },
    ]
    run = shared.execute({"workflow": {"steps": steps}})
    assert run.result(20).state == {"saw": []}, run.result().error
    for event in finish(run):
        if event.type == "job-complete":
            assert "configuration" not in event.state


def test_remove_from_state(shared: Engine):
    """RunOptions names the keys to remove; an empty tuple keeps all keys."""
    source = "def main(state):\n    return {**state, 'tmp': 1, 'kept': 2}"
    options = RunOptions(remove_from_state=("tmp", "response"))
    state = (
        shared.execute(one(source, configuration={"user": "ab"}), options=options).result(20).state
    )
    assert state == {"data": {}, "kept": 2, "configuration": {"user": "ab"}}


def test_every_step_gets_its_own_copy(shared: Engine):
    """Two branches of one state do not see each other's changes."""
    change = "def main(state):\n    state['data']['rows'].append({!r})\n    return state"
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", "expression": SAME, "next": {"b": True, "c": True}},
                {"id": "b", "expression": change.format("b")},
                {"id": "c", "expression": change.format("c")},
            ]
        }
    }
    given = {"data": {"rows": []}}
    result = shared.execute(plan, given).result(20)
    assert result.state == {"b": {"data": {"rows": ["b"]}}, "c": {"data": {"rows": ["c"]}}}
    assert given == {"data": {"rows": []}}


# --- input and stored states ---


def test_a_text_is_the_id_of_a_stored_state(shared: Engine):
    """The id may be the initial state or the `state` of a step; it is resolved once per run."""
    asked = []

    def stored(state_id: str) -> Any:
        asked.append(state_id)
        return {"data": {"id": state_id}, state_id: 1}

    resolvers = Resolvers(state=stored)
    plan = one(SHOW, state="default")
    run = shared.execute(plan, "given", resolvers=resolvers)
    saw = run.result(20).state["saw"]
    saw.pop("configuration", None)
    assert saw == {"data": {"id": "given"}, "given": 1, "default": 1}
    assert sorted(asked) == ["default", "given"]
    loads = [e for e in finish(run) if e.type == "state-load"]
    assert sorted(e.id for e in loads) == ["default", "given"]
    assert all(isinstance(e.duration_ms, int) for e in loads)


@pytest.mark.parametrize(
    "resolve",
    [None, lambda _id: 1 / 0, lambda _id: object()],
    ids=["missing", "raises", "unusable"],
)
def test_a_stored_state_that_cannot_be_had_is_a_state_load_error(shared: Engine, resolve: Any):
    """The error is the same for the initial state and for the state of a step."""
    resolvers = Resolvers(state=resolve)
    for run in (
        shared.execute(one(SHOW), "given", resolvers=resolvers),
        shared.execute(one(SHOW, state="given"), resolvers=resolvers),
    ):
        result = run.result(20)
        finish(run)
        assert (result.reason, result.error.name, result.error.severity) == (
            "crash",
            "StateLoadError",
            "crash",
        )
        assert result.error.step_id == "a"
        assert "given" in result.error.message


# --- result ---


def leaves(*bodies: str) -> dict[str, Any]:
    """Return a plan whose start has one leaf for each body."""
    steps = [
        {"id": f"l{i}", "expression": f"def main(state):\n    {b}"} for i, b in enumerate(bodies)
    ]
    return {"workflow": {"steps": [{"id": "t", "next": {s["id"]: True for s in steps}}, *steps]}}


@pytest.mark.parametrize(
    ("bodies", "state"),
    [
        (["return {'n': 1}"], {"n": 1}),
        (["return {'n': 1}", "return {'n': 2}"], {"l0": {"n": 1}, "l1": {"n": 2}}),
        (["return None", "return {'n': 2}"], {"n": 2}),
        (["pass", "return {'n': 2}", "return 0"], {"l1": {"n": 2}, "l2": 0}),
        (["return []", "return ''"], {"l0": [], "l1": ""}),
        (["return {}"], {}),
        (["return [1]"], [1]),
        (["return 'text'"], "text"),
        (["return False"], False),
    ],
)
def test_the_result_is_made_of_the_leaves(shared: Engine, bodies: list[str], state: Any):
    """A leaf gives its state; several give states by run id; empty ones are left out."""
    result = shared.execute(leaves(*bodies)).result(20)
    assert (result.reason, result.error) == ("success", None)
    assert result.state == state


def test_a_run_whose_leaves_returned_nothing(shared: Engine):
    """The result has an empty state or None, but the run is a success."""
    result = shared.execute(leaves("pass")).result(20)
    assert result.reason == "success"
    assert result.state in (None, {})


def test_a_step_whose_edges_were_not_taken_is_a_leaf(shared: Engine):
    """A leaf is a step run after which no edge was taken."""
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", "expression": SAME, "next": {"b": True, "c": True}},
                {"id": "b", "expression": SAME, "next": {"z": "never"}},
                {"id": "c", "expression": SAME, "next": {"z": "always"}},
                {"id": "z", "expression": SAME},
            ]
        }
    }
    assert set(shared.execute(plan).result(20).state) == {"b", "z"}


def test_a_failed_leaf_makes_a_fail(shared: Engine):
    """The reason is `fail` with the report of the leaf's job.  A handled failure does not count."""
    bad = {
        "id": "bad",
        "expression": "def main(state):\n    state.half = 1\n    raise ValueError('no')",
    }
    plan = {"workflow": {"steps": [bad]}}
    result = shared.execute(plan, {"data": {"x": 1}}).result(20)
    assert (result.reason, result.error.name, result.error.subtype) == (
        "fail",
        "RuntimeError",
        "ValueError",
    )
    assert result.state["half"] == 1
    assert result.state["data"] == {"x": 1}
    assert result.state["errors"]["bad"]["message"] == "no"
    handled = {
        "workflow": {
            "steps": [
                {**bad, "next": {"h": "on_job_failure", "i": "on_job_success"}},
                {"id": "h", "expression": SAME},
                {"id": "i", "expression": SAME},
            ]
        }
    }
    result = shared.execute(handled).result(20)
    assert (result.reason, result.error) == ("success", None)
    assert result.state["errors"]["bad"]["message"] == "no"


def test_a_datetime_as_initial_state_becomes_plain(shared: Engine):
    """A datetime becomes text, as everywhere."""
    result = shared.execute(
        SAME, {"data": {}, "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)}
    ).result(20)
    assert result.state["at"] == "2026-01-02T00:00:00Z"
