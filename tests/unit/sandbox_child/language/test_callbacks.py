"""A job attaches functions to operations: `then`, `catch`, and a callback as the last argument."""

from __future__ import annotations

import pytest

BOTH = pytest.mark.parametrize("language", [True, False], ids=["language", "no language"])


def collecting(*, options=None):
    """A verb with an option that may be left out."""

    def operation(state):
        return {**state, "options": options(state) if callable(options) else options}

    return operation


def taking_any(*values):
    return lambda state: {**state, "values": [v(state) if callable(v) else v for v in values]}


@BOTH
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("put('a', 1).then(lambda state: {**state, 'b': state['a'] + 1})", {"a": 1, "b": 2}),
        ("put('a', 1).then({**state, 'b': state.a})", {"a": 1, "b": 1}),
        ("put('a', 1).then(put('b', state.a + 1)).then(put('c', state.b))", {"a": 1, "b": 2, "c": 2}),
        ("op = put('a', 1)\nfn(op.then(put('b', 2)))", {"a": 1, "b": 2}),
        ("fn(lambda state: put('a', 1).then(put('b', 2))(state))", {"a": 1, "b": 2}),
        ("def main(state):\n    return put('a', 1).then(lambda s: {**s, 'b': 2})(state)", {"a": 1, "b": 2}),
        ("operations = [put('a', 1).then(lambda s: {**s, 'b': 2})]", {"a": 1, "b": 2}),
        ("both(put('a', 1).then(put('b', state.a)), put('c', 3))", {"a": 1, "b": 1, "c": 3}),
        ("def f(state):\n    return {**state, 'x': 1}\noperations = [f.then(put('b', 2))]", {"x": 1, "b": 2}),
    ],
)  # fmt: skip
def test_then_gets_the_state_that_the_operation_returns(result_of, source, expected, language):
    """The function may be an operation, and its arguments are lazy as those of any operation."""

    def both(first, second):
        return lambda state: second(first(state))

    assert result_of(source, {}, language=language, both=both) == expected


@BOTH
@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ("lambda error, state: {**state, 'e': str(error)}", {"n": 1, "e": "no"}),
        ("lambda error: {'e': type(error).__name__}", {"e": "ValueError"}),
        ("lambda error: {**state, 'e': str(error)}", {"n": 1, "e": "no"}),
        ("lambda state: {**state, 'e': state['n']}", {"n": 1, "e": 1}),
        ("put('e', state.n + 1)", {"n": 1, "e": 2}),
        ("handle", {"n": 1, "e": "no"}),
        ("later", {"n": 1, "e": "no"}),
        ("lambda *given: {'e': len(given)}", {"e": 2}),
    ],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_catch_gets_as_many_of_error_and_state_as_it_takes(
    result_of, handler, expected, kind, language
):
    """A function whose only parameter is called `state` gets the state: it is an operation."""
    source = (
        f"{kind} fail(state):\n    raise ValueError('no')\n"
        "def handle(error, state):\n    return {**state, 'e': str(error)}\n"
        "async def later(error, state):\n    return {**state, 'e': str(error)}\n"
        f"fn(fail).catch({handler})"
    )
    assert result_of(source, {"n": 1}, language=language) == expected


def test_catch_does_nothing_if_nothing_fails(result_of):
    """Neither the operation nor the functions before it have failed."""
    source = "put('a', 1).then(put('b', 2)).catch(put('c', 3)).then(put('d', 4))"
    assert result_of(source, {}) == {"a": 1, "b": 2, "d": 4}


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_catch_sees_the_failures_of_the_functions_before_it(result_of, kind):
    """A later `then` gets the state that the handler has returned."""
    source = (
        f"{kind} bad(state):\n    return 1 / 0\n"
        "put('a', 1).then(bad).then(put('never', 1)).catch(lambda e: {'e': str(e)}).then(put('z', 1))"
    )
    assert result_of(source, {}) == {"e": "division by zero", "z": 1}


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("handler", ["def", "async def"])
def test_a_handler_can_raise_again(report_of, kind, handler):
    """The report is about the first failure, at its place."""
    source = (
        f"{kind} bad(state):\n    raise ValueError('first')\n"
        f"{handler} again(error, state):\n    raise\n"
        "fn(bad).catch(again)"
    )
    report = report_of(source, {})
    assert (report.name, report.subtype, report.message) == ("RuntimeError", "ValueError", "first")
    assert report.position.line == 2 or report.stack


