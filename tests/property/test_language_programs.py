"""Random programs behave as under plain Python, or are refused; nothing else happens."""

from __future__ import annotations

import ast
import contextlib
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from restricted_oracle import refused_by_default

from examples import examples
from protocol.report import ErrorReport
from sandbox_child.language import (
    OPERATIONS,
    JobScope,
    LanguageError,
    compile_condition,
    compile_globals,
    compile_job,
    diagnose,
)
from sandbox_child.language.text.constructs import CONSTRUCTS

QUICK = examples(100)
NAMES = ("state", "a", "b", "_c", "__d", "_e_", "main", "operations", "self", "print", "format")


def refused(source: object, compile_: object = compile_job) -> bool:
    """Compile a text; return whether it is refused, with a report that can be sent."""
    options = {"step_id": "a"} if compile_ is compile_job else {}
    for language in (True, False):
        try:
            compile_(source, language=language, **options)
        except LanguageError as error:
            report = error.report
            assert isinstance(report, ErrorReport)
            assert report.name in (
                "CompileError", "SecurityError", "RuntimeCrash", "InputError",
            )  # fmt: skip
            assert report.message
            if report.position is not None:
                assert report.position.line >= 1
            if language:
                return True
    return False


# -- texts ---------------------------------------------------------------------------------------

WORDS = st.sampled_from([
    *NAMES, "def", "class", "lambda", "async", "await", "for", "in", "if", "else", "import", "from",
    "match", "case", "return", "yield", "try", "except", "*", "**", ":=", "=", "+=", "(", ")", "[",
    "]", "{", "}", ":", ",", ".", "\n", "\n    ", "\n\t", "\r", "\x0c", "1", "0x", "'", '"', '"""',
    "f'{", "}'", "#", "\\", "\0", "@", "->", ";", "é", "ª", "\ud800", "\u2028", "9" * 5000, "...",
])  # fmt: skip


@QUICK
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=40).map(" ".join)))
@example("\0")
@example("\ud800")
@example("(" * 1000)
@example("\N{FULLWIDTH LOW LINE}" * 2 + "x = 1")
def test_any_text_is_compiled_or_refused(text):
    """An internal error never happens in a job, in globals, or in a condition."""
    refused(text)
    refused(text, compile_globals)
    refused(text, compile_condition)


# -- trees: every node of the grammar in every place ---------------------------------------------

IDENTIFIERS = st.sampled_from(NAMES)
CONSTANTS = st.sampled_from([0, 1, -1, 2.5, "x", b"y", None, True, ...])


