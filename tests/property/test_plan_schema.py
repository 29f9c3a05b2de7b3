"""The schema of plans accepts each plan that the reader accepts, and refuses wrong types too."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.errors import PlanError
from engine.plan.objects import ALIASES
from engine.plan.schema import KEYS, plan_schema
from engine.plan.validation import load_plan
from examples import examples
from protocol.plan import Edge, Plan, PlanOptions, Retry, Step, StepPermissions, Workflow

jsonschema = pytest.importorskip("jsonschema", reason="a development dependency: make setup")

VALIDATOR = jsonschema.Draft202012Validator(plan_schema())
JOB = "fn(lambda state: state)"
EXAMPLES = Path(__file__).parents[2] / "examples"

names = st.sampled_from(["a", "b"])
odd = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.sampled_from(["", " ", "x", [], {}, [1], {"k": 1}])
)
texts = st.sampled_from(["", "x", "é"]) | st.none()
conditions = st.booleans() | st.sampled_from(["always", " on_job_success\n", "state.n > 1"])
edges = conditions | st.fixed_dictionaries(
    {},
    optional={
        "condition": conditions | st.none(),
        "label": texts,
        "disabled": st.booleans() | st.none(),
    },
)
others = {
    key: st.just({"uuid": 1}) | st.none()
    for key in ("previous", "linker", "sourceMap", "openfn", "history", "cursor", "meta")
}
retries = st.fixed_dictionaries(
    {"attempts": st.sampled_from([1, 3])},
    optional={
        "delay": st.sampled_from([0, 0.5, 2000, None]),
        "backoff": st.sampled_from([1, 1.5, None]),
        "max_delay": st.sampled_from([0, 60_000, None]),
        "maxDelay": st.sampled_from([0, 60_000, None]),
        "on": st.sampled_from([[], ["JobError", "timeout", "death"], None]),
    },
)
permissions = st.fixed_dictionaries(
    {},
    optional={
        "net": st.sampled_from([[], ["example.org:443", "*"], None]),
        "scratch_mb": st.sampled_from([1, 0.5, False, None]),
        "read": st.sampled_from([[], ["/srv/data"], None]),
    },
)
step = st.fixed_dictionaries(
    {},
    optional={
        "id": names | st.none(),
        "name": texts,
        "expression": st.sampled_from([JOB, "", " \n", None]),
        "adaptor": st.sampled_from(["rest", ["rest@1"], [], None]),
        "adaptors": st.sampled_from(["rest", ["rest@1"], [], None]),
        "configuration": st.sampled_from(["an-id", {}, {"user": "u"}, None]),
        "state": st.sampled_from(["an-id", {}, [1], 3, False, None]),
        "next": st.just("b") | st.dictionaries(st.just("b"), edges) | st.none(),
        "join": st.sampled_from(["any", "all", None]),
        "retry": retries | st.none(),
        "timeout": st.sampled_from([1, 0.5, 60_000, None]),
        "on_death": st.sampled_from(["end", "fail", None]),
        "onDeath": st.sampled_from(["end", "fail", None]),
        "permissions": permissions | st.none(),
        **others,
    },
)


def linked(first, second):
    """Return two steps whose edges lead to steps of the plan, without a cycle."""
    return [{**first, "id": "a"}, {**second, "id": "b", "next": None}]


steps = st.builds(linked, step, step) | st.none()
workflow = {
    "steps": steps,
    "jobs": steps,
    "id": texts,
    "name": texts,
    "start": names | st.none(),
    "globals": texts,
    "credentials": st.sampled_from(["an-id", {"k": "v"}, None]),
    **others,
}
durations = st.sampled_from([1, 0.5, 60_000, None])
options = st.fixed_dictionaries(
    {},
    optional={
        "start": names | st.none(),
        "end": names | st.none(),
        "timeout": durations,
        "step_timeout": durations,
        "stepTimeout": durations,
        "cursor": st.just("x"),
    },
)
plans = st.fixed_dictionaries(
    {"workflow": st.fixed_dictionaries({}, optional=workflow)},
    optional={"id": st.sampled_from(["p", None]), "options": options | st.none(), **others},
) | st.fixed_dictionaries({}, optional={**workflow, "options": options | st.none()})


def loads(source):
    try:
        load_plan(source, warn=lambda _sentence: None)
    except PlanError:
        return False
    return True


@st.composite
def spoilt(draw):
    """A plan in which one value, at any place, is replaced by another value."""
    plan = draw(plans)
    places = [(plan, key) for key in plan]
    for holder, key in places:
        inner = holder[key]
        found = (
            range(len(inner))
            if isinstance(inner, list)
            else inner
            if isinstance(inner, dict)
            else ()
        )
        places.extend((inner, one) for one in found)
    if places:
        holder, key = draw(st.sampled_from(places))
        holder[key] = draw(odd)
    return plan


@examples(300)  # one plan in five has no mistake
@given(plans | spoilt())
def test_what_the_reader_accepts_the_schema_accepts(plan):
    """The plans use all spellings, null for a missing key, and ignored keys."""
    plan = json.loads(json.dumps(plan))
    if loads(plan):
        VALIDATOR.validate(plan)


@examples(300)
@given(plans, st.data())
def test_a_key_that_no_reader_knows_is_refused_by_both(plan, data):
    """Exceptions are a trigger, a value of the user, and an ignored key."""
    if not loads(plan):
        return
    holders = [plan, plan.get("options"), plan.get("workflow")]
    root = plan.get("workflow") or plan
    found = root.get("steps") or root.get("jobs")
    holders += [one for one in found if (one.get("expression") or "").strip()]
    holder = data.draw(st.sampled_from([one for one in holders if one is not None]))
    holder["surprise"] = 1
    assert not loads(plan)
    assert not VALIDATOR.is_valid(plan)


def plan_with(*, plan=None, workflow=None, step=None, edge=None, options=None):
    one = {"id": "a", "expression": JOB, **(step or {})}
    if edge is not None:
        one["next"] = {"b": edge}
    whole = {"steps": [one, {"id": "b"}], **(workflow or {})}
    return {"workflow": whole, "options": options or {}, **(plan or {})}


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        *({"plan": {"id": value}} for value in (1, "", [])),
        *({"plan": {"meta": value}} for value in (1, "x", [])),
        *({"plan": {"options": value}} for value in (1, "x", [])),
        *({"plan": {"workflow": value}} for value in (1, "x", [], None)),
        *({"workflow": {"steps": value}} for value in (1, "a", [], None, [None], ["a"])),
        *({"workflow": {"jobs": [{"id": "c"}]}},),
        *(
            {"workflow": {key: 1}}
            for key in ("id", "name", "start", "globals", "credentials", "meta")
        ),
        *(
            {"step": {key: 1}}
            for key in ("id", "name", "expression", "adaptors", "adaptor", "configuration", "next")
        ),
        *({"step": {key: ""}} for key in ("id", "adaptors", "configuration", "next", "state")),
        *({"step": {"adaptors": value}} for value in ([1], [""], {}, [None])),
        {"step": {"adaptors": ["x"], "adaptor": "x"}},
        {"step": {"surprise": 1}},
        {"step": {"next": {"": True}}},
        {"step": {"next": {"b": None}}},
        *({"edge": value} for value in (1, "", " \n", [], {"condition": 1}, {"condition": ""})),
        *({"edge": value} for value in ({"label": 1}, {"disabled": "yes"}, {"meta": {}})),
        *(
            {"options": {key: value}}
            for key in ("timeout", "step_timeout")
            for value in (0, -1, "1", True)
        ),
        *({"options": {key: value}} for key in ("start", "end") for value in (1, "")),
        {"options": {"stepTimeout": 1, "step_timeout": 1}},
        {"options": {"history": 1}},
    ],
    ids=repr,
)
def test_what_the_reader_refuses_for_its_type_the_schema_refuses(wrong):
    """The twin of each is accepted: the same plan without the wrong value."""
    VALIDATOR.validate(plan_with(edge=True))
    assert not loads(plan_with(**wrong))
    assert not VALIDATOR.is_valid(plan_with(**wrong))


def test_the_schema_is_a_schema():
    """The schema keeps the rules of the dialect that it names."""
    jsonschema.Draft202012Validator.check_schema(plan_schema())


def test_the_reader_and_the_types_have_the_same_keys():
    """Every key of a type must be known to the reader, so that a plan can contain it."""
    for struct in (Plan, Workflow, Step, Edge, PlanOptions, Retry, StepPermissions):
        known = set(KEYS[struct]) - ({"meta"} if struct is Workflow else set())
        assert known == set(struct.__struct_fields__)
    assert set(ALIASES.values()) - {"source_map"} <= {key for keys in KEYS.values() for key in keys}


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("**/plan*.json")), ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_the_plans_of_the_examples_are_accepted(path):
    """The plans are those of the examples in the repository."""
    VALIDATOR.validate(json.loads(path.read_text()))
