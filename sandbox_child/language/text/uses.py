"""The uses of names and values in a text: what is bound, read, kept and thrown away, from one walk."""

from __future__ import annotations

import ast
import re
import sys
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from sandbox_child.language.text.parts import (
    DISPLAYS,
    Slot,
    filled,
    is_new_container,
    node_fields,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox_child.language.text.forms import Form

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOKING: Final = frozenset(
    {"all", "any", "bool", "format", "hash", "id", "len", "print", "repr", "str", "type"}
)
"""Built-in functions that neither call nor keep their arguments."""
_ITERATING: Final = frozenset({"all", "any"})


class Kept(NamedTuple):
    """A value that is bound to a name."""

    slot: Slot
    iterated: bool = False
    put_in: bool = False
    """Whether the value is put into the container with this name."""


class Uses:
    """Collects, in one walk over a tree, the facts that decide whether a value is thrown away."""

    def __init__(self, form: Form | None, elsewhere: str) -> None:
        self._form = form
        self._elsewhere = frozenset(re.findall(r"\w+", elsewhere))
        self._dropped: list[tuple[Slot, bool]] = []
        """Places whose value is thrown away, each with True if the value was iterated over
        before."""
        self._reads: dict[str, int] = {}
        self._kept: dict[str, list[Kept]] = {}
        """For each name, the values that are bound to it or put into it."""
        self._targets: set[int] = set()
        """Nodes of names that a plain assignment binds."""
        self._aliased: set[str] = set()
        """Names whose value other code may have, too, and may read what is put into it."""
        self._factories: set[str] = set()
        """Names of functions that the text defines or imports."""
        self._others: set[str] = set()
        """Names that are bound in any other way, so that their values may come from anywhere."""
        self._named: set[int] = set()
        """Nodes `name := value` with a name that only this text can read."""

    # --- one walk ---

    def read(self, tree: ast.Module) -> None:
        """Walk over the tree without recursion, because a text may nest as deep as it is long."""
        script = self._form == "script"
        for statement in tree.body:
            if script and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                self._walk(statement.value)  # an operation
            else:
                self._walk(statement)
        if self._form == "operations":
            self._drop_overwritten(tree)

    def _walk(self, root: ast.AST) -> None:
        # Other code may read a name of a class body or of the globals.
        waiting: list[tuple[ast.AST, bool]] = [(root, self._form is not None)]
        while waiting:
            node, private = waiting.pop()
            kind = node.__class__
            note = self._notes.get(kind)
            if note is not None:
                note(self, node, private)
            if kind in _FUNCTIONS:
                private = True
            elif kind is ast.ClassDef:
                private = False
            for field in node_fields(kind):
                child = getattr(node, field)
                if child.__class__ is list:
                    waiting += ((item, private) for item in child if item is not None)
                elif child is not None:
                    waiting.append((child, private))

    def _note_name(self, node: ast.Name, _private: bool) -> None:
        if node.ctx.__class__ is ast.Load:
            self._reads[node.id] = self._reads.get(node.id, 0) + 1
        elif node.ctx.__class__ is ast.Store and id(node) not in self._targets:
            self._bind(node.id)

    def _note_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, _private: bool
    ) -> None:
        if not isinstance(node, ast.Lambda):
            self._factories.add(node.name)
        for group in (node.args.posonlyargs, node.args.args, node.args.kwonlyargs):
            for argument in group:
                self._bind(argument.arg)
        for single in (node.args.vararg, node.args.kwarg):
            self._bind(single.arg if single else None)

    def _note_binding(
        self, node: ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar, _private: bool
    ) -> None:
        self._bind(node.name)

    def _note_scope(self, node: ast.Global | ast.Nonlocal, _private: bool) -> None:
        self._aliased.update(node.names)
        if self._form is None:  # a job may read it
            self._elsewhere |= {*node.names}

    def _note_loop(self, node: ast.For | ast.AsyncFor | ast.comprehension, private: bool) -> None:
        if isinstance(node.target, ast.Name) and private:
            self._keep(node.target.id, Kept(Slot(node, "iter"), iterated=True))
        if isinstance(node, ast.comprehension):
            self._drop(Slot(node, "ifs", i) for i in range(len(node.ifs)))

    def _note_test(self, node: ast.If | ast.While | ast.IfExp | ast.Assert, _private: bool) -> None:
        self._drop([Slot(node, "test")])

    def _note_not(self, node: ast.UnaryOp, _private: bool) -> None:
        if isinstance(node.op, ast.Not):
            self._drop([Slot(node, "operand")])

    def _note_comparison(self, node: ast.Compare, _private: bool) -> None:
        self._drop([Slot(node, "left")])
        self._drop(Slot(node, "comparators", i) for i in range(len(node.comparators)))

    def _note_and(self, node: ast.BoolOp, _private: bool) -> None:
        if isinstance(node.op, ast.And):
            self._drop(Slot(node, "values", i) for i in range(len(node.values) - 1))

    def _note_text(self, node: ast.FormattedValue, _private: bool) -> None:
        self._drop([Slot(node, "value")])

    def _note_call(self, node: ast.Call, _private: bool) -> None:
        if node.func.__class__ is ast.Name and node.func.id in _LOOKING:
            slots = (Slot(node, "args", i) for i in range(len(node.args)))
            self._drop(slots, iterated=node.func.id in _ITERATING)

    def _note_statement(self, node: ast.Expr, _private: bool) -> None:
        value = node.value
        container = filled(value)
        if container is None:
            self._drop([Slot(node, "value")])
            return
        assert isinstance(value, ast.Call)
        self._reads[container] = self._reads.get(container, 0) - 1
        iterated = isinstance(value.func, ast.Attribute) and value.func.attr == "extend"
        for index in range(len(value.args)):
            self._keep(container, Kept(Slot(value, "args", index), iterated, put_in=True))

    def _note_assignment(
        self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, private: bool
    ) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is None:
            return
        if len(targets) != 1 or not private:
            return
        target, augmented = targets[0], isinstance(node, ast.AugAssign)
        if isinstance(target, ast.Name):
            self._targets.add(id(target))
            if isinstance(node.value, ast.Lambda):
                self._factories.add(target.id)
            else:
                self._others.add(target.id)
            if not augmented and not is_new_container(node.value):
                self._aliased.add(target.id)
            self._keep(target.id, Kept(Slot(node, "value"), augmented, put_in=augmented))
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            name = target.value.id
            self._reads[name] = self._reads.get(name, 0) - 1
            self._keep(name, Kept(Slot(node, "value"), put_in=True))
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(node.value, DISPLAYS):
            pairs = zip(target.elts, node.value.elts, strict=False)
            spread = any(isinstance(e, ast.Starred) for e in (*target.elts, *node.value.elts))
            for index, (name_node, _) in enumerate(() if spread else pairs):
                if isinstance(name_node, ast.Name):
                    self._keep(name_node.id, Kept(Slot(node.value, "elts", index)))

    def _drop(self, slots: Iterable[Slot], *, iterated: bool = False) -> None:
        self._dropped += ((slot, iterated) for slot in slots)

    def _keep(self, name: str, kept: Kept) -> None:
        self._kept.setdefault(name, []).append(kept)

    def _bind(self, name: str | None) -> None:
        if name is not None:
            self._others.add(name)
            self._aliased.add(name)

    def _note_named(self, node: ast.NamedExpr, private: bool) -> None:
        if private:
            self._named.add(id(node))

    def _note_import(self, node: ast.Import | ast.ImportFrom, _private: bool) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            module = alias.name if isinstance(node, ast.Import) else node.module or ""
            standard = module.partition(".")[0] in sys.stdlib_module_names
            (self._others if standard else self._factories).add(name)
            self._aliased.add(name)

    def _note_elements(self, node: ast.Subscript, _private: bool) -> None:
        """Note the elements of a list literal that its subscript does not take."""
        if not isinstance(node.value, ast.Tuple | ast.List) or not isinstance(node.ctx, ast.Load):
            return
        count = len(node.value.elts)
        used = taken(node.slice, count)
        if used is not None and not any(isinstance(e, ast.Starred) for e in node.value.elts):
            self._drop(Slot(node.value, "elts", i) for i in range(count) if i not in used)

    def _drop_overwritten(self, tree: ast.Module) -> None:
        """Note lists of operations that another list replaces before they are read."""
        if self._reads.get("operations"):
            return
        assigned = [
            node
            for node in tree.body
            if isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "operations"
        ]
        self._drop(Slot(node, "value") for node in assigned[:-1])

    _notes: ClassVar[dict[type, Callable[..., None]]] = {
        ast.Name: _note_name,
        ast.Call: _note_call,
        ast.Expr: _note_statement,
        **dict.fromkeys((ast.Assign, ast.AnnAssign, ast.AugAssign), _note_assignment),
        **dict.fromkeys((*_FUNCTIONS, ast.Lambda), _note_function),
        **dict.fromkeys((ast.Import, ast.ImportFrom), _note_import),
        **dict.fromkeys((ast.For, ast.AsyncFor, ast.comprehension), _note_loop),
        **dict.fromkeys((ast.If, ast.While, ast.IfExp, ast.Assert), _note_test),
        ast.UnaryOp: _note_not,
        ast.Compare: _note_comparison,
        ast.BoolOp: _note_and,
        ast.FormattedValue: _note_text,
        ast.Subscript: _note_elements,
        ast.NamedExpr: _note_named,
        **dict.fromkeys((ast.Global, ast.Nonlocal), _note_scope),
        ast.MatchMapping: lambda self, node, _: self._bind(node.rest),
        **dict.fromkeys(
            (ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar), _note_binding
        ),
    }
    """The handler of each kind of node; a table is twice as fast as a chain of tests."""
