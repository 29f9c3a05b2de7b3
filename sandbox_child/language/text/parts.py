"""Finds expressions that make up the value of another: `[f(x), g(x)]`, `a if c else b`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

DISPLAYS: Final = (ast.Tuple, ast.List, ast.Set)
_LISTS: Final = (ast.ListComp, ast.SetComp)
_FILLING: Final = frozenset({"add", "append", "appendleft", "extend", "insert", "update"})
"""Methods that put items into a container and do not take any out."""
_MAKING_CONTAINERS: Final = frozenset({"deque", "dict", "list", "set"})
_NO_NODES: Final = frozenset(
    {"arg", "attr", "asname", "conversion", "ctx", "id", "is_async", "kind", "kwd_attrs"}
    | {"level", "lineno", "module", "name", "names", "op", "ops", "rest", "simple", "tag"}
    | {"type_comment", "type_ignores"}
)
"""Fields that do not contain expressions or statements."""
_FIELDS: Final[dict[type, tuple[str, ...]]] = {ast.Name: (), ast.Constant: ()}
"""For each kind of node, its fields with nodes; filled when a kind is first met."""


class Slot(NamedTuple):
    """A place of an expression in the tree."""

    holder: ast.AST
    field: str
    at: int | None = None

    def get(self) -> ast.expr:
        """Return the expression at this place."""
        value = getattr(self.holder, self.field)
        return value if self.at is None else value[self.at]  # type: ignore[no-any-return]  # by construction

    def put(self, node: ast.expr) -> None:
        """Replace the expression at this place."""
        if self.at is None:
            setattr(self.holder, self.field, node)
        else:
            getattr(self.holder, self.field)[self.at] = node


def parts(node: ast.expr) -> Sequence[Slot]:
    """Return the places of the expressions that make up the value of *node*."""
    if isinstance(node, DISPLAYS):
        return [Slot(node, "elts", index) for index in range(len(node.elts))]
    if isinstance(node, ast.Dict):
        return [Slot(node, "values", index) for index in range(len(node.values))]
    if isinstance(node, (*_LISTS, ast.GeneratorExp)):
        return [Slot(node, "elt")]
    if isinstance(node, ast.DictComp):
        return [Slot(node, "value")]
    if isinstance(node, ast.IfExp):
        return [Slot(node, "body"), Slot(node, "orelse")]
    if isinstance(node, ast.BoolOp):
        return [Slot(node, "values", index) for index in range(len(node.values))]
    return [Slot(node, "value")] if isinstance(node, ast.Starred) else []


def filled(value: ast.expr) -> str | None:
    """Return the name of the container in a statement like `rows.append(x)`."""
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in _FILLING
        and isinstance(value.func.value, ast.Name)
    ):
        return value.func.value.id
    return None


def is_new_container(value: ast.expr) -> bool:
    """Whether *value* makes a new container."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id in _MAKING_CONTAINERS
    return isinstance(value, (ast.List, ast.Dict, ast.Set, ast.DictComp, *_LISTS))


def mapped(node: ast.expr) -> ast.expr | None:
    """Return the function that `map(...)` calls for each item."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
        return None
    if node.func.id != "map":
        return None
    function = node.args[0]
    if isinstance(function, ast.Lambda):
        return function.body.func if isinstance(function.body, ast.Call) else None
    return function


def taken(index: ast.expr, count: int) -> set[int] | None:
    """Return which of *count* elements a literal index or slice takes; None for others."""
    if isinstance(index, ast.Slice):
        parts = [_number(part) for part in (index.lower, index.upper, index.step)]
        if any(part is False or (part == 0 and at == 2) for at, part in enumerate(parts)):
            return None
        return {*range(count)[slice(*parts)]}
    number = _number(index)
    if number is None or number is False or not -count <= number < count:
        return None
    return {number % count}


def _number(node: ast.expr | None) -> int | bool | None:
    """Return a literal number; None for a missing node, False for any other node."""
    if node is None:
        return None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return -inner if type(inner) is int else False
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return False


def node_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """Return the fields of a kind of node that may hold nodes."""
    found = _FIELDS.get(kind)
    if found is None:
        # Some fields of rare nodes have plain values, which have no fields.
        found = tuple(name for name in getattr(kind, "_fields", ()) if name not in _NO_NODES)
        _FIELDS[kind] = found
    return found
