"""The report of a failed job, and the state that the job leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from protocol.report import ErrorReport, OperationRef
from sandbox_child.language import diagnose, undescribed
from sandbox_child.running.step_output import removed_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.plan import Step
    from sandbox_child.language import CompiledJob
    from sandbox_child.running.operations import Pipeline
    from sandbox_child.running.runtime import Runtime
    from sandbox_child.running.step_input import StepInput


class Failures:
    """Reports the failures of one execution of a job."""

    def __init__(self, runtime: Runtime, step: Step) -> None:
        self._runtime = runtime
        self._limits = runtime.start.limits
        self._step = step
        self._told_refusal = False
        self.job: CompiledJob | None = None
        self.pipeline: Pipeline | None = None

    def begin_attempt(self) -> None:
        """Forget what the step, or its last attempt, has tried."""
        self._told_refusal = False
        self.pipeline = None
        if self._runtime.attempts is not None:
            self._runtime.attempts.clear()

    def let_go(self) -> None:
        """Drop the job and its pipeline, after the last attempt."""
        self.job = self.pipeline = None

    def diagnose(self, error: BaseException) -> ErrorReport:
        """Return the report of anything that code of the job or of an adaptor has raised."""
        try:
            return self._described(error)
        except BaseException as second:  # noqa: BLE001 - an error that is made to break its report
            if isinstance(second, MemoryError):
                return self.out_of_memory()
            return undescribed(error, second)

    def in_step(self, report: ErrorReport) -> ErrorReport:
        """Return a report with the step and the operation in it."""
        changes: dict[str, Any] = {"step_id": self._step.id}
        if report.operation is None and self.pipeline is not None:
            changes["operation"] = self.pipeline.current
        return msgspec.structs.replace(report, **changes)

    def out_of_memory(self) -> ErrorReport:
        """Return the report of a step for which the memory does not suffice."""
        from sandbox_child.running.failed_state import out_of_memory

        return out_of_memory(self._limits.memory_bytes, self._step.id)

    def encode_state(
        self, report: ErrorReport, step_input: StepInput | None
    ) -> tuple[bytes, ErrorReport]:
        """Return the state of the failed step, and the report of its failure, which may be another."""
        from sandbox_child.running.failed_state import encode_failed  # most steps do not fail

        sources: list[Callable[[], Any]] = []
        pipeline = self.pipeline
        if pipeline is not None:
            sources.append(lambda: pipeline.state)
        if step_input is not None:
            sources.append(step_input.copy)
        return encode_failed(
            sources,
            self.in_step(report),
            step_id=self._step.id,
            limit=self._limits.state_bytes,
            max_items=self._limits.state_items,
            without=removed_keys(self._step, self._runtime.start),
        )

    def warn_of_refusal(self) -> None:
        """Log refused connections that no error names, because some libraries hide them."""
        attempts = self._runtime.attempts
        if attempts is None or self._told_refusal:
            return
        for target in attempts.unreported():
            self._runtime.logs.add("warning", "runtime", target.advice())

    def _described(self, error: BaseException) -> ErrorReport:
        pipeline, attempts = self.pipeline, self._runtime.attempts
        report = diagnose(
            error,
            job=self.job,
            operation=_Operation(pipeline) if pipeline and pipeline.current else None,
            adaptors=self._runtime.adaptor_directories,
            memory_bytes=self._limits.memory_bytes,
        )
        target = attempts.refused(error, report.message) if attempts is not None else None
        if target is None:
            return self._with_scratch(error, report)
        self._told_refusal = True
        rule = target.rule()
        return msgspec.structs.replace(report, fix=target.advice(), option="net", option_value=rule)

    def _with_scratch(self, error: BaseException, report: ErrorReport) -> ErrorReport:
        """Return a report that says how to get the directory for files that was full or missing."""
        from sandbox_child.running import scratch  # only after an error

        if report.name == "OOMError":
            return msgspec.structs.replace(report, fix=report.fix or scratch.memory_advice())
        advice = scratch.scratch_advice(error)
        if advice is None:
            return report
        return msgspec.structs.replace(report, fix=advice, option="scratch_mb")


class _Operation:
    """The operation that was running, for a diagnosis."""

    def __init__(self, pipeline: Pipeline) -> None:
        current = pipeline.current
        assert isinstance(current, OperationRef)
        self.number = current.number
        self.name = current.name
        self.position = pipeline.position
        self.function = pipeline.function


def as_crash(report: ErrorReport) -> ErrorReport:
    """Return the report of an error before the job began, which cannot have severity fail."""
    if report.severity != "fail":
        return report
    return msgspec.structs.replace(report, severity="crash")
