"""Texts made to hurt the parser get a clear report, in bounded time and memory."""

from __future__ import annotations

import time

import msgspec
import pytest

from sandbox_child.language.text.spans import SourceText
from sandbox_child.language.text.violations import LanguageError

MAIN = "def main(state):\n    return state\n"
DEEP = 5_000


def test_a_huge_source_is_refused_unread(refusal_of):
    """A text of more than a megabyte is not parsed."""
    begun = time.thread_time()
    report = refusal_of("x = 1\n" * 500_000)
    assert time.thread_time() - begun < 1
    assert report.name == "CompileError"
    assert "1000000" in report.message


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("x = " + "(" * DEEP + ")" * DEEP, id="brackets"),
        pytest.param("x = " + "[" * DEEP + "]" * DEEP, id="lists"),
        pytest.param("x = " + "{1:" * DEEP + "1" + "}" * DEEP, id="dicts"),
        pytest.param("x = " + "f(" * DEEP + ")" * DEEP, id="nested calls"),
        pytest.param("x = f" + "()" * DEEP, id="chain of calls"),
        pytest.param("x = f" + ".a" * DEEP, id="chain of attributes"),
        pytest.param("x = f" + "[0]" * DEEP, id="chain of subscripts"),
        pytest.param("x = " + "-" * DEEP + "1", id="unary signs"),
        pytest.param("x = " + "not " * DEEP + "1", id="not"),
        pytest.param("x = " + "lambda: " * DEEP + "1", id="lambdas"),
        pytest.param("x = " + "1 if a else " * DEEP + "1", id="conditional expressions"),
        pytest.param("x = " + "a ** " * DEEP + "1", id="powers"),
        pytest.param("x = " + "a + " * 200_000 + "1", id="a sum of 200,000"),
        pytest.param("x = " + "[" * 250 + "1" + " for x in y]" * 250, id="comprehensions"),
        pytest.param("if a:\n    pass\n" + "elif b:\n    pass\n" * 20_000,
                     id="elif"),
        pytest.param("".join(" " * i + "if 1:\n" for i in range(150)) + " " * 150 + "pass",
                     id="blocks"),
        pytest.param("x = " + "9" * 5_000, id="a number of 5000 digits"),
        pytest.param("f'" + "{x:" * 200 + "}" * 200 + "'", id="nested f-strings"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
def test_a_text_that_nests_too_deep_is_a_compile_error(refusal_of, line, language):
    """The error is the same for each part of Python that gives up, and for each exception."""
    report = refusal_of(MAIN + line + "\n", language=language)
    assert report.name in ("CompileError", "RuntimeCrash")
    assert len(report.message) < 500
    if report.name == "CompileError":
        assert report.position is None or report.position.line >= 3
        assert report.fix


@pytest.mark.slow
@pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
def test_a_long_chain_of_elif_runs_or_is_a_compile_error(result_of, language):
    """Python 3.13 compiles 5,000 branches, and earlier versions refuse them as too deep."""
    branches = "".join(
        f"    elif state.n == {number}:\n        return {number}\n" for number in range(DEEP)
    )
    source = f"def main(state):\n    if not state:\n        return 0\n{branches}"
    try:
        outcome = result_of(source, {"n": DEEP - 1}, language=language)
    except LanguageError as error:
        outcome = (error.report.name, error.report.message.rpartition(": ")[2])
    assert outcome in (DEEP - 1, ("CompileError", "the text nests too deep to be compiled"))


def test_a_text_that_nests_too_deep_for_us_alone_is_told_with_its_place(refusal_of):
    """Python would compile 600 nested calls of methods; the limit is in our walk over them."""
    report = refusal_of(MAIN + "y = 1\nx = f" + ".a()" * 600)
    assert report.name == "CompileError"
    assert report.position.line == 4


@pytest.mark.slow
@pytest.mark.parametrize("language", [True, False], ids=["policy", "plain"])
def test_a_long_sum_is_an_ordinary_expression(result_of, language):
    """A sum nests as deep as it is long, but 900 terms still work."""
    source = "def main(state):\n    return " + " + ".join(["state.n"] * 900)
    assert result_of(source, {"n": 1}, language=language) == 900


def test_a_long_elif_chain_is_an_ordinary_statement(result_of):
    """Each elif is one level deeper in the tree."""
    branches = "".join(f"    elif state['n'] == {n}:\n        return {n}\n" for n in range(200))
    assert result_of("def main(state):\n    if 0: pass\n" + branches, {"n": 150}) == 150


def test_a_nul_character_is_told_with_its_place(refusal_of):
    """A binary file is not a job."""
    report = refusal_of(MAIN + "x = 'a\0b'")
    assert report.name == "CompileError"
    assert (report.position.line, report.position.column) == (3, 7)


def test_half_a_surrogate_pair_is_told_with_its_place(refusal_of):
    """The character cannot be encoded, but json can still deliver it."""
    report = refusal_of(MAIN + "x = '\udc00'")
    assert report.name == "CompileError"
    assert (report.position.line, report.position.column) == (3, 6)
    assert report.position.source == "x = '\\udc00'"
    msgspec.msgpack.encode(report)  # the message could not be sent with the character itself


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("é = 'ééé'; return 1", "return 1"),
        ("éé = '日本'; yield 1", "yield 1"),
        ("'日本'; break", "break"),
        ("'日本'; nonlocal x", "nonlocal x"),
        ("def f(é, é): pass", "é): pass"),
        ("x = '日本' * (await y)", "await y"),
        ("é = [1", "[1"),
    ],
)
def test_columns_of_an_error_count_characters_whether_the_parser_or_the_compiler_finds_it(
    refusal_of, line, at
):
    """The compiler of Python counts bytes, but the report counts characters."""
    position = refusal_of(f"x = 1\n{line}\n").position
    assert position.line == 2
    assert position.source[position.column - 1 :].startswith(at)
    assert position.end_column is None or position.end_column <= len(line) + 1


