"""Where an expression is, as far as its translation depends on that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobcell.moving.script.scope import Scope

Write = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where an expression is.

    Attributes:
        scope: The names that are known.
        write: Writes a line of Python before the statement; None where no line can be written.
        lazy: Whether `$` means the state here.
        depth: How many expressions are around this one.

    """

    scope: Scope
    write: Write | None = None
    lazy: bool = False
    depth: int = 0

    def inside(self, scope: Scope | None = None) -> Place:
        """Return a place for an expression with names of its own, before which no line can be."""
        return Place(scope or self.scope.below("inner"), None, self.lazy, self.depth)
