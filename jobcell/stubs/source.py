"""Python source to a stub: signatures, docstrings and types, without any body."""

from __future__ import annotations

import ast
import re
from typing import TypeGuard

OPERATION_MODULE = "_jobcell_operation"
"""The stub module with the class `Operation`."""

_OPERATION = "_Operation"

_WORD = re.compile(r"[^\W\d]\w*")
_ELLIPSIS = ast.Expr(ast.Constant(...))


def to_stub(source: str, *, filename: str, passed_on: frozenset[str] | None = None) -> str:
    """Return the stub (`.pyi`) of a module.

    Functions keep their signature and docstring, classes keep their declarations, variables keep
    their annotation.  A function that returns an `Operation`, or a function from state to state, is a verb:
    it also takes a callback, and its operation has `then` and `catch`.  A variable without annotation keeps its value if that may be a type (an
    alias, a type variable, `__all__`); otherwise it becomes `Any`.

    Args:
        source: The text of the module.  It is parsed, never run.
        filename: Named in errors.
        passed_on: The names that others take from the module.  Private functions that are not among
            them are left out, and imports that neither they nor the stub need.  None keeps all.

    Raises:
        SyntaxError: *source* is not Python.

    """
    tree = ast.parse(source, filename)
    needed: list[ast.stmt] = [ast.ImportFrom("typing", [ast.alias("Any", "_Any")], 0)]
    body = _statements(tree.body)
    if passed_on is not None:
        body = _without_unused(body, passed_on)
    if any(_makes_operations(node) for statement in body for node in ast.walk(statement)):
        needed.append(ast.ImportFrom(OPERATION_MODULE, [ast.alias("Operation", _OPERATION)], 0))
    head = 1 if body and _is_docstring(body[0]) else 0
    tree.body = [*body[:head], *needed, *body[head:]]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def imported_names(source: str, *, module: str, is_package: bool) -> set[tuple[str, str]]:
    """Return the names that a module imports from other modules, each with its module.

    Raises:
        SyntaxError: *source* is not Python.

    """
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=name, level=level, names=aliases):
                parts = module.split(".")
                base = parts[: len(parts) - level + is_package] if level else []
                target = ".".join([*base, *([name] if name else [])])
                found.update((target, alias.name) for alias in aliases)
    return found


class _Names(ast.NodeVisitor):
    """Collects the names that statements use, but not those that they import."""

    def __init__(self, found: set[str]) -> None:
        self.found = found

    def visit_Import(self, node: ast.Import) -> None:
        """Use nothing."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Use nothing."""

    def visit_Expr(self, node: ast.Expr) -> None:
        """Leave out docstrings."""
        if not _is_docstring(node):
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Use a name."""
        self.found.add(node.id)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Use the names of an annotation in quotes."""
        if isinstance(node.value, str):
            self.found.update(_WORD.findall(node.value))


def _without_unused(body: list[ast.stmt], passed_on: frozenset[str]) -> list[ast.stmt]:
    """Return statements without private functions, and without imports that nothing uses then.

    A checker would otherwise read the libraries of an adaptor, and all that these import.
    """
    names = _Names({"Any", *passed_on})
    for statement in body:
        if not _is_private_function(statement):
            names.visit(statement)
    used = names.found
    kept: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            statement.names = [
                alias
                for alias in statement.names
                if alias.name == "*" or (alias.asname or alias.name.partition(".")[0]) in used
            ]
            if not statement.names:
                continue
        elif _is_private_function(statement) and statement.name not in used:
            continue
        kept.append(statement)
    return kept


def _is_private_function(
    statement: ast.stmt,
) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(statement, functions) and statement.name.startswith("_")


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    return [kept for statement in body for kept in _statement(statement)]


