"""A job has one of three forms, and the arguments of a script wait for the state."""

from __future__ import annotations

import ast

import pytest

from sandbox_child.language.compiler import compile_job
from sandbox_child.language.text.forms import form_of, uses_state


@pytest.mark.parametrize(
    ("source", "form"),
    [
        pytest.param("fn(1)", "script", id="a call"),
        pytest.param("'text'\nx = 1\nfn(x)", "script", id="a call among other statements"),
        pytest.param("def main(state): return state", "function", id="def"),
        pytest.param("async def main(state): return state", "function", id="async def"),
        pytest.param("main = lambda state: state", "function", id="assigned"),
        pytest.param("from x import y as main", "function", id="imported"),
        pytest.param("print(1)\ndef main(state): ...", "function", id="calls beside main"),
        pytest.param("if True:\n    def main(state): ...", "function", id="main below an if"),
        pytest.param("operations = []", "operations", id="list"),
        pytest.param("operations: list = []", "operations", id="annotated list"),
        pytest.param("operations = []\ndef main(s): ...\nfn(1)", "operations", id="all three"),
        pytest.param("operations: list\nfn(1)", "script", id="an annotation binds nothing"),
        pytest.param("def f():\n    def main(): ...\n    operations = 1", None, id="inside of f"),
        pytest.param("[main for main in ()]", None, id="a comprehension binds inside"),
        pytest.param("", None, id="empty"),
        pytest.param("# a comment", None, id="a comment"),
        pytest.param("x = fn(1)", None, id="a call that is assigned"),
    ],
)
def test_the_form_follows_from_what_the_top_level_defines(source, form):
    """The order is operations, then main, then top-level calls."""
    assert form_of(ast.parse(source)) == form


def test_a_job_with_nothing_to_run_is_an_input_error(refusal_of):
    """Without calls, main and operations, the error shows the form of a job."""
    report = refusal_of("x = 1")
    assert (report.name, report.severity) == ("InputError", "crash")
    assert "def main(state)" in report.fix


def test_operations_run_in_the_order_of_the_source(result_of):
    """Statements between the calls run as well, at their place."""
    source = "x = 1\nput('a', x)\nx = 2\nput('b', x)\n"
    assert result_of(source) == {"a": 1, "b": 2}


def test_an_operation_knows_its_place_and_its_name():
    """The site has a number from 1, the callee as it was written, and the span of the call."""
    source = "'''text'''\nfrom x import common\nget('a')\n\ncommon.fn(\n    1)\nretry(3)(get)\n"
    sites = compile_job(source, step_id="a").operations
    assert [(site.number, site.name) for site in sites] == [
        (1, "get"),
        (2, "common.fn"),
        (3, "retry"),
    ]
    position = sites[1].position
    assert (position.line, position.column) == (5, 1)
    assert (position.end_line, position.end_column) == (6, 7)
    assert position.source == "common.fn("


def test_the_other_forms_have_no_operation_sites():
    """Only the calls of a script have places in the source."""
    assert compile_job("def main(state): ...", step_id="a").operations == ()
    assert compile_job("operations = [1]", step_id="a").operations == ()


def test_calls_beside_main_are_ordinary_statements(run_job):
    """If main is defined, a call at top level happens while the source is loaded."""
    ran = run_job("seen = []\nseen.append(1)\ndef main(state):\n    return {'seen': seen}")
    assert ran.state == {"seen": [1]}


def test_an_explicit_list_is_taken_as_it_is(result_of):
    """The list may contain any object that can be called."""
    source = "def a(state): return {'n': 1}\noperations = [a, lambda state: {'n': state['n'] + 1}]"
    assert result_of(source) == {"n": 2}


def test_a_docstring_and_future_imports_stay_first(result_of):
    """The code that the compiler adds comes after them."""
    source = "'''What it does.'''\nfrom __future__ import annotations\nput('a', 1)"
    assert result_of(source, language=False) == {"a": 1}


