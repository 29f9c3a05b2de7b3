"""A text becomes code, or one report with all its mistakes."""

from __future__ import annotations

import warnings

import pytest

from sandbox_child.language.compiler import (
    LanguageError,
    compile_condition,
    compile_globals,
    compile_job,
)
from sandbox_child.language.scope import condition_scope

JOB = "def main(state):\n    return {}\n"


def test_all_violations_are_told_at_once(refusal_of):
    """Each has line, column, reason and the right text; the first violation is the message."""
    report = refusal_of(
        "from a import *\n"
        "class A(metaclass=M): pass\n"
        "é = 'ü'; open('x')\n"
        "def main(state): return state\n"
    )
    assert (report.name, report.severity, report.step_id) == ("CompileError", "crash", "a")
    found = [(v["line"], v["column"], v["end_line"], v["end_column"]) for v in report.details]
    assert found == [(1, 15, 1, 16), (2, 9, 2, 20), (3, 10, 3, 14)]
    assert all(violation["message"] and violation["fix"] for violation in report.details)
    assert report.message.splitlines()[2].startswith("line 3, column 10: open")
    assert report.position.source == "from a import *"
    assert report.fix == report.details[0]["fix"]


@pytest.mark.parametrize(
    "expression",
    ["eval('1')", "exec('1')", "compile('1', '', 'eval')", "x.__class__", "f.__globals__",
     "g.gi_frame", "__import__('os')", "__builtins__", "x.__dict__['a']", "e.__traceback__",
     "type.mro(int)", "print(eval)"],
)  # fmt: skip
def test_what_looks_like_a_way_out_is_a_security_error(refusal_of, expression):
    """A single such violation is enough; harmless ones beside it are still listed."""
    report = refusal_of(f"from a import *\n{JOB}x = {expression}\n")
    assert (report.name, report.severity) == ("SecurityError", "kill")
    assert len(report.details) == 2
    assert report.details[1]["line"] == 4
    assert report.details[1]["fix"]


def test_a_syntax_error_is_a_runtime_crash_with_its_position(refusal_of):
    """The position is where the parser stopped, in characters."""
    report = refusal_of("x = 'ü' 1\n")
    assert (report.name, report.subtype, report.severity) == (
        "RuntimeCrash",
        "SyntaxError",
        "crash",
    )
    assert (report.position.line, report.position.column) == (1, 9)
    assert report.position.source == "x = 'ü' 1"


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("const x = 1", "const"),
        ("fn(state => state)", "lambda"),
        ("x = a && b", "and"),
        ("x = a || b", "or"),
        ("x = a === b", "=="),
        ("x = {...state}", "**"),
        ("x++", "+= 1"),
        ("return state", "def main"),
        ("x = await y", "async def main"),
        ("if x:\n    pass\nelse if y:\n    pass", "elif"),
        ("// note", "#"),
    ],
)
def test_a_slip_from_another_language_gets_a_hint(refusal_of, source, word):
    """The report says what Python writes instead."""
    report = refusal_of(source)
    assert report.name == "RuntimeCrash"
    assert word in report.fix


def test_positions_count_lines_as_python_does(refusal_of):
    """CR, CRLF and LF end a line; a form feed or U+2028 does not."""
    report = refusal_of("a = 1\rb = 2\r\nc = '\u2028'\n\x0cd = x.__dict__\n" + JOB)
    assert (report.position.line, report.position.column) == (4, 6)


def test_the_file_name_names_the_step():
    """The name separates the frames of a job from those of adaptors in a traceback."""
    job = compile_job(JOB, step_id="fetch")
    assert job.filename == job.code.co_filename == "<job fetch>"
    assert (job.form, job.source) == ("function", JOB)


def test_without_the_language_wall_everything_compiles():
    """Forms and dotted state stay; the author may use all names and built-ins."""
    job = compile_job("x = eval('1')\ny = x.__class__\nfn(state.n)", step_id="a", language=False)
    assert job.form == "script"


