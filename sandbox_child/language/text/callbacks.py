"""Rewrites the two forms in which authors attach a function to an operation.

    get("x").then(f)          _chain_(get("x"), "then", "get(...) on line 1")(f)
    get("x", options, f)      _verb_("get(...) on line 1", get, "x", options, f)

The guards decide at run time, because only the objects show whether `then` is a method of their own
and how many arguments a verb takes.
"""

from __future__ import annotations

import ast
from typing import Final

from sandbox_child.language.guards.names import CHAIN_GUARD, VERB_GUARD
from sandbox_child.language.text.forms import CHAINED, operation_name, operation_names, root_name
from sandbox_child.language.text.spans import place

CALLBACK: Final = "callback"
"""The name under which a callback can be given, too."""

_MAX_TOLD = 80
_LOAD = ast.Load()


def rewrite_callbacks(
    tree: ast.Module, source: str, adaptor_names: frozenset[str], *, where: str = ""
) -> None:
    """Rewrite the calls of `then` and `catch`, and the calls of verbs that may have a callback.

    Args:
        tree: A job or the globals, after the policy has judged it; it is changed in place.
        source: The text of the tree.
        adaptor_names: Names that are in scope without an import.
        where: Text to add after the number of a line.

    """
    verbs = operation_names(tree, adaptor_names)
    if not verbs and not any(name in source for name in CHAINED):
        return
    for node in ast.walk(tree):
        if node.__class__ is not ast.Call:
            continue
        assert isinstance(node, ast.Call)
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in CHAINED:
            told = f"{_shown(function.value)} on line {function.value.lineno}{where}"
            given: list[ast.expr] = [
                function.value,
                place(ast.Constant(function.attr), function),
                place(ast.Constant(told), function),
            ]
            guard = place(ast.Name(CHAIN_GUARD, _LOAD), function)
            node.func = place(ast.Call(guard, given, []), function)
        elif may_have_callback(node) and root_name(function) in verbs:
            told = f"{operation_name(node)}(...) on line {node.lineno}{where}"
            node.args[:0] = [place(ast.Constant(told), function), function]
            node.func = place(ast.Name(VERB_GUARD, _LOAD), function)


def may_have_callback(call: ast.Call) -> bool:
    """Whether the last positional argument, or the argument `callback`, may be a callback."""
    if any(keyword.arg == CALLBACK for keyword in call.keywords):
        return True
    if not call.args or any(isinstance(argument, ast.Starred) for argument in call.args):
        return False
    return isinstance(call.args[-1], ast.Lambda | ast.Name | ast.Call)


def _shown(value: ast.expr) -> str:
    if isinstance(value, ast.Call):
        return f"{operation_name(value)}(...)"
    return ast.unparse(value)[:_MAX_TOLD] if isinstance(value, ast.Name) else "the operation"
