"""A translated job gives the state that node gives, or it fails; it never gives another state."""

from __future__ import annotations

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from node import Node, engine_for_translations, run_translated, text_of

from examples import examples
from jobcell.moving.script.job import translate_job

NAMES = st.sampled_from(["a", "b", "length", "name", "0"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 30)
    | st.sampled_from([0.5, -1.25, 1e21, 1e-7])
    | st.sampled_from(["", "a", "b", "12", " 7 ", "0", "x y", "Ä", "😀", "null"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
LITERALS = st.sampled_from(
    [
        "0",
        "1",
        "-2",
        "2.5",
        "''",
        "'a'",
        "'12'",
        '"it\'s"',
        "true",
        "false",
        "null",
        "undefined",
        "[]",
        "{}",
        "[1, 'a']",
        "({ a: 1 })",
        "`t`",
    ]
)
ROOTS = st.sampled_from(
    ["state.data", "state.data.a", "state.data?.b", "state.data[0]", "state.data?.a?.b", "state.k"]
)
BINARY = st.sampled_from(
    ["===", "!==", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "&&", "||", "??"]
)
METHODS = st.sampled_from(
    [
        ".length",
        "?.length",
        ".trim()",
        ".toUpperCase()",
        ".includes('a')",
        ".slice(1)",
        ".slice(-2, -1)",
        ".join('-')",
        ".concat([1])",
        ".split('a')",
        ".indexOf('a')",
        ".at(-1)",
        ".map(x => x)",
        ".map((x, i) => i)",
        "?.map(x => x?.a)",
        ".filter(x => x)",
        ".find(x => x === 1)",
        ".some(x => x > 1)",
        ".findIndex(x => x === 1)",
        ".substr(1, 2)",
        ".substr(-2)",
        ".concat(...[[1], 2])",
        ".every(Boolean)",
        ".flatMap(x => [x, x])",
        ".map(({ a, b: c }) => [a, c])",
        ".startsWith('a')",
        ".padStart(4, '0')",
        ".replace('a', 'b')",
        ".a",
        ".reverse()",
    ]
)
CALLS = st.sampled_from(
    [
        "String({})",
        "Boolean({})",
        "JSON.stringify({})",
        "Object.keys({})",
        "Object.values({})",
        "Array.isArray({})",
        "Number({})",
        "Math.round({})",
        "Math.max({}, 3)",
        "Math.max(...({}))",
        "[...new Set({})]",
        "Array.from(new Set({}))",
        "typeof ({})",
        "!({})",
        "!!({})",
        "`<${{{}}}>`",
        "+({})",
        "[...({})]",
        "({{ ...({}), z: 1 }})",
        "({{ p: {}, q: [{}] }})".replace("{}]", "1]"),
        "parseInt({}, 10)",
        "Object.entries({})",
        "({} ? 'yes' : 'no')",
        "({{ ...state.data, ...({}) }})",
        "JSON.parse({})",
    ]
)


def _call(template, inner):
    return template.format(f"({inner})") if "${" not in template else template.format(inner)


EXPRESSIONS = st.recursive(
    LITERALS | ROOTS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, BINARY, inner)
        | st.builds("({}){}".format, inner, METHODS)
        | st.builds(_call, CALLS, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
        | st.builds("({{ a: {}, b: {} }})".format, inner, inner)
    ),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file, node, sandbox):
    """Look for leaks after the last test: a warm zygote forks again after each run."""


@pytest.fixture(scope="module")
def node():
    """A process of node."""
    running = Node()
    yield running
    running.close()


@pytest.fixture(scope="module")
def sandbox():
    """An engine whose children serve all examples."""
    with engine_for_translations() as engine:
        lasts = "import time, javascript\ndef main(state):\n    time.sleep(0.3)\n    return state"
        step = {"id": "a", "adaptors": ["common", "javascript"], "expression": lasts}
        for _ in range(3):  # the second run with the same adaptors starts their zygote
            assert engine.execute({"workflow": {"steps": [step]}}).result(60).reason == "success"
        yield engine


JOB = """fn(state => ({{ ...state, results: [] }}));
{operations}
"""
OPERATION = """each('$.cases[*]', fn(state => ({{ ...state, results: [...state.results, {{ v: {expression} }}] }}))
  .catch((error, state) => ({{ ...state, results: [...state.results, 'ERROR'] }})));
"""


@pytest.mark.slow
@examples(60)
@given(st.lists(EXPRESSIONS, min_size=4, max_size=12), st.lists(VALUES, min_size=3, max_size=6))
def test_an_expression_has_the_value_of_javascript_or_is_an_error(
    node, sandbox, expressions, cases
):
    """Random expressions, over random states, in both languages."""
    expressions = [
        e for e in expressions if not translate_job(OPERATION.format(expression=e), "", {}).left
    ]
    assume(expressions)
    script = JOB.format(operations="".join(OPERATION.format(expression=e) for e in expressions))
    state = {"cases": cases, "k": {"a": [1, 2]}}
    answer = node.run(script, state)
    assert "state" in answer, answer
    result = run_translated(sandbox, script, state)
    assert result.reason == "success", (result.error, script)
    ours, theirs = result.state["results"], answer["state"]["results"]
    assert len(ours) == len(theirs)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        expression, case = expressions[number // len(cases)], cases[number % len(cases)]
        event(
            "error here only" if one == "ERROR" != other else "error" if one == "ERROR" else "value"
        )
        if one != "ERROR":
            assert text_of(one) == text_of(other), (expression, case)
