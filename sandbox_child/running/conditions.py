"""Decides whether an edge is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.plan import Edge, Workflow
from protocol.report import ErrorReport, make_report
from protocol.state import copy_state
from protocol.words import ALWAYS, NAMED_CONDITIONS, NEVER, ON_FAILURE
from sandbox_child.language import (
    CompiledCondition,
    LanguageError,
    compile_condition,
    condition_scope,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_CONDITION_CHARS = 300


class ConditionError(Exception):
    """A condition does not compile, or has raised an error."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message)
        self.report = report


class Conditions:
    """Every condition of a workflow, compiled before the first job starts.

    Args:
        workflow: The workflow with the edges.
        language: False switches the language wall off.
        warn: Takes a line for the log if a comparison was False because a key is missing.

    Raises:
        ConditionError: A condition does not compile.

    """

    def __init__(
        self, workflow: Workflow, *, language: bool, warn: Callable[[str], object]
    ) -> None:
        self._language = language
        self._warn = warn
        self._compiled: dict[str, CompiledCondition] = {}
        for step in workflow.steps:
            for target, edge in step.next.items():
                condition = edge.condition
                if isinstance(condition, str) and not edge.disabled:
                    if condition in NAMED_CONDITIONS:
                        continue
                    self._compile(step.id, target, condition)

    def decide(self, step_id: str, target: str, edge: Edge, upstream: Upstream) -> bool:
        """Return whether the edge is taken.

        Raises:
            ConditionError: The condition has raised an error.

        """
        condition = edge.condition
        if edge.disabled:
            return False
        if isinstance(condition, bool):
            return condition
        if condition in NAMED_CONDITIONS:
            if condition in ALWAYS | NEVER:
                return condition in ALWAYS
            return upstream.failed is (condition in ON_FAILURE)
        return self._evaluate(self._compiled[condition], step_id, target, upstream)

    def _evaluate(
        self, compiled: CompiledCondition, step_id: str, target: str, upstream: Upstream
    ) -> bool:
        from sandbox_child.language.text.missing import MissingKeys  # many runs have no condition

        missing = MissingKeys()
        try:
            # A condition sees a copy, so that it cannot change the input of the next step.
            scope = condition_scope(self._language, missing)
            scope["state"] = upstream.shared() if compiled.pure else upstream.copy()
            scope["upstream_step_id"] = step_id
            taken = bool(eval(compiled.code, scope))  # noqa: S307 - compiled by our policy
        except MemoryError:
            raise  # the run has met its limit; the condition may be right
        except Exception as error:  # noqa: BLE001 - an author's expression may raise anything
            from sandbox_child.language.condition_errors import describe

            message, position, fix = describe(error, compiled, missing)
            raise ConditionError(
                make_report(
                    "EdgeConditionError",
                    f"the condition {_shown(compiled.text.text)} of the edge {step_id!r} -> {target!r}"
                    f" raised {message}",
                    step_id=step_id,
                    subtype=type(error).__name__,
                    position=position,
                    fix=fix,
                )
            ) from None
        if missing.compared:
            for sentence in missing.warnings(compiled.text):
                self._warn(f"the condition of the edge {step_id!r} -> {target!r}: {sentence}")
        return taken

    def _compile(self, step_id: str, target: str, condition: str) -> None:
        if condition in self._compiled:
            return
        try:
            self._compiled[condition] = compile_condition(condition, language=self._language)
        except LanguageError as error:
            raise ConditionError(
                make_report(
                    "EdgeConditionError",
                    f"the condition {_shown(condition)} of the edge {step_id!r} -> {target!r} cannot"
                    f" be used: {error.report.message}",
                    step_id=step_id,
                    position=error.report.position,
                    fix=error.report.fix,
                )
            ) from None


class Upstream:
    """The step whose edges are being decided: how it ended, and its state."""

    def __init__(self, encoded: bytes, *, failed: bool) -> None:
        self.failed = failed
        self._encoded = encoded
        self._shared: Any = None
        self._decoded = False

    def copy(self) -> Any:
        """Return a state that a condition may change."""
        return copy_state(self._encoded)

    def shared(self) -> Any:
        """Return the state for conditions that cannot change it; they share one copy."""
        if not self._decoded:
            self._shared, self._decoded = self.copy(), True
        return self._shared


def _shown(condition: str) -> str:
    if len(condition) <= _MAX_CONDITION_CHARS:
        return repr(condition)
    return f"{condition[:_MAX_CONDITION_CHARS]!r}..."
