"""The common slips get a hint that says what to write."""

from __future__ import annotations

import pytest

from sandbox_child.language.hints import nearest


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        pytest.param("d = {'k': 1}\n    return d.k", 'd["k"]', id="key of a dict"),
        pytest.param("return [{}].name", "rows[0]", id="key of a list"),
        pytest.param("return true", "True", id="true"),
        pytest.param("return null", "None", id="null"),
        pytest.param("return undefined", "None", id="undefined"),
        pytest.param("console.log(1)", "print", id="console"),
        pytest.param("return JSON.parse('')", "json.loads", id="JSON"),
        pytest.param("records = 1\n    return recods", "records", id="misspelt variable"),
        pytest.param("return helpr()", "helper", id="misspelt function"),
        pytest.param("return lenn([])", "len", id="misspelt built-in"),
        pytest.param("return helper()['a']", "return state", id="None indexed"),
        pytest.param("return helper().a", "return state", id="attribute of None"),
        pytest.param("return {'a': 1}()", "second pair of brackets", id="calling a result"),
        pytest.param("return main['a']", "call it", id="function indexed"),
        pytest.param("return '{}'['a']", "json.loads", id="JSON text"),
        pytest.param("return 'n' + 1", "f-string", id="text and number"),
        pytest.param("return state['a']", "d.get(key)", id="missing key"),
    ],
)
def test_a_slip_in_a_function_gets_a_hint(report_of, body, hint):
    """In the field `fix` of the report."""
    report = report_of(f"def helper(): pass\ndef main(state):\n    {body}\n")
    assert hint in report.fix


def test_state_outside_of_an_argument_gets_a_hint(report_of):
    """At top level there is no state yet."""
    report = report_of("rows = state['rows']\nput('a', rows)")
    assert report.name == "RuntimeCrash"
    assert "fn(lambda state" in report.fix


def test_a_misspelt_key_of_the_state_gets_the_nearest_one(report_of):
    """The guard of dotted state names the keys that are there."""
    report = report_of("put('a', state.data.patiens)", {"data": {"patients": [], "visits": []}})
    assert report.fix == "did you mean patients?"
    assert "visits" in report.message


def test_a_forgotten_return_state_gets_a_hint_in_the_next_operation(report_of):
    """What runs after an operation that returned nothing gets an empty state."""
    source = "empty(1)\nput('a', state['rows'])"
    report = report_of(source, {"rows": []}, empty=lambda n: lambda state: {})
    assert "return state" in report.fix


def test_an_awaitable_that_is_not_awaited_gets_a_hint(report_of):
    """The value is a coroutine."""
    source = "async def get():\n    return {}\ndef main(state):\n    c = get()\n    c.close()\n    return c['a']"
    assert "await" in report_of(source).fix


def test_the_nearest_name_is_a_name_the_author_could_mean():
    """Not a private one, and only one that is alike."""
    assert nearest("patiens", ["_patients", "patients", "x"]) == "patients"
    assert nearest("qqqq", ["patients"]) is None
    assert nearest("x" * 10**6, ["y" * 10**6, 5]) is None