def _statement(statement: ast.stmt) -> list[ast.stmt]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [_function(statement)]
        case ast.ClassDef():
            docstring = [statement.body[0]] if _is_docstring(statement.body[0]) else []
            declared = _declared(statement)  # before the bodies are gone
            # `builtins` imports the stub, and a named tuple needs `builtins`: mypy gives up on this circle.
            statement.bases = [base for base in statement.bases if not _is_named_tuple(base)]
            rest = _statements(statement.body[len(docstring) :])
            statement.body = [*docstring, *declared, *rest] or [_ELLIPSIS]
        case ast.If():
            statement.body = _statements(statement.body) or [ast.Pass()]
            statement.orelse = _statements(statement.orelse)
        case ast.Try():
            return _statements(statement.body)
        case ast.With():
            return _statements(statement.body)
        case ast.AnnAssign(
            target=ast.Name(id="State"), annotation=ast.Name(id="TypeAlias") as alias
        ):
            # In a job `state.data` is the key of a dict, which no type of a dict allows.
            return [ast.AnnAssign(statement.target, alias, ast.Name("_Any"), simple=1)]
        case ast.Assign(targets=[ast.Name(id="State") as target]):
            return [ast.Assign([target], ast.Name("_Any"), lineno=statement.lineno)]
        case ast.AnnAssign():
            if not _may_be_type(statement.value):
                statement.value = None
        case ast.Assign():
            return _assignment(statement)
        case ast.ImportFrom(module="__future__"):
            return []  # a stub has no need of it
        case ast.Import() | ast.ImportFrom():
            pass
        case ast.Expr() if _is_docstring(statement):
            pass
        case _:
            return []
    return [statement]


def _is_named_tuple(base: ast.expr) -> bool:
    return "NamedTuple" in (getattr(base, "id", None), getattr(base, "attr", None))


def _function(function: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
    docstring = [function.body[0]] if _is_docstring(function.body[0]) else []
    function.body = [*docstring, _ELLIPSIS]
    arguments = function.args
    arguments.defaults = [_default(value) for value in arguments.defaults]
    arguments.kw_defaults = [value and _default(value) for value in arguments.kw_defaults]
    if isinstance(function, ast.FunctionDef) and _is_operation(function.returns):
        function.returns = ast.Name(_OPERATION)
        _add_callback(arguments)
    return function


def _makes_operations(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.FunctionDef)
        and isinstance(node.returns, ast.Name)
        and node.returns.id == _OPERATION
    )


def _is_operation(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Name(id="Operation") | ast.Attribute(attr="Operation"):
            return True
        case ast.Constant(value="Operation"):
            return True
        case ast.Subscript(
            value=ast.Name(id="Callable") | ast.Attribute(attr="Callable"),
            slice=ast.Tuple(elts=[ast.List(elts=[ast.Name(id=given)]), ast.Name(id=made)]),
        ):
            return given == made == "State"
    return False


def _add_callback(arguments: ast.arguments) -> None:
    """Add the callback that a verb takes after its own arguments, unless it has one itself."""
    own = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    if arguments.vararg is not None or any(one.arg == "callback" for one in own):
        return
    arguments.args.append(ast.arg("callback", ast.Name("_Any")))
    arguments.defaults.append(ast.Constant(...))


def _default(value: ast.expr) -> ast.expr:
    return value if isinstance(value, ast.Constant) else ast.Constant(...)


def _declared(class_: ast.ClassDef) -> list[ast.stmt]:
    """Return declarations of what the methods of a class assign to `self`."""
    known = {
        statement.target.id
        for statement in class_.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    found: dict[str, ast.expr] = {}
    for node in ast.walk(class_):
        targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else []
        annotation: ast.expr = ast.Name("_Any")
        if isinstance(node, ast.AnnAssign):
            targets, annotation = [node.target], node.annotation
        for target in targets:
            match target:
                case ast.Attribute(value=ast.Name(id="self"), attr=name) if name not in known:
                    found.setdefault(name, annotation)
    return [
        ast.AnnAssign(ast.Name(name), annotation, simple=1) for name, annotation in found.items()
    ]


def _assignment(statement: ast.Assign) -> list[ast.stmt]:
    names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if names and (names == ["__all__"] or _may_be_type(statement.value)):
        return [statement]
    return [ast.AnnAssign(ast.Name(name), ast.Name("_Any"), simple=1) for name in names]


def _may_be_type(value: ast.expr | None) -> bool:
    match value:
        case ast.Name() | ast.Attribute() | ast.Subscript() | ast.BinOp(op=ast.BitOr()):
            return True
        case ast.Call(func=ast.Name(id="TypeVar" | "ParamSpec" | "NewType" | "namedtuple")):
            return True
    return False


def _is_docstring(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False
