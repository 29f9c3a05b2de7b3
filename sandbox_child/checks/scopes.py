"""Finds names that are not defined, or that are defined only later.

The rules are Python's.  A name belongs to the innermost scope that binds it.  The functions of a
class do not see names of its body.  A function is called after the module was executed.  Where the
order cannot be known (loops, branches, functions), a name that is bound anywhere counts as defined.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_INLINE: Final = frozenset({"comprehension", "generator"})
_DEFERRED: Final = frozenset({"function", "generator"})
"""Scopes whose code may run later than the code around it."""
_NAME_ERRORS: Final = frozenset({"NameError", "UnboundLocalError"})


class Unknown(NamedTuple):
    """A use of a name that is not defined at that moment."""

    node: ast.Name
    later: int | None
    """The line that defines the name later, if there is one."""
    at_once: bool
    """Whether the use is executed while the text is loaded, and not in a function that is called
    later."""
    visible: frozenset[str]
    """The names of the text that are visible at the use."""


class _Use(NamedTuple):
    node: ast.Name
    time: int
    loops: frozenset[int]


class _Binding(NamedTuple):
    time: int
    loops: frozenset[int]
    line: int


class Scope:
    """A scope of a text, with the names that it binds and uses."""

    def __init__(self, kind: str, parent: Scope | None) -> None:
        self.kind = kind
        self.parent = parent
        self.bindings: dict[str, list[_Binding]] = {}
        self.uses: list[_Use] = []
        self.elsewhere: dict[str, str] = {}
        """Names that `global` or `nonlocal` moves to another scope."""

    def module(self) -> Scope:
        """Return the outermost scope."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope


