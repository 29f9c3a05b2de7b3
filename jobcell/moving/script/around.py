"""The lines that a translation writes, and what is around a statement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import field as attribute

from jobcell.moving.script.place import Place
from jobcell.moving.script.scope import Scope


@dataclass
class Writer:
    """Lines of Python, with their indent."""

    level: int = 0
    lines: list[str] = attribute(default_factory=list)

    def write(self, text: str) -> None:
        """Add a line, or several lines."""
        self.lines += [f"{'    ' * self.level}{line}" if line else "" for line in text.split("\n")]

    def deeper(self) -> Writer:
        """Return a writer of the same lines, one level deeper."""
        return Writer(self.level + 1, self.lines)


@dataclass(frozen=True)
class Around:
    """What is around a statement.

    Attributes:
        scope: The names that are known.
        writer: Where its Python goes.
        operation: Whether the function is an operation, whose value is the next state.
        loop: Whether it is in a loop, whose variables a function must not capture.
        depth: How many blocks are around it.

    """

    scope: Scope
    writer: Writer
    operation: bool = False
    loop: bool = False
    depth: int = 0

    @property
    def place(self) -> Place:
        """The place of an expression of the statement."""
        return Place(self.scope, None if self.loop else self.writer.write, depth=self.depth)

    def block(self, *, loop: bool = False) -> Around:
        """Return what is around the statements of a block."""
        return replace(
            self,
            scope=self.scope.below("block"),
            writer=self.writer.deeper(),
            loop=self.loop or loop,
            depth=self.depth + 1,
        )
