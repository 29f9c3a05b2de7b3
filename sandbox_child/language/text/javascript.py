"""Hints for authors who write JavaScript out of habit: they show the Python form.

This module is imported only after an error.  It does not evaluate anything of a job.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_NO_BRACES = "Python has no braces: end the line with a colon and indent what belongs to it"
_MAX_CHARS = 2_000

# Each pattern is searched in a line whose texts and comments are blanked.  The match nearest to the
# place of the error decides; for two at the same place, the first in this list.
_SYNTAX = (
    (r"!==", "write != instead of !=="),
    (r"===", "write == instead of ==="),
    (r"&&", "write and instead of &&"),
    (r"\|\|", "write or instead of ||"),
    (r"\?\?=?", "write a if a is not None else b instead of a ?? b, or d.get(key, b) for a key"),
    (r"\?\.", "write d.get(key) instead of d?.key, or test for None first"),
    (r"=>\s*\{", "write a function with def name(state): and indent its lines"),
    (r"\basync\s*(\([^()]*\)|\w+)\s*=>", "write async def name(state): and indent its lines"),
    (r"=>", "write lambda state: ... instead of state => ..."),
    (r"!(?=[\w$(\[!])", "write not instead of !"),
    (r"\$\.", "write state.data instead of $.data: in an argument of an operation it is lazy"),
    (r"`", 'write an f-string instead of a template: f"text {state.data.x}", with { for ${'),
    (r"\$\{", 'write an f-string: f"text {state.data.x}"'),
    (r"(?<!\.)\.\.\.(?=\w|\$|\(|\{|\[)", "write **name in a dict and *name in a list for ...name"),
    (r"^\s*(export\s+(default\s+)?)?(async\s+)?function\b\s*\w*\s*\(?", "write def name(state):"),
    (r"\bfunction\b\s*\w*\s*\(", "write lambda state: ..., or def name(state): on lines above"),
    (r"^\s*(export\s+)?(const|let|var)\b(?=\s*[\w$\[{])", "leave const, let and var out: x = 1"),
    (r"\b(const|let|var)\b(?=\s+[\w$\[{])", "leave const, let and var out: x = 1"),
    (r"^\s*export\b", "leave export out: a job exports nothing"),
    (r"^\s*import\s*[{*]|^\s*import\s+\w+\s+from\b", "write from common import fn, each"),
    (r"^\s*\}?\s*else\s+if\b", "write elif instead of else if"),
    (r"^\s*switch\b.*", "write if and elif, or match value: with case ..."),
    (r"^\s*\}?\s*catch\b.*", "write except Exception as error: instead of catch"),
    (r"^\s*throw\b", "write raise Exception(text) instead of throw"),
    (r"^\s*try\s*\{", _NO_BRACES),
    (r"\bnew(?=\s+[A-Z_$]\w*)", "leave new out: a class is called like a function"),
    (r"\btypeof\b", "write isinstance(x, dict) or type(x) instead of typeof x"),
    (r"\binstanceof\b", "write isinstance(x, Name) instead of x instanceof Name"),
    (r"\bfor\s*\(.*?\bof\b", "write for x in rows: instead of for (x of rows)"),
    (r"\bfor\s*\([^()]*;", "write for i in range(n): or for x in rows:"),
    (r"^\s*(?:.*[\w)\]])?(\+\+|--)\s*[;)]?\s*$|^\s*(\+\+|--)\w", "write name += 1 or name -= 1"),
    (
        r"(^|[;{},:\s])//\s*[^\W\d_]+(\s+(?!(?:if|else|and|or|in|is|not|for)\b)[^\W\d_]{2}|\s*$)",
        "a comment begins with #",
    ),
    (r"^\s*//", "a comment begins with #"),
    (r"/\*|\*/", "a comment begins with # on each of its lines"),
    (r"[\w)\]]\s*\?(?![.?])", "write a if condition else b instead of condition ? a : b"),
    (r"\)\s*\{\s*$", _NO_BRACES),
    (r"\belse\s*\{", _NO_BRACES),
    (r"^\s*\}\s*;?\s*$", _NO_BRACES),
)
_BLOCK_ABOVE = r"^\s*\}?\s*(if|for|while|else|try|function|def|async|catch|switch|class)\b.*\{\s*$"
_SHORTHAND = r"[{,]\s*[A-Za-z_]\w*\s*(,|\}|$)"

_NAMES = {
    "true": "write True",
    "false": "write False",
    "null": "write None",
    "undefined": "write None",
    "NaN": 'write float("nan")',
    "Infinity": "write math.inf, after import math",
    "nil": "write None",
    "console": "write print(...) instead of console.log(...)",
    "this": "write self, the first parameter of the method",
    "new": "leave new out: a class is called like a function",
    "JSON": "write import json, then json.loads(text) or json.dumps(value)",
    "require": "write an import statement",
    "module": "leave module.exports out: a job exports nothing",
    "exports": "leave exports out: a job exports nothing",
    "Math": "write import math, or use round(), min(), max(), abs()",
    "parseInt": "write int(text)",
    "parseFloat": "write float(text)",
    "isNaN": "write math.isnan(x), after import math",
    "Number": "write int(text) or float(text)",
    "String": "write str(x)",
    "Boolean": "write bool(x)",
    "Array": "write list(x), or isinstance(x, list)",
    "Object": "write list(d) for keys, d.values(), d.items(), or {**a, **b}",
    "Date": "write import datetime, then datetime.datetime.now()",
    "Promise": "write import asyncio, then asyncio.gather(...)",
    "Error": "write Exception",
    "encodeURIComponent": "write urllib.parse.quote(text), after import urllib.parse",
    "decodeURIComponent": "write urllib.parse.unquote(text), after import urllib.parse",
    "setTimeout": "write await asyncio.sleep(seconds), after import asyncio",
    "const": "leave const, let and var out: x = 1",
    "let": "leave const, let and var out: x = 1",
    "var": "leave const, let and var out: x = 1",
    "function": "write def name(state):",
    "typeof": "write isinstance(x, dict) or type(x) instead of typeof x",
    "alterState": "write fn: it does the same",
}

VERBS = frozenset({"fn", "fn_if", "each", "combine", "data_path", "data_value", "field", "fields"})
"""Verbs of the adaptor `common` that nearly every job uses."""

_ON_ROWS = {
    "length": "write len(rows) instead of rows.length",
    "push": "write rows.append(x) instead of rows.push(x)",
    "unshift": "write rows.insert(0, x) instead of rows.unshift(x)",
    "shift": "write rows.pop(0) instead of rows.shift()",
    "map": "write [f(x) for x in rows] instead of rows.map(f)",
    "flatMap": "write [y for x in rows for y in f(x)] instead of rows.flatMap(f)",
    "filter": "write [x for x in rows if f(x)] instead of rows.filter(f)",
    "forEach": "write for x in rows: instead of rows.forEach(f)",
    "find": "write next((x for x in rows if f(x)), None) instead of rows.find(f)",
    "some": "write any(f(x) for x in rows) instead of rows.some(f)",
    "every": "write all(f(x) for x in rows) instead of rows.every(f)",
    "reduce": "write a loop or sum(...), or functools.reduce(f, rows)",
    "includes": "write x in rows instead of rows.includes(x)",
    "indexOf": "write rows.index(x) instead of rows.indexOf(x)",
    "concat": "write rows + others instead of rows.concat(others)",
    "slice": "write rows[1:3] instead of rows.slice(1, 3)",
    "splice": "write rows[1:3] = [] instead of rows.splice(1, 2)",
    "join": 'write ", ".join(rows) instead of rows.join(", ")',
    "flat": "write [x for row in rows for x in row] instead of rows.flat()",
}
_ON_TEXT = {
    "length": "write len(text) instead of text.length",
    "toUpperCase": "write text.upper() instead of text.toUpperCase()",
    "toLowerCase": "write text.lower() instead of text.toLowerCase()",
    "trim": "write text.strip() instead of text.trim()",
    "trimStart": "write text.lstrip() instead of text.trimStart()",
    "trimEnd": "write text.rstrip() instead of text.trimEnd()",
    "startsWith": "write text.startswith(x) instead of text.startsWith(x)",
    "endsWith": "write text.endswith(x) instead of text.endsWith(x)",
    "includes": "write x in text instead of text.includes(x)",
    "indexOf": "write text.find(x) instead of text.indexOf(x)",
    "substring": "write text[1:3] instead of text.substring(1, 3)",
    "substr": "write text[1:3] instead of text.substr(1, 2)",
    "slice": "write text[1:3] instead of text.slice(1, 3)",
    "charAt": "write text[0] instead of text.charAt(0)",
    "concat": "write text + other instead of text.concat(other)",
    "replaceAll": "write text.replace(old, new) instead of text.replaceAll(old, new)",
    "padStart": "write text.rjust(n) or text.zfill(n) instead of text.padStart(n)",
    "padEnd": "write text.ljust(n) instead of text.padEnd(n)",
    "match": "write re.search(pattern, text), after import re",
    "repeat": "write text * n instead of text.repeat(n)",
}
_ON_DICT = {
    "length": "write len(d) instead of d.length",
    "hasOwnProperty": "write key in d instead of d.hasOwnProperty(key)",
    "map": "write [f(x) for x in rows] for a list, and d.items() for a dict",
    "forEach": "write for key, value in d.items(): instead of d.forEach(f)",
    "push": "this is a dict, not a list: write d[key] = value",
}
_ON_NUMBER = {"toFixed": 'write f"{x:.2f}" or round(x, 2) instead of x.toFixed(2)'}
_ON_ANY = {
    "toString": "write str(x) instead of x.toString()",
    "then": "then belongs to an operation that has not run: get(...).then(lambda state: ...)",
    "catch": "catch belongs to an operation that has not run: get(...).catch(lambda error, state: ...);"
    " in a function write try: and except Exception as error:",
    "finally": "write try: and finally: in a function",
}
_MEMBERS = {
    "list": _ON_ROWS,
    "tuple": _ON_ROWS,
    "set": _ON_ROWS,
    "str": _ON_TEXT,
    "dict": _ON_DICT,
    "int": _ON_NUMBER,
    "float": _ON_NUMBER,
}


def syntax_hint(line: str, column: int | None, above: str | None) -> str | None:
    """Return a hint for a syntax error.

    Args:
        line: The line of the error.
        column: The column in it, from 1.
        above: The line before it.

    """
    shown = blanked(line[:_MAX_CHARS])
    place = (column or 1) - 1
    best: tuple[int, str] | None = None
    for pattern, hint in _SYNTAX:
        for match in re.finditer(pattern, shown):
            start, end = match.span()
            distance = max(start - place, place - end, 0)
            if best is None or distance < best[0]:
                best = (distance, hint)
    if best is not None:
        return best[1]
    if re.search(r"\{[^{}:]*:[^{}]*" + _SHORTHAND, shown):
        return 'write {"a": a, "b": b}: a dict needs a key for each value'
    if above is not None and re.search(_BLOCK_ABOVE, blanked(above[:_MAX_CHARS])):
        return _NO_BRACES
    return None


def name_hint(
    name: str,
    known: Collection[str],
    nearest: Callable[[str, Collection[str]], str | None],
    line: str | None,
    column: int | None,
) -> str | None:
    """Return a hint for an unknown name, if it comes from JavaScript.

    Args:
        name: The name.
        known: The names that exist.
        nearest: Returns the known name that is most similar to a name.
        line: The line that uses it.
        column: The column in it, from 1.

    """
    key = _as_key(name, line, column)
    if key is not None:
        return key
    if name in _NAMES:
        return _NAMES[name]
    snake = snake_case(name)
    if snake in VERBS and snake not in known:
        return f"{snake} is a verb of the adaptor common: give the step that adaptor"
    if snake == name:
        return None
    if snake in known:
        return f"write {snake}: names in Python have underscores"
    near = nearest(snake, known)
    return f"did you mean {near}?" if near is not None else None


def member_hint(owner: type, name: str) -> str | None:
    """Return a hint for an attribute that *owner* lacks, but its JavaScript counterpart has."""
    return _MEMBERS.get(owner.__name__, {}).get(name) or _ON_ANY.get(name)


def snake_case(name: str) -> str:
    """Return a camelCase name with underscores: ``fnIf`` is ``fn_if``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if name[:1].islower() else name


