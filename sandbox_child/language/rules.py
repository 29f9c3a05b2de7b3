"""The job language as a policy of RestrictedPython: the refusals, and the few rewritings.

This module has the rules; the walk is in ``walker``, which also refuses everything unknown.  Each
method here overrides a method of RestrictedPython, which treats that construct in another way; ADR
0208 lists them with their reasons.  Names are judged at compile time, so that compiled jobs run at
the speed of Python.  Only these are rewritten to a call of a guard (see DYNAMIC_ATTRIBUTES in
``names``):

    o.a = 1, del o.a, o.a += 1    _write_(o).a = 1
    o._private                    _own_(o, "_private")._private
    o.format                      _attr_(o, "format")
    class C: ...                  two decorators, one innermost, one outermost
    state.data.x                  _state_attr_(_state_attr_(state, "data"), "x")

A method checks once, on entry, that ``self`` is the job's own (see ``methods``).
"""

# ruff: noqa: N802, N815 - the methods bear the names that ast gives to nodes

from __future__ import annotations

import ast
from _string import formatter_parser  # type: ignore[import-not-found]  # typeshed leaves it out
from typing import Any

from sandbox_child.language.guards import PLAIN_BUILTINS
from sandbox_child.language.guards.names import (
    ATTRIBUTE_GUARD,
    CLASS_DONE_GUARD,
    CLASS_GUARD,
    DEFINABLE_DUNDERS,
    DENIED_ATTRIBUTES,
    DYNAMIC_ATTRIBUTES,
    GUARDED_ON_SUPER,
    KEYWORDS_GUARD,
    LISTS_OF_NAMES,
    LOOKUP_GUARD,
    READABLE_DUNDERS,
    READABLE_PRIVATE,
    REFUSED_BUILTINS,
    SUPER_GUARD,
    is_reserved,
)
from sandbox_child.language.name_rules import NameRules
from sandbox_child.language.text import (
    Method,
    Walker,
    begins_at_state,
    call_guard,
    guarded,
    place,
    rewrite_part,
    set_aside_body,
)

_PLAIN_NAMES = frozenset(PLAIN_BUILTINS)
_LOOKED_AT = DENIED_ATTRIBUTES | DYNAMIC_ATTRIBUTES