class TestGlobals:
    """Helper functions of a workflow: definitions and nothing else."""

    def test_definitions_compile(self):
        """Definitions are def, class, import, assignments, and a docstring."""
        code = compile_globals(
            "'''Helpers.'''\nimport json\nLIMIT = 3\nx: int = 1\n"
            "def double(x):\n    return x * 2\nclass A: pass\n"
        )
        assert code.co_filename == "<globals>"

    @pytest.mark.parametrize("language", [True, False])
    def test_anything_else_is_refused_with_its_place(self, language):
        """A call or a loop belongs into a job."""
        with pytest.raises(LanguageError) as caught:
            compile_globals("def f(): ...\nf()\nfor x in ():\n    pass", language=language)
        report = caught.value.report
        assert report.name == "CompileError"
        assert [violation["line"] for violation in report.details] == [2, 3]

    def test_the_policy_holds_there_too(self):
        """Helpers are job code."""
        with pytest.raises(LanguageError) as caught:
            compile_globals("def f(x):\n    return x.__class__")
        assert caught.value.report.name == "SecurityError"


class TestConditions:
    """The condition of an edge is one expression over the state."""

    STATE = {"data": {"age": 19, "rows": [{"n": 1}]}, "errors": {}}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("source", "value"),
        [
            ("state.data.age > 18", True),
            ("state['data']['age'] > 18", True),
            ("  state.data.rows[0].n == 1  ", True),
            ("state.data.age > 18 and not state.errors", True),
            ("state.data.get('missing') == null", True),
            ("true", True),
            ("false or null", None),
            ("len(state.data.rows) == 2", False),
            ("upstream_step_id == 'a'", True),
            ("\nstate.data.age > 18\n", True),
        ],
    )
    @pytest.mark.parametrize("language", [True, False])
    def test_it_evaluates(self, source, value, language):
        """The state is dotted or has brackets; true, false and null are known."""
        condition = compile_condition(source, language=language)
        scope = condition_scope(language)
        scope.update(state=self.STATE, upstream_step_id="a")
        assert eval(condition.code, scope) == value

    @pytest.mark.parametrize(
        ("source", "pure"),
        [
            ("state.data.age > 18", True),
            ("state.data.rows[0].n == 1 and not state.errors", True),
            ("len(state.data.rows) > 1", True),
            ("state.data.get('x') is null", True),
            ("state.data.name.lower() == 'x'", True),
            ("f'{state.data.age:>3}' in ('a', 'b')", True),
            ("state.data.pop('age')", False),
            ("state.data.update(x=1)", False),
            ("state.data.rows.append(1)", False),
            ("state.data.setdefault('x', [])", False),
            ("[r for r in state.rows]", False),
            ("(lambda: state)()", False),
            ("(x := state)", False),
            ("sorted(state.rows, key=state.rows.append)", False),
            ("state.data.get(state.rows.pop())", False),
        ],
    )
    def test_it_knows_whether_it_can_change_the_state(self, source, pure):
        """A condition that only reads the state is evaluated without a copy."""
        assert compile_condition(source).pure is pure

    @pytest.mark.parametrize("source", ["state.data.age >", "x = 1", "", "a; b"])
    def test_what_is_no_expression_is_a_runtime_crash(self, source):
        """The error comes before the first job starts; the caller gives it the name for edges."""
        with pytest.raises(LanguageError) as caught:
            compile_condition(source)
        assert caught.value.report.name == "RuntimeCrash"

    def test_the_policy_holds_there_too(self):
        """A condition is the author's code like a job."""
        with pytest.raises(LanguageError) as caught:
            compile_condition("state.__class__")
        assert caught.value.report.name == "SecurityError"


def test_what_the_parser_thinks_of_an_escape_is_kept_to_itself(capsys):
    """The filters of other code for warnings do not matter, and are not changed."""
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile_job("def main(state):\n    return '\\d'\n", step_id="a")
            with pytest.raises(SyntaxError):
                compile("'\\d'", "a file", "exec")
    assert capsys.readouterr().err == ""
