"""Every construct of Python's grammar that was reviewed, with the verdict.

A construct that is not in this table is refused, and so is a field that is not listed with its
construct. So syntax of a later Python stays out of jobs until somebody has reviewed it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["allowed", "checked", "changed", "refused"]


class Construct(NamedTuple):
    """The verdict on a kind of node of the syntax tree."""

    verdict: Verdict
    fields: tuple[str, ...]
    """The reviewed fields that hold other nodes."""
    note: str = ""
    plain: tuple[str, ...] = ()
    """The reviewed fields that hold names or constants."""


def _allowed(fields: str, note: str = "", plain: str = "") -> Construct:
    return Construct("allowed", tuple(fields.split()), note, tuple(plain.split()))


def _checked(fields: str, note: str, plain: str = "") -> Construct:
    return Construct("checked", tuple(fields.split()), note, tuple(plain.split()))


def _changed(fields: str, note: str, plain: str = "") -> Construct:
    return Construct("changed", tuple(fields.split()), note, tuple(plain.split()))


_FUNCTION = "decorator_list args returns body type_params"
_NAMES = "the names it binds"

CONSTRUCTS: dict[str, Construct] = {
    # statements
    "Module": _allowed("body", "", "type_ignores"),
    "Expression": _allowed("body"),
    "Expr": _changed("value", "in the script form a call at top level is an operation"),
    "Assign": _allowed("targets value", "", "type_comment"),
    "AnnAssign": _allowed("target annotation value", "", "simple"),
    "AugAssign": _allowed("target op value"),
    "Delete": _allowed("targets"),
    "Assert": _allowed("test msg"),
    "Pass": _allowed(""),
    "Break": _allowed(""),
    "Continue": _allowed(""),
    "Return": _allowed("value"),
    "Raise": _allowed("exc cause"),
    "If": _allowed("test body orelse"),
    "For": _allowed("iter target body orelse", "", "type_comment"),
    "While": _allowed("test body orelse"),
    "Try": _allowed("body handlers orelse finalbody"),
    "TryStar": _allowed("body handlers orelse finalbody"),
    "ExceptHandler": _checked("type body", "the name after `as`", "name"),
    "With": _allowed("items body", "", "type_comment"),
    "withitem": _allowed("context_expr optional_vars"),
    "Import": _checked("names", "no private module; the module is looked up at run time"),
    "ImportFrom": _checked("names", "no private name, no `*`, not relative", "module level"),
    "alias": _checked("", "the module and the name it is bound to", "name asname"),
    "Global": _checked("", _NAMES, "names"),
    "Nonlocal": _checked("", _NAMES, "names"),
    "FunctionDef": _checked(_FUNCTION, "its name and its parameters", "name type_comment"),
    "AsyncFunctionDef": _checked(_FUNCTION, "its name and its parameters", "name type_comment"),
    "AsyncFor": _allowed("iter target body orelse", "", "type_comment"),
    "AsyncWith": _allowed("items body", "", "type_comment"),
    "ClassDef": _changed(
        "decorator_list bases keywords body type_params",
        "no `metaclass=`, no `**`; special methods by list; two hooks as decorators",
        "name",
    ),
    "TypeAlias": _allowed("name type_params value"),
    # type parameters
    "TypeVar": _checked("bound default_value", "its name", "name"),
    "ParamSpec": _checked("default_value", "its name", "name"),
    "TypeVarTuple": _checked("default_value", "its name", "name"),
    # expressions
    "Name": _checked(
        "", "`__x` and `_x_` are reserved; eval, exec and the like do not exist", "id ctx"
    ),
    "Constant": _allowed("", "", "value kind"),
    "Attribute": _changed(
        "value",
        "reading a public name stays as it is; assigning, deleting and reading a private name"
        " go through a guard; in a chain that begins at `state` it is a key",
        "attr ctx",
    ),
    "Subscript": _allowed("value slice", "", "ctx"),
    "Slice": _allowed("lower upper step"),
    "Starred": _allowed("value", "", "ctx"),
    "Call": _checked("func args keywords", "the names of its keyword arguments"),
    "keyword": _checked("value", "its name", "arg"),
    "BoolOp": _allowed("op values"),
    "BinOp": _allowed("left op right"),
    "UnaryOp": _allowed("op operand"),
    "Compare": _allowed("left ops comparators"),
    "IfExp": _allowed("test body orelse"),
    "NamedExpr": _allowed("target value"),
    "Lambda": _checked("args body", "its parameters"),
    "arguments": _checked(
        "posonlyargs args vararg kwonlyargs kw_defaults kwarg defaults", "every kind of parameter"
    ),
    "arg": _checked("annotation", "its name", "arg type_comment"),
    "Tuple": _allowed("elts", "", "ctx"),
    "List": _allowed("elts", "", "ctx"),
    "Set": _allowed("elts"),
    "Dict": _allowed("keys values"),
    "ListComp": _allowed("elt generators"),
    "SetComp": _allowed("elt generators"),
    "DictComp": _allowed("key value generators"),
    "GeneratorExp": _allowed("elt generators"),
    "comprehension": _allowed("iter target ifs", "", "is_async"),
    "JoinedStr": _allowed("values"),
    "FormattedValue": _allowed("value format_spec", "", "conversion"),
    "Await": _allowed("value"),
    "Yield": _allowed("value"),
    "YieldFrom": _allowed("value"),
    # match
    "Match": _allowed("subject cases"),
    "match_case": _allowed("pattern guard body"),
    "MatchValue": _checked("value", "no private or guarded attribute: a pattern is not rewritten"),
    "MatchSingleton": _allowed("", "", "value"),
    "MatchSequence": _allowed("patterns"),
    "MatchMapping": _checked("keys patterns", "the name after `**`", "rest"),
    "MatchClass": _checked(
        "cls patterns kwd_patterns", "no private or guarded attribute", "kwd_attrs"
    ),
    "MatchStar": _checked("", "its name", "name"),
    "MatchAs": _checked("pattern", "its name", "name"),
    "MatchOr": _allowed("patterns"),
}

OPERATORS = frozenset(
    [
        "And",
        "Or",
        "Not",
        "Invert",
        "UAdd",
        "USub",
        "Add",
        "Sub",
        "Mult",
        "MatMult",
        "Div",
        "FloorDiv",
        "Mod",
        "Pow",
        "LShift",
        "RShift",
        "BitAnd",
        "BitOr",
        "BitXor",
        "Eq",
        "NotEq",
        "Lt",
        "LtE",
        "Gt",
        "GtE",
        "Is",
        "IsNot",
        "In",
        "NotIn",
    ]
)
"""The reviewed operators; all of them are allowed."""
