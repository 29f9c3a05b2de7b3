"""The engine's report of a failure is the same if a configuration contains the words of the report.

Each plan runs twice in real children: without secrets, and with every word of the report as a
secret.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

import engine

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
WORD = re.compile(r"[\w-]{6,}")

FAILURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "SecurityError": ({"expression": "x = eval('1')\ndef main(state):\n    return state\n"}, {}),
    "ImportError": ({"expression": "import nosuch\ndef main(state):\n    return state\n"}, {}),
    "InputError": ({"expression": "x = 1\n"}, {}),
    "StateError": ({"expression": "def main(state):\n    return {'data': [lambda: 0]}\n"}, {}),
    "OOMError": ({"expression": "def main(state):\n    return 'x' * 9_000_000_000\n"}, {}),
    "TimeoutError": (
        {"expression": "def main(state):\n    while True: pass\n"},
        {"timeout_s": 0.3},
    ),
    "StateTooLargeError": (
        {"expression": "def main(state):\n    return {'data': 'x' * 3_000_000}\n"},
        {"state_mb": 1},
    ),
    "OutputLimitError": (
        {"expression": "def main(state):\n    return state\n", "next": {"orders": "always"}},
        {"max_step_runs": 1},
    ),
    "EdgeConditionError": (
        {"expression": "def main(state):\n    return {}\n", "next": {"orders": "state['x'] > 1"}},
        {},
    ),
    "CredentialLoadError": (
        {"expression": "def main(state):\n    return {}\n", "configuration": "clinic-login"},
        {},
    ),
}


@pytest.fixture(scope="module")
def eng():
    with engine.Engine(max_runs=1) as eng:
        yield eng


@pytest.fixture(autouse=True)
def no_leak():
    """The engine outlives the single test."""


def fail(eng, step, options, secrets):
    """Run a step that fails; return all errors that came out, and the ids of all events."""
    steps = [
        {"id": "visits", **step},
        {"id": "orders", "expression": "def main(state):\n    return state\n"},
    ]
    plan = {"workflow": {"steps": steps, "credentials": {"words": secrets}}}
    resolvers = engine.Resolvers(credential=lambda _: None)
    run = eng.execute(plan, options=engine.RunOptions(**options), resolvers=resolvers)
    result = run.result(timeout_s=30)
    events = run.poll(after=0)
    errors = [result.error, *(event.error for event in events if hasattr(event, "error"))]
    ids = [
        (event.type, getattr(event, "step_id", None), getattr(event, "next", None))
        for event in events
    ]
    return [msgspec.to_builtins(error) for error in errors], ids


def without_quotes(report):
    """Return a report without the user's parts: lines of source, and quotations."""
    report = dict(report)
    report.get("position", {}).pop("source", None)
    for frame in report.get("stack", ()):
        frame.pop("source", None)
    return _plain(report)


def _plain(value):
    if isinstance(value, str):
        return QUOTED.sub("''", value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def words_of(value):
    if isinstance(value, str):
        return set(WORD.findall(value))
    if isinstance(value, dict):
        return words_of([*value.keys(), *value.values()])
    return set().union(*map(words_of, value)) if isinstance(value, list | tuple) else set()


@pytest.mark.parametrize("name", FAILURES)
def test_a_report_is_not_changed_by_its_own_words(eng, name):
    """Names, fixed parts of messages, options, hints, ids and keys stay."""
    step, options = FAILURES[name]
    before, ids = fail(eng, step, options, [])
    assert before[0]["name"] == name
    expected = list(map(without_quotes, before))
    secrets = sorted(words_of(expected) | {"message", "severity", "visits", "orders"})
    after, ids_after = fail(eng, step, options, secrets)
    assert list(map(without_quotes, after)) == expected
    assert ids_after == ids


def test_the_same_words_are_redacted_where_a_user_says_them(eng):
    """The twin: in a user's text the same words are secrets."""
    text = "the child died at its memory limit (memory_mb)"
    job = {"expression": f"def main(state):\n    print({text!r})\n    raise ValueError({text!r})\n"}
    errors, _ = fail(eng, job, {}, ["memory", "its memory limit", "memory_mb"])
    assert errors[0]["message"] == "the child died at [redacted] ([redacted])"
