"""An execution of a job: state in, operations, state out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.limits import MEGABYTE
from protocol.plan import Step
from protocol.report import ErrorReport, OperationRef, make_report
from protocol.state import NIL, StateNotCarriedError, copy_state
from sandbox_child.language import (
    OPERATIONS,
    JobScope,
    LanguageError,
    compile_globals,
    compile_job,
    diagnose,
    undescribed,
)
from sandbox_child.language.facades import TABLE
from sandbox_child.language.guards import JobImportError
from sandbox_child.pipes.channel import RunCancelledError
from sandbox_child.running.operations import (
    Pipeline,
    PipelineError,
    choose_execute,
)
from sandbox_child.running.runtime import Runtime
from sandbox_child.running.step_input import StepInput
from sandbox_child.running.step_output import StepCrashedError, encode_result, removed_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from protocol.words import LogLevel
    from sandbox_child.language import CompiledJob
    from sandbox_child.linker import StepLinks
    from sandbox_child.running.joins import JoinInput
    from sandbox_child.running.sanitize import SanitizeMode

_LARGE_BYTES: Final = MEGABYTE


class StepResult(msgspec.Struct, frozen=True):
    """The outcome of a step."""

    encoded: bytes
    """The encoded state; nil if the step returned None."""
    error: ErrorReport | None = None
    duration_ms: int = 0

    @property
    def nothing(self) -> bool:
        """Whether the step returned None."""
        return self.encoded == NIL


class JobExecution:
    """Runs a job once."""

    def __init__(self, runtime: Runtime, step: Step, step_run_id: str) -> None:
        self._runtime = runtime
        self._start = runtime.start
        self._channel = runtime.channel
        self._step = step
        self._step_run_id = step_run_id
        self._job: CompiledJob | None = None
        self._links: StepLinks | None = None
        self._scope: JobScope | None = None
        self._pipeline: Pipeline | None = None
        self._input: StepInput | None = None
        self._told_refusal = False

    def run(self, given: bytes | JoinInput) -> StepResult:
        """Run the job on an encoded state, or on those of all branches before a join.

        The caller sends the end event of a result. This method itself sends the end event of a
        crash.

        Raises:
            StepCrashedError: The workflow cannot go on.

        """
        try:
            return self._run(given)
        except (StepCrashedError, RunCancelledError):
            self._runtime.send_output()  # also of an adaptor that could not be imported
            raise
        finally:
            if self._scope is not None:
                self._scope.close()
            if self._pipeline is not None:
                self._pipeline.state = None
            # This object is in a cycle with the scope of the job, but the state must not wait for
            # the collector.
            self._input = None
            self._runtime.let_go()

    def _run(self, given: bytes | JoinInput) -> StepResult:
        begun = time.monotonic()
        self._channel.send(m.InitStart(step_id=self._step.id, step_run_id=self._step_run_id))
        try:
            state = self._assemble(given)
        except MemoryError:
            raise StepCrashedError(self._out_of_memory()) from None
        if self._runtime.attempts is not None:
            self._runtime.attempts.clear()
        self._link()
        self._channel.check_cancelled()
        self._channel.hold(m.InitComplete(duration_ms=_since(begun)))
        self._channel.send(m.JobStart())
        begun = time.monotonic()
        try:
            result = self._execute(state)
            self._warn_of_refusal()
            self._runtime.send_output()
            return StepResult(
                encode_result(result, self._step, self._start), duration_ms=_since(begun)
            )
        except StateNotCarriedError as error:
            report = make_report(
                "StateError",
                str(error),
                step_id=self._step.id,
                fix=error.fix
                or "return plain values: dict, list, str, numbers, bytes, dates, None",
            )
        except (PipelineError, StepCrashedError, RunCancelledError) as error:
            report = error.report
        except BaseException as error:  # noqa: BLE001 - a job may raise anything
            report = self._diagnose(error)
        try:
            self._warn_of_refusal()
            self._runtime.send_output()
        except (ValueError, MemoryError):  # a stream that the job has closed; the failure counts
            pass
        return self._failed(report, _since(begun))

    # --- before the job ---

    def _assemble(self, given: bytes | JoinInput) -> Any:
        """Assemble the input of the step from its default state and the state before it."""
        step, credentials = self._step, self._start.workflow.credentials
        default = self._given(step.state, m.LoadState)
        if (
            isinstance(step.state, str)
            and default is not None
            and not isinstance(copied := copy_state(default), dict)
        ):
            report = make_report(
                "StateLoadError",
                f"cannot load the state {step.state!r} of step {step.id!r}: the resolver returned"
                f" {type(copied).__name__}, the default state of a step must be a dict",
                step_id=step.id,
            )
            raise StepCrashedError(report)
        self._input = StepInput(
            given,
            default=default,
            configuration=self._given(step.configuration, m.LoadCredential),
            shared=self._given(credentials, m.LoadCredential),
        )
        large = (len(given) if isinstance(given, bytes) else given.size) > _LARGE_BYTES
        if large:
            self._runtime.expect_large_state()
        try:
            state = self._input.copy()
        except ValueError as error:  # deeper than this stack can follow
            report = make_report("StateLoadError", f"the state cannot be read back: {error}")
            raise StepCrashedError(self._in_step(report)) from None
        if large:
            self._runtime.hide_from_collector()
        return state

    def _given(
        self, value: Any, load: type[m.LoadCredential | m.LoadState]
    ) -> bytes | msgspec.Raw | None:
        """Return a value of the plan, encoded, or load the value that an id in its place names."""
        if isinstance(value, str):
            return self._load(load, value)
        return self._runtime.values.encoded(value)

    def _load(self, kind: type[m.LoadCredential | m.LoadState], value_id: str) -> msgspec.Raw:
        self._channel.send(kind(step_id=self._step.id, step_run_id=self._step_run_id, id=value_id))
        answer = self._channel.receive_any()
        if isinstance(answer, m.Loaded):
            self._channel.check_cancelled()  # the answer may have taken long
            return answer.value
        if isinstance(answer, m.LoadFailed):
            raise StepCrashedError(answer.error)
        self._channel.check_cancelled()
        raise RemoteProtocolError(f"engine sent {type(answer).__name__} where a value was due")

    def _link(self) -> None:
        """Compile the job, and link its adaptors."""
        step, start = self._step, self._start
        assert step.expression is not None
        try:
            unlinked = start.unlinked.get(step.id)
            if unlinked is not None:
                raise JobImportError(unlinked)
            if start.adaptors:  # otherwise a linker is not needed
                self._links = self._runtime.linker.step(start.step_adaptors.get(step.id, ()))
            in_scope = self._links.in_scope if self._links else {}
            self._job = compile_job(
                step.expression,
                step_id=step.id,
                language=start.language,
                adaptor_names=frozenset(in_scope),
                watch=True,
                workflow_globals=start.workflow.globals or "",
            )
            self._scope = JobScope(
                step_id=step.id,
                language=start.language,
                resolve_import=self._resolve_import,
                importable=self._importable,
                in_scope=in_scope,
                log=self._log,
                show=printer_of(start.sanitize),
                warn=self._warn,
            )
            if start.workflow.globals is not None:
                self._channel.check_cancelled()  # to link an adaptor runs its code
                self._scope.execute(
                    compile_globals(start.workflow.globals, language=start.language, watch=True)
                )
        except RunCancelledError:
            raise
        except LanguageError as error:
            raise StepCrashedError(self._in_step(error.report)) from None
        except JobImportError as error:
            report = make_report("ImportError", str(error), step_id=step.id)
            raise StepCrashedError(report) from None
        except BaseException as error:  # noqa: BLE001 - globals are the author's code as well
            report = self._in_step(self._diagnose(error))
            raise StepCrashedError(as_crash(report)) from None

    def _resolve_import(self, name: str) -> ModuleType | None:
        module = self._links.resolve_import(name) if self._links else None
        broken = self._start.repo_error
        if module is None and broken is not None and name.partition(".")[0] not in TABLE:
            raise JobImportError(f"cannot import {name!r}: the repo cannot be read: {broken}")
        return module

    def _importable(self) -> list[str]:
        return self._links.importable() if self._links else []

    def _log(self, level: str, text: str) -> None:
        self._runtime.logs.add(cast("LogLevel", level), "job", text)

    def _warn(self, text: str) -> None:
        self._runtime.logs.add("warning", "runtime", text)

    # --- the job ---

    def _execute(self, state: Any) -> Any:
        assert self._job is not None
        assert self._scope is not None
        scope = self._scope
        scope.execute(self._job.code)
        self._pipeline = Pipeline(
            self._job,
            scope.globals[OPERATIONS],
            execute=choose_execute(
                (scope.globals.get("execute"), self._links.execute if self._links else None)
            ),
            warn=self._warn,
            channel=self._channel,
            get_loop=self._runtime.get_loop,
            names=scope.globals,
        )
        return scope.call(self._pipeline.run, state)

    # --- after the job ---

    def _failed(self, report: ErrorReport, duration_ms: int) -> StepResult:
        from sandbox_child.running.failed_state import encode_failed  # most steps do not fail

        limits = self._start.limits
        sources: list[Callable[[], Any]] = []
        pipeline = self._pipeline
        if pipeline is not None:
            sources.append(lambda: pipeline.state)
        if self._input is not None:
            sources.append(self._input.copy)
        state, report = encode_failed(
            sources,
            self._in_step(report),
            step_id=self._step.id,
            limit=limits.state_bytes,
            max_items=limits.state_items,
            without=removed_keys(self._step, self._start),
        )
        if report.severity != "fail":
            self._channel.send(
                m.JobError(
                    error=report,
                    state=memoryview(state) if len(state) <= limits.payload_bytes else None,
                    state_bytes=len(state),
                    next=(),
                    duration_ms=duration_ms,
                )
            )
            raise StepCrashedError(report)
        return StepResult(state, report, duration_ms)

    def _diagnose(self, error: BaseException) -> ErrorReport:
        try:
            return self._described(error)
        except BaseException as second:  # noqa: BLE001 - an error that is made to break its report
            if isinstance(second, MemoryError):
                return self._out_of_memory()
            return undescribed(error, second)

    def _described(self, error: BaseException) -> ErrorReport:
        pipeline, attempts = self._pipeline, self._runtime.attempts
        report = diagnose(
            error,
            job=self._job,
            operation=_Operation(pipeline) if pipeline and pipeline.current else None,
            adaptors=self._runtime.adaptor_directories,
            memory_bytes=self._start.limits.memory_bytes,
        )
        target = attempts.refused(error, report.message) if attempts is not None else None
        if target is None:
            return report
        self._told_refusal = True
        rule = target.rule()
        return msgspec.structs.replace(report, fix=target.advice(), option="net", option_value=rule)

    def _warn_of_refusal(self) -> None:
        """Log refused connections that no error names, because some libraries hide them."""
        attempts = self._runtime.attempts
        if attempts is None or self._told_refusal:
            return
        for target in attempts.unreported():
            self._runtime.logs.add("warning", "runtime", target.advice())

    def _out_of_memory(self) -> ErrorReport:
        from sandbox_child.running.failed_state import out_of_memory

        return out_of_memory(self._start.limits.memory_bytes, self._step.id)

    def _in_step(self, report: ErrorReport) -> ErrorReport:
        changes: dict[str, Any] = {"step_id": self._step.id}
        if report.operation is None and self._pipeline is not None:
            changes["operation"] = self._pipeline.current
        return msgspec.structs.replace(report, **changes)


class _Operation:
    """The operation that was running, for a diagnosis."""

    def __init__(self, pipeline: Pipeline) -> None:
        current = pipeline.current
        assert isinstance(current, OperationRef)
        self.number = current.number
        self.name = current.name
        self.position = pipeline.position
        self.function = pipeline.function


def printer_of(mode: SanitizeMode) -> Callable[[object], object] | None:
    """Return the function that gives ``print`` the form of a value that the policy allows."""
    if mode == "none":
        return None  # as Python prints it
    from sandbox_child.running.sanitize import sanitize

    return lambda value: sanitize(value, mode)


def as_crash(report: ErrorReport) -> ErrorReport:
    """Return the report of an error before the job began, which cannot have severity fail."""
    if report.severity != "fail":
        return report
    return msgspec.structs.replace(report, severity="crash")


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
