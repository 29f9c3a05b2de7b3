"""What to write instead: hints for the slips that job authors make most.

A hint is found from the text and the names of an error alone.  Nothing here evaluates anything
of a job, not even a ``repr``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_OTHER_LANGUAGES = {
    "true": "write True",
    "false": "write False",
    "null": "write None",
    "undefined": "write None",
    "nil": "write None",
    "console": "write print(...)",
    "this": "write self, the first parameter of the method",
    "new": "leave new out: a class is called like a function",
    "JSON": "write import json, then json.loads(text) or json.dumps(value)",
    "require": "write an import statement",
    "Math": "write import math, or use round(), min(), max()",
    "parseInt": "write int(text)",
    "parseFloat": "write float(text)",
    "Promise": "write import asyncio, then asyncio.gather(...)",
}

# Patterns stay text until there is an error: compiling them would cost every start 1 ms.
_SYNTAX = (
    (r"^\s*(const|let|var)\s", "leave const, let and var out: name = value"),
    (r"^\s*function\b", "write def name(parameters):"),
    (r"^\s*}?\s*else if\b", "write elif"),
    (r"=>", "write lambda state: ... instead of =>"),
    (r"&&", "write and instead of &&"),
    (r"\|\|", "write or instead of ||"),
    (r"[!=]==", "write == or != ; Python has no third sign"),
    (r"!(?!=)", "write not instead of !"),
    (r"\.\.\.\w", "write **name in a dict and *name in a list instead of ...name"),
    (r"\+\+|--", "write name += 1"),
    (r"^\s*//|;\s*//", "a comment begins with #"),
    (r"\bcatch\b", "write except Exception as error:"),
    (r"\?\.", "write x.get(key) or test for None first"),
)

_SYNTAX_MESSAGES = (
    ("'return' outside function", "put it into def main(state): ..."),
    ("'await' outside function", "put it into async def main(state): ..."),
    ("asynchronous comprehension outside", "put it into async def main(state): ..."),
    ("invalid non-printable character", "the character looks like a space or quote but is none"),
    ("invalid character", "use plain quotes, minus signs and commas"),
    ("leading zeros in decimal", "write the number without the zeros, or the text in quotes"),
    ("unindent does not match", "indent with four spaces everywhere"),
    ("inconsistent use of tabs", "indent with four spaces everywhere"),
)

_ON_NONE = r"'NoneType' object|argument of type 'NoneType'"
_NO_KEY = r"no key '([^']*)'; the keys are (.*)"
_NO_ATTRIBUTE = r"'(\w+)' object has no attribute '([^']*)'"
_NOT_CALLABLE = r"'(\w+)' object is not callable"
_ON_FUNCTION = r"'(function|method|builtin_function_or_method)' object"
_ON_COROUTINE = r"'coroutine' object"
_CONCATENATION = r"can only concatenate str|concatenate str \(not|must be str, not"
_MAX_NAME_CHARS = 100
_MAX_NAMES = 2_000


def syntax_fix(message: str, line: str | None) -> str | None:
    """Return a hint for a syntax error with *message* at the text *line*."""
    for beginning, fix in _SYNTAX_MESSAGES:
        if message.startswith(beginning):
            return fix
    if line is not None:
        for pattern, fix in _SYNTAX:
            if re.search(pattern, line):
                return fix
    return None


def name_fix(name: str, known: Iterable[str]) -> str | None:
    """Return a hint for the unknown *name*; *known* are the names that do exist."""
    if name in _OTHER_LANGUAGES:
        return _OTHER_LANGUAGES[name]
    if name == "state":
        return (
            "state is known in the arguments of an operation and in functions that take it:"
            " fn(lambda state: ...)"
        )
    near = nearest(name, known)
    return f"did you mean {near}?" if near else None


def error_fix(
    kind: str, message: str, *, operation: int | None = None, state_is_empty: bool = False
) -> str | None:
    """Return a hint for an error that was raised while a job ran.

    Args:
        kind: The name of the exception's class.
        message: Its text.
        operation: The number of the operation that was running.
        state_is_empty: The variable ``state`` was an empty dict.

    """
    if kind in ("KeyError", "AttributeError") and state_is_empty and (operation or 0) > 1:
        return "the state is empty: did the operation before forget `return state`?"
    if kind == "AttributeError" and (found := re.match(_NO_KEY, message)):
        near = nearest(found[1], re.findall(r"'([^']*)'", found[2]))
        return f"did you mean {near}?" if near else "use state.get(key) if the key may be missing"
    if kind == "AttributeError" and (found := re.search(_NO_ATTRIBUTE, message)):
        owner, name = found.groups()
        if owner == "dict":
            return f'write d["{name}"], or d.get("{name}") if it may be missing'
        if owner == "list":
            return f'a list has no keys: take an element first, as in rows[0]["{name}"]'
    if kind in ("TypeError", "AttributeError"):
        if re.search(_ON_NONE, message):
            return "the value is None: did the function it came from forget `return state`?"
        if re.search(_ON_COROUTINE, message):
            return "write await before the call"
        if re.search(_ON_FUNCTION, message):
            return "this is a function: call it; an operation is called with the state"
        if re.search(_NOT_CALLABLE, message):
            return "this is the result of a call already: leave the second pair of brackets out"
    if kind == "TypeError" and message.startswith("string indices must be integers"):
        return "this is text, not a dict: is it JSON? then json.loads(text) first"
    if kind == "TypeError" and re.search(_CONCATENATION, message):
        return 'write an f-string: f"{first}{second}"'
    if kind == "KeyError":
        return "use d.get(key) if the key may be missing"
    if kind == "RecursionError":
        return "use a loop, or make sure that the function stops calling itself"
    return None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like *name*, if one is alike at all."""
    import difflib  # only after an error: it would be dead weight when a child starts

    names = []
    for candidate in known:
        if type(candidate) is str and len(candidate) <= _MAX_NAME_CHARS and candidate[:1] != "_":
            names.append(candidate)
            if len(names) == _MAX_NAMES:
                break
    found = difflib.get_close_matches(name[:_MAX_NAME_CHARS], names, n=1, cutoff=0.7)
    return found[0] if found else None
