"""Finds imports that fail, verbs that do not exist, and wrong arguments of calls.

Only certain problems are reported. A name that the text binds more than once may mean anything.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sandbox_child.checks.scopes import caught
from sandbox_child.language.guards import JobImportError
from sandbox_child.language.text import nearest, node_fields
from sandbox_child.language.text.callbacks import CALLBACK, may_have_callback
from sandbox_child.language.text.forms import operation_names, root_name

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

MISSING: Final = object()
_DID_YOU_MEAN: Final = re.compile(r"did you mean '([^']*)'\?")
_MAX_LISTED: Final = 30
_MAX_FIX_CHARS: Final = 200
_ALL: Final = frozenset({"BaseException", "Exception"})
_IMPORT: Final = _ALL | {"ImportError", "ModuleNotFoundError"}


class Wrong(NamedTuple):
    """A problem, and its place."""

    node: ast.AST
    kind: str
    message: str
    fix: str | None = None


class Verbs:
    """The meaning of the names of a text, as far as it is certain.

    Args:
        tree: The text.
        in_scope: Values that are in scope without an import.
        importer: Links a module, as the ``__import__`` of a job does.

    """

    def __init__(
        self,
        tree: ast.Module | ast.Expression,
        in_scope: Mapping[str, object],
        importer: Callable[..., Any],
    ) -> None:
        self._importer = importer
        self._wrong: list[Wrong] = []
        self._known: dict[str, object] = {}
        self._asked: set[str] = set()
        self._operations: Container[str] = ()
        """Names of verbs, which may also have a callback as their last argument."""
        if isinstance(tree, ast.Module):
            self._operations = operation_names(tree, frozenset(in_scope))
        bound: Counter[str] = Counter()
        nodes = [*_walk(tree)]
        for node, handled in nodes:
            bound.update(_bound_names(node))
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node, handled)
            elif isinstance(node, ast.Call) and _asks_for_attribute(node.func):
                constants = (a.value for a in node.args if isinstance(a, ast.Constant))
                self._asked.update(value for value in constants if isinstance(value, str))
        for name, value in in_scope.items():
            if not bound[name]:
                self._known[name] = value
        self._known = {n: v for n, v in self._known.items() if bound[n] <= 1}
        for node, handled in nodes:
            if isinstance(node, ast.Attribute) and "AttributeError" not in handled:
                self._check_attribute(node)
            elif isinstance(node, ast.Call) and "TypeError" not in handled:
                self._check_call(node)

    @property
    def wrong(self) -> list[Wrong]:
        """All problems that were found."""
        return self._wrong

    def meaning(self, node: ast.expr) -> object:
        """Return the value of an expression, or MISSING if it is not known."""
        if isinstance(node, ast.Name):
            return self._known.get(node.id, MISSING)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            owner = self.meaning(node.value)
            if isinstance(owner, ModuleType) and not node.attr.startswith("_"):
                try:
                    return getattr(owner, node.attr)
                except (AttributeError, JobImportError):
                    return MISSING
        return MISSING

    # --- imports ---

    def _import(self, node: ast.Import | ast.ImportFrom, handled: frozenset[str]) -> None:
        silent = bool(handled & _IMPORT)
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = self._link(node, alias.name, (), silent=silent)
                name = alias.asname or alias.name.partition(".")[0]
                if module is not None and (alias.asname is None or "." not in alias.name):
                    self._known[name] = module
            return
        if node.level or node.module is None:
            return  # the language refuses it
        for alias in node.names:
            if alias.name == "*" or alias.name.startswith("_"):
                continue
            module = self._link(node, node.module, (alias.name,), silent=silent)
            if module is not None:
                value = getattr(module, alias.name, MISSING)
                if value is not MISSING:
                    self._known[alias.asname or alias.name] = value

    def _link(
        self, node: ast.stmt, name: str, names: tuple[str, ...], *, silent: bool
    ) -> ModuleType | None:
        try:
            module = self._importer(name, None, None, names, 0)
        except JobImportError as error:
            if not silent:
                message, fix = self._explain(str(error), name, names)
                self._wrong.append(Wrong(node, "ImportError", message, fix))
            return None
        return module if isinstance(module, ModuleType) else None

    def _explain(self, text: str, name: str, names: tuple[str, ...]) -> tuple[str, str | None]:
        """Split the text of a refused import into the problem and the fix."""
        if not text.startswith(("module ", "cannot import ")):
            return text, None
        message, _, rest = text.partition("; ")
        suggested = _DID_YOU_MEAN.match(rest)
        if suggested:
            return message, f"did you mean {suggested[1]!r}?"
        if names:
            try:
                offered = [
                    n for n in dir(self._importer(name, None, None, ("*",), 0)) if n[:1] != "_"
                ]
            except JobImportError:
                offered = []
            near = nearest(names[0], offered)
            if near:
                return message, f"did you mean {near!r}?"
            rest = f"it offers: {', '.join(offered[:_MAX_LISTED])}"
        return message, rest[:_MAX_FIX_CHARS]

    # --- what is taken from a module, and how it is called ---

    def _check_attribute(self, node: ast.Attribute) -> None:
        if not isinstance(node.ctx, ast.Load) or node.attr.startswith("_"):
            return
        owner = self.meaning(node.value)
        if not isinstance(owner, ModuleType) or node.attr in self._asked:
            return
        try:
            getattr(owner, node.attr)
        except AttributeError as error:
            message, _, rest = str(error).partition("; ")
            near = nearest(node.attr, [name for name in dir(owner) if name[:1] != "_"])
            fix = f"did you mean {near!r}?" if near else rest[:_MAX_FIX_CHARS] or None
            self._wrong.append(Wrong(node, "AttributeError", message, fix))
        except JobImportError as error:
            self._wrong.append(Wrong(node, "ImportError", str(error)))

    def _check_call(self, node: ast.Call) -> None:
        function = self.meaning(node.func)
        if type(function) is FunctionType:
            name = ast.unparse(node.func)
            has_callback = root_name(node.func) in self._operations and may_have_callback(node)
            for place, message, fix in _call_problems(
                node, name, function, has_callback=has_callback
            ):
                self._wrong.append(Wrong(place, "TypeError", message, fix))


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Yield every node with the names of the exceptions that the code around it catches."""
    waiting: list[tuple[ast.AST, frozenset[str]]] = [(tree, frozenset())]
    while waiting:
        node, handled = waiting.pop()
        yield node, handled
        inside = handled
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = frozenset()
        for field in node_fields(type(node)):
            child = getattr(node, field)
            within = inside
            if field == "body" and isinstance(node, ast.Try | ast.TryStar):
                within = inside | caught(node)  # type: ignore[arg-type]  # both have handlers
            if field == "body" and isinstance(node, ast.If) and _is_type_checking(node.test):
                within = inside | _IMPORT  # this block is never executed
            children = child if isinstance(child, list) else [child]
            waiting += ((c, within) for c in children if isinstance(c, ast.AST))