class Names:
    """The scopes of a text.

    Args:
        tree: A module or an expression.

    Attributes:
        defined: Names that the text binds at its top level, or by ``global``.

    """

    def __init__(self, tree: ast.Module | ast.Expression) -> None:
        self._scopes: list[Scope] = []
        self._time = 0
        self._loops: frozenset[int] = frozenset()
        self._protected = 0
        self._no_annotations = isinstance(tree, ast.Module) and any(
            isinstance(s, ast.ImportFrom) and s.module == "__future__" for s in tree.body
        )
        self._scope = self._open("module", None)
        if isinstance(tree, ast.Expression):
            self._visit(tree.body)
        else:
            self._visit_all(tree.body)
        self._module = self._scope
        self.defined = frozenset(self._module.bindings)

    def unknown(self, known: Collection[str]) -> list[Unknown]:
        """Return the uses of names that are neither *known* nor defined when they are used."""
        found = []
        for scope in self._scopes:
            for use in scope.uses:
                problem = _resolve(scope, use, known)
                if problem is not None:
                    found.append(problem)
        return found

    # --- the walk, in the order of execution ---

    def _open(self, kind: str, parent: Scope | None) -> Scope:
        scope = Scope(kind, parent)
        self._scopes.append(scope)
        return scope

    def _bind(self, name: str | None, line: int) -> None:
        if name is None:
            return
        scope, deferred = self._scope, False
        if scope.elsewhere.get(name) == "global":
            scope, deferred = scope.module(), True
        elif scope.elsewhere.get(name) == "nonlocal":
            return
        self._time += 1
        time = -1 if deferred else self._time
        scope.bindings.setdefault(name, []).append(_Binding(time, self._loops, line))

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self._visit(node)

    def _visit(self, node: ast.AST) -> None:
        handler = _HANDLERS.get(type(node))
        if handler is None:
            self._visit_all(ast.iter_child_nodes(node))
        else:
            handler(self, node)

    def visit_name(self, node: ast.Name) -> None:
        """Note a use or a binding."""
        if isinstance(node.ctx, ast.Store):
            self._bind(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Load) and not self._protected:
            self._time += 1
            self._scope.uses.append(_Use(node, self._time, self._loops))

    def visit_scope_statement(self, node: ast.Global | ast.Nonlocal) -> None:
        """Note that names belong elsewhere."""
        kind = "global" if isinstance(node, ast.Global) else "nonlocal"
        self._scope.elsewhere.update(dict.fromkeys(node.names, kind))

    def visit_assign(self, node: ast.Assign) -> None:
        """Visit the value before it is bound."""
        self._visit(node.value)
        self._visit_all(node.targets)

    def visit_augmented(self, node: ast.AugAssign) -> None:
        """Read the target, then bind it."""
        if isinstance(node.target, ast.Name):
            read = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            self._visit(read)
        self._visit(node.value)
        self._visit(node.target)

    def visit_annotated(self, node: ast.AnnAssign) -> None:
        """Pass over the annotation of a local variable, which is not evaluated."""
        if self._scope.kind != "function":
            self._annotation(node.annotation)
        if node.value is not None:
            self._visit(node.value)
            self._visit(node.target)
        elif not isinstance(node.target, ast.Name):
            self._visit(node.target)
        elif self._scope.kind == "function":  # local from now on, but not bound
            self._scope.bindings.setdefault(node.target.id, [])

    def visit_walrus(self, node: ast.NamedExpr) -> None:
        """Bind in the function around a comprehension."""
        self._visit(node.value)
        inner = self._scope
        while self._scope.kind in _INLINE and self._scope.parent is not None:
            self._scope = self._scope.parent
        self._visit(node.target)
        self._scope = inner

    def visit_for(self, node: ast.For | ast.AsyncFor) -> None:
        """Visit a loop, in which an earlier turn may bind a name."""
        self._visit(node.iter)
        with_loop = self._loops | {id(node)}
        before, self._loops = self._loops, with_loop
        self._visit(node.target)
        self._visit_all(node.body)
        self._loops = before
        self._visit_all(node.orelse)

    def visit_while(self, node: ast.While) -> None:
        """Visit a loop."""
        before, self._loops = self._loops, self._loops | {id(node)}
        self._visit(node.test)
        self._visit_all(node.body)
        self._loops = before
        self._visit_all(node.orelse)

    def visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        """Visit each context before its name."""
        for item in node.items:
            self._visit(item.context_expr)
            if item.optional_vars is not None:
                self._visit(item.optional_vars)
        self._visit_all(node.body)

    def visit_try(self, node: ast.Try) -> None:
        """Pass over names if the error about a missing name is caught."""
        guarded = bool(caught(node) & _NAME_ERRORS)
        self._protected += guarded
        self._visit_all(node.body)
        self._protected -= guarded
        for handler in node.handlers:
            if handler.type is not None:
                self._visit(handler.type)
            self._bind(handler.name, handler.lineno)
            self._visit_all(handler.body)
        self._visit_all(node.orelse)
        self._visit_all(node.finalbody)

    def visit_import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Bind the imported names."""
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0], node.lineno)

    def visit_pattern(self, node: ast.MatchAs | ast.MatchStar) -> None:
        """Bind the names that a pattern captures."""
        self._visit_all(ast.iter_child_nodes(node))
        self._bind(node.name, node.lineno)

    def visit_mapping_pattern(self, node: ast.MatchMapping) -> None:
        """Bind the rest of a mapping."""
        self._visit_all(ast.iter_child_nodes(node))
        self._bind(node.rest, node.lineno)

    def visit_class(self, node: ast.ClassDef) -> None:
        """Visit the bases outside, and the body in a scope of its own."""
        self._visit_all(node.decorator_list)
        self._type_parameters(node)
        self._visit_all(node.bases)
        self._visit_all(node.keywords)
        outer, self._scope = self._scope, self._open("class", self._scope)
        self._visit_all(node.body)
        self._scope = outer
        self._bind(node.name, node.lineno)

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Visit the defaults outside, and the body in a scope of its own."""
        self._visit_all(node.decorator_list)
        self._defaults(node.args)
        self._type_parameters(node)
        arguments = _arguments(node.args)
        for annotation in [*(a.annotation for a in arguments), node.returns]:
            if annotation is not None:
                self._annotation(annotation)
        self._bind(node.name, node.lineno)
        self._function(arguments, node.body)

    def visit_lambda(self, node: ast.Lambda) -> None:
        """Visit the defaults outside, and the body in a scope of its own."""
        self._defaults(node.args)
        self._function(_arguments(node.args), [node.body])

    def visit_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        """Visit the first iterable outside, the rest in a scope of its own, and the element last."""
        self._visit(node.generators[0].iter)
        kind = "generator" if isinstance(node, ast.GeneratorExp) else "comprehension"
        outer, self._scope = self._scope, self._open(kind, self._scope)
        for number, generator in enumerate(node.generators):
            if number:
                self._visit(generator.iter)
            self._visit(generator.target)
            self._visit_all(generator.ifs)
        self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._scope = outer

    def _function(self, arguments: list[ast.arg], body: Iterable[ast.AST]) -> None:
        outer, self._scope = self._scope, self._open("function", self._scope)
        loops, self._loops = self._loops, frozenset()
        protected, self._protected = self._protected, 0
        for argument in arguments:
            self._bind(argument.arg, argument.lineno)
        self._visit_all(body)
        self._scope, self._loops, self._protected = outer, loops, protected

    def _defaults(self, arguments: ast.arguments) -> None:
        self._visit_all([*arguments.defaults, *arguments.kw_defaults])

    def _type_parameters(self, node: ast.AST) -> None:
        for parameter in getattr(node, "type_params", ()):  # Python 3.12
            self._bind(parameter.name, node.lineno)  # type: ignore[attr-defined]  # it has a line

    def _annotation(self, node: ast.expr) -> None:
        """Visit an annotation, which later Pythons evaluate on demand."""
        if not self._no_annotations:
            outer, self._scope = self._scope, self._open("function", self._scope)
            self._visit(node)
            self._scope = outer


