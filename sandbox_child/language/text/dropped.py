"""Finds places in a job that throw away the value of a call: an operation made there never runs.

    post("x", state.data)                    a statement inside `main`, `if`, `for`, `with`, `try`
    [post(p) for p in patients]              a comprehension that is not kept
    x = get("y")                             a name that is not read
    (x := post("x"))                         the same, within an expression
    post("x") and state                      a value that is only tested

This module does not know which calls make operations. `watch` has each value looked at when it is
thrown away, and the checker looks at the result of the called function.
"""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING, Final, NamedTuple

from sandbox_child.language.guards.names import UNRUN_GUARD, is_reserved
from sandbox_child.language.text.forms import CHAINED, Form, operation_name
from sandbox_child.language.text.parts import (
    Slot,
    mapped,
    parts,
)
from sandbox_child.language.text.spans import place
from sandbox_child.language.text.uses import Uses

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_BY_THE_ENGINE: Final = frozenset({"main", "operations", "execute"})
_COLLECTING: Final = frozenset({"frozenset", "list", "set", "sorted", "tuple"})
_BUILTINS: Final = frozenset(dir(builtins))


class Dropped(NamedTuple):
    """A call whose value is thrown away."""

    slot: Slot
    """The expression that has the value: the call itself, or a collection of such values."""
    callee: ast.expr
    """The function that is called."""
    name: str
    """The name of the function, as the author wrote it."""
    line: int
    called: bool
    """False if even the call does not happen: the value is a generator, a `map`, or an unused
    function."""


def find(tree: ast.Module, form: Form | None, *, elsewhere: str = "") -> list[Dropped]:
    """Return the calls whose values are thrown away, in the order of the text.

    Args:
        tree: A job, or the globals of a workflow (*form* None).
        form: The form of the job. In a script the calls at top level are the operations, and are
            kept.
        elsewhere: Text that shares the names of *tree*; a name in it counts as read.

    """
    search = _Search(form, elsewhere)
    search.read(tree)
    found = {id(site.slot.get()): site for site in search.sites()}
    return sorted(found.values(), key=lambda site: (site.line, site.callee.col_offset))


def watch(
    tree: ast.Module, form: Form | None, *, elsewhere: str = "", where: str = ""
) -> list[Dropped]:
    """Add a guard that looks at each value that *tree* throws away; return the places.

    Args:
        tree: The tree, which is changed in place.
        form: As for `find`.
        elsewhere: As for `find`.
        where: Text to add after the line number.

    """
    found = find(tree, form, elsewhere=elsewhere)
    for site in found:
        value = site.slot.get()
        if isinstance(value, ast.Lambda):
            continue  # an unused function does not make an operation
        told = place(ast.Constant(f"{site.name}(...) on line {site.line}{where}"), value)
        guard = place(ast.Name(UNRUN_GUARD, ast.Load()), value)
        watched: ast.expr = place(ast.Call(guard, [value, told], []), value)
        if isinstance(site.slot.holder, ast.Expr) and not isinstance(value, ast.Call):
            # A call as a statement would look like an operation.
            watched = place(ast.Tuple([watched], ast.Load()), value)
        site.slot.put(watched)
    return found


class _Search(Uses):
    """Decides from the uses of the names in a text which values are thrown away."""

    def sites(self) -> Iterator[Dropped]:
        """Yield the calls whose callees may make operations."""
        waiting = [*self._dropped]
        for name in [*self._kept]:
            waiting += self._release(name, 0)
        seen: set[int] = set()
        while waiting:
            slot, iterated = waiting.pop()
            node = slot.get()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, ast.Name):
                waiting += self._release(node.id, 1)
            elif isinstance(node, ast.Call):
                if not self._is_factory(node.func):
                    yield from self._collection(slot, node, waiting, iterated)
                elif not iterated:
                    yield _site(slot, node.func)
            elif isinstance(node, ast.GeneratorExp) and not iterated:
                if isinstance(node.elt, ast.Call) and self._is_factory(node.elt.func):
                    yield _site(slot, node.elt.func, called=False)
            elif isinstance(node, ast.NamedExpr):
                if id(node) in self._named and not self._is_read(node.target.id):
                    waiting.append((Slot(node, "value"), iterated))
            elif isinstance(node, ast.Lambda):
                if isinstance(node.body, ast.Call) and self._is_factory(node.body.func):
                    yield _site(slot, node.body.func, called=False)
            else:
                waiting += ((inner, False) for inner in parts(node))

    def _collection(
        self, slot: Slot, node: ast.Call, waiting: list[tuple[Slot, bool]], iterated: bool
    ) -> Iterator[Dropped]:
        """Look into `list(...)` and `map(...)`."""
        if not isinstance(node.func, ast.Name) or not node.args:
            return
        name = node.func.id
        if name in self._others or name in self._factories:
            return
        if name in _COLLECTING:
            called = mapped(node.args[0])
            if called is None or not self._is_factory(called):
                waiting.append((Slot(node, "args", 0), True))
            elif not iterated:
                yield _site(slot, called)
        elif name == "map" and not iterated:
            called = mapped(node)
            if called is not None and self._is_factory(called):
                yield _site(slot, called, called=False)

    def _release(self, name: str, reads: int) -> list[tuple[Slot, bool]]:
        """Subtract reads of a name; return the places that are then not read any more."""
        self._reads[name] = self._reads.get(name, 0) - reads
        if self._is_read(name):
            return []
        shared = name in self._aliased
        kept = self._kept.pop(name, [])
        return [(one.slot, one.iterated) for one in kept if not (one.put_in and shared)]

    def _is_read(self, name: str) -> bool:
        read_elsewhere = name in _READ_BY_THE_ENGINE or name in self._elsewhere
        return read_elsewhere or self._reads.get(name, 0) > 0

    def _is_factory(self, callee: ast.expr) -> bool:
        """Whether the function may be a verb, or a function of the text that makes the value."""
        if isinstance(callee, ast.Attribute) and callee.attr in CHAINED:
            return True
        while isinstance(callee, ast.Attribute):
            callee = callee.value
        if not isinstance(callee, ast.Name) or callee.id in self._others:
            return False
        if callee.id in self._factories:
            return True
        return callee.id not in _BUILTINS and not is_reserved(callee.id)


def _site(slot: Slot, callee: ast.expr, *, called: bool = True) -> Dropped:
    name = operation_name(ast.Call(callee, [], []))
    return Dropped(slot, callee, name, callee.lineno, called)
