"""The three forms of a job, and the arguments that wait for the state.

A job that defines ``operations`` is an explicit list; otherwise a job that defines ``main`` is a
function; otherwise its top-level calls are the operations, in order (a script).  In every form,
executing the code leaves the operations in the global OPERATIONS.

In a script the state does not exist yet when a top-level call is evaluated.  So an argument that
uses the name ``state`` becomes ``lambda state: <argument>``.  The operation that receives it calls
it with its own state.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Literal

from sandbox_child.language.guards.names import OPERATIONS
from sandbox_child.language.text.chains import STATE
from sandbox_child.language.text.spans import place

if TYPE_CHECKING:
    from collections.abc import Iterator

Form = Literal["script", "function", "operations"]

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DEFINITIONS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom),
    *(ast.Assign, ast.AnnAssign, ast.Pass),
    *((ast.TypeAlias,) if hasattr(ast, "TypeAlias") else ()),  # Python 3.12
)
CHAINED = frozenset({"then", "catch"})
"""Methods of an operation, which a job calls to attach a function to it."""

_MAX_NAME_CHARS = 80
_LOAD = ast.Load()


def form_of(tree: ast.Module) -> Form | None:
    """Return the form of a job, or None if the job does nothing."""
    defined = set(_top_level_names(tree))
    if "operations" in defined:
        return "operations"
    if "main" in defined:
        return "function"
    return "script" if any(top_level_calls(tree)) else None


def top_level_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls that are statements of the module itself."""
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield statement.value


def operation_name(call: ast.Call) -> str:
    """Return the callee as the author wrote it: ``get``, ``common.fn``."""
    callee: ast.expr = call.func
    parts: list[str] = []
    while not isinstance(callee, ast.Name):
        if isinstance(callee, ast.Attribute):
            parts.append(callee.attr)
            callee = callee.value
        elif isinstance(callee, ast.Call):
            callee = callee.func
        elif isinstance(callee, ast.Subscript):
            callee = callee.value
        else:
            break
    else:
        parts.append(callee.id)
    return ".".join(reversed(parts))[:_MAX_NAME_CHARS] or "(expression)"


def collect_operations(tree: ast.Module, form: Form) -> None:
    """Make the code of *tree* leave its operations in the global OPERATIONS."""
    if form == "operations":
        tree.body.append(_assign(_name("operations", tree.body[-1]), tree.body[-1]))
    elif form == "function":
        at = tree.body[-1]
        tree.body.append(_assign(place(ast.List([_name("main", at)], _LOAD), at), at))
    else:
        for statement in tree.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                call = statement.value
                append = ast.Attribute(_name(OPERATIONS, call), "append", _LOAD)
                place(append, call)
                statement.value = place(ast.Call(append, [call], []), call)
        first = _first_statement(tree)
        at = tree.body[first]
        tree.body.insert(first, _assign(place(ast.List([], _LOAD), at), at))


def _name(name: str, at: ast.expr | ast.stmt) -> ast.Name:
    return place(ast.Name(name, _LOAD), at)


def _assign(value: ast.expr, at: ast.expr | ast.stmt) -> ast.Assign:
    target = place(ast.Name(OPERATIONS, ast.Store()), at)
    return place(ast.Assign([target], value), at)


def is_definition(statement: ast.stmt) -> bool:
    """Whether *statement* only binds names."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)  # a docstring
    return isinstance(statement, _DEFINITIONS)


def make_arguments_lazy(
    tree: ast.Module, adaptor_names: frozenset[str]
) -> list[ast.Starred | ast.keyword]:
    """Put each argument of a top-level call into a lambda, if the argument uses the state.

    If an argument is itself a call of an operation, the arguments of that call are wrapped instead.
    Operations are recognised by name: the exports of adaptors, and all imports except those from
    the standard library.

    Returns:
        The ``*`` and ``**`` arguments that use the state, which cannot wait for it.

    """
    if STATE in _top_level_names(tree):
        return []  # the job's own variable is known when the call is evaluated
    operations = operation_names(tree, adaptor_names)
    impossible: list[ast.Starred | ast.keyword] = []
    waiting = list(top_level_calls(tree))
    while waiting:
        call = waiting.pop()
        callee: ast.expr = call.func
        while isinstance(callee, ast.Attribute | ast.Subscript):
            callee = callee.value
        if isinstance(callee, ast.Call):  # get(...)(...): the inner arguments are lazy, too
            waiting.append(callee)
        for index, argument in enumerate(call.args):
            if isinstance(argument, ast.Starred):
                if uses_state(argument):
                    impossible.append(argument)
            elif isinstance(argument, ast.Call) and root_name(argument.func) in operations:
                waiting.append(argument)
            elif uses_state(argument):
                call.args[index] = _lazy(argument)
        for keyword in call.keywords:
            argument = keyword.value
            if keyword.arg is None:
                if uses_state(argument):
                    impossible.append(keyword)
            elif isinstance(argument, ast.Call) and root_name(argument.func) in operations:
                waiting.append(argument)
            elif uses_state(argument):
                keyword.value = _lazy(argument)
    return impossible


def uses_state(node: ast.AST) -> bool:
    """Whether the name ``state`` is free in an expression."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, ast.Name):
            if current.id == STATE:
                return True
        elif isinstance(current, ast.Lambda):
            waiting += current.args.defaults
            waiting += [default for default in current.args.kw_defaults if default is not None]
            if not any(isinstance(n, ast.arg) and n.arg == STATE for n in ast.walk(current.args)):
                waiting.append(current.body)
        elif isinstance(current, _COMPREHENSIONS) and any(
            isinstance(name, ast.Name) and name.id == STATE
            for generator in current.generators
            for name in ast.walk(generator.target)
        ):
            waiting.append(current.generators[0].iter)  # evaluated before the name is bound
        else:
            waiting += ast.iter_child_nodes(current)
    return False


def _lazy(argument: ast.expr) -> ast.Lambda:
    """Return ``lambda state: argument``, with the position of the argument."""
    parameters = ast.arguments(
        posonlyargs=[],
        args=[place(ast.arg(STATE), argument)],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )
    return place(ast.Lambda(parameters, argument), argument)


def root_name(callee: ast.expr) -> str | None:
    """Return the name at which a callee begins: `http` of `http.get`, `get` of `get("x").then`."""
    while isinstance(callee, ast.Attribute):
        chained = callee.attr in CHAINED and isinstance(callee.value, ast.Call)
        callee = callee.value.func if chained else callee.value  # type: ignore[attr-defined]  # a Call has it
    return callee.id if isinstance(callee, ast.Name) else None


def operation_names(tree: ast.Module, adaptor_names: frozenset[str]) -> set[str]:
    """Return the names whose calls make operations, as far as names show it.

    These are the names of adaptors in scope, and all imports except those from the standard library.
    """
    names: set[str] = set(adaptor_names)
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            if (statement.module or "").partition(".")[0] not in sys.stdlib_module_names:
                names.update(alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                root = alias.name.partition(".")[0]
                if root not in sys.stdlib_module_names:
                    names.add(alias.asname or root)
    return names


def _top_level_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the module's own statements bind, including those in `if` and `try`."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            continue  # `operations: list` alone binds nothing
        elif not isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)


def _first_statement(tree: ast.Module) -> int:
    """Return the index after the docstring and the imports from ``__future__``."""
    for index, statement in enumerate(tree.body):
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not future and not text:
            return index
    return len(tree.body)