def caught(node: ast.Try) -> frozenset[str]:
    """Return the names of the exceptions that a ``try`` catches; ``except:`` is BaseException."""
    found: set[str] = set()
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for kind in kinds:
            if kind is None:
                found.add("BaseException")
            elif isinstance(kind, ast.Name):
                found.add(kind.id)
    return frozenset(found)


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    single = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *single]


def _resolve(scope: Scope, use: _Use, known: Collection[str]) -> Unknown | None:
    """Return the problem of a use, or None if the name is defined."""
    name, at_once = use.node.id, True
    current: Scope | None = scope
    while current is not None:
        if current.elsewhere.get(name) == "global":
            current, at_once = current.module(), False
        if current.kind == "class" and current is not scope:
            current = current.parent
            continue
        if name in current.bindings:
            bindings = current.bindings[name]
            after = all(b.time > use.time and not (b.loops & use.loops) for b in bindings)
            if not at_once or not after:
                return None
            if current.kind == "function":
                return Unknown(use.node, _first_line(bindings), _loads(scope), frozenset())
            # Until this scope binds it, the name of an outer scope or a built-in name is visible.
            if current.kind == "module" and name not in known:
                return Unknown(use.node, _first_line(bindings), at_once=True, visible=frozenset())
        if current.kind in _DEFERRED:
            at_once = False
        current = current.parent
    if name in known:
        return None
    return Unknown(use.node, None, _loads(scope), _visible(scope))


def _visible(scope: Scope | None) -> frozenset[str]:
    names: set[str] = set()
    while scope is not None:
        names.update(scope.bindings)
        scope = scope.parent
    return frozenset(names)


def _first_line(bindings: list[_Binding]) -> int | None:
    return min((binding.line for binding in bindings), default=None)


def _loads(scope: Scope | None) -> bool:
    while scope is not None and scope.kind not in _DEFERRED:
        scope = scope.parent
    return scope is None


_HANDLERS: Final[dict[type, Callable[..., None]]] = {
    ast.Name: Names.visit_name,
    ast.Global: Names.visit_scope_statement,
    ast.Nonlocal: Names.visit_scope_statement,
    ast.Assign: Names.visit_assign,
    ast.AugAssign: Names.visit_augmented,
    ast.AnnAssign: Names.visit_annotated,
    ast.NamedExpr: Names.visit_walrus,
    ast.For: Names.visit_for,
    ast.AsyncFor: Names.visit_for,
    ast.While: Names.visit_while,
    ast.With: Names.visit_with,
    ast.AsyncWith: Names.visit_with,
    ast.Try: Names.visit_try,
    ast.TryStar: Names.visit_try,
    ast.Import: Names.visit_import,
    ast.ImportFrom: Names.visit_import,
    ast.MatchAs: Names.visit_pattern,
    ast.MatchStar: Names.visit_pattern,
    ast.MatchMapping: Names.visit_mapping_pattern,
    ast.ClassDef: Names.visit_class,
    ast.FunctionDef: Names.visit_function,
    ast.AsyncFunctionDef: Names.visit_function,
    ast.Lambda: Names.visit_lambda,
    **dict.fromkeys(_COMPREHENSIONS, Names.visit_comprehension),
}
