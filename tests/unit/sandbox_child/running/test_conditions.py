"""Conditions as authors write them: missing keys, broken lines, and errors that help."""

import pytest

from protocol.plan import Edge, Step, Workflow
from protocol.state import encode_state
from sandbox_child.running.conditions import ConditionError, Conditions, Upstream

STATE = {
    "data": {
        "n": 1,
        "none": None,
        "text": "hi",
        "rows": [{"age": 3}],
        "first name": "x",
    }
}


def decide(condition, state=STATE, *, language=True, failed=False):
    """Return whether the edge is taken, and the lines of the log."""
    edge = Edge(condition)
    workflow = Workflow(steps=(Step(id="a", next={"b": edge}), Step(id="b")))
    logged = []
    conditions = Conditions(workflow, language=language, warn=logged.append)
    upstream = Upstream(encode_state(state), failed=failed)
    return conditions.decide("a", "b", edge, upstream), logged


def refused(condition, state=STATE, **more):
    with pytest.raises(ConditionError) as caught:
        decide(condition, state, **more)
    report = caught.value.report
    assert report.name == "EdgeConditionError"
    return report


@pytest.mark.parametrize("language", [True, False])
@pytest.mark.parametrize(
    "condition",
    [
        "not state.errors",
        "state.errors == null",
        "state.errors is None",
        "state.a.b.c == null",
        "not state.data.none.x",
        "not state.absent.items",
        "state['data'].absent is None",
        "state.data.rows[0].name is None",
        "state.data.get('absent') is None",
        "state.data.text.upper() == 'HI'",
        "'x' not in (state.tags or [])",
        "(state.data.count or 0) < 5",
        "[state.absent] == [None] and {state.absent: 1} == {None: 1}",
        "(lambda x: x is None)(state.absent)",
        "f'{state.absent}' == 'None'",
    ],
)
def test_a_missing_key_is_none(condition, language):
    """The key may be at any depth, with or without the language wall; no line is logged."""
    assert decide(condition, language=language) == (True, [])


@pytest.mark.parametrize("language", [True, False])
@pytest.mark.parametrize(
    ("condition", "key", "chain"),
    [
        ("state.data.age > 18", "age", "state.data.age"),
        ("18 <= state.data.age", "age", "state.data.age"),
        ("0 < state.data.age < 5", "age", "state.data.age"),
        ("state.x.y.z >= 'text'", "x", "state.x.y.z"),
        ("state.data.none.deep < 3", "deep", "state.data.none.deep"),
        ("state.data.rows[0].height > 1", "height", "state.data.rows[0].height"),
        ("state['data'].age < null", "age", "state['data'].age"),
        ("(n := state.data.age) > 3", "age", "state.data.age"),
        ("(m := (n := state.data.age)) > 3 or m is not None", "age", "state.data.age"),
        ("any(n < state.limit for n in [1, 2])", "limit", "state.limit"),
        ("(lambda n: n < state.limit)(1)", "limit", "state.limit"),
        ("state.data\n  .age\n  > 18", "age", "state.data .age"),
        ("state.data == state.absent < 3 or 1 == state.absent <= 3", None, None),
    ],
)
def test_an_ordered_comparison_with_a_missing_key_is_false(condition, key, chain, language):
    """The log names the key once for each evaluation of the condition."""
    taken, logged = decide(condition, language=language)

    assert not taken
    if key is None:
        assert logged == []  # `==` was False before
    else:
        [line] = logged
        edge, _, sentence = line.partition(": ")
        assert edge == "the condition of the edge 'a' -> 'b'"
        assert sentence == f"the key '{key}' is missing, so the comparison of {chain} is False"


def test_both_sides_that_are_missing_are_named():
    """Each missing key has its own line."""
    _, logged = decide("state.low < state.high")
    assert ["low" in logged[0], "high" in logged[1]] == [True, True]


