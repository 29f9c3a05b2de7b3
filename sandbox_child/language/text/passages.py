"""Reads the author's text at the place of an error as a syntax tree.

This module is imported only after an error.  It parses the text once more, and does not run it.
"""

from __future__ import annotations

import ast
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import CodeType

    from protocol.report import Position
    from sandbox_child.language.text.spans import SourceText

_DICT_METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))
_ONLY_OF_DICTS = _DICT_METHODS.difference(dir(list), dir(set), dir(str))
_TAKE_OPERATIONS = frozenset({"fn", "fn_if", "fnIf", "each", "combine"})
"""Verbs of the adaptor `common` whose arguments are operations."""

_MAX_LEVELS = 50
_VARIABLE_ARGUMENTS = 0x04  # inspect.CO_VARARGS


def method_taken_for_key(
    text: SourceText, position: Position, names: Mapping[str, Any]
) -> str | None:
    """Return the form for the key of a dict where the text got the method of that name.

    Args:
        text: The text of the job.
        position: The position that raised the error.
        names: The local names of the frame; only exact dicts in ``state`` are searched.

    """
    tree = _parsed(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in _at(tree, position):
        if not isinstance(node, ast.Attribute) or id(node) in called:
            continue
        if node.attr in _ONLY_OF_DICTS or (
            node.attr in _DICT_METHODS and _is_key(node, names.get("state"))
        ):
            return f'{ast.unparse(node.value)}["{node.attr}"]'
    return None


def has_callback(text: SourceText, position: Position, names: Mapping[str, Any]) -> bool:
    """Whether the call at *position* has a function as its last positional argument."""
    for node in _at(_parsed(text), position):
        if isinstance(node, ast.Call) and node.args:
            last = node.args[-1]
            if isinstance(last, ast.Lambda):
                return True
            if isinstance(last, ast.Name) and type(names.get(last.id)) is FunctionType:
                return True
    return False


def keys_of_last_argument(text: SourceText, position: Position) -> list[str]:
    """Return the keys of a dict that is the last positional argument; none if they cannot be options."""
    for node in _at(_parsed(text), position):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[-1], ast.Dict):
            keys = [getattr(key, "value", None) for key in node.args[-1].keys]
            names = [key for key in keys if isinstance(key, str) and key.isidentifier()]
            return names if len(names) == len(keys) else []
    return []


def misfitting_operation(text: SourceText, position: Position) -> str | None:
    """Return a hint for an operation that was passed to a verb but takes other arguments."""
    tree = _parsed(text)
    functions = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for node in _at(tree, position):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        verb = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if verb not in _TAKE_OPERATIONS:
            continue
        for argument in node.args:
            if isinstance(argument, ast.Lambda) and not _takes_one(argument.args):
                return "an operation is called with the state alone: write lambda state: ..."
            found = functions.get(argument.id) if isinstance(argument, ast.Name) else None
            if found is not None and not _takes_one(found.args):
                return (
                    "an operation is called with the state alone: write"
                    f" def {found.name}(state): on line {found.lineno}"
                )
    return None


def unhashable_set(text: SourceText, position: Position) -> bool:
    """Whether *position* has a set of names, which is JavaScript's form of an object."""
    return any(
        isinstance(node, ast.Set) and all(isinstance(item, ast.Name) for item in node.elts)
        for node in _at(_parsed(text), position)
    )


def imported_names(text: SourceText, position: Position) -> list[str]:
    """Return the names that the import at *position* takes from its module."""
    return [
        alias.name
        for node in _at(_parsed(text), position)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


def definition(text: SourceText, code: CodeType) -> Position | None:
    """Return the position of the ``def`` or ``lambda`` of the function with *code*."""
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            found = node.name == code.co_name
        elif isinstance(node, ast.Lambda):
            first, found = node.lineno, code.co_name == "<lambda>"
        else:
            continue
        if found and first == code.co_firstlineno:
            if isinstance(node, ast.Lambda):
                return text.of(node)
            return text.span(node.lineno, node.col_offset, None, None)
    return text.position(code.co_firstlineno, None)


def takes_state_alone(function: FunctionType) -> bool:
    """Whether *function* can be called with one positional argument."""
    code = function.__code__
    required = code.co_argcount - len(function.__defaults__ or ())
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    given = function.__kwdefaults__ or {}
    variable = bool(code.co_flags & _VARIABLE_ARGUMENTS)
    return (
        required <= 1
        and (code.co_argcount >= 1 or variable)
        and all(name in given for name in keywords)
    )


def _takes_one(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    return required <= 1 and (positional >= 1 or arguments.vararg is not None)


def _is_key(node: ast.Attribute, state: Any) -> bool:
    """Whether the dict in the state that the chain leads to has a key of the method's name."""
    keys: list[Any] = []
    current: ast.expr = node.value
    while len(keys) < _MAX_LEVELS:
        if isinstance(current, ast.Attribute):
            keys.append(current.attr)
            current = current.value
        elif isinstance(current, ast.Subscript) and isinstance(current.slice, ast.Constant):
            keys.append(current.slice.value)
            current = current.value
        else:
            break
    if not isinstance(current, ast.Name) or current.id != "state":
        return False
    value = state
    for key in reversed(keys):
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list and type(key) is int and -len(value) <= key < len(value):
            value = value[key]
        else:
            return False
    return type(value) is dict and node.attr in value


def _parsed(text: SourceText) -> ast.AST:
    try:
        return ast.parse(text.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _at(tree: ast.AST, position: Position) -> Iterator[ast.AST]:
    """Yield the nodes in the lines of *position*, first those that it covers."""
    last = position.end_line or position.line
    inside: list[ast.AST] = []
    beside: list[ast.AST] = []
    for node in ast.walk(tree):
        line, end = getattr(node, "lineno", None), getattr(node, "end_lineno", None)
        if line is None or end is None or line < position.line or end > last:
            continue
        (inside if _covers(position, node) else beside).append(node)
    yield from inside
    if not position.column:
        yield from beside


def _covers(position: Position, node: Any) -> bool:
    """Whether the columns of *position* cover the node; columns of other letters are near enough."""
    if position.column is None or position.end_column is None:
        return False
    starts = (node.lineno, node.col_offset) >= (position.line, position.column - 1)
    ends = (node.end_lineno, node.end_col_offset) <= (
        position.end_line or position.line,
        position.end_column - 1,
    )
    line = position.source
    return (starts and ends) or (line is not None and not line.isascii())
