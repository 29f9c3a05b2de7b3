"""The walk over a syntax tree in which everything is refused that nobody has reviewed.

It stands on RestrictedPython's transformer, whose ``generic_visit`` refuses a node that has no
method of its own.  The walk itself is another one: that of ``ast.NodeTransformer`` would make
up half of the time it takes to compile a job.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, TypeVar

from RestrictedPython.transformer import RestrictingNodeTransformer

from sandbox_child.language.constructs import CONSTRUCTS
from sandbox_child.language.violations import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.language.spans import SourceText

    Handler = Callable[[Any, Any], Any]

Node = TypeVar("Node", bound=ast.AST)

_MAX_VIOLATIONS = 1_000
"""Remembered of one text, and as many again that decide how severe the report is."""


class Walker(RestrictingNodeTransformer):
    """Visits the reviewed fields of reviewed nodes; collects what is wrong with the others.

    A subclass has a method ``visit_<Node>`` for each node that needs more than that.  Such a
    method returns what stands for the node: always one node, never a list or nothing.
    """

    _handlers: dict[type, Handler]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._handlers = {}
        for name, construct in CONSTRUCTS.items():
            kind = getattr(ast, name, None)
            if kind is None:  # syntax of a later Python than this one
                continue
            handler = cls.__dict__.get(f"visit_{name}", cls.node_contents_visit)
            unreviewed = tuple(set(kind._fields) - {*construct.fields, *construct.plain})
            cls._handlers[kind] = refusing_new_fields(handler, unreviewed)

    def __init__(self, text: SourceText) -> None:
        super().__init__()
        self.violations: list[Violation] = []
        self._text = text

    def error(
        self, node: ast.AST, info: str, fix: str | None = None, security: bool = False
    ) -> None:
        """Record one violation at *node*; of a flood only the first ones."""
        limit = 2 * _MAX_VIOLATIONS if security else _MAX_VIOLATIONS
        if len(self.violations) < limit:
            self.violations.append(Violation(self._text.of(node), info, fix, security))

    def not_allowed(self, node: ast.AST) -> None:
        """Refuse a node that nobody has reviewed."""
        self.error(node, f"{type(node).__name__} is not part of the job language")

    def visit(self, node: ast.AST) -> Any:
        """Return what stands for *node*."""
        handler = self._handlers.get(node.__class__)
        if handler is None:
            self.not_allowed(node)
            return node
        return handler(self, node)

    def node_contents_visit(self, node: Node) -> Node:
        """Visit the reviewed fields of *node* and put what they became in their place."""
        handlers = self._handlers
        for field in _FIELDS[node.__class__]:
            child = getattr(node, field)
            if child.__class__ is list:
                for index, item in enumerate(child):
                    if item is not None:
                        # As in `visit`, without the call: this is where the time goes.
                        handler = handlers.get(item.__class__)
                        new = self.visit(item) if handler is None else handler(self, item)
                        if new is not item:
                            child[index] = new
            elif child is not None:
                new = self.visit(child)
                if new is not child:
                    setattr(node, field, new)
        return node


def refusing_new_fields(handler: Handler, fields: tuple[str, ...]) -> Handler:
    """Wrap *handler* for a node that has more fields in this Python than were reviewed."""
    if not fields:
        return handler

    def check(walker: Walker, node: ast.AST) -> Any:
        for field in fields:
            if getattr(node, field, None):
                kind = type(node).__name__
                walker.error(node, f"{field} of {kind} is not part of the job language")
        return handler(walker, node)

    return check


_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field for field in construct.fields if field in kind._fields)
    for name, construct in CONSTRUCTS.items()
    if (kind := getattr(ast, name, None)) is not None
}
