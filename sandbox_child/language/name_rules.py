"""The rules about names that a job may bind, read, import and match.

This module judges names when a job is compiled.  It does not rewrite nodes; `rules` does.
"""

# ruff: noqa: N802, N815 - the methods bear the names that ast gives to nodes

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards.names import (
    ASSIGNABLE_DUNDERS,
    DEFINABLE_DUNDERS,
    DENIED_ATTRIBUTES,
    DYNAMIC_ATTRIBUTES,
    READABLE_DUNDERS,
    READABLE_NAMES,
    REFUSED_BUILTINS,
    attribute_fix,
    is_reserved,
)
from sandbox_child.language.text import Walker

if TYPE_CHECKING:
    from sandbox_child.language.text import Method, Node


class NameRules(Walker, part=True):
    """Judges the names of a tree; a subclass judges and rewrites the rest."""

    def __init__(
        self,
        errors: list[str] | None = None,
        warnings: list[str] | None = None,
        used_names: dict[str, bool] | None = None,
    ) -> None:
        super().__init__(errors, warnings, used_names)
        self._bound: set[str] = set()
        self._builtins_used: list[ast.Name] = []
        self._class_members: set[ast.AST] = set()
        self._method: Method | None = None

    # -- names -----------------------------------------------------------------------------

    def check_name(self, node: Any, name: str | None, allow_magic_methods: bool = False) -> None:
        """Check a name that the node binds."""
        if name is None:
            return
        self._bound.add(name)
        if self._method is not None:
            self._method.note_binding(name)
        if name[0] == "_" or name[-1] == "_":
            if is_reserved(name) and not (allow_magic_methods and name in DEFINABLE_DUNDERS):
                self._refuse_name(node, name)
        elif name == "super":
            self.error(node, "super may not be given another meaning", "choose another name")

    def _refuse_name(self, node: ast.AST, name: str) -> None:
        if name in ASSIGNABLE_DUNDERS:
            message = f"{name} may be defined in the body of a class only"
            self.error(node, message, "move it into a class")
        else:
            message = f"the name {name} is reserved: it begins with two underscores"
            if name[0] != "_":
                message = f"the name {name} is reserved: it ends with __roles__"
            elif not name.startswith("__"):
                message = f"the name {name} is reserved: it begins and ends with an underscore"
            self.error(node, message, f"write {name.strip('_') or 'name'}", security=True)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Refuse reserved names; note bindings, and uses of built-ins that jobs lack."""
        name = node.id
        if node.ctx.__class__ is not ast.Load:
            if node not in self._class_members or name not in ASSIGNABLE_DUNDERS:
                self.check_name(node, name)
        elif name in REFUSED_BUILTINS:
            self._builtins_used.append(node)
        elif name == "super":  # `visit_Call` handles its calls
            self.error(node, "super may only be called", "write super()")
        elif (
            (name[0] == "_" or name[-1] == "_") and is_reserved(name) and name not in READABLE_NAMES
        ):
            self._refuse_name(node, name)
        return node

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> ast.stmt:
        """Check the names, which are plain strings without nodes of their own."""
        for name in node.names:
            self.check_name(node, name)
        return node

    visit_Nonlocal = visit_Global

    def visit_ExceptHandler(self, node: Node) -> Node:
        """Check the name that the node binds."""
        self.check_name(node, node.name)  # type: ignore[attr-defined]  # all of these have one
        return self.node_contents_visit(node)

    visit_MatchAs = visit_ExceptHandler
    visit_MatchStar = visit_ExceptHandler
    visit_ParamSpec = visit_ExceptHandler
    visit_TypeVar = visit_ExceptHandler
    visit_TypeVarTuple = visit_ExceptHandler

    # -- imports ---------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> ast.Import:
        """Refuse private modules; check the bound names."""
        self._check_import_fields(node)
        for alias in node.names:
            self._check_module(alias, alias.name)
            self.check_name(alias, alias.asname or alias.name.partition(".")[0])
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """Refuse relative imports, `*` and private names; check the bound names."""
        self._check_import_fields(node)
        if node.level:
            message = "a job is not part of a package: relative imports lead nowhere"
            self.error(node, message, "name the module in full")
        elif node.module != "__future__":
            self._check_module(node, node.module or "")
        for alias in node.names:
            if alias.name == "*":
                message = "`*` hides which names a job uses"
                self.error(alias, message, "import the names that you need, one by one")
            elif alias.name[0] == "_" or alias.name in DENIED_ATTRIBUTES:
                message = f"{alias.name} is private to its module"
                self.error(alias, message, "use what the module offers under a public name", True)
            else:
                self.check_name(alias, alias.asname or alias.name)
        return node

    def _check_module(self, node: ast.AST, name: str) -> None:
        if any(part.startswith("_") for part in name.split(".")):
            self.error(node, f"the module {name} is private", "import its public counterpart", True)

    def _check_import_fields(self, node: ast.stmt) -> None:
        # `lazy import` of Python 3.15 resolves at its first use, outside the guarded import.
        if getattr(node, "is_lazy", 0):
            self.error(node, "a lazy import is not part of the job language", "import it here")

    # -- attributes and patterns ---------------------------------------------------------

    def _attribute_allowed(self, node: ast.AST, name: str) -> bool:
        """Judge the name of an attribute for any object."""
        if name in DENIED_ATTRIBUTES:
            message = f"the attribute {name} leads into the interpreter"
        elif (name[0] == "_" or name[-1] == "_") and is_reserved(name):
            if name in READABLE_DUNDERS:
                if isinstance(getattr(node, "ctx", None), ast.Load):
                    return True
                self.error(node, f"the attribute {name} cannot be changed", "use functools.wraps")
                return False
            message = f"the attribute {name} is private to Python"
            if name[0] != "_":
                message = f"the attribute {name} is reserved: it ends with __roles__"
        else:
            return True
        self.error(node, message, attribute_fix(name), security=True)
        return False

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.MatchValue:
        """Check a constant or dotted name, because parts of a pattern cannot be rewritten."""
        self._check_pattern_value(node.value)
        return node

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        """Check the class, and the attributes that the pattern will read."""
        self._check_pattern_value(node.cls)
        for name in node.kwd_attrs:
            self._check_pattern_attribute(node, name)
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        node.kwd_patterns = [self.visit(pattern) for pattern in node.kwd_patterns]
        return node

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        """Check the keys, and the name that takes the rest."""
        for key in node.keys:
            self._check_pattern_value(key)
        self.check_name(node, node.rest)
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        return node

    def _check_pattern_value(self, node: ast.expr) -> None:
        while isinstance(node, ast.Attribute):
            self._check_pattern_attribute(node, node.attr)
            node = node.value
        self.visit(node)

    def _check_pattern_attribute(self, node: ast.AST, name: str) -> None:
        if not self._attribute_allowed(node, name):
            return
        if name[0] == "_" or name in DYNAMIC_ATTRIBUTES:
            message = f"a pattern cannot read the attribute {name}"
            self.error(node, message, "bind the object and test the attribute in an `if`")
