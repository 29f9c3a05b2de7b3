"""Finds operations of a job that never run, and values that are not operations."""

from __future__ import annotations

import ast
from types import FunctionType
from typing import TYPE_CHECKING, Final, Literal

from sandbox_child.checks.verbs import MISSING, Wrong
from sandbox_child.language.text import dropped
from sandbox_child.language.text.forms import CHAINED

if TYPE_CHECKING:
    from collections.abc import Container

    from sandbox_child.checks.verbs import Verbs
    from sandbox_child.language.text.forms import Form

Answer = Literal["yes", "no", "unknown"]
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_MAX_DEPTH: Final = 8
"""The longest chain of calls that is followed, as in a verb that calls a verb that calls a verb."""

_COROUTINE: Final = 0x80
"""CO_COROUTINE of `inspect`, which takes long to import."""

_MAX_FILE_BYTES: Final = 2_000_000

_NEVER_OPERATIONS: Final = frozenset(
    {"abs", "all", "any", "bool", "bytes", "callable", "chr", "dict", "divmod", "enumerate"}
    | {"filter", "float", "format", "frozenset", "hasattr", "hash", "id", "int", "isinstance"}
    | {"issubclass", "len", "list", "map", "ord", "print", "range", "repr", "reversed", "round"}
    | {"set", "sorted", "str", "sum", "tuple", "zip"}
)
"""Built-in functions whose results cannot be called, so a run refuses them as operations."""

_NO_LIST = (
    *(ast.Constant, ast.Dict, ast.Set, ast.Lambda, ast.JoinedStr, ast.Compare),
    *(ast.DictComp, ast.SetComp, ast.GeneratorExp),
)


def thrown_away(
    tree: ast.Module, form: Form | None, elsewhere: str, verbs: Verbs
) -> list[tuple[Wrong, bool]]:
    """Return the operations that never run, each with True if it is only likely."""
    makers = Makers(tree, verbs)
    found = []
    for site in dropped.find(tree, form, elsewhere=elsewhere):
        answer = makers.makes_operation(site.callee)
        unused = isinstance(site.slot.get(), ast.Lambda)
        if answer == "no":
            continue
        through = makers.through(site.callee)
        name = f"{site.name}(...)" + (f" (which makes {through}(...))" if through else "")
        if answer == "unknown":
            message = f"the value of {site.name}(...) on line {site.line} is thrown away"
            fix = "if it makes an operation, that operation never runs"
        else:
            message = f"{name} on line {site.line} is never run"
            fix = f"pass it to another operation, or call it with state: {site.name}(...)(state)"
            if makers.is_coroutine(site.callee):
                fix = "write await before it"
            elif not site.called:
                fix = "nothing calls the function, or iterates over the values"
        wrong = Wrong(site.callee, "UnrunOperation", message, fix)
        found.append((wrong, answer == "unknown" or unused))
    return found


def shape(tree: ast.Module, form: Form | None, redefined: Container[str]) -> list[Wrong]:
    """Return the values that cannot be operations, but are where the job has its operations.

    Args:
        tree: The job.
        form: Its form.
        redefined: Names from adaptors and globals, which may replace built-in functions.

    """
    if form == "script":
        return [
            Wrong(
                call,
                "ValidationError",
                f"{call.func.id}(...) at top level is not an operation",
                "put print into an operation, like fn(lambda state: print(state) or state)"
                if call.func.id == "print"
                else f"give the value a name, like x = {call.func.id}(...), or use it in an operation",
            )
            for call in (s.value for s in tree.body if isinstance(s, ast.Expr))
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in _NEVER_OPERATIONS
            and call.func.id not in redefined
            and not _binds(tree, call.func.id)
        ]
    name = "operations" if form == "operations" else "main"
    # The last statement that binds the name decides, if it always binds it.
    found = [s for s in tree.body if any(name in _bound_by(node) for node in ast.walk(s))][-1]
    if name not in _bound_by(found) or isinstance(found, ast.For | ast.AsyncFor | ast.AugAssign):
        return []
    targets = found.targets if isinstance(found, ast.Assign) else [getattr(found, "target", None)]
    value = getattr(found, "value", None)
    if value is not None and not any(isinstance(t, ast.Name) and t.id == name for t in targets):
        return []
    if form == "operations":
        is_no_list = isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if is_no_list or isinstance(value, _NO_LIST):
            message = "`operations` must be a list of operations"
            return [Wrong(found, "InputError", message, "write operations = [first, second]")]
        items = value.elts if isinstance(value, ast.List | ast.Tuple) else []
    else:
        items = [value] if value is not None else []
    return [
        Wrong(
            item,
            "ValidationError",
            f"{ast.unparse(item)[:60]} is not a function of state",
            "an operation takes state and returns state, like fn(lambda state: state)",
        )
        for item in items
        if isinstance(item, (ast.Constant, ast.Dict, ast.List, ast.Tuple, ast.Set, ast.JoinedStr))
    ]


def _bound_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {a.asname or a.name.partition(".")[0] for a in node.names}
    if isinstance(node, ast.For | ast.AsyncFor | ast.NamedExpr):
        targets = [node.target]
    names = (n for target in targets for n in ast.walk(target))
    return {n.id for n in names if isinstance(n, ast.Name)}


