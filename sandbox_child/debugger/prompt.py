"""Expressions and statements that an author types at the prompt.

They are plain Python with the names of the frame, and ``state.data.x`` means what it means in a job.
"""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING, Any, Final, Literal

from sandbox_child.language.text import StateChains

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, FrameType

_FILENAME: Final = "<prompt>"


def compiled(text: str, mode: Literal["eval", "single"]) -> CodeType:
    """Return the code of a text.

    Raises:
        SyntaxError: It is not Python.

    """
    tree = StateChains().visit(ast.parse(text + "\n", _FILENAME, mode))
    return compile(ast.fix_missing_locations(tree), _FILENAME, mode)


def names_of(frame: FrameType, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names at a frame as globals; a lambda or a comprehension finds all of them there.

    Args:
        frame: The frame.
        own: Its local variables.

    """
    known = {**frame.f_builtins, **vars(builtins)}
    return {**frame.f_globals, **own, "__builtins__": known}


class _Plain(ast.NodeTransformer):
    """Makes the calls of a tree plain: `ast.unparse` knows no class that is derived from them."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Call):
            return ast.Call(node.func, node.args, node.keywords)
        return node


class Condition(str):
    """The condition of a breakpoint: rewritten for ``eval``, and shown as the author wrote it."""

    __slots__ = ("written",)

    written: str

    @classmethod
    def of(cls, text: str) -> Condition | str:
        """Return the condition in *text*; a text that is not Python stays as it is."""
        try:
            tree = StateChains().visit(ast.parse(text.strip(), _FILENAME, "eval"))
        except SyntaxError:
            return text
        condition = cls(ast.unparse(_Plain().visit(tree)))
        condition.written = text
        return condition

    def __str__(self) -> str:
        return self.written
