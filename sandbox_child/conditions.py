"""Whether an edge is taken."""

from __future__ import annotations

from typing import Any

from protocol.plan import Edge, Workflow
from protocol.report import ErrorReport, make_report
from protocol.state import decode_state
from sandbox_child.language import CompiledCondition, LanguageError, compile_condition
from sandbox_child.language.scope import condition_scope

ALWAYS = frozenset({"always"})
NEVER = frozenset({"never"})
ON_SUCCESS = frozenset({"on_job_success", "on_upstream_success"})
ON_FAILURE = frozenset({"on_job_failure", "on_job_fail", "on_upstream_fail"})
NAMED = ALWAYS | NEVER | ON_SUCCESS | ON_FAILURE


class ConditionError(Exception):
    """A condition does not compile, or has raised."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message)
        self.report = report


class Conditions:
    """Every condition of a workflow, compiled before the first job starts.

    Raises:
        ConditionError: One of them does not compile.

    """

    def __init__(self, workflow: Workflow, *, language: bool) -> None:
        self._language = language
        self._compiled: dict[str, CompiledCondition] = {}
        for step in workflow.steps:
            for target, edge in step.next.items():
                condition = edge.condition
                if isinstance(condition, str) and condition not in NAMED and not edge.disabled:
                    self._compile(step.id, target, condition)

    def decide(self, step_id: str, target: str, edge: Edge, upstream: Upstream) -> bool:
        """Return whether the edge is taken.

        Raises:
            ConditionError: The condition has raised.

        """
        condition = edge.condition
        if edge.disabled:
            return False
        if isinstance(condition, bool):
            return condition
        if condition in NAMED:
            if condition in ALWAYS | NEVER:
                return condition in ALWAYS
            return upstream.failed is (condition in ON_FAILURE)
        compiled = self._compiled[condition]
        try:
            # A condition sees a copy: it cannot change what the next step gets.
            scope = condition_scope(self._language)
            scope["state"] = upstream.shared() if compiled.pure else upstream.copy()
            scope["upstream_step_id"] = step_id
            return bool(eval(compiled.code, scope))  # noqa: S307 - compiled by our policy
        except Exception as error:  # noqa: BLE001 - an author's expression may raise anything
            raise ConditionError(
                make_report(
                    "EdgeConditionError",
                    f"the condition {condition!r} of the edge {step_id!r} -> {target!r} raised"
                    f" {type(error).__name__}: {_text(error)}",
                    step_id=step_id,
                    subtype=type(error).__name__,
                )
            ) from None

    def _compile(self, step_id: str, target: str, condition: str) -> None:
        if condition in self._compiled:
            return
        try:
            self._compiled[condition] = compile_condition(condition, language=self._language)
        except LanguageError as error:
            raise ConditionError(
                make_report(
                    "EdgeConditionError",
                    f"the condition {condition!r} of the edge {step_id!r} -> {target!r} cannot be"
                    f" used: {error.report.message}",
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
        """Return a state that a condition may change as it likes."""
        return decode_state(self._encoded)

    def shared(self) -> Any:
        """Return the state for conditions that cannot change it: one copy for all of them."""
        if not self._decoded:
            self._shared, self._decoded = self.copy(), True
        return self._shared


def _text(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text[:500] if type(text) is str else f"{text!r:.500}"
