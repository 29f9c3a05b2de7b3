"""Dotted state: in a chain that begins at the name ``state``, an attribute of a dict is its key.

``state.data.rows[0].age`` is rewritten, part by part, to calls of ``_state_attr_``.  A part that is
assigned to or deleted stays an attribute, of the result of ``_state_target_``.  A chain goes on
through subscripts and ends at a call.
"""

from __future__ import annotations

import ast

from sandbox_child.language.guards.names import STATE_READ, STATE_TARGET
from sandbox_child.language.text.spans import place

STATE = "state"

# A dict method wins over a key of the same name, so these can stay plain attribute reads.
_DICT_METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))


class StateRead(ast.Call):
    """The rewritten read of a part of a chain; its type marks it for the next part."""


def begins_at_state(node: ast.expr) -> bool:
    """Whether *node* is the name ``state`` or a chain that begins there."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return isinstance(node, StateRead) or (isinstance(node, ast.Name) and node.id == STATE)


def call_guard(guard: str, at: ast.expr, *arguments: ast.expr) -> ast.Call:
    """Return the call ``guard(*arguments)``, with the position of *at*."""
    name = place(ast.Name(guard, ast.Load()), at)
    return place(ast.Call(name, list(arguments), []), at)


def rewrite_part(node: ast.Attribute) -> ast.expr:
    """Return the new form of *node*, a part of a chain whose earlier parts are rewritten."""
    if not isinstance(node.ctx, ast.Load):
        node.value = call_guard(STATE_TARGET, node.value, node.value)
        return node
    if node.attr in _DICT_METHODS:
        return node
    guard = place(ast.Name(STATE_READ, ast.Load()), node.value)
    key = place(ast.Constant(node.attr), node)
    return place(StateRead(guard, [node.value, key], []), node)


class StateChains(ast.NodeTransformer):
    """Rewrites only the chains of a tree, for jobs that are compiled without the policy."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Rewrite an attribute if its chain begins at the name ``state``."""
        self.generic_visit(node)
        return rewrite_part(node) if begins_at_state(node.value) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        """Go down the left side in a loop: `a + b + c + ...` nests as deep as it is long."""
        current = node
        while True:
            current.right = self.visit(current.right)
            if not isinstance(current.left, ast.BinOp):
                current.left = self.visit(current.left)
                return node
            current = current.left

    def visit_Match(self, node: ast.Match) -> ast.Match:
        """Leave patterns as they are, because a call is not a pattern."""
        node.subject = self.visit(node.subject)
        for case in node.cases:
            if case.guard is not None:
                case.guard = self.visit(case.guard)
            case.body = [self.visit(statement) for statement in case.body]
        return node
