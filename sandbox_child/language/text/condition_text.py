"""Parses the text of a condition: an expression on any number of lines.

A condition often comes from a block of a YAML file.  It may be indented, end with a line feed, have
the line breaks of another system, and have several lines without brackets.  The positions in errors
stay those of the author's text.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from protocol.report import make_report
from sandbox_child.language.text import parsing
from sandbox_child.language.text.spans import SourceText
from sandbox_child.language.text.violations import LanguageError

if TYPE_CHECKING:
    from protocol.report import Position

FILENAME = "<condition>"

_BYTE_ORDER_MARK = "\ufeff"
_BRACKETS = (("(\n", "\n)"), ("[\n", "\n]"))
"""Brackets around a condition: an expression may close one kind by mistake (`a) or (b`), but not
both."""

_MISMATCH = re.compile(
    r"closing parenthesis '(.)' does not match opening parenthesis '(.)'(?: on line (\d+))?"
)
_DETECTED = re.compile(r" \(detected at line \d+\)$")


def parse_condition(source: str) -> tuple[ast.Expression, SourceText]:
    """Return the tree of a condition, and the text to which its positions refer.

    Raises:
        LanguageError: As `parsing.parse` does.

    """
    # An editor does not show a byte order mark, so the mark does not count as a column.
    source = source.removeprefix(_BYTE_ORDER_MARK).rstrip().rstrip(_BYTE_ORDER_MARK).rstrip()
    content = source.lstrip()
    indent = source[: len(source) - len(content)]
    if not indent and "\n" not in source and "\r" not in source:
        text = SourceText(source)
        return _parse(source, text, None), text
    # Any white space may come before an expression, but Python accepts only these characters.
    source = "".join(sign if sign in " \t\f\n\r" else " " for sign in indent) + content
    text = SourceText(source)
    errors = []
    for around in reversed(_BRACKETS):
        try:
            tree = _parse(source, text, around)
        except LanguageError as error:
            errors.append(error)
    if errors:
        raise _explain(errors, text)
    if tree.body.lineno < 1:  # only a tuple and a generator begin at the bracket itself
        _begin_in_text(tree.body, text)
    return tree, text


def _parse(source: str, text: SourceText, around: tuple[str, str] | None) -> ast.Expression:
    tree = parsing.parse(source, text, filename=FILENAME, mode="eval", step_id=None, around=around)
    assert isinstance(tree, ast.Expression)
    return tree


def _begin_in_text(body: ast.expr, text: SourceText) -> None:
    if isinstance(body, ast.GeneratorExp):
        raise _crash(
            "a generator without brackets is not an expression",
            text.position(1, None),
            "write any(... for ...) or all(... for ...)",
        )
    if isinstance(body, ast.Tuple) and not body.elts:
        raise _crash("the condition holds only comments", text.position(1, None), None)
    body.lineno, body.col_offset = 1, 0
    body.end_lineno = len(text.lines)
    body.end_col_offset = len(text.lines[-1].encode("utf-8", "replace"))


def _explain(errors: list[LanguageError], text: SourceText) -> LanguageError:
    """Return the error of a text that was parsed inside our brackets, without mentioning them."""
    for error in errors:
        found = _MISMATCH.match(error.report.message)
        position = error.report.position
        if found is None or position is None:
            continue
        closing, opening = found[1], found[2]
        line = int(found[3]) - 1 if found[3] else position.line
        if line < 1:
            return _crash(f"unmatched '{closing}'", position, "leave it out, or open it before")
        if position.line > len(text.lines):
            return _crash(f"'{opening}' was never closed", text.position(line, None), None)
        message = f"{found[0].partition(' on line')[0]} on line {line}"
        return _crash(message, position, None)
    error = errors[-1]
    position = error.report.position
    if position is not None and not 1 <= position.line <= len(text.lines):
        position = text.position(len(text.lines), None)  # the text ends too early
    if error.report.name != "RuntimeCrash":
        return error
    return _crash(_DETECTED.sub("", error.report.message), position, error.report.fix)


def _crash(message: str, position: Position | None, fix: str | None) -> LanguageError:
    report = make_report("RuntimeCrash", message, subtype="SyntaxError", position=position, fix=fix)
    return LanguageError(report)
