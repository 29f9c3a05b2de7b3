"""A translated condition is true only where node says true; a doubt is an error or false."""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from node import Node

from examples import examples
from jobcell.moving.script.conditions import translate_condition, unwritten
from jobcell.moving.script.tree import UntranslatedError
from sandbox_child.language import compile_condition
from sandbox_child.language.scope import condition_scope
from sandbox_child.language.text.missing import MissingKeys

KEYS = st.sampled_from(["a", "b", "length", "items", "0"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 20)
    | st.sampled_from([0.0, 0.5, "", "a", "ab", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
STATES = st.dictionaries(st.sampled_from(["a", "b", "errors", "items"]), VALUES, max_size=4)
CHAINS = st.sampled_from(
    [
        "state.a",
        "state.b",
        "state.errors",
        "state.a.b",
        "state?.a",
        "state.a?.b",
        "state.a.b?.a",
        "state?.a?.b?.a",
        "state['a']",
        "state.a[0]",
        "state.a[0].b",
        "state.items",
        "state.a.items",
        "state.a['0']",
        "state.a?.items",
    ]
)
VALUE = st.sampled_from(
    ["0", "1", "2", "0.5", "'a'", "''", "'1'", "true", "false", "null", "undefined"]
)
SIGN = st.sampled_from(["===", "!==", "==", "!=", "<", "<=", ">", ">="])
ATOMS = (
    CHAINS
    | st.builds("{} {} {}".format, CHAINS, SIGN, VALUE)
    | st.builds("{} {} {}".format, VALUE, SIGN, CHAINS)
    | st.builds(
        "{}{}length {} {}".format,
        CHAINS,
        st.sampled_from([".", "?."]),
        SIGN,
        st.sampled_from(["0", "1", "2"]),
    )
    | st.builds("{}{}length".format, CHAINS, st.sampled_from([".", "?."]))
    | st.builds("Array.isArray({})".format, CHAINS)
    | st.builds("Boolean({})".format, CHAINS)
    | st.builds("Object.keys({}).length {} 0".format, CHAINS, SIGN)
    | st.builds("{}.includes('a')".format, CHAINS)
    | st.builds("{}.startsWith('a')".format, CHAINS)
    | st.sampled_from(["true", "false"])
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds("({} && {})".format, inner, inner)
        | st.builds("({} || {})".format, inner, inner)
        | st.builds("!({})".format, inner)
        | st.builds("!!({})".format, inner)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def node():
    """A process of node."""
    running = Node()
    yield running
    running.close()


def ours(condition: str, state: object) -> bool | str:
    """Return what the engine makes of a condition in Python."""
    compiled = compile_condition(condition)
    scope = condition_scope(True, MissingKeys())
    scope |= {"state": state, "upstream_step_id": "a"}
    try:
        return bool(eval(compiled.code, scope))
    except Exception as error:
        return type(error).__name__


@pytest.mark.slow
@examples(200)
@given(CONDITIONS, st.lists(STATES, min_size=3, max_size=8))
def test_an_edge_is_not_taken_that_javascript_does_not_take(node, script, states):
    """Where both have an answer, it is the same answer."""
    try:
        condition = translate_condition(script)
    except UntranslatedError:
        event("untranslated")
        return
    for state, theirs in zip(states, node.test(script, *states), strict=True):
        found = ours(condition, state)
        if found is True:
            assert theirs == {"taken": True}, (script, condition, state)
        elif found is False:
            assert theirs != {"taken": True}, (script, condition, state)
        event("error here only" if isinstance(found, str) and "taken" in theirs else "answer")


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("state.data.age >= 18", {"data": {"age": 20}}),
        ("state.data.age >= 18", {"data": {}}),
        ("!state.errors", {}),
        ("!state.errors", {"errors": {}}),
        ("!state.errors && state.emails.length > 0", {"emails": ["a"]}),
        ("!!state.data && state.data.length > 0", {"data": []}),
        ("state.data.length === 0", {"data": []}),
        ("state.data?.form?.kind === 'visit'", {"data": None}),
        ("state.data.kind == 'visit' || state.all", {"data": {"kind": "visit"}}),
        ("state.patient == null", {}),
        ("state.data.patient !== undefined", {"data": {"patient": None}}),
        ("Object.keys(state.data).length > 0", {"data": {"a": 1}}),
        ("state.data.tags.includes('new')", {"data": {"tags": ["new"]}}),
        ("true", {}),
    ],
)
def test_a_usual_condition_has_an_answer_and_it_is_that_of_javascript(node, script, state):
    """These are conditions that authors write."""
    assert node.test(script, state)[0] == {"taken": ours(translate_condition(script), state)}


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("state.rows.some(r => r.ok)", 1),
        ("state.a > state.b", 1),
        ("state.a == 5", 1),
        ("Date.now() > 3", 1),
        ("state.a &&\nstate.b.map(f)", 2),
        ("state.a; state.b", 1),
        ("((", 1),
        ("", 1),
    ],
)
def test_another_condition_is_an_error_that_quotes_it(script, line):
    """It is never guessed."""
    with pytest.raises(UntranslatedError) as found:
        translate_condition(script)
    assert found.value.line == line
    with pytest.raises(KeyError, match="write this condition in Python"):
        eval(unwritten(script, "project.yaml:3"), {})