def _binds(tree: ast.Module, name: str) -> bool:
    return any(name in _bound_by(node) for node in ast.walk(tree))


class Makers:
    """Finds out which functions of the job and which verbs of adaptors make operations."""

    def __init__(self, tree: ast.Module, verbs: Verbs) -> None:
        self._verbs = verbs
        self._own: dict[str, _Function] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._own[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self._own[target.id] = node.value
        self._files: dict[str, dict[tuple[str, int], _Function]] = {}

    def makes_operation(self, callee: ast.expr, depth: int = 0) -> Answer:
        """Return whether a call of *callee* makes an operation, which runs later with a state."""
        if isinstance(callee, ast.Attribute) and callee.attr in CHAINED:
            made = callee.value
            return (
                self.makes_operation(made.func, depth) if isinstance(made, ast.Call) else "unknown"
            )
        if isinstance(callee, ast.Name) and callee.id in self._own:
            return self._by_text(self._own[callee.id], None, depth)
        value = self._verbs.meaning(callee)
        return "unknown" if value is MISSING else self._by_value(value, depth)

    def is_coroutine(self, callee: ast.expr) -> bool:
        """Return whether a call of *callee* makes a coroutine, which must be awaited."""
        own = self._own.get(callee.id) if isinstance(callee, ast.Name) else None
        if own is not None:
            return isinstance(own, ast.AsyncFunctionDef)
        value = self._verbs.meaning(callee)
        return type(value) is FunctionType and bool(value.__code__.co_flags & _COROUTINE)

    def through(self, callee: ast.expr) -> str | None:
        """Return the verb whose operation a function of the job returns."""
        own = self._own.get(callee.id) if isinstance(callee, ast.Name) else None
        if own is None:
            return None
        for value in _returned(own):
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name | ast.Attribute):
                return ast.unparse(value.func)
        return None

    def _by_value(self, value: object, depth: int) -> Answer:
        if type(value) is not FunctionType or depth > _MAX_DEPTH:
            return "no" if not callable(value) or isinstance(value, type) else "unknown"
        function = value
        while type(inner := function.__dict__.get("__wrapped__")) is FunctionType:
            function = inner
        if function.__code__.co_flags & _COROUTINE:
            return "yes"
        node = self._read(function)
        if node is None:
            return "unknown"
        answer = self._by_text(node, function, depth)
        returns = getattr(node, "returns", None)
        told = "" if returns is None else ast.unparse(returns)
        return (
            "yes" if answer == "unknown" and ("Operation" in told or "Callable" in told) else answer
        )

    def _by_text(self, node: _Function, function: FunctionType | None, depth: int) -> Answer:
        if isinstance(node, ast.AsyncFunctionDef):
            return "yes"  # the coroutine is never awaited
        inner = {
            n.name: n
            for n in ast.walk(node)
            if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        answers = {self._of_value(v, inner, function, depth) for v in _returned(node)}
        if answers == {"yes"}:
            return "yes"
        return "unknown" if answers & {"yes", "unknown"} else "no"

    def _of_value(
        self,
        value: ast.expr,
        inner: dict[str, ast.FunctionDef | ast.AsyncFunctionDef],
        function: FunctionType | None,
        depth: int,
    ) -> Answer:
        if isinstance(value, ast.Lambda):
            return "yes" if _takes_one(value.args) else "unknown"
        if isinstance(value, ast.Name) and value.id in inner:
            return "yes" if _takes_one(inner[value.id].args) else "unknown"
        if isinstance(value, ast.IfExp):
            both = {self._of_value(v, inner, function, depth) for v in (value.body, value.orelse)}
            return both.pop() if len(both) == 1 else "unknown"
        if isinstance(value, ast.Call):
            if function is None:
                return (
                    self.makes_operation(value.func, depth + 1) if depth < _MAX_DEPTH else "unknown"
                )
            if isinstance(value.func, ast.Name):
                called = function.__globals__.get(value.func.id, MISSING)
                return "unknown" if called is MISSING else self._by_value(called, depth + 1)
            return "unknown"
        return "unknown" if isinstance(value, ast.Name | ast.Attribute | ast.Subscript) else "no"

    def _read(self, function: FunctionType) -> _Function | None:
        """Return the syntax tree of an adaptor's function; None if its file cannot be read."""
        path = function.__code__.co_filename
        if path not in self._files:
            self._files[path] = _functions_in(path)
        return self._files[path].get((function.__name__, function.__code__.co_firstlineno))


def _functions_in(path: str) -> dict[tuple[str, int], _Function]:
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(_MAX_FILE_BYTES))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[tuple[str, int], _Function] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # The code of a function begins at its first decorator.
            line = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[node.name, line] = node
    return found


def _returned(node: _Function) -> list[ast.expr]:
    """Return the values that a function returns, without those of functions inside it."""
    if isinstance(node, ast.Lambda):
        return [node.body]
    found: list[ast.expr] = []
    waiting: list[ast.AST] = [*node.body]
    while waiting:
        current = waiting.pop()
        if isinstance(current, ast.Return):
            found.append(current.value or ast.Constant(None))
        elif not isinstance(
            current, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
        ):
            waiting += ast.iter_child_nodes(current)
    return found


def _takes_one(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional == 1 and all(d is not None for d in arguments.kw_defaults)