class TestLazyState:
    """In a script, an argument that uses the state is a function of it."""

    @pytest.mark.parametrize(
        "source",
        [
            pytest.param("put('a', state.n + 1)", id="expression"),
            pytest.param("put('a', value=state.n + 1)", id="keyword"),
            pytest.param("put('a', {'since': [state.n + 1]}['since'][0])", id="inside a dict"),
            pytest.param("put('a', lambda state: state.n + 1)", id="a lambda of the author"),
            pytest.param("put('a', [state['n'] for _ in (1, 2)][0] + 1)", id="comprehension"),
            pytest.param("put('a', [n for n in (state.n,)][0] + 1)", id="first iterable"),
            pytest.param("put('a', (m := state.n) + 1)", id="walrus"),
            pytest.param("add = lambda x: x + 1\nput('a', add(state.n))", id="own function"),
            pytest.param("put('a', f'{state.n + 1}' and state.n + 1)", id="f-string"),
        ],
    )
    @pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
    def test_the_whole_argument_waits(self, result_of, source, language):
        """The form of the expression around the name does not matter."""
        assert result_of(source, {"n": 1}, language=language) == {"n": 1, "a": 2}

    def test_it_sees_the_state_of_its_time(self, result_of):
        """The argument does not see the state of the time when the source was loaded."""
        source = "put('n', 1)\nput('m', state.n + 1)\nput('n', state.n + state.m)"
        assert result_of(source) == {"n": 3, "m": 2}

    def test_an_argument_without_state_is_evaluated_at_once(self, run_job):
        """Only an argument that needs the state waits for it."""
        calls = []
        run_job("put('a', note())", note=lambda: calls.append(1))
        assert calls == [1]

    def test_an_operation_among_the_arguments_gets_lazy_arguments_itself(self, result_of):
        """each(state.rows, post(state.x)): post is called at once, its argument is evaluated later."""
        both = lambda *operations: lambda state: [o(state) for o in operations][-1]
        source = "both(put('a', state.n), put('b', state.n + 1))"
        assert result_of(source, {"n": 1}, both=both) == {"n": 1, "b": 2}

    def test_an_imported_operation_counts_as_one(self):
        """A name that is imported from outside of the standard library is an operation."""
        source = "from rest import post\nimport common\nfn(post(state.a), common.get(state.b))"
        called = []
        scope = {
            "__import__": None,
            "fn": lambda *arguments: arguments,
            "__builtins__": {
                "__import__": lambda *a: type(
                    "M", (), {"post": called.append, "get": called.append}
                ),
                "_state_attr_": dict.get,
                "_verb_": lambda _told, function, *arguments: function(*arguments),
            },
        }
        exec(compile_job(source, step_id="a", language=False).code, scope)
        assert [argument({"a": 1, "b": 2}) for argument in called] == [1, 2]

    def test_a_variable_of_the_job_named_state_is_not_lazy(self, result_of):
        """The variable has a value when the call is made."""
        assert result_of("state = {'n': 5}\nput('a', state.n)") == {"a": 5}

    def test_spreading_the_state_into_arguments_is_refused(self, refusal_of):
        """`*` and `**` need the value at once; the report says what to write."""
        report = refusal_of("get('a')\nget(**state.data.options)\nget(1, *state.rows)")
        assert report.name == "CompileError"
        assert [(found["line"], found["column"]) for found in report.details] == [(2, 5), (3, 8)]
        assert "lambda state" in report.fix

    def test_an_error_in_a_lazy_argument_points_at_the_argument(self, report_of):
        """The position of the error is the author's own text."""
        report = report_of("put('a', 1)\nput('b',\n    1 / state.n)", {"n": 0})
        assert report.subtype == "ZeroDivisionError"
        assert (report.position.line, report.position.column) == (3, 5)
        assert report.position.source == "    1 / state.n)"
        assert (report.operation.number, report.operation.name) == (2, "put")


@pytest.mark.parametrize(
    ("expression", "free"),
    [
        ("state", True),
        ("lambda x: state", True),
        ("lambda state: state", False),
        ("lambda *state: state", False),
        ("lambda x=state: x", True),
        ("lambda state=state: state", True),
        ("[state for state in rows]", False),
        ("[x for state in state]", True),
        ("{k: state for k in rows}", True),
        ("x.state", False),
        ("f(state=1)", False),
        ("'state'", False),
        ("f'{state}'", True),
    ],
)
def test_only_a_free_name_is_the_state(expression, free):
    """A parameter or loop variable of that name is another value."""
    assert uses_state(ast.parse(expression, mode="eval").body) is free
