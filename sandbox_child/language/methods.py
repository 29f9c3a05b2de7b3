"""`self` in a method: proved once, on entry, to be an object of the job's own.

``self._balance += 1`` would need a guard for every attribute, and a class that keeps its data
private would run at a third of its speed.  Whether an object's private names may be read
depends on its class alone, and an object of a job cannot change its class.  So a method that
stores to ``self``, or reads private names of it, begins with

    if _type_(self) not in _open_: _own_(self, "_balance")

and everything after that is plain Python.  Where `self` is given another meaning inside of the
method, each use is guarded by itself instead.
"""

from __future__ import annotations

import ast

from sandbox_child.language.chains import STATE, call_guard
from sandbox_child.language.guards import Guards
from sandbox_child.language.names import (
    OWN_CLASSES,
    OWN_GUARD,
    REAL_TYPE,
    WRITE_GUARD,
)

AVAILABLE = "own" in Guards.__slots__
_KNOWN_DECORATORS = frozenset({"cached_property", "classmethod", "override", "property"})
_PROPERTY_PARTS = frozenset({"deleter", "getter", "setter"})


class Method:
    """The first parameter of one method, and where its attributes need a guard."""

    __slots__ = ("_uses", "parameter", "rebound")

    def __init__(self, parameter: str) -> None:
        self.parameter = parameter
        self.rebound = False
        """The name means something else somewhere in the body."""
        self._uses: list[tuple[ast.Attribute, bool]] = []

    @classmethod
    def of(cls, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Method | None:
        """Return the method that *node* defines, or None if its first parameter may be anything."""
        parameters = [*node.args.posonlyargs, *node.args.args]
        if (
            not AVAILABLE
            or not parameters
            or not all(map(_keeps_first_argument, node.decorator_list))
        ):
            return None
        name = parameters[0].arg
        return None if name == STATE else cls(name)

    def add(self, use: ast.Attribute, *, private: bool) -> None:
        """Note that the body uses an attribute of the parameter.

        Args:
            use: The attribute, not guarded yet.
            private: It is read, and its name is private; otherwise it is stored to.

        """
        self._uses.append((use, private))

    def guard_uses(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Guard what the body of *node* does with the parameter: on entry, if that is possible."""
        if not self._uses:
            return
        if self.rebound:
            for use, private in self._uses:
                use.value = guarded(use, private=private)
            return
        use, private = next((found for found in self._uses if found[1]), self._uses[0])
        name = use.value
        classes = ast.copy_location(ast.Name(OWN_CLASSES, ast.Load()), use)
        unknown = ast.Compare(call_guard(REAL_TYPE, use, name), [ast.NotIn()], [classes])
        guard = ast.copy_location(ast.Expr(guarded(use, private=private)), use)
        check = ast.If(ast.copy_location(unknown, use), [guard], [])
        node.body.insert(_has_docstring(node), ast.copy_location(check, use))


def guarded(use: ast.Attribute, *, private: bool) -> ast.Call:
    """Return the object of *use* behind the guard that lets it pass, or raises."""
    if not private:
        return call_guard(WRITE_GUARD, use.value, use.value)
    key = ast.copy_location(ast.Constant(use.attr), use)
    return call_guard(OWN_GUARD, use, use.value, key)


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
