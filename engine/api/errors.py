"""Errors that the engine raises to its caller: one for each thing the caller can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class EngineError(Exception):
    """Everything that the engine raises on its own account."""


class EngineClosedError(EngineError):
    """The engine was closed: make a new one."""


class JournalError(EngineError):
    """A journal cannot be used: its file is damaged, locked, of another plan or not a journal."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a plan, and where it is."""

    path: str
    """The JSON path as the author spelled it: ``workflow.steps[2].next.z``."""
    message: str
    step_id: str | None = None
    """The step whose text or adaptor is meant."""
    line: int | None = None
    """In the text at *path*, from 1."""
    column: int | None = None
    """In characters, from 1."""
    fix: str | None = None
    """A hint what to write instead."""

    def __str__(self) -> str:
        """Return the line that a person reads."""
        where = [] if self.step_id is None else [f"step {self.step_id!r}"]
        where += [] if self.line is None else [f"line {self.line}"]
        where += [] if self.column is None else [f"column {self.column}"]
        place = f" ({', '.join(where)})" if where else ""
        hint = f" ({self.fix})" if self.fix else ""
        return f"{self.path}{place}: {self.message}{hint}"


class PlanError(EngineError, ValueError):
    """A plan cannot be run; no process was started: correct it.

    Attributes:
        problems: Everything that is wrong with it, in the order of the plan.

    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PlanWarning(UserWarning):
    """A plan has a key that the engine accepts and ignores; the text names the key."""
