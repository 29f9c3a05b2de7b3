"""Asks RestrictedPython's default policy, except about code that the job language allows."""

from __future__ import annotations

import re

from RestrictedPython import compile_restricted_exec

from sandbox_child.language.guards.names import ASSIGNABLE_DUNDERS, READABLE_DUNDERS, READABLE_NAMES

ALLOWED = (
    # Syntax that authors write today, reviewed construct by construct.
    r"(AsyncFunctionDef|AsyncFor|AsyncWith|Await|AnnAssign|Nonlocal|Match|TryStar|TypeAlias) statements",
    r"Augmented assignment of (attributes|object items)",
    # `print` is a function here, so these are ordinary names.  `breakpoint` is judged where it is used.
    r'"(print|printed|builtins|breakpoint)" is a reserved name',
    # Private by convention: variables, and attributes of objects that belong to the job.
    r'"(__|_[^\W_]\w*[^\W_]|_[^\W_])" is an invalid (variable|attribute) name because it starts',
    # A function of the job may have any name that is not reserved.
    r"(Exec|Eval) calls",
)
"""Messages of the default policy about texts that the job language accepts."""

_ALLOWED = re.compile(r"Line \w+: (" + "|".join(ALLOWED) + ")")
_SPECIAL = re.compile(r'Line \w+: "(\w+)" is an invalid (variable|attribute) name')


def refused_by_default(source: str) -> list[str]:
    """Return the refusals of the default policy that the job language should share."""
    try:
        errors = compile_restricted_exec(source, "<oracle>").errors
    except SyntaxError as error:  # the compiler reports this, after the policy
        return [str(error)]
    return [error for error in errors if not _allowed(error, source)]


def _allowed(error: str, source: str) -> bool:
    if _ALLOWED.match(error):
        # ... but a call of the built-in function is refused.
        return not error.endswith("calls are not allowed.") or _defines(error, source)
    special = _SPECIAL.match(error)
    return special is not None and (
        special[1] in ASSIGNABLE_DUNDERS | READABLE_DUNDERS | READABLE_NAMES
    )


def _defines(error: str, source: str) -> bool:
    name = "exec" if "Exec" in error else "eval"
    return bool(re.search(rf"\bdef {name}\b|\b{name} = ", source))
