"""Hints about the most common mistakes of job authors, which say what to write instead.

A hint follows from the facts of an error: its class, its fields, and the author's text at the place
where it was raised.  Python gives some facts only in the text of its own errors.  Such a text
counts only if the interpreter has written it, and not the author's ``raise``.  This module does not
evaluate anything of a job, not even a ``repr``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from protocol.words import NAMED_CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.report import Position
    from sandbox_child.language.text.spans import SourceText

_SYNTAX_MESSAGES = (
    ("'return' outside function", "put it into def main(state): ..."),
    ("'await' outside function", "put it into async def main(state): ..."),
    ("'await' outside async function", "write async def in place of def"),
    ("asynchronous comprehension outside", "put it into async def main(state): ..."),
    ("invalid non-printable character", "the character looks like a space or quote but is none"),
    ("invalid character", "use plain quotes, minus signs and commas"),
    ("leading zeros in decimal", "write the number without the zeros, or the text in quotes"),
    ("unindent does not match", "indent with four spaces everywhere"),
    ("inconsistent use of tabs", "indent with four spaces everywhere"),
)

# Texts of the interpreter's own errors.  Patterns are compiled only after an error, because
# compiling would add 1 ms to every start.
_ON_NONE = r"'NoneType' object|argument of type 'NoneType'"
_NOT_CALLABLE = r"'(\w+)' object is not callable"
_ON_METHOD = r"builtin_function_or_method|^dict\.\w+\(\) takes"
_ON_FUNCTION = r"'(function|method|builtin_function_or_method)' object"
_ON_COROUTINE = r"'coroutine' object"
_CONCATENATION = r"can only concatenate str|concatenate str \(not|must be str, not"
_TOO_MANY = r"takes .*positional arguments? but"
_ARGUMENTS = r"positional argument"
_UNKNOWN_KEYWORD = r"unexpected keyword argument '(\w+)'"
_NOT_INDEXED = r"string indices must be integers"
_UNHASHABLE = r"unhashable type|cannot use '\w+' as a set element"
_KEYS_OF_STATES = frozenset({"configuration", "data", "errors", "references", "response"})
_MAX_NAME_CHARS = 100
_MAX_NAMES = 2_000


class ErrorFacts(NamedTuple):
    """Facts about an error beside the exception itself."""

    message: str
    by_interpreter: bool = True
    """Whether the interpreter has raised the error, and not a ``raise`` statement of a job or an
    adaptor."""
    in_adaptor: bool = False
    """Whether only a verb was running, and not a function of the job."""
    operation: int | None = None
    """The number of the operation that was running."""
    names: Mapping[str, Any] = {}
    """The local and global names of the job's innermost frame."""
    text: SourceText | None = None
    position: Position | None = None
    """The position in *text* that raised the error, or that called the operation."""


def syntax_fix(
    message: str, line: str | None, *, column: int | None = None, above: str | None = None
) -> str | None:
    """Return a hint for a syntax error.

    Args:
        message: The message of the parser.
        line: The line at which the parser stopped.
        column: The column in the line, from 1.
        above: The line before it.

    """
    for beginning, fix in _SYNTAX_MESSAGES:
        if message.startswith(beginning):
            return fix
    if line is None:
        return None
    from sandbox_child.language.text.javascript import syntax_hint

    return syntax_hint(line, column, above)


def name_fix(
    name: str, known: Iterable[str], *, line: str | None = None, column: int | None = None
) -> str | None:
    """Return a hint for the unknown *name*.

    Args:
        name: The name.
        known: The names that exist.
        line: The line that uses it.
        column: The column in the line, from 1.

    """
    if name == "state":
        return (
            "state is known in the arguments of an operation and in functions that take it:"
            " fn(lambda state: ...)"
        )
    from sandbox_child.language.text.javascript import name_hint

    names = {candidate for candidate in known if type(candidate) is str}
    fix = name_hint(name, names, nearest, line, column)
    if fix is not None:
        return fix
    near = nearest(name, names)
    return f"did you mean {near}?" if near else None


def condition_name_fix(
    name: str, known: Iterable[str], *, line: str | None = None, column: int | None = None
) -> str | None:
    """Return a hint for the unknown *name* in a condition, with the arguments of `name_fix`."""
    if name in NAMED_CONDITIONS:
        return f"{name} must be the whole condition: an expression cannot contain it"
    if name in _KEYS_OF_STATES:
        return f"write state.{name}"
    return name_fix(name, known, line=line, column=column)


def error_fix(error: BaseException, facts: ErrorFacts) -> str | None:
    """Return a hint for an error that was raised while a job ran."""
    kind = type(error)
    state = facts.names.get("state")
    is_late = (facts.operation or 0) > 1
    if is_late and kind in (KeyError, AttributeError) and type(state) is dict and not state:
        return "the state is empty: did the operation before forget `return state`?"
    if kind is AttributeError:
        return _attribute_fix(error, facts)
    if kind is KeyError:
        return "use d.get(key) if the key may be missing" if facts.by_interpreter else None
    if kind is ImportError or isinstance(error, ImportError):
        return _import_fix(facts)
    if isinstance(error, RecursionError):
        return "use a loop, or make sure that the function stops calling itself"
    return _type_fix(facts) if kind is TypeError and facts.by_interpreter else None


