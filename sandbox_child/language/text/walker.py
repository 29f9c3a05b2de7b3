"""The walk of RestrictedPython's transformer, which refuses everything that was not reviewed.

Its ``visit_`` methods are kept where they agree with the job language; ``rules`` overrides the
others.  The walk itself is replaced, because that of ``ast.NodeTransformer`` would take half of the
time of compiling a job.  A node that the table of constructs does not list is refused, even if
RestrictedPython has a method for it.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, TypeVar

from RestrictedPython.transformer import RestrictingNodeTransformer

from sandbox_child.language.text.constructs import CONSTRUCTS, OPERATORS, Construct

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[Any, Any], Any]

Node = TypeVar("Node", bound=ast.AST)

_MAX_REFUSALS = 1_000
"""Most refusals that are kept for a text, and again as many that decide how severe the report
is."""


_GO_DOWN_BY_THEMSELVES = frozenset({"BinOp", "If"})
"""Nodes whose methods themselves walk down through nodes of the same kind."""


class Refusal(str):
    """An entry of RestrictedPython's list of errors, with the refused node."""

    __slots__ = ("fix", "node", "security")

    node: ast.AST
    fix: str | None
    """A hint for the author."""
    security: bool
    """Whether the text looks like an attempt to get out of the sandbox."""


class Walker(RestrictingNodeTransformer):
    """Visits the reviewed fields of reviewed nodes, and collects errors about all others.

    RestrictedPython makes an instance for each tree and reads `errors` afterwards.  A subclass has
    a method ``visit_<Node>`` for each node that RestrictedPython treats in another way.  Such a
    method returns a node, never a list or None.
    """

    _handlers: dict[type, Handler]

    def __init_subclass__(cls, *, part: bool = False) -> None:
        """Look up the handler of each node, unless the class is only *part* of the rules."""
        super().__init_subclass__()
        if part:
            return
        cls._handlers = {}
        for name, construct in _REVIEWED.items():
            kind = getattr(ast, name, None)
            if kind is None:  # syntax of a later Python than this one
                continue
            handler = getattr(cls, f"visit_{name}", cls.node_contents_visit)
            unreviewed = tuple(set(kind._fields) - {*construct.fields, *construct.plain})
            if unreviewed and name in _GO_DOWN_BY_THEMSELVES:
                handler = cls.node_contents_visit
            if handler is cls.node_contents_visit and not _FIELDS[kind]:
                handler = _leave
            cls._handlers[kind] = refusing_new_fields(handler, unreviewed)

    def error(
        self, node: ast.AST, info: str, fix: str | None = None, security: bool = False
    ) -> None:
        """Record a violation at *node*; of very many, only the first ones."""
        limit = 2 * _MAX_REFUSALS if security else _MAX_REFUSALS
        if len(self.errors) < limit:
            refusal = Refusal(info)
            refusal.node, refusal.fix, refusal.security = node, fix, security
            self.errors.append(refusal)

    def not_allowed(self, node: ast.AST) -> None:
        """Refuse a node that was not reviewed."""
        self.error(node, f"{type(node).__name__} is not part of the job language")

    def visit(self, node: ast.AST) -> Any:
        """Return the new form of *node*."""
        handler = self._handlers.get(node.__class__)
        if handler is None:
            self.not_allowed(node)
            return node
        return handler(self, node)

    def node_contents_visit(self, node: Node) -> Node:
        """Visit the reviewed fields of *node* and replace them by their new forms."""
        handlers = self._handlers
        for field in _FIELDS[node.__class__]:
            child = getattr(node, field)
            if child.__class__ is list:
                for index, item in enumerate(child):
                    if item is not None:
                        # The same as `visit`, without the call, because most of the time is spent
                        # here.
                        handler = handlers.get(item.__class__)
                        new = self.visit(item) if handler is None else handler(self, item)
                        if new is not item:
                            child[index] = new
            elif child is not None:
                new = self.visit(child)
                if new is not child:
                    setattr(node, field, new)
        return node


def set_aside_body(tree: ast.Module) -> None:
    """Keep RestrictedPython from compiling the body of a text with annotations.

    Its own ``from __future__ import annotations`` also affects the code that it compiles.  It would
    turn the author's annotations into text, but `dataclass` and `NamedTuple` read them.
    """
    tree.set_aside, tree.body = tree.body, []  # type: ignore[attr-defined]


def restore_body(tree: ast.AST) -> bool:
    """Put back a body that was set aside; return whether there was one."""
    body = getattr(tree, "set_aside", None)
    if body is None:
        return False
    tree.body = body  # type: ignore[attr-defined]
    return True


def refusing_new_fields(handler: Handler, fields: tuple[str, ...]) -> Handler:
    """Wrap *handler* for a node with more fields in this Python than were reviewed."""
    if not fields:
        return handler

    def check(walker: Walker, node: ast.AST) -> Any:
        for field in fields:
            if getattr(node, field, None):
                kind = type(node).__name__
                walker.error(node, f"{field} of {kind} is not part of the job language")
        return handler(walker, node)

    return check


def _leave(_walker: Walker, node: ast.AST) -> ast.AST:
    return node


_REVIEWED = CONSTRUCTS | dict.fromkeys(OPERATORS, Construct("allowed", ()))

_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field for field in construct.fields if field in kind._fields)
    for name, construct in _REVIEWED.items()
    if (kind := getattr(ast, name, None)) is not None
}
