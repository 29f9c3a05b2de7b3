"""Translates the condition of an edge.

A condition sees no adaptor, so its Python has all that it needs in itself.  It is true only if the
condition is true in JavaScript.  Where JavaScript raises an error, it raises an error too, or is false.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from typing import Final

from jobcell.moving.script.code import quoted
from jobcell.moving.script.tree import (
    MAX_DEPTH,
    Node,
    UntranslatedError,
    arguments_of,
    field,
    inner,
    named,
    number_value,
    parse,
    string_value,
    text_of,
)

_FALSE: Final = '(None, 0, "")'
"""The values of JSON that JavaScript takes for false; Python takes False for 0."""

_METHODS_OF_DICT: Final = frozenset(dir(dict))
_ORDER: Final = ("<", "<=", ">", ">=")
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_LITERALS: Final = ("string", "number", "true", "false", "null", "undefined")
_ANY_LENGTH: Final = {(">", 0), ("===", 0), ("==", 0), ("!==", 0), ("!=", 0), (">=", 1), ("<", 1)}
"""Comparisons of a length whose result does not depend on how characters are counted."""


@dataclass(frozen=True)
class _Chain:
    """A chain of keys that begins at the state."""

    before: str
    """The object that has the last key; it raises an error if the object is missing."""
    key: str | int | None
    """None: the chain is `state`."""
    dotted: str | None
    """The whole chain, which is None if a part is missing, or None if it cannot be written so."""
    optional: bool
    """Whether the last key was read with `?.`."""

    def value(self) -> str:
        """Return the value of the chain; the object that has the last key must be there."""
        if self.key is None:
            return "state"
        if self.optional and self.dotted is not None:
            return self.dotted
        if isinstance(self.key, int):
            return f"{self.before}[{self.key}]"
        return f"{self.before}.get({quoted(self.key)})"


def translate_condition(script: str) -> str:
    """Return a condition in Python.

    Raises:
        UntranslatedError: It has no translation that is certain.

    """
    root = parse(script)
    statements = named(root)
    if len(statements) != 1 or statements[0].type != "expression_statement":
        raise UntranslatedError("a condition that is not an expression", root)
    return _truth(named(statements[0])[0], strict=False, depth=0)


def unwritten(script: str, where: str) -> str:
    """Return a condition that raises an error with the text of the script, until somebody writes it."""
    shown = " ".join(script.split())
    shown = shown if len(shown) <= 120 else f"{shown[:120]}..."
    return f"{{}}[{quoted(f'write this condition in Python ({where}): {shown}')}]"


def _truth(node: Node, *, strict: bool, depth: int) -> str:
    """Return a test of a value; *strict*: whether it must be an error if it is one in JavaScript.

    Elsewhere it may be false then, because the edge is not taken if it is false.
    """
    node = inner(node)
    if depth > MAX_DEPTH:
        raise UntranslatedError(f"conditions nested more than {MAX_DEPTH} deep", node)
    if node.type in ("true", "false"):
        return text_of(node).capitalize()
    if node.type == "unary_expression" and text_of(field(node, "operator")) == "!":
        argument = inner(field(node, "argument"))
        if argument.type in ("member_expression", "subscript_expression"):
            if _is_own_length(argument):
                return f"{_length(argument, 'None')} in {_FALSE}"
            return f"{_chain(argument).value()} in {_FALSE}"
        if argument.type == "unary_expression" and text_of(field(argument, "operator")) == "!":
            return _truth(field(argument, "argument"), strict=strict, depth=depth + 1)
        return f"not ({_truth(argument, strict=True, depth=depth + 1)})"
    if node.type == "binary_expression":
        operator = text_of(field(node, "operator"))
        if operator in ("&&", "||"):
            # False in place of an error must not lead to the other side of `||`.
            left = _truth(field(node, "left"), strict=strict or operator == "||", depth=depth + 1)
            sides = [left, _truth(field(node, "right"), strict=strict, depth=depth + 1)]
            word = " and " if operator == "&&" else " or "
            return word.join(
                f"({side})" if " and " in side or " or " in side else side for side in sides
            )
        return _comparison(node, operator, strict=strict)
    if node.type == "call_expression":
        return _call(node, strict=strict, depth=depth)
    if node.type in ("member_expression", "subscript_expression"):
        if _is_own_length(node):
            return f"{_length(node, 'None')} not in {_FALSE}"
        return f"{_chain(node).value()} not in {_FALSE}"
    raise UntranslatedError(f"{node.type.replace('_', ' ')} in a condition", node)


def _comparison(node: Node, operator: str, *, strict: bool) -> str:
    left, right = inner(field(node, "left")), inner(field(node, "right"))
    if left.type in _LITERALS and right.type not in _LITERALS:
        left, right = right, left
        operator = _FLIPPED.get(operator, operator)
    if _length_of(left) is not None and right.type == "number":
        value = number_value(right)
        if isinstance(value, int) and value >= 0:
            return _compared_length(left, operator, value)
    if right.type not in _LITERALS and not _is_undefined(right):
        raise UntranslatedError("a comparison without a text, number, true, false or null", node)
    if operator in _ORDER:
        return _ordered(_chain(left), operator, right, strict=strict)
    if operator not in ("===", "!==", "==", "!="):
        raise UntranslatedError(f"the operator {operator} in a condition", node)
    return _equal(_chain(left), operator, right)


def _ordered(chain: _Chain, operator: str, literal: Node, *, strict: bool) -> str:
    if literal.type != "number":
        raise UntranslatedError(f"{operator} with a value that is not a number", literal)
    # A missing key makes the comparison false if it ends a dotted chain, as undefined does.
    value = chain.value()
    if not strict and chain.dotted is not None:
        value = chain.dotted if chain.optional else f"{chain.before}.{chain.key}"
    return f"{value} {operator} {number_value(literal)!r}"


def _equal(chain: _Chain, operator: str, literal: Node) -> str:
    strict, differs = len(operator) == 3, operator[0] == "!"
    value = chain.value()
    if literal.type == "null" or _is_undefined(literal):
        if not strict:
            return f"{value} is {'not ' if differs else ''}None"
        return _strict_nothing(chain, literal, differs=differs)
    if literal.type in ("true", "false") and strict:
        return f"{value} is {'not ' if differs else ''}{text_of(literal).capitalize()}"
    if literal.type == "string":
        text = string_value(literal)
        if strict:
            return f"{value} {'!=' if differs else '=='} {quoted(text)}"
        if text.strip() and not _may_be_number(text):
            # An array is not hashable: it is an error here, and a text there.
            return f"{value} {'not in' if differs else 'in'} {{{quoted(text)}}}"
    if literal.type == "number" and strict:
        number = number_value(literal)
        test = f"{value} {'!=' if differs else '=='} {number!r}"
        if number not in (0, 1):
            return test
        word = "or" if differs else "and not"
        return f"{test} {word} isinstance({value}, bool)"
    raise UntranslatedError(f"{operator} converts values; write it with ===", literal)


def _strict_nothing(chain: _Chain, literal: Node, *, differs: bool) -> str:
    if chain.optional or not isinstance(chain.key, str):
        raise UntranslatedError("=== with null or undefined, and ?.", literal)
    key = quoted(chain.key)
    if literal.type == "null":
        return f"{chain.before}.get({key}, 0) is {'not ' if differs else ''}None"
    return f"{key} {'in' if differs else 'not in'} {chain.before}.keys()"


def _compared_length(node: Node, operator: str, value: int) -> str:
    """Return a comparison of a length; an object has the length that is one of its keys."""
    if operator not in (*_ORDER, "===", "!==", "==", "!="):
        raise UntranslatedError(f"the operator {operator} in a condition", node)
    target = _length_of(node)
    assert target is not None
    python = operator.replace("===", "==").replace("!==", "!=")
    if target.type == "call_expression":  # Object.keys(...)
        given = _chain(arguments_of(target)[0]).value()
        return f"len({given} if isinstance({given}, dict) else None) {python} {value}"
    given = _chain(target).value()
    if (operator, value) not in _ANY_LENGTH:
        return f"len({given} if isinstance({given}, list) else None) {python} {value}"
    if operator not in _ORDER:
        return f"len({given} if isinstance({given}, (list, str)) else None) {python} {value}"
    # A comparison with undefined is false.
    return (
        f"{_length(node, otherwise='-1' if '>' in operator else str(value + 1))} {python} {value}"
    )


def _length(node: Node, otherwise: str) -> str:
    """Return the length at the end of a chain; *otherwise*: what an object has that lacks the key."""
    chain = _chain(field(node, "object"))
    optional = any(child.type == "optional_chain" for child in node.children)
    if chain.optional and not optional:
        raise UntranslatedError("a chain with ?. and then a part without", node)
    given = chain.value()
    holder = f"({given} or {{}})" if optional else given
    return (
        f"(len({given}) if isinstance({given}, (list, str))"
        f' else {holder}.get("length", {otherwise}))'
    )


def _length_of(node: Node) -> Node | None:
    """Return the value whose length a node is."""
    if node.type != "member_expression" or text_of(field(node, "property")) != "length":
        return None
    target = inner(field(node, "object"))
    if target.type == "call_expression":
        is_keys = text_of(field(target, "function")) == "Object.keys"
        return target if is_keys and len(arguments_of(target)) == 1 else None
    return target if target.type in ("member_expression", "subscript_expression") else None


def _is_own_length(node: Node) -> bool:
    target = _length_of(node)
    return target is not None and target.type != "call_expression"


def _call(node: Node, *, strict: bool, depth: int) -> str:
    function, given = inner(field(node, "function")), arguments_of(node)
    name = text_of(function)
    if len(given) != 1 or any(child.type == "optional_chain" for child in node.children):
        raise UntranslatedError(f"{name[:40]}(...) in a condition", node)
    if name == "Boolean":
        return _truth(given[0], strict=strict, depth=depth + 1)
    if name == "Array.isArray":
        return f"isinstance({_chain(given[0]).value()}, list)"
    if function.type == "member_expression" and given[0].type == "string":
        method = text_of(field(function, "property"))
        optional = any(child.type == "optional_chain" for child in function.children)
        if not optional and method in ("includes", "startsWith", "endsWith"):
            target, text = _chain(field(function, "object")).value(), quoted(string_value(given[0]))
            if method == "includes":
                return f"{text} in ({target} if isinstance({target}, (list, str)) else None)"
            python = "startswith" if method == "startsWith" else "endswith"
            return f"{target}.{python}({text})"
    raise UntranslatedError(f"{name[:40]}(...) in a condition", node)


def _chain(node: Node) -> _Chain:
    """Return the chain of keys that a node is.

    Raises:
        UntranslatedError: It is something else.

    """
    parts: list[tuple[str | int, bool]] = []
    node = inner(node)
    while node.type in ("member_expression", "subscript_expression"):
        optional = any(child.type == "optional_chain" for child in node.children)
        parts.append((_key(node), optional))
        node = inner(field(node, "object"))
    if node.type != "identifier" or text_of(node) != "state":
        raise UntranslatedError("a value that does not begin at state", node)
    parts.reverse()
    text = "state"
    soft = False
    before, dotted, optional = "state", True, False
    for place, (key, given) in enumerate(parts):
        before = text
        # The state itself is always there, so `state?.a` is `state.a`.
        optional = given and place > 0
        last = place == len(parts) - 1
        next_optional = not last and parts[place + 1][1]
        dotted = isinstance(key, str) and _can_be_dotted(key)
        if next_optional and place > 0 and not soft and not optional:
            raise UntranslatedError("a chain with ?. after a part without", node)
        if soft and not optional:
            raise UntranslatedError("a chain with ?. and then a part without", node)
        if (optional or next_optional) and not dotted:
            raise UntranslatedError(f"the key {key!r} with ?.", node)
        soft = soft or optional
        text += f".{key}" if dotted and (last or next_optional or optional) else _subscript(key)
    if not parts:
        return _Chain("", None, None, optional=False)
    return _Chain(before, parts[-1][0], text if dotted else None, optional=optional)


def _key(node: Node) -> str | int:
    if node.type == "member_expression":
        key: str | int = text_of(field(node, "property"))
    else:
        index = inner(field(node, "index"))
        if index.type not in ("string", "number"):
            raise UntranslatedError("a key that is computed, in a condition", node)
        value = string_value(index) if index.type == "string" else number_value(index)
        if isinstance(value, float) or (isinstance(value, int) and value < 0):
            raise UntranslatedError("a key with a point or a sign", node)
        key = value
    if key == "length" or (isinstance(key, str) and key.startswith("__")):
        raise UntranslatedError(f"the key {key} inside a chain", node)
    return key


def _subscript(key: str | int) -> str:
    return f"[{quoted(key)}]" if isinstance(key, str) else f"[{key}]"


def _can_be_dotted(key: str) -> bool:
    plain = key.isascii() and key.isidentifier() and not keyword.iskeyword(key)
    return (
        plain and not key.startswith("_") and not key.endswith("_") and key not in _METHODS_OF_DICT
    )


def _is_undefined(node: Node) -> bool:
    return node.type == "undefined" or (node.type == "identifier" and text_of(node) == "undefined")


def _may_be_number(text: str) -> bool:
    signs = text.strip().lower()
    return signs[:1] in "+-." or signs[:1].isdigit() or signs in ("infinity", "true", "false")
