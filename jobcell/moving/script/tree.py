"""The syntax tree of JavaScript, as tree-sitter reads it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final, TypeAlias

import tree_sitter
import tree_sitter_javascript

MAX_DEPTH: Final = 80
"""The deepest nesting of expressions and blocks that is translated."""

Node: TypeAlias = tree_sitter.Node

_ESCAPES: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "0": "\0",
    "\n": "",
    "\r\n": "",
    "\r": "",
    "\u2028": "",
    "\u2029": "",
}


class UntranslatedError(Exception):
    """A piece of JavaScript has no translation that is certain.

    Attributes:
        line: The line in the script, from 1.

    """

    def __init__(self, reason: str, node: Node) -> None:
        super().__init__(reason)
        self.line: int = line_of(node)


@functools.cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_javascript.language()))


def parse(script: str) -> Node:
    """Return the root of the tree of a script.

    Raises:
        UntranslatedError: The script is not JavaScript.

    """
    root = _parser().parse(script.encode("utf-8", "surrogatepass")).root_node
    if root.has_error:
        wrong = next(node for node in walk(root) if node.is_error or node.is_missing)
        raise UntranslatedError("the text is not JavaScript from here on", wrong)
    return root


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it, in the order of the text."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += reversed(found.children)


def line_of(node: Node) -> int:
    """Return the line of a node, from 1."""
    return int(node.start_point[0]) + 1


def text_of(node: Node) -> str:
    """Return the text of a node."""
    return (node.text or b"").decode("utf-8", "surrogatepass")


def named(node: Node) -> list[Node]:
    """Return the parts of a node, without punctuation and comments."""
    return [child for child in node.named_children if child.type not in ("comment", "html_comment")]


def field(node: Node, name: str) -> Node:
    """Return the part of a node that must be there."""
    found = node.child_by_field_name(name)
    if found is None:
        raise UntranslatedError(f"{node.type} without {name}", node)
    return found


def inner(node: Node) -> Node:
    """Return the expression in brackets around an expression, or the node itself."""
    while node.type == "parenthesized_expression":
        node = named(node)[0]
    return node


def arguments_of(call: Node) -> list[Node]:
    """Return the arguments of a call."""
    given = field(call, "arguments")
    if given.type != "arguments":
        raise UntranslatedError("a tagged template", call)
    return [inner(argument) for argument in named(given)]


def string_value(node: Node) -> str:
    """Return the value of a text between quotes, or of the texts of a template."""
    return fragments_value(
        [
            child
            for child in node.named_children
            if child.type in ("string_fragment", "escape_sequence")
        ]
    )


def fragments_value(nodes: list[Node]) -> str:
    """Return the value of pieces of text and escapes."""
    pieces = (
        _escaped(node)
        if node.type == "escape_sequence"
        else text_of(node).replace("\r\n", "\n").replace("\r", "\n")
        for node in nodes
    )
    return join_pairs("".join(pieces))


def join_pairs(value: str) -> str:
    """Return a text in which two halves of a character are one."""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _escaped(node: Node) -> str:
    escape = text_of(node)[1:]
    if escape[0] in "ux":
        digits = escape[1:].strip("{}")
        return chr(int(digits, 16))
    if escape[0].isdigit() and escape != "0":
        raise UntranslatedError("an octal escape in a text", node)
    return _ESCAPES.get(escape, escape)


def number_value(node: Node) -> int | float:
    """Return the value of a number."""
    digits = text_of(node).replace("_", "")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    if digits.endswith("n") or octal:
        raise UntranslatedError(f"the number {digits}", node)
    value: int | float = (
        int(digits, 0) if digits[:2].lower() in ("0x", "0o", "0b") else float(digits)
    )
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if value == float("inf") or (isinstance(value, int) and value >= 2**53):
        raise UntranslatedError(f"the number {digits} is too large", node)
    return value


def parameters_of(function: Node) -> list[Node]:
    """Return the parameters of a function.

    Raises:
        UntranslatedError: One has a default, or takes all other arguments.

    """
    single = function.child_by_field_name("parameter")
    if single is not None:
        return [single]
    found = named(field(function, "parameters"))
    for parameter in found:
        if parameter.type not in ("identifier", "object_pattern", "array_pattern"):
            raise UntranslatedError(
                f"a parameter with {parameter.type.replace('_', ' ')}", parameter
            )
    return found
