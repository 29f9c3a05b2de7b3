"""The idioms of authors work in a confined run: their logs, their errors, and their limits."""

from __future__ import annotations

import pytest
from bundled_repo import make_bundled_repo

import engine


@pytest.fixture(scope="module")
def eng(tmp_path_factory):
    """An engine with the adaptors of this project."""
    root = tmp_path_factory.mktemp("repo")
    make_bundled_repo(root, "common", "rest")
    with engine.Engine(repo_dir=root, max_runs=1) as eng:
        yield eng


@pytest.fixture(autouse=True)
def no_leak():
    """The engine outlives the single test."""


def execute(eng, source, state=None, *, step=(), **workflow):
    """Run one step; return its result, and its warnings and errors of the runtime."""
    one = {"id": "a", "expression": source, "adaptors": ["common", "rest"], **dict(step)}
    run = eng.execute({"workflow": {"steps": [one], **workflow}}, {} if state is None else state)
    result = run.result(60)
    logs = [e for e in run.poll(after=0) if e.type == "log" and e.level in ("warning", "error")]
    return result, [(e.source, e.message) for e in logs]


def test_verbs_have_then_catch_callbacks_and_the_names_of_language_common(eng):
    """They work with verbs of adaptors, at top level and as arguments, with lazy arguments."""
    source = (
        "fnIf(state.data.ok, fn(lambda state: {**state, 'seen': []}).then(log('go')))\n"
        "beta.each('$.data.rows[*]',\n"
        "    fn(lambda state: {**state, 'lost': True}).then(fn(lambda state: 1 / state.data.n))\n"
        "    .catch(fn(lambda state: {**state, 'seen': [*state.seen, (state.index, state.data.n)]})),\n"
        ")\n"
        "map_(state.data.rows, lambda row: row['n'], lambda state: {**state, 'mapped': True})\n"
        "fn(lambda state: {**state, 'made': fields(\n"
        "    field('a', sourceValue('$.seen[0][0]')), field('b', dataValue('nope')))(state)})\n"
    )
    state = {"data": {"ok": True, "rows": [{"n": 0}, {"n": 0}]}}
    result, _ = execute(eng, source, state)
    assert result.error is None, result.error
    assert result.state == {
        "data": [0, 0],
        "seen": [[0, 0], [1, 0]],
        "mapped": True,
        "made": {"a": 0},
    }


def test_a_caught_failure_is_a_warning_of_the_runtime(eng):
    """It names the verb, the line and the error, and the step has succeeded."""
    source = (
        "fn(lambda state: state)\nfn(lambda state: state['x']).catch(lambda error: {'ok': True})"
    )
    result, logged = execute(eng, source)
    assert (result.reason, result.state) == ("success", {"ok": True})
    assert logged == [
        ("runtime", "fn(...) on line 2 failed with KeyError: 'x'; its catch handles this")
    ]


def test_many_caught_failures_at_one_place_are_few_lines(eng):
    """After ten lines, one is written for each power of ten, with the number of the failure."""
    source = "each(list(range(150)), fn(lambda state: 1 / 0).catch(fn(lambda state: state)))"
    _, logged = execute(eng, source)
    assert len(logged) == 11
    assert "(failure 10 at this place)" in logged[9][1]
    assert "(failure 100 at this place)" in logged[10][1]


def test_a_caught_failure_shows_no_secret(eng):
    """The text of the error is redacted, as in the report of a failure that is not caught."""
    source = (
        "def fail(state):\n    raise ValueError('token ' + state.configuration.token)\n"
        "fn(fail).catch(lambda error, state: {'caught': True})"
    )
    secret = "s3cr3t-of-the-clinic"
    result, logged = execute(eng, source, step={"configuration": {"token": secret}})
    assert result.state == {"caught": True}
    assert len(logged) == 1
    assert "failed with ValueError: token " in logged[0][1]
    assert secret not in logged[0][1]
    assert "[redacted]" in logged[0][1]


@pytest.mark.parametrize(
    ("failing", "name"),
    [("bytearray(10 ** 10)", "OOMError"), ("getattr(state, '_' + 'x')", "SecurityError")],
)
def test_an_error_that_kills_the_run_is_not_caught(eng, failing, name):
    """The step does not go on, and no line says that something was handled."""
    result, logged = execute(eng, f"fn(lambda state: {failing}).catch(lambda error: {{}})")
    assert result.error.name == name
    assert logged == []


def test_cancelling_passes_a_catch(eng):
    """The handler does not run, and the run ends as cancelled."""
    source = (
        "import time\n"
        "def wait(state):\n"
        "    print('waiting')\n"
        "    while True:\n        time.sleep(0.01)\n"
        "fn(wait).catch(lambda error: print('caught') or {})"
    )
    step = {"id": "a", "expression": source, "adaptors": ["common"]}
    run = eng.execute({"workflow": {"steps": [step]}}, {})
    seen = 0
    while not any(event.type == "log" for event in run.poll(after=0)):
        seen += len(run.poll(timeout_s=None))
    run.cancel("enough")
    assert run.result(30).error.name == "Cancelled"
    printed = [event.message for event in run.poll(after=0) if event.type == "log"]
    assert "caught" not in printed


@pytest.mark.parametrize(
    ("job", "message", "fix", "line"),
    [
        (
            "fn(lambda state: state)\nfn(lambda state: {**state, 'helper': lambda x: x})\n",
            "state.helper: cannot carry a function, which operation 2 (fn) has put there",
            "define the function at the top of the job",
            2,
        ),
        (
            "def main(state):\n    state.data.rows = [1, {'a b': main}]\n    return state\n",
            "state.data.rows[1]['a b']: cannot carry a function, which operation 1 (main)",
            "define the function at the top of the job",
            None,
        ),
        (
            "operations = [lambda state: log('x')]",
            "state: cannot carry a function, which operation 1 (<lambda>)",
            "call it with the state",
            None,
        ),
        (
            "async def later(state):\n    return {'a': [later]}\nfn(later)",
            "state.a[0]: cannot carry a function, which operation 1 (fn)",
            "define the function at the top of the job",
            3,
        ),
        (
            "fn(lambda state: {'body': fields(field('a', dataValue('a')))})",
            "state.body.a: cannot carry a function, which operation 1 (fn)",
            "define the function at the top of the job",
            1,
        ),
        (
            "fn(lambda state: {'kind': int})",
            "state.kind: cannot carry a class, which operation 1 (fn)",
            None,
            1,
        ),
    ],
)  # fmt: skip
def test_a_function_in_the_state_is_refused_when_it_is_put_there(eng, job, message, fix, line):
    """The next operation does not run; the error names the path, the operation and its line."""
    result, _ = execute(eng, job, {"data": {}})
    error = result.error
    assert (error.name, error.message.startswith(message)) == ("StateError", True), error.message
    assert error.fix is None if fix is None else fix in error.fix
    assert (error.position.line if error.position else None) == line


def test_a_function_deep_in_a_large_state_is_refused_at_the_end_of_the_step(eng):
    """Only the first values are looked at after each operation; encoding looks at all of them."""
    source = (
        "fn(lambda state: {'rows': [*range(50_000), {'f': print}]})\n"
        "fn(lambda state: state)"
    )  # fmt: skip
    result, _ = execute(eng, source)
    assert result.error.name == "StateError"
    assert result.error.message.startswith("state.rows[50000].f: cannot carry a function")
    assert result.error.operation.number == 2