def blanked(line: str) -> str:
    """Return *line* with spaces in place of the content of its texts and of its comment."""
    shown: list[str] = []
    quote = ""
    skip = False
    for char in line:
        if skip:
            skip = False
            shown.append(" ")
        elif quote:
            skip = char == "\\"
            shown.append(char if char == quote else " ")
            quote = "" if char == quote else quote
        elif char == "#":
            break
        else:
            quote = char if char in "'\"" else ""
            shown.append(char)
    return "".join(shown)


def _as_key(name: str, line: str | None, column: int | None) -> str | None:
    """Return a hint if the name is a key of a dict without quotes: ``{name: 1}``, ``{name}``."""
    if line is None or column is None:
        return None
    shown = blanked(line[:_MAX_CHARS])
    before, after = shown[: column - 1].rstrip(), shown[column - 1 + len(name) :].lstrip()
    if shown[column - 1 : column - 1 + len(name)] != name or before[-1:] not in {"{", ",", ""}:
        return None
    inside = _innermost_bracket(before)
    if after[:1] == ":" and (inside == "{" or (not before and not inside)):
        return f'a key is text, in quotes: {{"{name}": ...}}'
    if after[:1] in {",", "}"} and inside == "{":
        return f'write {{"{name}": {name}}}: a dict needs a key for each value'
    return None


def _innermost_bracket(text: str) -> str:
    """Return the bracket that is open at the end of *text*, or an empty text."""
    closed = 0
    for char in reversed(text):
        if char in ")]}":
            closed += 1
        elif char in "([{":
            if not closed:
                return char
            closed -= 1
    return ""