@pytest.mark.parametrize(
    ("failing", "name"),
    [
        ("bytearray(2 ** 62)", "OOMError"),
        ("getattr(state, '_' + 'x')", "SecurityError"),
        ("group()", "SecurityError"),
        ("stop()", "ExitError"),
    ],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_errors_that_end_a_run_are_not_caught(report_of, failing, name, kind):
    """`catch` sees the errors that fail a step, and no others."""
    source = (
        "def group():\n"
        "    try:\n        getattr({}, '_' + 'x')\n"
        "    except Exception as error:\n        raise ExceptionGroup('g', [ValueError(), error])\n"
        "def stop():\n    raise SystemExit(3)\n"
        f"{kind} bad(state):\n    return {failing}\n"
        "fn(bad).catch(lambda error: {'caught': True})"
    )
    assert report_of(source, {}).name == name


@BOTH
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("put('a', 1, lambda state: {**state, 'b': 2})", {"a": 1, "b": 2}),
        ("put('a', 1, put('b', state.a))", {"a": 1, "b": 1}),
        ("put('a', 1, callback=lambda state: {**state, 'b': 2})", {"a": 1, "b": 2}),
        ("def f(state):\n    return {**state, 'b': 2}\nput('a', 1, f)", {"a": 1, "b": 2}),
        ("collecting(lambda state: {**state, 'b': 2})", {"options": None, "b": 2}),
        ("collecting(lambda state: {**state, 'b': 2}, options=state.x)", {"x": 5, "options": 5, "b": 2}),
        ("fn(lambda state: state, lambda state: {**state, 'b': 2})", {"b": 2}),
        ("taking_any(lambda state: 1, lambda state: 2)", {"values": [1, 2]}),
        ("def main(state):\n    return put('a', 1, lambda s: {**s, 'b': 2})(state)", {"a": 1, "b": 2}),
    ],
)  # fmt: skip
def test_a_function_after_the_arguments_of_a_verb_is_a_callback(
    result_of, source, expected, language
):
    """It gets the state that the operation returns; a verb that takes any number has no callback."""
    state = {"x": 5} if "state.x" in source else {}
    found = result_of(
        source, state, language=language, collecting=collecting, taking_any=taking_any
    )
    assert found == expected


def test_a_verb_with_a_callback_of_its_own_gets_it(result_of):
    """The engine does not call it a second time."""

    def rows(path, callback=None):
        return lambda state: callback({**state, "path": path}, [1, 2])

    source = "rows('x', lambda state, rows: {**state, 'rows': rows})"
    assert result_of(source, {}, rows=rows) == {"path": "x", "rows": [1, 2]}
    assert result_of(source.replace("lambda", "callback=lambda"), {}, rows=rows)["rows"] == [1, 2]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("put('a', 1).then({'b': 1})", "then of put(...) on line 1 needs a function"),
        ("put('a', 1).catch(None)", "catch of put(...) on line 1 needs a function, not None"),
        ("put('a', 1).then(lambda a, b: 1)", "takes 2 arguments; write then(lambda state: ...)"),
        ("put('a', 1).then(lambda: 1)", "takes no argument; write then(lambda state: ...)"),
        ("put('a', 1).catch(lambda a, b, c: 1)", "takes 3 arguments"),
        ("put('a', 1).then(fn, fn)", "takes one function: write .then(f).catch(g)"),
        ("put.then(fn)", "put on line 1 is not an operation"),
        ("put('a', 1, 2)", "takes 2 positional arguments but 3 were given"),
        ("plain(1, lambda state: 2)", "takes 1 positional argument but 2 were given"),
        ("fn(lambda state: state.data.then(fn))", "no key 'then'"),
        ("fn(lambda state: [].then(fn))", "'list' object has no attribute 'then'"),
    ],
)
def test_wrong_uses_have_an_error_at_the_call(report_of, source, message):
    """The error says what to write, and shows the line of the job."""
    report = report_of(source, {"data": {}}, plain=lambda value: value)
    assert message in report.message
    assert report.position.line == 1


def test_methods_of_the_name_then_stay_as_they_are(result_of):
    """Objects of the job, and dicts in the state, keep their own meaning of the name."""
    source = (
        "class Promise:\n"
        "    def then(self, value):\n        return value + 1\n"
        "    catch = then\n"
        "    def twice(self):\n        return self.then(1) + self.catch(2)\n"
        "def main(state):\n"
        "    return {'a': Promise().twice(), 'b': state.then, 'c': state.get('then')}\n"
    )
    assert result_of(source, {"then": 7}) == {"a": 5, "b": 7, "c": 7}


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_then_gets_an_empty_state_for_none(result_of, kind):
    """As the next operation does after one that returns None."""
    source = f"{kind} nothing(state):\n    pass\nfn(nothing).then(put('a', 1))"
    assert result_of(source, {"x": 1}) == {"a": 1}


def test_an_operation_of_a_script_is_named_after_the_whole_chain(run_job):
    """Number, name and place are those of the call at top level."""
    ran = run_job(
        "put('a', 1).then(fn(lambda state: state))\nfn(lambda state: 1 / 0)", {}, check=False
    )
    assert [site.name for site in ran.job.operations] == ["put.then", "fn"]
    assert (ran.report.operation.number, ran.report.position.line) == (2, 2)
