"""Regular expressions and dates have the value that node gives, or they are errors; never another value."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from node import Node

from examples import examples
from jobcell.moving.script.job import translate_job

ADAPTOR = Path(__file__).parents[3] / "adaptors" / "javascript" / "javascript"

SIGNS = st.sampled_from(list("abAB01_ -./$\"'\n\r\u00e9\u2028\u212a\u017fK"))
TEXTS = st.lists(SIGNS | st.sampled_from(["ab", "\U0001f600", "  ", "a1"]), max_size=8).map("".join)
ATOMS = st.sampled_from(
    [
        *("a", "b", "A", "0", "_", " ", "-", "'", "\u00e9", r"\.", r"\/", r"\$", r"\-", r"\d", r"\w", r"\s"),
        *(r"\D", r"\W", r"\S", ".", "[ab]", "[^a]", "[a-z]", r"[\w.-]", r"[\s_]", "[0-9A-F]", r"[^\d\n]"),
        *("^", "$", r"\b", r"\n", "[.$]", "[a-]", r"[\]\\]", "[[&&~]"),
    ]
)  # fmt: skip
TIMES = st.sampled_from(["", "", "", "*", "+", "?", "*?", "+?", "{2}", "{1,}", "{0,2}"])
PATTERNS = st.recursive(
    st.builds("{}{}".format, ATOMS, TIMES),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.builds("(?:{}){}".format, inner, TIMES)
        | st.builds("({})".format, inner)
        | st.builds("{}|{}".format, inner, inner)
    ),
    max_leaves=5,
)
CALLS = st.sampled_from(
    [
        "/{}/{}.test(x)",
        "x.replace(/{}/{}, '<>')",
        "x.replace(/{}/{}, found => `<${{found.length}}:${{found}}>`)",
        "x.split(/{}/{})",
    ]
)
DATES = st.sampled_from(
    [
        *("2026-11-29", "2026-11-29T10:00:00.123Z", "2026-11-29T10:00Z", "2026-02-30", "2024-02-29"),
        *("2026-11-29T10:00:00+02:00", "2026-11-29T23:59:59.999-11:30", "2026-11-29T24:00:00Z", "x", ""),
        *("0001-01-01", "9999-12-31T23:59:59.999Z", "0000-01-01", "0001-01-01T00:00:00+01:00", "2026-13-01"),
        *("2026-11-29T10:00:00", "2026-11-29 10:00:00", "29/11/2026", "2026-11-29T10:00:00.1234Z", " 2026-11-29"),
        *("2026", "2026-11", "+002026-11-29T10:00:00.000Z", "2026-11-29T10:00:00+2", "2026-11-29T10:00:60Z"),
        *(0, 1, -1, 1_796_000_000_123, -62_135_596_800_000, 253_402_300_799_999, 10**16, None, True, [], 1.5),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def node():
    """A process of node."""
    running = Node()
    yield running
    running.close()


@pytest.fixture(scope="module")
def js():
    """The functions of translated jobs, in this process: the sandbox of many examples takes a minute."""
    spec = importlib.util.spec_from_file_location("javascript", ADAPTOR / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["javascript"] = module
    spec.loader.exec_module(module)
    from javascript import semantics

    return semantics


def both(node: Node, js: Any, expression: str, values: list[Any]) -> list[tuple[Any, Any]]:
    """Return the value of an expression of x in both languages, for each x; an error is None.

    The list is empty if the expression is left to do by hand.
    """
    script = f"fn(state => ({{ ...state, v: state.xs.map(x => {expression}) }}));"
    made = translate_job(script, "a.js", {"common": None})
    found: list[tuple[Any, Any]] = []
    if made.left:
        return found
    for value in values:
        operations: list[Any] = []
        code = made.source.replace("import javascript", "").replace("javascript.semantics", "js")
        exec(compile(code, "job", "exec"), {"js": js, "fn": operations.append})
        try:
            ours = operations[0]({"xs": [value]})["v"][0]
        except js.Error:
            ours = None
        answer = node.run(script, {"xs": [value]})
        theirs = answer["state"]["v"][0] if "state" in answer else None
        found.append((ours, theirs))
    return found


@pytest.mark.slow
@examples(400)
@given(
    CALLS, PATTERNS, st.sampled_from(["", "g", "i", "gi"]), st.lists(TEXTS, min_size=1, max_size=4)
)
def test_a_regular_expression_finds_what_node_finds(node, js, call, pattern, flags, texts):
    """Random expressions over random texts, with signs that the two languages order in different classes."""
    assume(not pattern.startswith(("*", "+", "?")))
    found = both(node, js, call.format(pattern, flags), texts)
    assume(found)
    for ours, theirs in found:
        event("an error here" if ours is None else "a value")
        assert ours is None or ours == theirs, (pattern, flags, texts)


@pytest.mark.slow
@examples(60)
@given(st.lists(DATES, min_size=1, max_size=6))
def test_a_date_is_the_time_that_node_gives(node, js, values):
    """A text that depends on the time zone of the machine is an error, and so is one of another form."""
    for ours, theirs in both(
        node, js, "[new Date(x).toISOString(), new Date(x).getTime()]", values
    ):
        assert ours is None or ours == theirs


def test_the_plain_forms_of_a_date_are_read(node, js):
    """The twin: the usual forms are values here, not errors."""
    usual = [
        "2026-11-29",
        "2026-11-29T10:00:00.123Z",
        "2026-11-29T10:00:00+02:00",
        1_796_000_000_123,
    ]
    for ours, theirs in both(node, js, "new Date(x).toJSON()", usual):
        assert ours == theirs
        assert ours is not None


def test_now_is_the_time_of_the_clock(node, js):
    """Both languages write the same form, in UTC."""
    expression = "[new Date().toISOString(), Date.now(), new Date().toJSON().slice(0, 10)]"
    before = time.time() * 1000 - 1
    ((ours, theirs),) = both(node, js, expression, [0])
    for text, number, day in (ours, theirs):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
        assert before <= number <= time.time() * 1000 + 1
        assert text.startswith(day)
    assert json.loads(json.dumps(ours)) == ours