def test_a_condition_of_very_many_comparisons_does_not_flood_the_log():
    """The first keys are named, and the others are counted."""
    taken, logged = decide(" or ".join(f"state.k{number} < 1" for number in range(50)))
    assert not taken
    assert len(logged) == 21
    assert logged[-1].endswith("the same happened to 30 more comparisons")


def test_an_endless_name_is_cut_in_the_log():
    """A person reads the line, so it must be short."""
    _, logged = decide(f"state.{'k' * 100_000} < 1")
    assert len(logged[0]) < 500


@pytest.mark.parametrize(
    ("condition", "subtype", "told"),
    [
        ("state.name.lower() == 'x'", "AttributeError", "state.name"),
        ("state.names.get('x')", "AttributeError", "state.names"),
        ("state.run() > 1", "TypeError", "state.run"),
        ("state.data.list[0].age", "TypeError", "state.data.list"),
        ("'x' in state.tags", "TypeError", "state.tags"),
        ("len(state.rows) > 0", "TypeError", "state.rows"),
        ("state.a + 1 > 2", "TypeError", "state.a"),
        ("-state.a < 3", "TypeError", "state.a"),
        ("(state.a or state.b) < 3", "TypeError", "state.b"),
        ("(state.a if true else 1) < 3", "TypeError", "state.a"),
        ("int(state.a) < 3", "TypeError", "state.a"),
        ("(lambda x: x < 3)(state.a)", "TypeError", "state.a"),
        ("[x for x in state.rows]", "TypeError", "state.rows"),
        ("{'k': 1}[state.a]", "KeyError", "state.a"),
    ],
)
def test_any_other_use_of_a_missing_key_meets_none(condition, subtype, told):
    """Python's exception comes with the missing key, and with the text to write."""
    report = refused(condition)

    assert report.subtype == subtype
    assert f"so {told} is None: write ({told} or" in report.fix


@pytest.mark.parametrize(
    ("condition", "subtype", "fix"),
    [
        ("state['x']", "KeyError", "d.get(key)"),
        ("state['data']['x'] > 1", "KeyError", "d.get(key)"),
        ("state.data.none < 3", "TypeError", "a value is None"),
        ("state.data.text.x", "AttributeError", "this is text"),
        ("state.data.n.x", "AttributeError", "this is a number"),
        ("state.data.rows.x", "AttributeError", "a list has no keys"),
        ("state.data.rows.length > 0", "AttributeError", "len(x)"),
        ("any(row.age < 3 for row in state.data.rows)", "AttributeError", 'd["age"]'),
        ("on_job_succes or false", "NameError", "did you mean on_job_success?"),
        ("undefined == 1", "NameError", "write None"),
    ],
)
def test_what_is_not_about_a_missing_key_raises_as_in_python(condition, subtype, fix):
    """Examples are subscripts, null values, and dotted parts of a value without keys."""
    report = refused(condition)
    assert report.subtype == subtype
    assert fix in report.fix


@pytest.mark.parametrize(
    "condition",
    [
        "state.data.n > 0 and\nnot state.errors\n",
        "state.data.n > 0 and\r\nnot state.errors\r\n",
        "  \n\n  state.data.n\n    ==\n\n  1\n\n",
        "\t state.data.n == 1",
        "\ufeffstate.data.n == 1\ufeff",
        "\ufeff\r\n  state.data.n == 1",
        "\u00a0state.data.n == 1\u2003",
        "state.data.n == 1  # one\n  and true # true",
        "state.data.n \\\n == 1",
        "state\n.data\n.rows[\n0\n].age == 3",
        '"""a\nb""" == "a\\nb" and\n\'\'\' x\n \'\'\' == " x\\n "',
        "state.data.n,\n2",
    ],
)
def test_white_space_around_and_inside_does_not_matter(condition):
    """The white space is that of a YAML block; a text keeps its own line feeds."""
    assert decide(condition) == (True, [])


