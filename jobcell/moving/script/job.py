"""Translates a job in JavaScript to a job in Python, as far as that is certain."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jobcell.moving.script.around import Around, Writer
from jobcell.moving.script.code import literal, quoted
from jobcell.moving.script.expressions import Expressions
from jobcell.moving.script.module import names_of_module
from jobcell.moving.script.operations import Operations
from jobcell.moving.script.scope import Scope
from jobcell.moving.script.statements import Statements
from jobcell.moving.script.tree import (
    Node,
    UntranslatedError,
    arguments_of,
    field,
    inner,
    line_of,
    named,
    parse,
    string_value,
    text_of,
)
from jobcell.moving.script.verbs import ALL, verbs_of

_HELPERS: Final = "import javascript\n\njs = javascript.semantics"
_DECLARATIONS: Final = ("function_declaration", "lexical_declaration", "variable_declaration")
_IGNORED: Final = ("comment", "empty_statement", "hash_bang_line")
_MAX_SHOWN: Final = 100
MAX_SOURCE: Final = 1_000_000
"""The engine takes no longer text of a job."""


@dataclass(frozen=True)
class Left:
    """A piece of a script that is left to do by hand."""

    line: int
    reason: str


@dataclass(frozen=True)
class Translation:
    """A job in Python.

    Attributes:
        source: Its text, which always compiles.
        left: What is left to do by hand; if there is anything, the job raises an error before its first
            operation.
        operations: The number of operations of the script.
        needs_javascript: Whether it imports the adaptor `javascript`.

    """

    source: str
    left: tuple[Left, ...]
    operations: int
    needs_javascript: bool


def translate_job(script: str, file: str, adaptors: Mapping[str, int | None]) -> Translation:
    """Translate a job.

    Args:
        script: The text in JavaScript.
        file: The name of its file, for comments and errors.
        adaptors: The adaptors of ours that the job has, each with the major version of OpenFn's.

    """
    try:
        root = parse(script)
    except UntranslatedError as error:
        return _finish(file, [], [Left(error.line, str(error))], 0)
    broken: frozenset[str] = frozenset()
    while True:
        job = _Job(root, file, adaptors, broken)
        made = job.translate()
        if job.broken == broken:
            break
        broken = job.broken  # a function above may use a name that was given up below
    if len(made.source) > MAX_SOURCE:
        reason = f"the script has too much data; a job may have {MAX_SOURCE:,} characters"
        return _finish(file, [], [Left(1, reason)], made.operations)
    try:
        ast.parse(made.source)
    except (SyntaxError, RecursionError, MemoryError):  # Python's parser has limits of its own
        return _finish(file, [], [Left(1, "values that are nested too deep")], made.operations)
    return made


class _Job:
    def __init__(
        self, root: Node, file: str, adaptors: Mapping[str, int | None], broken: frozenset[str]
    ) -> None:
        self.broken: frozenset[str] = broken
        self._statements_of_root = [n for n in named(root) if n.type not in _IGNORED]
        self._file = file
        self._scope = Scope("module")
        self._expressions = Expressions(ALL)
        self._statements = Statements(self._expressions)
        verbs = verbs_of(adaptors)
        self._operations = Operations(self._expressions, self._statements, verbs, self._scope)
        self._statements.operation = lambda node, scope, writer: Operations(
            self._expressions, self._statements, verbs, scope
        ).operation(node, writer)
        self._blocks: list[str] = []
        self._left: list[Left] = []
        self._count = 0

    def translate(self) -> Translation:
        for name, count in names_of_module(self._statements_of_root):
            self._scope.declare_first(name, count)
            if text_of(name) in self.broken:
                self._scope.give_up(name)
        functions = [n for n in self._statements_of_root if n.type == "function_declaration"]
        for node in [*functions, *(n for n in self._statements_of_root if n not in functions)]:
            if node.type in _DECLARATIONS:
                self._declaration(node)
            elif node.type == "import_statement":
                self._import(node)
            elif node.type == "expression_statement" and inner(named(node)[0]).type != "string":
                self._operation(inner(named(node)[0]))
            elif node.type != "expression_statement":
                self._leave(node, f"{node.type.replace('_', ' ')} at the top of a job")
        return _finish(self._file, self._blocks, self._left, self._count)

    def _declaration(self, node: Node) -> None:
        writer = Writer()
        around = Around(self._scope, writer)
        try:
            if node.type == "function_declaration":
                self._statements.function_at_top(node, around)
            else:
                self._statements.one(node, around)
        except (UntranslatedError, RecursionError) as error:
            reason, line = _reason(error, node)
            for name, _ in names_of_module([node]):
                self._scope.give_up(name)
                self.broken |= {text_of(name)}
            self._left.append(Left(line, reason))
            self._blocks.append(f"# TODO {self._file}:{line}: {_shown(reason)}")
            return
        self._blocks.append("\n".join(writer.lines))

    def _import(self, node: Node) -> None:
        source = node.child_by_field_name("source")
        clause = next((child for child in named(node) if child.type == "import_clause"), None)
        names = [
            spec
            for part in (named(clause) if clause is not None else ())
            if part.type == "named_imports"
            for spec in named(part)
        ]
        plain = clause is not None and all(part.type == "named_imports" for part in named(clause))
        from_adaptor = source is not None and string_value(source).startswith("@openfn/language-")
        if not (plain and from_adaptor and all(len(named(spec)) == 1 for spec in names)):
            self._leave(node, "an import")

    def _operation(self, node: Node) -> None:
        self._count += 1
        writer = Writer()
        try:
            text = self._logged(node) or self._operations.operation(node, writer)
        except (UntranslatedError, RecursionError) as error:
            self._leave(node, *_reason(error, node))
            return
        if not text.startswith("lambda ") and "(" in text:
            comment = f"# {self._file}:{line_of(node)}"
            self._blocks.append(
                "\n".join([*writer.lines, *([""] if writer.lines else []), comment, text])
            )
            return
        self._leave(node, "an operation of this form")

    def _logged(self, node: Node) -> str | None:
        """Return the operation that logs what `console.log("text")` logs at the top of a job."""
        if node.type != "call_expression" or text_of(field(node, "function")) != "console.log":
            return None
        given = arguments_of(node)
        if self._scope.find("console") or not given or any(a.type != "string" for a in given):
            return None
        return f"log({literal(' '.join(map(string_value, given))).text})"

    def _leave(self, node: Node, reason: str, line: int | None = None) -> None:
        """Write an operation that raises an error, in place of one that is left to do by hand."""
        line = line or line_of(node)
        self._left.append(Left(line, reason))
        name = self._scope.fresh_for_line(line)
        where = f"{self._file}:{line}"
        message = quoted(f"{where}: {_shown(reason)} is not translated; write it in Python")
        self._blocks.append(
            f"# TODO {where}: {_shown(reason)}\n"
            f"def {name}(state):\n"
            f"    raise NotImplementedError({message})\n"
            "\n"
            f"fn({name})"
        )


def _finish(file: str, blocks: list[str], left: list[Left], count: int) -> Translation:
    body = list(blocks)
    needs = any(re.search(r"\bjs\.", block) for block in blocks)
    head = [_HELPERS] if needs else []
    if left:
        lines = ", ".join(str(line) for line in sorted({found.line for found in left})[:20])
        message = quoted(f"{file} is not translated in full; see TODO.md and its lines {lines}")
        head.append(
            "# Remove this operation when nothing is left to do in this file.\n"
            "def unfinished(state):\n"
            f"    raise NotImplementedError({message})\n"
            "\n"
            "fn(unfinished)"
        )
    if not left and not count:
        body.append("fn(lambda state: state)  # the script has no operation")
    source = "\n\n".join([f"# Translated from {file} by jobcell import.", *head, *body]) + "\n"
    return Translation(source, tuple(left), count, needs)


def _reason(error: UntranslatedError | RecursionError, node: Node) -> tuple[str, int]:
    if isinstance(error, UntranslatedError):
        return str(error), error.line
    return "values that are nested too deep", line_of(node)


def _shown(reason: str) -> str:
    shown = "".join(char if char.isprintable() else " " for char in reason)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