def expressions() -> st.SearchStrategy[str]:
    """Texts of expressions, of every kind."""
    leaves = st.one_of(IDENTIFIERS, CONSTANTS.map(repr))

    def extend(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        two, three = st.tuples(part, part), st.tuples(part, part, part)
        named = st.tuples(part, IDENTIFIERS)
        return st.one_of(
            named.map(lambda p: f"({p[0]}).{p[1]}"),
            two.map(lambda p: f"({p[0]})[{p[1]}]"),
            two.map(lambda p: f"({p[0]})({p[1]})"),
            st.tuples(part, IDENTIFIERS, part).map(lambda p: f"({p[0]})({p[1]}={p[2]})"),
            two.map(lambda p: f"({p[0]} + {p[1]})"),
            two.map(lambda p: f"({p[0]} < {p[1]})"),
            three.map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
            named.map(lambda p: f"(lambda {p[1]}: {p[0]})"),
            named.map(lambda p: f"[{p[0]} for {p[1]} in (1, 2)]"),
            named.map(lambda p: f"({p[1]} := {p[0]})"),
            two.map(lambda p: f"{{{p[0]}: {p[1]}}}"),
            two.map(lambda p: f"[{p[0]}, *[{p[1]}]]"),
            part.map(lambda p: f"f'{{{p}}}'" if not set(p) & set("'\\\"{") else p),
            part.map(lambda p: f"(not {p})"),
            part.map(lambda p: f"({p})[0:1]"),
        )

    return st.recursive(leaves, extend, max_leaves=8)


def statements() -> st.SearchStrategy[str]:
    """Texts of statements, of every kind; each ends in a line break."""
    expression, name = expressions(), IDENTIFIERS
    simple = st.one_of(
        expression.map(lambda e: f"{e}\n"),
        st.tuples(name, expression).map(lambda p: f"{p[0]} = {p[1]}\n"),
        st.tuples(name, expression).map(lambda p: f"{p[0]}, b = {p[1]}, 1\n"),
        st.tuples(name, name, expression).map(lambda p: f"{p[0]}.{p[1]} = {p[2]}\n"),
        st.tuples(name, name, expression).map(lambda p: f"{p[0]}.{p[1]} += {p[2]}\n"),
        st.tuples(name, name).map(lambda p: f"del {p[0]}.{p[1]}\n"),
        st.tuples(name, expression).map(lambda p: f"{p[0]}: int = {p[1]}\n"),
        expression.map(lambda e: f"return {e}\n"),
        expression.map(lambda e: f"assert {e}\n"),
        name.map(lambda n: f"global {n}\n"),
        name.map(lambda n: f"from math import pi as {n}\n"),
        st.just("pass\n"),
    )

    def block(body: str) -> str:
        return "".join(f"    {line}\n" for line in body.splitlines())

    def extend(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        body = st.lists(part, min_size=1, max_size=3).map("".join).map(block)
        return st.one_of(
            st.tuples(expression, body).map(lambda p: f"if {p[0]}:\n{p[1]}"),
            st.tuples(name, body).map(lambda p: f"for {p[0]} in (1, 2):\n{p[1]}"),
            st.tuples(name, name, body).map(lambda p: f"def {p[0]}({p[1]}):\n{p[2]}"),
            st.tuples(name, name, body).map(lambda p: f"async def {p[0]}(*{p[1]}):\n{p[2]}"),
            st.tuples(name, body).map(lambda p: f"class {p[0]}:\n{p[1]}"),
            st.tuples(body, name, body).map(
                lambda p: f"try:\n{p[0]}except Exception as {p[1]}:\n{p[2]}"
            ),
            st.tuples(expression, name, body).map(lambda p: f"with {p[0]} as {p[1]}:\n{p[2]}"),
            st.tuples(expression, name, body).map(
                lambda p: f"match {p[0]}:\n    case [1, {p[1]}]:\n{block(p[2])}"
            ),
        )

    return st.recursive(simple, extend, max_leaves=6)


PROGRAMS = st.lists(statements(), min_size=1, max_size=5).map("".join)


@pytest.mark.slow
@QUICK
@given(PROGRAMS)
def test_any_program_is_compiled_or_refused(source):
    """Python accepts these programs, which have every construct in every place."""
    refused(source)
    refused(source, compile_globals)


@QUICK
@given(PROGRAMS)
@example("def main(state):\n    return exec('1')\n")
@example("def main(state):\n    return state.__class__\n")
@example("def main(state):\n    return state.x__roles__\n")
def test_what_restrictedpython_refuses_is_refused(source):
    """The job language accepts only the additions on the written list of the oracle."""
    if refused_by_default(source):
        with pytest.raises(LanguageError):
            compile_job(source, step_id="a")


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@QUICK
@given(expressions())
def test_any_expression_is_a_condition_or_refused(source):
    """A condition that is marked as pure contains nothing that could change the state."""
    if not refused(source, compile_condition) and compile_condition(source).pure:
        tree = ast.parse(source)
        assert not any(
            isinstance(n, ast.Await | ast.Lambda | ast.NamedExpr) for n in ast.walk(tree)
        )


def under_plain_python(source: str) -> object:
    """The outcome of a function under plain Python: its result, or the class of its error."""
    scope = {"__name__": "plain"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, "<plain>", "exec"), scope)
        return outcome_of(scope["main"])


def outcome_of(main: object) -> object:
    try:
        return plain_data(main({"a": 1, "n": [1, 2, {"b": 3}]}))
    except Exception as error:
        return type(error).__name__


def plain_data(value: object) -> object:
    """Return the part of a value that can be compared between interpreter scopes."""
    if isinstance(value, dict):
        return {str(plain_data(key)): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain_data(item) for item in value]
    if isinstance(value, str) and "<" in value:
        return "text with the address or the name of a function"
    if isinstance(value, bool | int | float | str | bytes | None):
        return value
    return "function" if callable(value) else type(value).__name__


DOTLESS = ("state", "a", "b", "c", "d", "rows")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@QUICK
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(DOTLESS[1:]), expressions()).map(
                lambda p: f"{p[0]} = {p[1]}"
            ),
            st.tuples(st.sampled_from(DOTLESS[1:]), expressions()).map(
                lambda p: f"{p[0]} += {p[1]}"
            ),
            expressions(),
        ),
        max_size=5,
    ),
    expressions(),
)
def test_what_compiles_behaves_as_under_plain_python(lines, result):
    """The result or the class of the error is the same, except where the language differs."""
    body = "".join(f"    {line}\n" for line in lines)
    source = f"def main(state):\n    a = b = _c = 1\n{body}    return {result}\n"
    if "state)." in source or "state." in source or ".format" in source or ".print" in source:
        return  # dotted state is a key, and format goes through a guard
    if refused(source):
        return
    scope = JobScope(
        step_id="a",
        language=True,
        resolve_import=lambda _: None,
        importable=tuple,
        in_scope={},
        log=lambda *_: None,
    )
    job = compile_job(source, step_id="a")
    scope.execute(job.code)
    ours, theirs = outcome_of(scope.globals[OPERATIONS][0]), under_plain_python(source)
    if ours == "JobSecurityError":
        return  # a private name of an object that does not belong to the job
    assert ours == theirs


@pytest.mark.slow
@QUICK
@given(PROGRAMS)
def test_whatever_a_program_raises_gets_a_report(source):
    """The report is always made, and gives the place in the text."""
    source = (
        f"def main(state):\n    a = b = 1\n{''.join(f'    {x}' for x in source.splitlines(True))}"
    )
    if refused(source):
        return
    scope = JobScope(
        step_id="a",
        language=True,
        resolve_import=lambda _: None,
        importable=tuple,
        in_scope={},
        log=lambda *_: None,
    )
    job = compile_job(source, step_id="a")
    try:
        scope.execute(job.code)
        result = scope.globals[OPERATIONS][0]({"a": {"b": 1}})
        if hasattr(result, "close"):
            result.close()
    except Exception as error:
        report = diagnose(error, job=job, adaptors={})
        assert report.name in ("RuntimeError", "RuntimeCrash", "SecurityError", "JobError")
        assert report.position is not None
        assert 1 <= report.position.line <= source.count("\n") + 1
        assert report.position.source == source.splitlines()[report.position.line - 1]


# -- trees that no text could give ----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CONSTRUCTS))
def test_every_reviewed_node_has_a_handler(name):
    """The table and the policy name the same nodes."""
    from sandbox_child.language.rules import LanguageRules

    kind = getattr(ast, name, None)
    assert kind is None or kind in LanguageRules._handlers