def _asks_for_attribute(callee: ast.expr) -> bool:
    return isinstance(callee, ast.Name) and callee.id in ("hasattr", "getattr")


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds or unbinds."""
    if isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load):
            yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Import | ast.ImportFrom):
        # `import a.b, a.c` binds the same name twice, to the same module.
        yield from {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        if node.name:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _call_problems(
    node: ast.Call, name: str, function: FunctionType, *, has_callback: bool
) -> Iterator[tuple[ast.AST, str, str | None]]:
    """Yield the problems that Python will find in the arguments of a call.

    With *has_callback*, the call may have one argument more than the function has parameters.
    """
    code = function.__code__
    names = code.co_varnames
    positional = names[: code.co_argcount]
    keyword_only = names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    takes_any, takes_any_keyword = bool(code.co_flags & 0x04), bool(code.co_flags & 0x08)
    nameable = {*positional[code.co_posonlyargcount :], *keyword_only}
    spread = any(isinstance(argument, ast.Starred) for argument in node.args)
    given = 0 if spread else len(node.args)
    if has_callback and given == len(positional) + 1:
        given -= 1
    if given > len(positional) and not takes_any:
        most = len(positional)
        yield (
            node.args[most],
            f"{name}() takes {most} positional argument{'s' * (most != 1)}, and {given} are given",
            f"its arguments are: {', '.join([*positional, *keyword_only])}" if names else None,
        )
    named: set[str] = set()
    for keyword in node.keywords:
        if keyword.arg is None:
            spread = True
            continue
        named.add(keyword.arg)
        if keyword.arg in positional[code.co_posonlyargcount : given]:
            yield keyword, f"{name}() is given the argument {keyword.arg!r} twice", None
        elif has_callback and keyword.arg == CALLBACK:
            continue
        elif keyword.arg not in nameable and not takes_any_keyword:
            near = nearest(keyword.arg, nameable)
            known = f"its arguments are: {', '.join(sorted(nameable))}" if nameable else None
            fix = f"did you mean {near!r}?" if near else known
            yield keyword, f"{name}() has no argument {keyword.arg!r}", fix
    if spread:
        return
    optional = len(function.__defaults__ or ())
    required = positional[given : len(positional) - optional]
    defaults = function.__kwdefaults__ or {}
    missing = [n for n in required if n not in named]
    missing += [n for n in keyword_only if n not in named and n not in defaults]
    if missing:
        which = ", ".join(repr(n) for n in missing)
        yield node, f"{name}() needs the argument{'s' * (len(missing) > 1)} {which}", None
