"""The job language in the debugger: the only difference is that a job may call ``breakpoint``."""

# ruff: noqa: N802 - the method bears the name that ast gives to the node

from __future__ import annotations

import ast
from typing import Final

from sandbox_child.language.rules import LanguageRules

BREAKPOINT: Final = "breakpoint"


class BreakpointRules(LanguageRules):
    """The rules for a step that `jobcell run --debug` runs."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Allow the name, which the scope of a debugged job has among its built-ins."""
        if node.id == BREAKPOINT and isinstance(node.ctx, ast.Load):
            return node
        return super().visit_Name(node)
