"""Violations of the job language, and the report that lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.report import ErrorReport, make_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.report import Position

_MAX_LISTED = 50
_MAX_MESSAGE_CHARS = 500


class LanguageError(Exception):
    """A text is not a job, a condition or a set of globals; :attr:`report` says why."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message)
        self.report = report


class Violation:
    """A place where a text breaks the rules of the job language."""

    __slots__ = ("fix", "message", "position", "security")

    def __init__(
        self, position: Position | None, message: str, fix: str | None, security: bool
    ) -> None:
        self.position = position
        self.message = message[:_MAX_MESSAGE_CHARS]
        self.fix = fix[:_MAX_MESSAGE_CHARS] if fix else fix
        self.security = security

    @property
    def order(self) -> tuple[int, int]:
        """The place of the violation in a list in the order of the source."""
        if self.position is None:
            return (0, 0)
        return (self.position.line, self.position.column or 0)

    def __str__(self) -> str:
        if self.position is None:
            return self.message
        column = self.position.column
        where = f"line {self.position.line}" + (f", column {column}" if column else "")
        return f"{where}: {self.message}"

    def as_data(self) -> dict[str, object]:
        """Return the violation as plain data for a report."""
        position = self.position
        return {
            "line": position.line if position else None,
            "column": position.column if position else None,
            "end_line": position.end_line if position else None,
            "end_column": position.end_column if position else None,
            "message": self.message,
            "fix": self.fix,
        }


def violations_error(violations: Sequence[Violation], *, step_id: str | None) -> LanguageError:
    """Return the error that lists *violations*, in the order of the source.

    If any violation looks like an attempt to get out, the report is a ``SecurityError``; otherwise
    it is a ``CompileError``.
    """
    ordered = sorted(violations, key=lambda violation: violation.order)
    listed = [str(violation) for violation in ordered[:_MAX_LISTED]]
    if len(ordered) > _MAX_LISTED:
        listed.append(f"and {len(ordered) - _MAX_LISTED} more")
    return LanguageError(
        make_report(
            "SecurityError" if any(v.security for v in ordered) else "CompileError",
            "\n".join(listed),
            step_id=step_id,
            position=ordered[0].position,
            details=[violation.as_data() for violation in ordered[:_MAX_LISTED]],
            fix=ordered[0].fix,
        )
    )
