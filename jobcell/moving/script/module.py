"""The names that a script declares at its top."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from jobcell.moving.script.tree import Node, field, inner, named, walk

FUNCTIONS: Final = ("arrow_function", "function_expression", "function_declaration")


def names_of_module(statements: Iterable[Node]) -> list[tuple[Node, int | None]]:
    """Return the names that a script declares at its top, each with its number of parameters."""
    found: list[tuple[Node, int | None]] = []
    for statement in statements:
        if statement.type == "function_declaration":
            found.append((field(statement, "name"), _count(statement)))
        elif statement.type in ("lexical_declaration", "variable_declaration"):
            for declarator in named(statement):
                value = declarator.child_by_field_name("value")
                function = inner(value) if value is not None else None
                is_function = function is not None and function.type in FUNCTIONS
                count = _count(function) if function is not None and is_function else None
                found += [(name, count) for name in pattern_names(field(declarator, "name"))]
    return found


def _count(function: Node) -> int:
    single = function.child_by_field_name("parameter")
    return 1 if single is not None else len(named(field(function, "parameters")))


def pattern_names(pattern: Node) -> list[Node]:
    """Return the names that a pattern of `const { a, b: c } = x` binds."""
    if pattern.type in ("identifier", "shorthand_property_identifier_pattern"):
        return [pattern]
    inside = ("pair_pattern", "rest_pattern", "array_pattern")
    return [
        node
        for node in walk(pattern)
        if node.type == "shorthand_property_identifier_pattern"
        or (node.type == "identifier" and node.parent is not None and node.parent.type in inside)
    ]
