"""Parses and compiles a text, and turns every failure of that into a report.

The parser and the compiler are C code with fixed stacks.  A hostile text can make them raise almost
any error or, in some releases, crash the process.  Such a crash ends only this child.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

import msgspec
from RestrictedPython.compile import compile_restricted_eval, compile_restricted_exec

from protocol.report import make_report
from sandbox_child.language.text.hints import syntax_fix
from sandbox_child.language.text.violations import LanguageError, Violation, violations_error
from sandbox_child.language.text.walker import Refusal, restore_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from protocol.report import Position
    from sandbox_child.language.text.spans import SourceText

    Finish = Callable[[bool], None]

MAX_SOURCE_CHARS = 1_000_000
"""A longer text is refused unread, because a text of 20,000 lines is not a job."""

_PARSER_LIMITS = ("too many nested", "too many levels", "too many statically", "Exceeds the limit")
"""The beginnings of SyntaxErrors that are about a limit of the parser, not about syntax."""

_TREE_BYTES = 200
"""Bytes of a tree for each character of its text; a text of only short names took 400."""

MARK = "\ufeff"
"""The byte order mark, which some editors write before a text and which does not belong to it."""

_LONG_LINE_CHARS = 1_000

_FILENAMES = "<"
"""The beginning of the file names of jobs, globals and conditions."""

_OF_JOBS = ("ignore", None, Warning, re.compile(_FILENAMES), 0)
"""The filter, in the form of `warnings.filters`."""

_FAILURES = (
    RecursionError,
    MemoryError,
    ValueError,
    OverflowError,
    SystemError,
    TypeError,
    AssertionError,
)


def parse(
    source: str,
    text: SourceText,
    *,
    filename: str,
    mode: str,
    step_id: str | None,
    around: tuple[str, str] | None = None,
) -> ast.Module | ast.Expression:
    """Return the syntax tree of *source*.

    Args:
        source: The text.  A source cookie in it has no effect: this is ``str``, not bytes.
        text: The same text, for positions.
        filename: The file name for tracebacks.
        mode: ``exec`` or ``eval``.
        step_id: The step for reports.
        around: Lines that the parser gets before and after the source; positions do not count them.

    Raises:
        LanguageError: RuntimeCrash for a syntax error.  CompileError for a text that the parser
            cannot take: it is too long or too deep, or has a NUL or a number of too many digits.

    """
    if type(source) is not str:
        raise _refused(f"a job is text, not {type(source).__name__}", None, None, step_id)
    if len(source) > MAX_SOURCE_CHARS:
        message = f"the text has {len(source)} characters; at most {MAX_SOURCE_CHARS} are allowed"
        raise _refused(message, None, "keep data out of the source: put it into state", step_id)
    _check_characters(source, text, step_id)
    _say_nothing_of_taste()
    before, after = around or ("", "")
    lines_before = before.count("\n")
    whole = f"{before}{source}{after}" if around else source
    try:
        tree: ast.Module | ast.Expression = compile(  # type: ignore[assignment]  # the flag makes it a tree
            whole, filename, mode, ast.PyCF_ONLY_AST, dont_inherit=True
        )
        if lines_before:
            ast.increment_lineno(tree, -lines_before)
    except SyntaxError as error:
        if lines_before:
            error.lineno = error.lineno and error.lineno - lines_before
            error.end_lineno = error.end_lineno and error.end_lineno - lines_before
        raise syntax_error(error, text, step_id) from None
    except _FAILURES as error:
        raise unparsable(error, text, None, step_id) from None
    return tree


def without_mark(source: str) -> str:
    """Return *source* without a byte order mark, which does not count as a column of the first line."""
    return source.removeprefix(MARK) if type(source) is str else source


def to_code(
    tree: ast.Module | ast.Expression,
    text: SourceText,
    *,
    filename: str,
    step_id: str | None,
    policy: type[ast.NodeTransformer] | None,
    finish: Finish,
) -> CodeType:
    """Let RestrictedPython judge, rewrite and compile *tree*.

    Args:
        tree: The syntax tree; it is changed in place.
        text: The author's text, for positions.
        filename: The file name for tracebacks.
        step_id: The step for reports.
        policy: The rules; None compiles everything that Python allows.
        finish: Called if the policy has found no violation, before the tree is compiled.  It adds
            code that an author could not write.  Its argument says whether the author calls
            anything.

    Raises:
        LanguageError: As for :func:`parse`, or with every violation of the policy, or the error
            that *finish* raises.

    """
    _say_nothing_of_taste()
    restricted, mode = (
        (compile_restricted_exec, "exec")
        if isinstance(tree, ast.Module)
        else (compile_restricted_eval, "eval")
    )
    try:
        if policy is None:
            finish(True)
        else:
            tree.finish = finish  # type: ignore[union-attr]  # for `LanguageRules`, which has no other arguments
        code, errors, _, _ = restricted(tree, filename, dont_inherit=True, policy=policy)
        if restore_body(tree) and not errors:
            code = compile(tree, filename, mode, dont_inherit=True)
    except SyntaxError as error:
        _count_characters(error, text)
        raise syntax_error(error, text, step_id) from None
    except _FAILURES as error:
        raise unparsable(error, text, tree, step_id) from None
    if errors:
        raise violations_error(_violations(errors, text), step_id=step_id)
    assert code is not None
    return code


def _violations(errors: Iterable[str], text: SourceText) -> list[Violation]:
    return [
        Violation(text.of(error.node), str(error), error.fix, error.security)
        for error in errors
        if isinstance(error, Refusal)
    ]


def _say_nothing_of_taste() -> None:
    """Silence the parser's warnings about invalid escapes in a job.

    A permanent filter is cheaper than a new one for each text, and is right for several threads.
    It must be the first, because an adaptor may have turned warnings into errors since.
    """
    if warnings.filters[:1] != [_OF_JOBS]:
        warnings.filterwarnings("ignore", module=_FILENAMES)


def _count_characters(error: SyntaxError, text: SourceText) -> None:
    """Convert the columns of a compiler error into characters.

    The parser counts characters.  The compiler, such as for ``return`` outside a function, counts
    bytes of UTF-8 (`compiler_error` in CPython's compile.c).
    """
    if error.offset and error.offset > 0:
        error.offset = text.column(error.lineno, error.offset - 1)
    if error.end_offset and error.end_offset > 0:
        error.end_offset = text.column(error.end_lineno, error.end_offset - 1)


def syntax_error(error: SyntaxError, text: SourceText, step_id: str | None) -> LanguageError:
    """Return the report of a syntax error; its columns already count characters."""
    message = str(error.msg or "invalid syntax")[:500]
    position = None
    if error.lineno:
        column = error.offset if error.offset and error.offset > 0 else None
        end_line = error.end_lineno if error.end_lineno and error.end_lineno > 0 else None
        end_column = error.end_offset if error.end_offset and error.end_offset > 0 else None
        position = text.position(error.lineno, column, end_line, end_column)
    if message.startswith(_PARSER_LIMITS):
        message, fix = message.partition(" - ")[0], "split it: name the parts in variables"
        return _refused(f"the text is too large for Python: {message}", position, fix, step_id)
    return LanguageError(
        make_report(
            "RuntimeCrash",
            message,
            step_id=step_id,
            subtype=type(error).__name__,
            position=position,
            fix=syntax_fix(
                message,
                text.line(position.line) if position else None,
                column=position.column if position else None,
                above=text.line(position.line - 1) if position else None,
            ),
        )
    )


def _check_characters(source: str, text: SourceText, step_id: str | None) -> None:
    nul = source.find("\0")
    if nul >= 0:
        raise _refused(
            "the text contains a NUL character",
            _position_at(source, nul, text),
            "is this a text file? remove the character",
            step_id,
        )
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise _refused(
            "the text contains half of a surrogate pair, which is not a character",
            _position_at(source, error.start, text),
            "write it as an escape, such as '\\\\udc00', inside a string",
            step_id,
        ) from None


def _position_at(source: str, index: int, text: SourceText) -> Position:
    before = source[:index].replace("\r\n", "\n").replace("\r", "\n")
    position = text.position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    line = position.source or ""
    # The report is sent as UTF-8, which cannot carry half of a surrogate pair.
    sendable = line.encode("utf-8", "backslashreplace").decode()
    return position if sendable == line else msgspec.structs.replace(position, source=sendable)


def unparsable(
    error: BaseException, text: SourceText, tree: ast.AST | None, step_id: str | None
) -> LanguageError:
    """Return the error for a text on which the parser or compiler gave up."""
    if isinstance(error, MemoryError) and not _has_room_for(text):
        raise error
    if isinstance(error, (RecursionError, MemoryError)):
        position = _deepest_position(tree, text) if tree else _longest_line(text)
        message = "the text nests too deep to be compiled"
        return _refused(message, position, "split it: name the parts in variables", step_id)
    detail = str(error)[:300]
    return _refused(f"the text cannot be compiled: {detail}", None, None, step_id)


def _has_room_for(text: SourceText) -> bool:
    """Whether the memory limit has room for a tree of *text*.

    The parser also raises MemoryError for a text that nests too deep, which has nothing to do with
    memory.
    """
    try:
        bytearray(len(text.text) * _TREE_BYTES)
    except MemoryError:
        return False
    return True


def _deepest_position(tree: ast.AST, text: SourceText) -> Position | None:
    """Return the position of the first of the deepest nodes, found without recursion."""
    level, located = [tree], None
    while level:
        located = next((node for node in level if hasattr(node, "lineno")), located)
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return text.of(located) if located else None


def _longest_line(text: SourceText) -> Position | None:
    """Guess the place if the parser gave no tree: deep nesting is mostly in a single line."""
    number = max(range(len(text.lines)), key=lambda index: len(text.lines[index]))
    if len(text.lines[number]) < _LONG_LINE_CHARS:
        return None
    return text.position(number + 1, None)


def _refused(
    message: str, position: Position | None, fix: str | None, step_id: str | None
) -> LanguageError:
    return violations_error([Violation(position, message, fix, False)], step_id=step_id)
