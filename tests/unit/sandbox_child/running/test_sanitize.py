"""A log shows only the part of an object that the policy allows, like the JavaScript logger."""

from __future__ import annotations

import json

import pytest

from sandbox_child.running.sanitize import MASK, sanitize

POLICIES = ("none", "remove", "obfuscate", "summarize")


@pytest.mark.parametrize("mode", POLICIES)
@pytest.mark.parametrize("value", ["x", "", 0, 1.5, None, True, b"x"], ids=repr)
def test_what_is_no_object_stays_as_it_is(value, mode):
    """Policies are only about objects and arrays."""
    assert sanitize(value, mode) is value


@pytest.mark.parametrize("mode", POLICIES)
def test_an_exception_stays_an_exception(mode):
    """An exception goes through unchanged; the log shows it in another way."""
    error = ValueError("x")
    assert sanitize(error, mode) is error


@pytest.mark.parametrize(
    ("value", "mode", "shown"),
    [
        ({}, "none", "{}"),
        ([], "none", "[]"),
        ({"a": [1]}, "none", '{\n  "a": [\n    1\n  ]\n}'),
        ({}, "remove", None),
        ([1, "2", None, {}], "remove", None),
        ({"a": 1}, "obfuscate", "[object]"),
        ([], "obfuscate", "[array]"),
        ((1, 2), "obfuscate", "[array]"),
        ({}, "summarize", "(empty object)"),
        ({"b": 1, "a": 2}, "summarize", "(object with keys a, b)"),
        ({2: 1, "a": 2}, "summarize", "(object with keys 2, a)"),
        ([], "summarize", "(empty array)"),
        ([{}, {}, {}], "summarize", "(array with 3 items)"),
    ],
)
def test_an_object_is_shown_as_the_policy_says(value, mode, shown):
    """Each policy of the table shows an object in its own way."""
    assert sanitize(value, mode) == shown


def test_the_values_of_a_configuration_are_masked():
    """A job may print a whole state, but the log does not show its credential."""
    state = {"configuration": {"password": "password1", "username": "foo"}, "data": {"x": 1}}

    shown = json.loads(sanitize(state))

    assert shown == {
        "configuration": {"password": MASK, "username": MASK},
        "data": {"x": 1},
    }
    assert state["configuration"]["password"] == "password1"


@pytest.mark.parametrize("configuration", ["secret-value", ["secret-value"], 123456])
def test_a_configuration_that_is_no_object_is_masked_whole(configuration):
    """No part of such a configuration is shown, for any type."""
    assert json.loads(sanitize({"configuration": configuration})) == {"configuration": MASK}


def test_without_stringify_an_object_stays_one():
    """JSON logs embed the object; only its configuration is masked."""
    state = {"configuration": {"k": "v"}, "data": [1]}
    assert sanitize(state, stringify=False) == {"configuration": {"k": MASK}, "data": [1]}
    assert sanitize([1], stringify=False) == [1]


def test_what_json_lacks_is_shown_as_text():
    """A log call never fails because of its arguments."""
    value = {"b": b"\xff", 1: float("nan"), ("a", 1): {2}, "o": object(), object: None}
    assert json.loads(sanitize(value)) == {
        "b": "b'\\xff'",
        "1": None,
        "('a', 1)": [2],
        "o": "[object]",
        "[type]": None,
    }


def test_a_cycle_and_a_deep_value_are_cut():
    """The call neither hangs nor exhausts the stack."""
    ring = {}
    ring["self"] = ring
    assert json.loads(sanitize(ring)) == {"self": "[Circular]"}
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert "[...]" in sanitize(deep)


def test_an_unknown_policy_is_an_error():
    """A misspelt policy must not show everything."""
    with pytest.raises(ValueError, match="no sanitize policy 'sumarize'; there are: none"):
        sanitize({}, "sumarize")
