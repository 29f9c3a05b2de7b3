"""Errors that the engine raises: one for each way in which the caller can react."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class EngineError(Exception):
    """The base of all errors that the engine itself raises."""


class EngineClosedError(EngineError):
    """The engine was closed: make a new one."""


class JournalError(EngineError):
    """A journal cannot be used: its file is damaged, locked, of another plan or not a journal."""


class Problem(msgspec.Struct, frozen=True):
    """A problem of a plan, and its place."""

    path: str
    """The JSON path as the author spelled it: ``workflow.steps[2].next.z``."""
    message: str
    step_id: str | None = None
    """The step that the problem is in."""
    line: int | None = None
    """The line in the text at *path*, from 1."""
    column: int | None = None
    """The column in characters, from 1."""
    fix: str | None = None
    """A hint about what to write instead."""

    def __str__(self) -> str:
        """Return the problem as a line for people."""
        where = [] if self.step_id is None else [f"step {self.step_id!r}"]
        where += [] if self.line is None else [f"line {self.line}"]
        where += [] if self.column is None else [f"column {self.column}"]
        place = f" ({', '.join(where)})" if where else ""
        hint = f" ({self.fix})" if self.fix else ""
        return f"{self.path}{place}: {self.message}{hint}"


class PlanError(EngineError, ValueError):
    """A plan cannot be run and must be corrected; no process was started.

    Attributes:
        problems: All problems, in the order of the plan.

    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PlanWarning(UserWarning):
    """A plan has a key that the engine accepts and ignores; the text names the key."""
