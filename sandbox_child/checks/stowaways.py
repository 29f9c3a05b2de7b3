"""Finds functions that a job puts into the state, where the text alone shows it.

Such a step fails when the operation has returned.  The text does not show whether a later line takes the function
out again, so a finding is only likely.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from sandbox_child.checks.verbs import Wrong
from sandbox_child.language.text import STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def kept_functions(tree: ast.Module) -> list[Wrong]:
    """Return the functions that become values of the state, in the order of the text."""
    defined = {node.name for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)}
    found = [
        Wrong(
            value,
            "StateError",
            f"a function is put into the state ({place})",
            "a state holds data only: define the function at the top of the job, and call it by its name",
        )
        for place, value in _put(tree)
        if isinstance(value, ast.Lambda) or (isinstance(value, ast.Name) and value.id in defined)
    ]
    return sorted(found, key=lambda wrong: (wrong.node.lineno, wrong.node.col_offset))  # type: ignore[attr-defined]  # both kinds of node have them


def _put(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the values that the text puts below the name `state`, each with its place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if _is_below_state(target):
                    yield ast.unparse(target)[:60], node.value
        elif isinstance(node, ast.Dict):
            spread = any(
                key is None and _is_state(value)
                for key, value in zip(node.keys, node.values, strict=True)
            )
            pairs = zip(node.keys, node.values, strict=True) if spread else ()
            for key, value in pairs:
                if isinstance(key, ast.Constant):
                    yield f"{STATE}[{key.value!r}]", value


def _is_below_state(target: ast.expr) -> bool:
    inner = target
    while isinstance(inner, ast.Attribute | ast.Subscript):
        inner = inner.value
    return inner is not target and _is_state(inner)


def _is_state(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == STATE
