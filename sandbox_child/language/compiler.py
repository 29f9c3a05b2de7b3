"""Compiles a job, the globals or a condition to code that a scope can execute."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NoReturn

from protocol.report import make_report
from sandbox_child.language.frames import GLOBALS_FILENAME, globals_texts
from sandbox_child.language.guards.names import OPERATIONS
from sandbox_child.language.rules import LanguageRules
from sandbox_child.language.text import (
    STATE,
    LanguageError,
    SourceText,
    StateChains,
    Violation,
    dropped,
    forms,
    is_pure,
    parsing,
    violations_error,
)
from sandbox_child.language.text.callbacks import rewrite_callbacks

if TYPE_CHECKING:
    from types import CodeType

    from protocol.report import Position

__all__ = [
    "OPERATIONS",
    "CompiledCondition",
    "CompiledJob",
    "LanguageError",
    "OperationSite",
    "compile_condition",
    "compile_globals",
    "compile_job",
]


class OperationSite:
    """The place in the author's text that calls an operation of a script."""

    __slots__ = ("name", "number", "position")

    def __init__(self, number: int, name: str, position: Position) -> None:
        self.number = number
        """The number of the operation, from 1."""
        self.name = name
        """The callee as the author wrote it."""
        self.position = position

    def __repr__(self) -> str:
        return f"OperationSite({self.number}, {self.name!r}, line {self.position.line})"


class CompiledJob:
    """A job, ready to be executed in a scope.

    Executing :attr:`code` leaves the operations in the global ``OPERATIONS``: a list of values in
    the order of :attr:`operations` (script), ``[main]`` (function), or the author's own
    ``operations``.  The values may not be callable.
    """

    __slots__ = ("code", "filename", "form", "operations", "source", "text")

    def __init__(
        self,
        code: CodeType,
        form: forms.Form,
        operations: tuple[OperationSite, ...],
        text: SourceText,
        source: str,
        filename: str,
    ) -> None:
        self.code = code
        self.form = form
        self.operations = operations
        self.text = text
        self.source = source
        self.filename = filename


class CompiledCondition:
    """The condition of an edge, ready for ``eval`` in a condition scope."""

    __slots__ = ("code", "pure", "text")

    def __init__(self, code: CodeType, pure: bool, text: SourceText) -> None:
        self.code = code
        self.pure = pure
        """Whether the condition cannot change the state, and so does not need a copy."""
        self.text = text


def compile_job(
    source: str,
    *,
    step_id: str,
    language: bool = True,
    adaptor_names: frozenset[str] = frozenset(),
    watch: bool = False,
    workflow_globals: str = "",
    breakpoints: bool = False,
) -> CompiledJob:
    """Compile the source of a job.

    Args:
        source: Python in one of the three forms.
        step_id: The step, for reports and for the file name of the code: ``<job step_id>``.
        language: False switches the policy off; forms and dotted state stay.
        adaptor_names: Names that are in scope without an import; a call of one of them among
            the arguments of an operation is an operation itself.
        watch: Whether the scope looks at each value that the job throws away (see `dropped`).
        workflow_globals: The source of the globals, which share their names with the job.
        breakpoints: Whether the job may call ``breakpoint``, because a debugger runs it.

    Raises:
        LanguageError: CompileError or SecurityError (with all violations), RuntimeCrash (the text
            is not Python), or InputError (the text has nothing to run).

    """
    source = parsing.without_mark(source)
    text = SourceText(source)
    filename = f"<job {step_id}>"
    tree = parsing.parse(source, text, filename=filename, mode="exec", step_id=step_id)
    assert isinstance(tree, ast.Module)
    form = forms.form_of(tree)
    sites: tuple[OperationSite, ...] = ()

    def finish(has_calls: bool) -> None:
        nonlocal sites
        if form is None:
            return
        if form == "script":
            sites = tuple(
                OperationSite(number, forms.operation_name(call), text.of(call))
                for number, call in enumerate(forms.top_level_calls(tree), 1)
            )
            if STATE in source:
                _make_arguments_lazy(tree, adaptor_names, text, step_id)
        if watch and has_calls:
            dropped.watch(tree, form, elsewhere=workflow_globals)
        if has_calls:
            rewrite_callbacks(tree, source, adaptor_names)
        forms.collect_operations(tree, form)

    policy = _policy(language, breakpoints)
    code = _to_code(tree, source, text, filename, step_id, policy, finish)
    if form is None:  # reported only if the text has no other error
        _refuse_empty(step_id)
    return CompiledJob(code, form, sites, text, source, filename)