@pytest.mark.parametrize(
    ("condition", "line", "column", "told"),
    [
        ("  state['x']", 1, 3, "no key 'x'"),
        ("\n\n   state['x']\n", 3, 4, "no key 'x'"),
        ("\r\n state.data.n ==\r\n  state['é', state['y']]", 3, 14, "no key 'y'"),
        ("\ufeffstate['x']", 1, 1, "no key 'x'"),
        (" state.__class__", 1, 2, "__class__"),
        ("true and\n  state.__class__", 2, 3, "line 2, column 3"),
        ("state.data.n >\n>3", 2, 1, "invalid syntax"),
        ("true and\n  'abc\n", 2, 3, "unterminated string literal"),
        ("true and\n  '''abc\n", 2, 3, "unterminated triple-quoted string literal"),
        ("a) or\n(b", 1, 2, "unmatched ')'"),
        ("a) or (b", 1, 2, "unmatched ')'"),
        ("true\nor a] and [b", 2, 5, "unmatched ']'"),
        ("(true and\n b", 1, None, "'(' was never closed"),
        ("true and\n [b", 2, None, "'[' was never closed"),
        ("true and\n {b", 2, None, "'{' was never closed"),
        ("true and\n (b]", 2, 4, "']' does not match opening parenthesis '(' on line 2"),
        ("x for x\nin y", 1, None, "a generator without brackets"),
        ("# one\n# two", 1, None, "only comments"),
        ("true and\n", 1, None, "invalid syntax"),
        ("\ntrue and\n", 2, None, "invalid syntax"),
        ("a = 3", 1, 3, "invalid syntax"),
        ("\na\0", 2, 2, "NUL"),
    ],
)
def test_an_error_is_where_the_author_wrote_it(condition, line, column, told):
    """The place is in lines and columns of the text as it was given."""
    report = refused(condition)
    assert told in report.message
    assert (report.position.line, report.position.column) == (line, column)


def test_a_long_condition_is_cut_in_the_message():
    """A person reads the message, so it must be short."""
    report = refused("0 +" * 100_000 + "state['x']")
    assert len(report.message) < 1000


@pytest.mark.parametrize(
    "wild", ["state.data.rows.append(state.absent)", "(x := state).update(n=1)"]
)
def test_a_condition_that_changes_its_state_changes_a_copy(wild):
    """The next condition sees the state that the step returned."""
    edges = {"b": Edge(f"{wild} or true"), "c": Edge("len(state.data.rows) == 1 and not state.n")}
    workflow = Workflow(steps=(Step(id="a", next=edges), Step(id="b"), Step(id="c")))
    conditions = Conditions(workflow, language=True, warn=lambda _line: None)
    upstream = Upstream(encode_state(STATE), failed=False)
    assert [conditions.decide("a", t, edge, upstream) for t, edge in edges.items()] == [True, True]


@pytest.mark.parametrize("state", [None, "text", 3, [1]])
def test_a_state_that_is_no_dict_has_no_keys(state):
    """A step that returned nothing is like a missing key; other values raise as in Python."""
    if state is None:
        assert decide("not state.errors", state) == (True, [])
    else:
        assert refused("not state.errors", state).subtype == "AttributeError"


@pytest.mark.parametrize(
    "guard",
    [
        "_state_attr_",
        "_state_part_",
        "_state_side_",
        "_state_called_",
        "_state_hold_",
        "_state_restore_",
    ],
)
def test_no_condition_can_name_a_guard(guard):
    """Only the rewritten chains call guards."""
    report = refused(f"{guard}(state, 'x') is None")
    assert f"the name {guard} is reserved" in report.message


def test_a_missing_key_reaches_an_author_as_none_only():
    """The test tries every way out of a comparison: a name, a container, a key, a call."""
    ways = "y, (z := state.a), z, [state.a][0], *{state.a}, *{state.a: 1}, (lambda x: x)(state.a)"
    source = f"not ((y := state.a) < 1) and (w := [{ways}]) and all([x is None for x in w])"
    taken, logged = decide(source)
    assert taken
    assert len(logged) == 1
    assert not decide("1 < state.a in [1] or 1 > state.a not in [None]")[0]