def method_fix(facts: ErrorFacts) -> str | None:
    """Return a hint if the job got a dict's method where it meant the key of that name."""
    if facts.text is None or facts.position is None:
        return None
    from sandbox_child.language.text.passages import method_taken_for_key

    key = method_taken_for_key(facts.text, facts.position, facts.names)
    return f"write {key} for the key: a method of dict wins over a key of its name" if key else None


def _attribute_fix(error: Any, facts: ErrorFacts) -> str | None:
    from sandbox_child.language.text.javascript import member_hint, snake_case

    fields = object.__getattribute__(error, "__dict__")
    name, owner = error.name, error.obj
    if type(name) is not str:
        return None
    if "_absent_from" in fields:  # a key of the state
        near = nearest(name, fields["_absent_from"])
        if near:
            return f"did you mean {near}?"
        return member_hint(dict, name) or "use state.get(key) if the key may be missing"
    if not facts.by_interpreter:
        return None
    kind = type(owner)
    fix = member_hint(kind, name)
    if fix is not None:
        return fix
    if kind is dict:
        return f'write d["{name}"], or d.get("{name}") if it may be missing'
    if kind is list:
        return f'a list has no keys: take an element first, as in rows[0]["{name}"]'
    if owner is None:
        return "the value is None: did the function it came from forget `return state`?"
    if kind.__name__ == "coroutine":
        return "write await before the call"
    if kind.__name__ == "builtin_function_or_method":
        return method_fix(facts) or _CALL_IT
    if kind.__name__ in {"function", "method"}:
        return _CALL_IT
    if kind.__name__ == "module":
        names = object.__getattribute__(owner, "__dict__")
        snake = snake_case(name)
        near = snake if snake in names else nearest(name, names) or nearest(snake, names)
        return f"did you mean {near}?" if near else None
    return None


_CALL_IT = "this is a function: call it; an operation is called with the state"


def _type_fix(facts: ErrorFacts) -> str | None:
    """Return a hint for a TypeError of the interpreter, which gives its facts only as text."""
    message = facts.message
    if re.search(_ON_NONE, message):
        return "the value is None: did the function it came from forget `return state`?"
    if re.search(_ON_COROUTINE, message):
        return "write await before the call"
    if re.search(_ON_METHOD, message):
        fix = method_fix(facts)
        if fix is not None:
            return fix
    if re.search(_ON_FUNCTION, message):
        return _CALL_IT
    if re.search(_NOT_CALLABLE, message):
        return "this is the result of a call already: leave the second pair of brackets out"
    unknown = re.search(_UNKNOWN_KEYWORD, message)
    if unknown is not None:
        return _spelling_fix(unknown[1])
    if re.match(_NOT_INDEXED, message):
        return "this is text, not a dict: is it JSON? then json.loads(text) first"
    if re.search(_CONCATENATION, message):
        return 'write an f-string: f"{first}{second}"'
    return _passage_fix(facts)


def _passage_fix(facts: ErrorFacts) -> str | None:
    """Return a hint from the author's text at the place of a TypeError."""
    if facts.text is None or facts.position is None:
        return None
    from sandbox_child.language.text import passages

    if re.search(_TOO_MANY, facts.message) and passages.has_callback(
        facts.text, facts.position, facts.names
    ):
        return (
            "a callback is the last argument, after those that the verb itself takes; name its options,"
            " as in get(path, query={...}, callback=lambda state: ...)"
        )
    if re.search(_TOO_MANY, facts.message):
        keys = passages.keys_of_last_argument(facts.text, facts.position)[:3]
        if keys:
            return f"options are keywords: write {_as_keywords(keys)} in place of the dict"
    if facts.in_adaptor and re.search(_ARGUMENTS, facts.message):
        return passages.misfitting_operation(facts.text, facts.position)
    if re.search(_UNHASHABLE, facts.message) and passages.unhashable_set(
        facts.text, facts.position
    ):
        return 'write {"a": a, "b": b}: a dict needs a key for each value'
    return None


def _as_keywords(keys: list[str]) -> str:
    from sandbox_child.language.text.javascript import snake_case

    return ", ".join(f"{snake_case(key)}=..." for key in keys)


def _import_fix(facts: ErrorFacts) -> str | None:
    """Return a hint if an import asks for a name in JavaScript's spelling."""
    if facts.text is None or facts.position is None:
        return None
    from sandbox_child.language.text.javascript import snake_case
    from sandbox_child.language.text.passages import imported_names

    for name in imported_names(facts.text, facts.position):
        if snake_case(name) != name:
            return _spelling_fix(name)
    return None


def _spelling_fix(name: str) -> str | None:
    """Return a hint for a name in JavaScript's spelling."""
    from sandbox_child.language.text.javascript import snake_case

    if snake_case(name) == name:
        return None
    return f"did you mean {snake_case(name)}? names in Python have underscores"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known public name that is most similar to *name*, if one is similar enough."""
    from protocol import suggestion  # only after an error, because importing it takes time

    names = []
    for candidate in known:
        if type(candidate) is str and len(candidate) <= _MAX_NAME_CHARS and candidate[:1] != "_":
            names.append(candidate)
            if len(names) == _MAX_NAMES:
                break
    return suggestion.nearest(name[:_MAX_NAME_CHARS], names)
