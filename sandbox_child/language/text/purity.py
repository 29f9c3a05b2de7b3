"""Can evaluating this condition change the state? If not, it does not need a copy."""

from __future__ import annotations

import ast

from sandbox_child.language.text.chains import StateRead

_HARMLESS = (
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp),
    *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice),
    *(ast.Tuple, ast.List, ast.Set, ast.Dict, ast.JoinedStr, ast.FormattedValue),
    *(ast.operator, ast.boolop, ast.unaryop, ast.cmpop, ast.expr_context),
)
_FUNCTIONS = frozenset(
    {"abs", "all", "any", "bool", "float", "int", "isinstance", "len", "round", "str", "sum"}
)
_METHODS = frozenset(
    {"count", "endswith", "get", "index", "isdigit", "items", "keys", "lower", "split"}
    | {"startswith", "strip", "upper", "values"}
)
"""Methods of plain data that do not change it; a state has plain data only."""


def is_pure(expression: ast.AST) -> bool:
    """Whether *expression* has only parts that do not change the state."""
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            if not isinstance(node, StateRead) and not _is_harmless_call(node):
                return False
        elif not isinstance(node, _HARMLESS):
            return False
        waiting += ast.iter_child_nodes(node)
    return True


def _is_harmless_call(node: ast.Call) -> bool:
    if node.keywords:
        return False
    function = node.func
    if isinstance(function, ast.Name):
        return function.id in _FUNCTIONS
    if isinstance(function, StateRead):
        key = function.args[1]
        return isinstance(key, ast.Constant) and key.value in _METHODS
    return isinstance(function, ast.Attribute) and function.attr in _METHODS