def compile_globals(
    source: str,
    *,
    language: bool = True,
    watch: bool = False,
    adaptor_names: frozenset[str] = frozenset(),
    breakpoints: bool = False,
) -> CodeType:
    """Compile the helper functions of a workflow: definitions, imports and assignments only.

    With *watch*, the scope looks at each value that the globals throw away, as in a job.
    *adaptor_names* and *breakpoints* are as for :func:`compile_job`.

    Raises:
        LanguageError: As for :func:`compile_job`.

    """
    source = parsing.without_mark(source)
    text = SourceText(source)
    globals_texts[GLOBALS_FILENAME] = text
    tree = parsing.parse(source, text, filename=GLOBALS_FILENAME, mode="exec", step_id=None)
    assert isinstance(tree, ast.Module)
    others = [
        Violation(
            text.of(statement),
            "globals hold definitions only: def, class, import, name = value",
            "move this statement into a job",
            security=False,
        )
        for statement in tree.body
        if not forms.is_definition(statement)
    ]

    def finish(has_calls: bool) -> None:
        if others:
            raise violations_error(others, step_id=None)
        if watch and has_calls:
            dropped.watch(tree, None, where=" of the globals")
        if has_calls:
            rewrite_callbacks(tree, source, adaptor_names, where=" of the globals")

    policy = _policy(language, breakpoints)
    return _to_code(tree, source, text, GLOBALS_FILENAME, None, policy, finish)


def compile_condition(source: str, *, language: bool = True) -> CompiledCondition:
    """Compile the condition of an edge: an expression over ``state``, on any number of lines.

    Raises:
        LanguageError: As for :func:`compile_job`.

    """
    # A run without conditions does not need these.
    from sandbox_child.language.text.condition_text import FILENAME, parse_condition
    from sandbox_child.language.text.missing import rewrite_condition

    tree, text = parse_condition(source)
    pure = False

    def finish(_has_calls: bool) -> None:
        nonlocal pure
        pure = is_pure(tree.body)
        rewrite_condition(tree)

    code = _to_code(tree, source, text, FILENAME, None, _policy(language), finish)
    return CompiledCondition(code, pure, text)


def _policy(language: bool, breakpoints: bool = False) -> type[LanguageRules] | None:
    if not language:
        return None
    if not breakpoints:
        return LanguageRules
    from sandbox_child.language.breakpoints import BreakpointRules  # only a debugger needs them

    return BreakpointRules


def _to_code(
    tree: ast.Module | ast.Expression,
    source: str,
    text: SourceText,
    filename: str,
    step_id: str | None,
    policy: type[LanguageRules] | None,
    finish: parsing.Finish,
) -> CodeType:
    """Rewrite dotted state in a tree, judge it by the policy, and compile it."""
    if policy is None and STATE in source:
        try:
            StateChains().visit(tree)
        except RecursionError as error:
            raise parsing.unparsable(error, text, tree, step_id) from None
    return parsing.to_code(
        tree, text, filename=filename, step_id=step_id, policy=policy, finish=finish
    )


def _make_arguments_lazy(
    tree: ast.Module, adaptor_names: frozenset[str], text: SourceText, step_id: str
) -> None:
    impossible = forms.make_arguments_lazy(tree, adaptor_names)
    if impossible:
        raise violations_error(
            [
                Violation(
                    text.of(argument),
                    "`*` and `**` are spread before the state is there",
                    "write fn(lambda state: operation(**state.data.options)(state))",
                    security=False,
                )
                for argument in impossible
            ],
            step_id=step_id,
        )


def _refuse_empty(step_id: str) -> NoReturn:
    raise LanguageError(
        make_report(
            "InputError",
            "the job has no operations: it calls nothing at top level and defines neither main"
            " nor operations",
            step_id=step_id,
            fix="def main(state): ... return state",
        )
    )