def test_a_source_cookie_has_no_effect(result_of):
    """The text is already decoded, so a comment about its encoding has no effect."""
    source = "# -*- coding: utf_7 -*-\ndef main(state):\n    return '+AGE-'"
    assert result_of(source) == "+AGE-"


def test_bytes_are_not_compiled(refusal_of):
    """With bytes, the source cookie would have an effect again."""
    assert refusal_of(b"def main(state): ...").name == "CompileError"


def test_an_invalid_escape_is_not_our_business(result_of):
    """The warning of the parser is dropped, even where warnings are errors."""
    assert result_of("def main(state):\n    return '\\d'") == "\\d"


@pytest.mark.slow
@pytest.mark.parametrize(
    "flood",
    [
        pytest.param("x.__a\n" * 20_000, id="lines"),
        pytest.param("é;x.__a;" * 20_000, id="one long line that is not ASCII"),
        pytest.param("from a import *;" * 20_000 + "eval", id="the worst one last"),
        pytest.param("x.__" + "a" * 500_000, id="a long name"),
    ],
)
def test_a_flood_of_violations_is_told_in_part(refusal_of, flood):
    """The report is small, and is made in bounded time, for any number of violations."""
    begun = time.thread_time()
    report = refusal_of(MAIN + flood)
    assert time.thread_time() - begun < 10
    assert report.name == "SecurityError"
    assert len(report.message) < 10_000
    assert len(report.details) <= 50


def test_columns_are_right_in_a_long_line_that_is_not_ascii():
    """Columns are counted from the last one, forwards and backwards."""
    text = SourceText("é = ü + '日本' + x")
    offsets = [0, 3, 5, 8, 19, 3, 19]
    assert [text.column(1, offset) for offset in offsets] == [1, 3, 5, 7, 14, 3, 14]
