"""Checks once, on entry of a method, that `self` is an object of the job's own.

``self._balance += 1`` would need a guard for every attribute, and a class with private data would
run at a third of its speed.  The right to read a name depends on the object's class, and an object
of a job cannot change its class.  So a method that stores to ``self``, or reads private names of
it, begins with

    if _type_(self) not in _open_: _own_(self, "_balance", "_history")

and everything after that is plain Python.  If the method binds `self` again, each use is guarded by
itself instead.
"""

from __future__ import annotations

import ast

from sandbox_child.language.guards.names import (
    OWN_CLASSES,
    OWN_GUARD,
    REAL_TYPE,
    WRITE_GUARD,
)
from sandbox_child.language.text.chains import STATE, call_guard
from sandbox_child.language.text.spans import place

_KNOWN_DECORATORS = frozenset({"cached_property", "classmethod", "override", "property"})
_PROPERTY_PARTS = frozenset({"deleter", "getter", "setter"})


class Method:
    """The first parameter of a method, and the uses of its attributes that need a guard."""

    __slots__ = ("_uses", "outer", "parameter", "rebound")

    def __init__(self, parameter: str, outer: Method | None) -> None:
        self.parameter = parameter
        self.outer = outer
        """The method in whose body the class of this method is defined."""
        self.rebound = False
        """Whether the body binds the name again."""
        self._uses: list[tuple[ast.Attribute, bool]] = []

    @classmethod
    def of(
        cls, node: ast.FunctionDef | ast.AsyncFunctionDef, *, inside: Method | None
    ) -> Method | None:
        """Return the method that *node* defines; None if its first parameter may be any object."""
        parameters = [*node.args.posonlyargs, *node.args.args]
        if not parameters or not all(map(_keeps_first_argument, node.decorator_list)):
            return None
        name = parameters[0].arg
        return None if name == STATE else cls(name, inside)

    def note_binding(self, name: str) -> None:
        """Note that the body binds *name*, perhaps for an outer method (`nonlocal`)."""
        method: Method | None = self
        while method is not None:
            if name == method.parameter:
                method.rebound = True
            method = method.outer

    def add(self, use: ast.Attribute, *, private: bool) -> None:
        """Note that the body uses an attribute of the parameter.

        Args:
            use: The attribute, not guarded yet.
            private: True if the attribute is private and is read; False if it is stored to.

        """
        self._uses.append((use, private))

    def guard_uses(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Guard the uses of the parameter in *node*, with one guard on entry if possible."""
        if not self._uses:
            return
        if self.rebound:
            for use, private in self._uses:
                use.value = guarded(use, private=private)
            return
        use, _ = next((found for found in self._uses if found[1]), self._uses[0])
        names = {found.attr: None for found, private in self._uses if private}  # in order
        guard = place(ast.Expr(_guard(use, [*names])), use)
        check = ast.If(_is_open(use, ast.NotIn()), [guard], [])
        node.body.insert(_has_docstring(node), place(check, use))


def guarded(use: ast.Attribute, *, private: bool) -> ast.expr:
    """Return the object of *use* inside a guard that returns it or raises an error."""
    guard = _guard(use, [use.attr] if private else [])
    if not isinstance(use.value, ast.Name):
        return guard
    # A variable can be read twice, so objects of the job's own need no call.
    return place(ast.IfExp(_is_open(use, ast.In()), use.value, guard), use.value)


def _guard(use: ast.Attribute, names: list[str]) -> ast.Call:
    """Return the guard of *use* for reading *names*, or for storing if *names* is empty."""
    if not names:
        return call_guard(WRITE_GUARD, use.value, use.value)
    keys = [place(ast.Constant(name), use) for name in names]
    return call_guard(OWN_GUARD, use, use.value, *keys)


def _is_open(use: ast.Attribute, operator: ast.cmpop) -> ast.expr:
    """Return ``_type_(object) in _open_``, for the object of *use*."""
    classes = place(ast.Name(OWN_CLASSES, ast.Load()), use)
    kind = call_guard(REAL_TYPE, use, use.value)
    return place(ast.Compare(kind, [operator], [classes]), use)


def _keeps_first_argument(decorator: ast.expr) -> bool:
    """Whether a decorated function is still called with an object of its class."""
    if isinstance(decorator, ast.Name):
        return decorator.id in _KNOWN_DECORATORS
    return isinstance(decorator, ast.Attribute) and decorator.attr in _PROPERTY_PARTS


def _has_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
