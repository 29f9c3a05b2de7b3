"""Runs one execution of a job: state in, operations, state out; again if the plan has a retry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

from protocol import messages as m
from protocol.limits import MEGABYTE
from protocol.plan import Step
from protocol.report import ErrorReport, make_report
from protocol.state import StateNotCarriedError
from sandbox_child.facts import FACTS, make_facts_module, set_facts
from sandbox_child.language import (
    OPERATIONS,
    JobScope,
    LanguageError,
    compile_globals,
    compile_job,
)
from sandbox_child.language.facades import TABLE
from sandbox_child.language.guards import JobImportError
from sandbox_child.pipes.channel import RunCancelledError
from sandbox_child.running.assembly import Assembly
from sandbox_child.running.failures import Failures, as_crash
from sandbox_child.running.operations import (
    Pipeline,
    PipelineError,
    choose_execute,
)
from sandbox_child.running.runtime import Runtime
from sandbox_child.running.step_output import (
    StepCrashedError,
    StepResult,
    encode_result,
    fits_event,
    removed_keys,
    wait_to_proceed,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from protocol.words import LogLevel
    from sandbox_child.language import CompiledJob
    from sandbox_child.linker import StepLinks
    from sandbox_child.running.joins import JoinInput
    from sandbox_child.running.sanitize import SanitizeMode
    from sandbox_child.running.step_input import StepInput

_LARGE_BYTES: Final = MEGABYTE


class JobExecution:
    """Runs one job once; if it fails and its plan has a retry, in several attempts.

    Args:
        runtime: The runtime of the run.
        step: The job.
        step_run_id: The name of this execution.
        attempt: The number of the first attempt here; earlier children have made the attempts
            before it.

    """

    breakpoints = False
    """Whether the job may call ``breakpoint``: see `sandbox_child.debugger`."""

    def __init__(
        self, runtime: Runtime, step: Step, step_run_id: str, attempt: int = 1, lost: int = 0
    ) -> None:
        self._runtime = runtime
        self._start = runtime.start
        self._channel = runtime.channel
        self._step = step
        self._step_run_id = step_run_id
        self._attempt = attempt
        self._lost = lost
        self._failures = Failures(runtime, step)
        self._job: CompiledJob | None = None
        self._links: StepLinks | None = None
        self._scope: JobScope | None = None
        self._input: StepInput | None = None
        self._large = False
        self._hints: tuple[bool | None, float | None] = (None, None)
        """The values of ``retryable`` and ``retry_after_s`` from the last exception of an
        adaptor."""

    def run(self, given: bytes | JoinInput) -> StepResult:
        """Run the job on an encoded state, or on those of all branches before a join.

        The caller sends the end event of a result. This method sends the end event of a crash, and
        of an attempt that another one follows.

        Raises:
            StepCrashedError: The workflow cannot go on.

        """
        try:
            return self._run(given)
        except (StepCrashedError, RunCancelledError):
            self._runtime.send_output()  # also of an adaptor that could not be imported
            raise
        finally:
            self._let_go()
            # The scope of the job refers to this object, and waits for the collector. The state and
            # the texts must not wait with it.
            self._input = self._job = self._links = None
            self._failures.let_go()
            self._runtime.let_go()

    def fail(self, given: bytes | JoinInput, report: ErrorReport) -> StepResult:
        """Return the result of a job that died with an earlier child; it does not run.

        Args:
            given: As in `run`.
            report: The reason of the death, with severity ``fail``.

        Raises:
            StepCrashedError: The input cannot be assembled, or is too large with the report in it.

        """
        self._channel.send(m.StepDied(step_id=self._step.id, step_run_id=self._step_run_id))
        configured = "configuration" not in removed_keys(self._step, self._start)
        assembly = Assembly(self._runtime, self._step, self._step_run_id)
        try:
            self._input = assembly.assemble(given, configured=configured)
            return self._failed(report, 0)
        except MemoryError:
            raise StepCrashedError(self._failures.out_of_memory()) from None
        finally:
            self._input = None

    def _run(self, given: bytes | JoinInput) -> StepResult:
        begun = time.monotonic()
        self._set_facts()
        self._channel.send(
            m.InitStart(step_id=self._step.id, step_run_id=self._step_run_id, attempt=self._attempt)
        )
        try:
            self._input = Assembly(self._runtime, self._step, self._step_run_id).assemble(given)
            size = len(given) if isinstance(given, bytes) else given.size
            self._large = size > _LARGE_BYTES
            state = self._copy_input()
        except MemoryError:
            raise StepCrashedError(self._failures.out_of_memory()) from None
        self._failures.begin_attempt()
        self._prepare(self._link)
        self._channel.check_cancelled()
        self._channel.hold(m.InitComplete(duration_ms=_since(begun)))
        while True:
            self._channel.send(m.JobStart())
            self._runtime.open_collections()
            try:
                result = self._try(state)
            finally:
                self._runtime.close_collections()
            if result.error is None or not self._is_retried(result.error):
                return result
            state = None
            self._begin_again(result)

    def _set_facts(self) -> None:
        """Let jobs and adaptors know which attempt runs."""
        start = self._start
        set_facts(start.run_id, self._step.id, self._step_run_id, self._attempt, start.trace)

    def _copy_input(self) -> Any:
        """Return a new copy of the input, for one attempt."""
        assert self._input is not None
        if self._large:
            self._runtime.expect_large_state()
        try:
            state = self._input.copy()
        except ValueError as error:  # deeper than this stack can follow
            report = make_report("StateLoadError", f"the state cannot be read back: {error}")
            raise StepCrashedError(self._failures.in_step(report)) from None
        if self._large:
            self._runtime.hide_from_collector()
        return state

    # --- before the job ---

    def _prepare(self, work: Callable[[], None]) -> None:
        """Do some work that comes before the job; any failure there ends the run."""
        try:
            work()
        except RunCancelledError:
            raise
        except LanguageError as error:
            raise StepCrashedError(self._failures.in_step(error.report)) from None
        except JobImportError as error:
            report = make_report("ImportError", str(error), step_id=self._step.id)
            raise StepCrashedError(report) from None
        except BaseException as error:  # noqa: BLE001 - globals are the author's code as well
            report = self._failures.in_step(self._failures.diagnose(error))
            raise StepCrashedError(as_crash(report)) from None

    def _link(self) -> None:
        """Compile the job, and link its adaptors."""
        step, start = self._step, self._start
        assert step.expression is not None
        unlinked = start.unlinked.get(step.id)
        if unlinked is not None:
            raise JobImportError(unlinked)
        if start.adaptors:  # otherwise a linker is not needed
            self._links = self._runtime.linker.step(start.step_adaptors.get(step.id, ()))
        self._job = self._failures.job = compile_job(
            step.expression,
            step_id=step.id,
            language=start.language,
            adaptor_names=self._adaptor_names(),
            watch=True,
            workflow_globals=start.workflow.globals or "",
            breakpoints=self.breakpoints,
        )
        self._open_scope()

    def _adaptor_names(self) -> frozenset[str]:
        return frozenset(self._links.in_scope if self._links else ())

    def _open_scope(self) -> None:
        """Make the scope of one attempt, and run the globals of the workflow in it."""
        start = self._start
        self._scope = self._make_scope()
        if start.workflow.globals is not None:
            self._channel.check_cancelled()  # to link an adaptor runs its code
            self._scope.execute(
                compile_globals(
                    start.workflow.globals,
                    language=start.language,
                    watch=True,
                    adaptor_names=self._adaptor_names(),
                    breakpoints=self.breakpoints,
                )
            )

    def _make_scope(self) -> JobScope:
        return JobScope(
            step_id=self._step.id,
            language=self._start.language,
            resolve_import=self._resolve_import,
            importable=self._importable,
            in_scope=self._links.in_scope if self._links else {},
            log=self._log,
            show=printer_of(self._start.sanitize),
            warn=self._warn,
        )

    def _resolve_import(self, name: str) -> ModuleType | None:
        module = self._links.resolve_import(name) if self._links else None
        if name == FACTS and not self._start.language:
            return make_facts_module()  # with the language, a facade replaces it
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

    def _try(self, state: Any) -> StepResult:
        """Make one attempt; a *state* of None means a new copy of the input."""
        begun = time.monotonic()
        try:
            if self._scope is None:
                self._prepare(self._open_scope)
                state = self._copy_input()
            result = self._execute(state)
            self._failures.warn_of_refusal()
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
            report = self._failures.diagnose(error)
            self._ask(error, report)
        try:
            self._failures.warn_of_refusal()
            self._runtime.send_output()
        except (ValueError, MemoryError):  # a stream that the job has closed; the failure counts
            pass
        return self._failed(report, _since(begun))

    def _execute(self, state: Any) -> Any:
        assert self._job is not None
        assert self._scope is not None
        scope = self._scope
        scope.execute(self._job.code)
        pipeline = self._failures.pipeline = Pipeline(
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
        return scope.call(pipeline.run, state)

    # --- after the job ---

    def _failed(self, report: ErrorReport, duration_ms: int) -> StepResult:
        """Return the result of a failure; after one that ends the run, send it.

        Raises:
            StepCrashedError: The workflow cannot go on.

        """
        state, report = self._failures.encode_state(report, self._input)
        result = StepResult(state, report, duration_ms)
        if report.severity != "fail":
            fits = len(state) <= self._start.limits.payload_bytes
            self._channel.send(result.end(with_state=fits, ends_run=True))
            raise StepCrashedError(report)
        return result

    def _let_go(self) -> None:
        """Close the scope of an attempt, and drop its state."""
        if self._scope is not None:
            self._scope.close()
            self._scope = None
        if self._failures.pipeline is not None:
            self._failures.pipeline.let_go()

    # --- the next attempt ---

    def _ask(self, error: BaseException, report: ErrorReport) -> None:
        """Keep the hints of an adaptor's exception about the next attempt."""
        self._hints = (None, None)
        if self._step.retry is not None and report.name == "AdaptorError":
            from sandbox_child.running.retrying import hints_of

            self._hints = hints_of(error)

    def _is_retried(self, report: ErrorReport) -> bool:
        if self._step.retry is None:
            return False
        from protocol.retry import is_retried  # most steps have no retry

        retryable = self._hints[0] if report.name == "AdaptorError" else None
        counted = self._attempt - self._lost
        return is_retried(self._step.retry, counted, report.name, "error", retryable)

    def _begin_again(self, result: StepResult) -> None:
        """End an attempt that has failed, and wait for the next one.

        Raises:
            RunCancelledError: The engine wants the run to end.

        """
        self._let_go()
        self._runtime.let_go()
        fits = fits_event(len(result.encoded), self._start)
        self._channel.send(result.end(with_state=fits, retry=True, retry_after_s=self._hints[1]))
        wait_to_proceed(self._channel)
        self._attempt += 1
        self._set_facts()
        self._hints = (None, None)
        self._failures.begin_attempt()


def printer_of(mode: SanitizeMode) -> Callable[[object], object] | None:
    """Return the function that gives ``print`` the form of a value that the policy allows."""
    if mode == "none":
        return None  # as Python prints it
    from sandbox_child.running.sanitize import sanitize

    return lambda value: sanitize(value, mode)


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
