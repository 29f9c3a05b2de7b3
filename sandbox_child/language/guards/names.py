"""The names that a job may bind, read and define; every list here is data for the policy.

Rule: each name in the source is judged once, when the job is compiled.  Only the names in
  :data:`DYNAMIC_ATTRIBUTES` and private names mean different things on different objects; a guard
  checks reads of them at run time.
"""

from __future__ import annotations

import sys
import types

from RestrictedPython.transformer import INSPECT_ATTRIBUTES

OPERATIONS = "_operations_"
"""The global in which the executed code of a job leaves its operations."""

WRITE_GUARD = "_write_"
ATTRIBUTE_GUARD = "_attr_"
CLASS_GUARD = "_class_"
CLASS_DONE_GUARD = "_classdone_"
OWN_GUARD = "_own_"
OWN_CLASSES = "_open_"
REAL_TYPE = "_type_"
SUPER_GUARD = "_super_"
KEYWORDS_GUARD = "_keywords_"
STATE_READ = "_state_attr_"
STATE_TARGET = "_state_target_"
UNRUN_GUARD = "_unrun_"
CHAIN_GUARD = "_chain_"
VERB_GUARD = "_verb_"
LOOKUP_GUARD = "_lookup_"

_INTERNAL_TYPES = (
    types.FrameType,
    types.CodeType,
    types.TracebackType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
)
_INTERNAL_PREFIXES = ("f_", "co_", "tb_", "gi_", "cr_", "ag_")

DENIED_ATTRIBUTES: frozenset[str] = (
    INSPECT_ATTRIBUTES
    # Names that this interpreter adds to the list above, so that a new release is covered at once.
    | {
        name
        for internal in _INTERNAL_TYPES
        for name in dir(internal)
        if name.startswith(_INTERNAL_PREFIXES)
    }
    # Ways into frames and event loops without an underscore.
    | {"get_context", "get_coro", "get_loop", "get_stack", "mro", "print_stack"}
    | {"func_closure", "func_code", "func_globals"}
)
"""Attributes that lead to frames, code, tracebacks or the event loop on any object."""

COPIED_ATTRIBUTES = frozenset({"groupindex", "keywords", "kwds", "mapping"})
"""Attributes that give a dict that other code uses: of patterns, partial functions, views of
dicts."""

DYNAMIC_ATTRIBUTES = (
    frozenset({"format", "format_map", "get_field", "get_value", "obj", "register", "vformat"})
    | COPIED_ATTRIBUTES
    # On a pure path it is posixpath itself, which leads to os.
    | ({"parser"} if sys.version_info >= (3, 13) else set())
    # On a text in an annotation it runs the text.
    | ({"evaluate"} if sys.version_info >= (3, 14) else set())
)
"""Attributes that are harmless on most objects and a way out on some."""

READABLE_DUNDERS = frozenset({"__doc__", "__name__", "__qualname__"})
"""Special attributes that a job may read of any object; they do not lead to other objects."""

READABLE_PRIVATE = frozenset({"_asdict", "_fields", "_make", "_replace"})
"""The public interface of a named tuple; the underscore only avoids clashes with fields."""

_OPERATORS = [
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "divmod",
    "pow",
    "lshift",
    "rshift",
    "and",
    "or",
    "xor",
]

ENUM_HOOKS = frozenset({"_generate_next_value_", "_ignore_", "_missing_", "_order_"})
"""Names that the class of an enumeration may define besides its members."""

DEFINABLE_DUNDERS = ENUM_HOOKS | frozenset(
    f"__{name}__"
    for name in (
        # construction and text
        *("init", "post_init", "init_subclass", "set_name", "class_getitem"),
        *("repr", "str", "bytes", "format", "hash", "bool"),
        # comparison
        *("eq", "ne", "lt", "le", "gt", "ge"),
        # containers and iteration
        *("len", "length_hint", "iter", "next", "reversed", "contains"),
        *("getitem", "setitem", "delitem", "missing"),
        # calls and contexts
        *("call", "enter", "exit", "aenter", "aexit", "aiter", "anext", "await"),
        # attributes: what a property can do, without __getattribute__ and __setattr__
        *("getattr", "get", "set", "delete"),
        # numbers
        *("int", "float", "complex", "index", "round", "trunc", "floor", "ceil"),
        *("neg", "pos", "abs", "invert"),
        *(prefix + operator for prefix in ("", "r", "i") for operator in _OPERATORS),
    )
)
"""Special methods that a class of a job may define, and call on ``super()``."""