class LanguageRules(NameRules):
    """Visits a tree, rewrites it in place and collects every violation in :attr:`errors`.

    RestrictedPython's ``compile_restricted_exec`` and ``compile_restricted_eval`` make and call it.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._augmented: set[ast.expr] = set()
        self.has_calls = False
        """Whether the author calls any function other than built-in functions by their names."""
        self._annotated = False

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Visit a whole text."""
        self._visit_text(node)
        if self._annotated:
            set_aside_body(node)
        return node

    def visit_Expression(self, node: ast.Expression) -> ast.Expression:
        """Visit a whole condition, which cannot have annotations."""
        self._visit_text(node)
        return node

    def _visit_text(self, node: ast.Module | ast.Expression) -> None:
        """Visit the text, judge the built-ins that it does not define, and finish the tree."""
        self.node_contents_visit(node)
        for name in self._builtins_used:
            if name.id not in self._bound:
                reason, fix, security = REFUSED_BUILTINS[name.id]
                self.error(name, f"{name.id} does not exist in a job: {reason}", fix, security)
        finish = getattr(node, "finish", None)  # see `parsing.to_code`
        if finish is not None:
            # It refers to the tree, so both would wait for the collector.
            del node.finish  # type: ignore[union-attr]  # `parsing.to_code` has set it
            if not self.errors:
                finish(self.has_calls)

    # These are allowed as they are.  RestrictedPython refuses them,
    visit_Await = Walker.node_contents_visit
    visit_AsyncFor = Walker.node_contents_visit
    visit_AsyncWith = Walker.node_contents_visit
    visit_TryStar = Walker.node_contents_visit
    # or rewrites them to calls of guards, for checks at run time that are done here.
    visit_Assign = Walker.node_contents_visit
    visit_For = Walker.node_contents_visit
    visit_Lambda = Walker.node_contents_visit
    visit_Subscript = Walker.node_contents_visit
    visit_With = Walker.node_contents_visit
    visit_comprehension = Walker.node_contents_visit

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        """Note that the text has annotations."""
        self._annotated = True
        return self.node_contents_visit(node)

    def visit_If(self, node: ast.If) -> ast.If:
        """Go down the `elif` branches in a loop: they nest as deep as there are many."""
        current = node
        while True:
            current.test = self.visit(current.test)
            current.body = [self.visit(statement) for statement in current.body]
            rest = current.orelse
            if len(rest) != 1 or rest[0].__class__ is not ast.If:
                current.orelse = [self.visit(statement) for statement in rest]
                return node
            current = rest[0]

    # -- attributes ------------------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Judge the name; rewrite reads and writes that depend on the object."""
        value = node.value
        new = self.visit(value)
        if new is not value:
            node.value = value = new
        name = node.attr
        private = name[0] == "_"
        if private or name in _LOOKED_AT or name[-1] == "_":
            if not self._attribute_allowed(node, name):
                return node
            private = private and name not in READABLE_DUNDERS and name not in READABLE_PRIVATE
        if begins_at_state(value):
            return rewrite_part(node)
        stores = node.ctx.__class__ is not ast.Load
        if not stores and not private:
            if name not in DYNAMIC_ATTRIBUTES:
                return node
            key = place(ast.Constant(name), node)
            return place(call_guard(ATTRIBUTE_GUARD, value, value, key), node)
        reads_private = private and (not stores or node in self._augmented)
        method = self._method
        if method is not None and value.__class__ is ast.Name and value.id == method.parameter:
            method.add(node, private=reads_private)
        else:
            node.value = guarded(node, private=reads_private)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """Check the names of keyword arguments; leave two kinds of call unguarded."""
        function = node.func
        if function.__class__ is not ast.Name or function.id not in _PLAIN_NAMES:
            self.has_calls = True
        if function.__class__ is ast.Attribute and _needs_no_guard(function):
            # `super().__init__(...)` and `"{} of {}".format(...)` need no guard.
            function.value = value = self.visit(function.value)
            if function.attr in GUARDED_ON_SUPER:
                key = place(ast.Constant(function.attr), function)
                node.func = place(call_guard(ATTRIBUTE_GUARD, value, value, key), function)
        elif function.__class__ is ast.Name and function.id == "super":
            self._check_super(node)
        else:
            new = self.visit(function)
            if new is not function:
                node.func = new
        arguments = node.args
        for index, item in enumerate(arguments):
            new = self.visit(item)
            if new is not item:
                arguments[index] = new
        for keyword in node.keywords:
            self.visit_keyword(keyword)
        return node

    def _check_super(self, node: ast.Call) -> None:
        """Allow `super()`; add a guard for the class of `super(A, b)`."""
        starred = any(argument.__class__ is ast.Starred for argument in node.args)
        if node.keywords or starred or len(node.args) not in (0, 2):
            self.error(node, "super is called with no arguments, or with two", "write super()")
        elif node.args:
            node.func = place(ast.Name(SUPER_GUARD, ast.Load()), node.func)

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        """Check the name, because the called function may turn it into an attribute."""
        name = node.arg
        if name is not None and (name[0] == "_" or name[-1] == "_" or name in DENIED_ATTRIBUTES):
            self._attribute_allowed(node, name)
        self.node_contents_visit(node)
        if name is None:  # the same names, checked at run time
            node.value = call_guard(KEYWORDS_GUARD, node.value, node.value)
        return node

    # -- operators -------------------------------------------------------------------------

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        """Go down the left side in a loop: `a + b + c + ...` nests as deep as it is long."""
        current = node
        while True:
            self.visit(current.op)
            current.right = self.visit(current.right)
            if current.left.__class__ is not ast.BinOp:
                current.left = self.visit(current.left)
                return node
            current = current.left

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """Note that the target is both read and stored to."""
        self._augmented.add(node.target)
        return self.node_contents_visit(node)

    # -- functions and classes -------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        """Check the name (a class also allows special names) and, below, the parameters."""
        is_method = node in self._class_members
        if node.returns is not None:
            self._annotated = True
        self.check_name(node, node.name, allow_magic_methods=is_method)
        method = Method.of(node, inside=self._method) if is_method else None
        if method is None:
            return self.node_contents_visit(node)
        # Only the body belongs to the method, without decorators, defaults and annotations.
        body, node.body = node.body, []
        self.node_contents_visit(node)
        self._method = method
        node.body = [self.visit(statement) for statement in body]
        self._method = method.outer
        method.guard_uses(node)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Check the name of a parameter of any kind."""
        self.check_name(node, node.arg)
        if node.annotation is not None:
            self._annotated = True
            self.node_contents_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Check name and keywords; add the two hooks that register the job's own classes."""
        self.check_name(node, node.name)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg == "metaclass":
                message = "a class of a job has no metaclass=, and no ** among its keywords"
                self.error(keyword, message, "use a class decorator")
        for member in node.body:
            self._class_members.add(member)
            if isinstance(member, ast.Assign):
                self._check_special_value(member)
                self._class_members.update(member.targets)
        self.node_contents_visit(node)
        for member in node.body:
            _guard_lookup(member)
        outermost = place(ast.Name(CLASS_DONE_GUARD, ast.Load()), node)
        innermost = place(ast.Name(CLASS_GUARD, ast.Load()), node)
        node.decorator_list = [outermost, *node.decorator_list, innermost]
        return node

    def _check_special_value(self, node: ast.Assign) -> None:
        """Check that ``__slots__`` and ``__match_args__`` are literal: Python reads their names.

        A positional pattern reads the names of ``__match_args__`` from any object that counts as an
        instance, and perhaps before a hook has seen the class.
        """
        for target in node.targets:
            if not isinstance(target, ast.Name) or target.id not in LISTS_OF_NAMES:
                continue
            items = (
                node.value.elts if isinstance(node.value, ast.Tuple | ast.List) else [node.value]
            )
            for item in items:
                name = item.value if isinstance(item, ast.Constant) else None
                if not isinstance(name, str) or not name or is_reserved(name):
                    message = f"{target.id} holds names that are written out and not reserved"
                    self.error(item, message, f'write {target.id} = ("a", "b")')
                elif target.id == "__match_args__" and (name[0] == "_" or name in _LOOKED_AT):
                    message = (
                        f"__match_args__ cannot hold {name!r}: a pattern reads it without a check"
                    )
                    self.error(item, message, "match it by keyword, or test it in an `if`")


def _guard_lookup(member: ast.stmt) -> None:
    """Keep special names away from the ``__getattr__`` that *member* of a class defines."""
    if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
        if member.name == "__getattr__":
            member.decorator_list.insert(0, place(ast.Name(LOOKUP_GUARD, ast.Load()), member))
    elif isinstance(member, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__getattr__" for target in member.targets
    ):
        member.value = call_guard(LOOKUP_GUARD, member.value, member.value)


def _needs_no_guard(node: ast.Attribute) -> bool:
    """Whether the text alone shows that the called method *node* is harmless."""
    receiver = node.value
    if isinstance(receiver, ast.Constant):
        return node.attr == "format" and _has_plain_fields(receiver.value)
    return (
        node.attr in DEFINABLE_DUNDERS
        and isinstance(receiver, ast.Call)
        and isinstance(receiver.func, ast.Name)
        and receiver.func.id == "super"
    )


def _has_plain_fields(template: object) -> bool:
    """Whether the fields of a format string do not read attributes of their arguments."""
    if not isinstance(template, str):
        return False
    try:
        return not any(
            (field and "." in field) or (spec and "{" in spec)
            for _, field, spec, _ in formatter_parser(template)
        )
    except ValueError:  # not a format string: the call itself will raise the error
        return False