CONSTRUCTORS = frozenset({"__init__", "__post_init__"})

GUARDED_ON_SUPER = CONSTRUCTORS | frozenset(
    {"__delete__", "__get__", "__getattr__", "__set__", "__set_name__"}
)
"""Special methods that a guard must check on ``super()``, because those of a foreign base take any
object."""

LISTS_OF_NAMES = frozenset({"__match_args__", "__slots__"})
"""Special names that a class body may assign, if the value is a literal list of names."""

ASSIGNABLE_DUNDERS = DEFINABLE_DUNDERS | LISTS_OF_NAMES
"""Special names that a class body may assign (``__radd__ = __add__``, ``__hash__ = None``)."""

READABLE_NAMES = DEFINABLE_DUNDERS | {"__debug__", "__name__"}
"""Special variables that a job may read; methods exist only in the body of a class."""

_RUNS_TEXT = "it runs text as code, which no check can see"

REFUSED_BUILTINS: dict[str, tuple[str, str, bool]] = {
    "__import__": ("it imports past the checks", "write an import statement", True),
    "breakpoint": (
        "only a debugger stops at it",
        "run the step with `jobcell run --debug`, or take it out",
        False,
    ),
    "compile": (_RUNS_TEXT, "write the code itself as a function", True),
    "dir": ("it lists the insides of objects", "for the keys of a dict use list(d)", False),
    "eval": (_RUNS_TEXT, "for data use json.loads; for a choice use a dict of functions", True),
    "exec": (_RUNS_TEXT, "write the code itself as a function", True),
    "exit": ("a job ends by returning", "return state, or raise an exception", False),
    "globals": ("it exposes the scope of the job", "keep the values in a dict of your own", True),
    "help": ("there is no terminal in a run", "write print(...)", False),
    "input": ("there is no terminal in a run", "read the value from state", False),
    "locals": ("it exposes the scope of the job", "keep the values in a dict of your own", True),
    "memoryview": ("it reaches raw memory", "use bytes or bytearray", False),
    "open": ("a job has no files", "read from state, or use an adaptor; io.StringIO works", False),
    "quit": ("a job ends by returning", "return state, or raise an exception", False),
    "vars": ("it exposes the insides of objects", "name the attributes you need", True),
}
"""Built-in functions that a job lacks: the reason, what to write, and whether a use is an
attack."""

ATTRIBUTE_FIXES = {
    "__class__": "write type(x)",
    "__dict__": "name the attributes you need, or use dataclasses.asdict(x)",
    "__members__": "iterate over the enumeration itself",
    "__annotations__": "use dataclasses.fields(x)",
    "__bases__": "use isinstance(x, Base) or issubclass(C, Base)",
    "__mro__": "use isinstance(x, Base) or issubclass(C, Base)",
    "__cause__": "put what you need into the message of the exception that you raise",
    "__context__": "put what you need into the message of the exception that you raise",
    "__traceback__": "raise the exception again; the report shows where it came from",
    "__module__": "write the name as a string",
    "mro": "use isinstance(x, Base) or issubclass(C, Base)",
}
"""For each refused attribute, what to write instead."""

_FUNCTION_OF = {
    "bytes": "bytes(x)",
    "call": "x()",
    "contains": "item in x",
    "delitem": "del x[key]",
    "eq": "x == y",
    "getattr": "getattr(x, name)",
    "getitem": "x[key]",
    "hash": "hash(x)",
    "iter": "iter(x)",
    "len": "len(x)",
    "ne": "x != y",
    "next": "next(x)",
    "repr": "repr(x)",
    "setitem": "x[key] = value",
    "str": "str(x)",
}


def is_reserved(name: str) -> bool:
    """Whether *name* has the form ``__x``, ``_x_`` or ``x__roles__``.

    The first two belong to Python and to guards.  RestrictedPython refuses the third, where Zope
    keeps the rights of users.
    """
    if name[-1] == "_" and name.endswith("__roles__"):
        return True
    return name[0] == "_" and (name[-1] == "_" or name[1] == "_") and name not in ("_", "__")


def attribute_fix(name: str) -> str:
    """Return what to write instead of the refused attribute *name*."""
    if name in ATTRIBUTE_FIXES:
        return ATTRIBUTE_FIXES[name]
    if bare := _FUNCTION_OF.get(name.strip("_")):
        return f"write {bare}"
    if name.startswith("__") and not name.endswith("__"):
        return f"write _{name.strip('_')}: one underscore is private enough"
    return "leave it out: nothing a job needs lies behind this name"
