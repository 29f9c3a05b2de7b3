"""The classes that run a workflow in a debugged child."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from protocol import messages as m
from protocol.report import make_report
from protocol.words import DEBUG_SOURCE
from sandbox_child.bootstrap import RunClasses, load
from sandbox_child.debugger.debugger import JobDebugger, Sources, calls_breakpoint
from sandbox_child.debugger.terminal import TerminalLogs, say
from sandbox_child.language import globals_texts
from sandbox_child.language.breakpoints import BREAKPOINT
from sandbox_child.pipes.channel import EngineGoneError, RunCancelledError
from sandbox_child.running import Runtime, Walk
from sandbox_child.running.operations import PipelineError
from sandbox_child.running.step import JobExecution
from sandbox_child.running.step_output import StepCrashedError

if TYPE_CHECKING:
    from sandbox_child.language import JobScope

_ENGINE_GONE: Final = 3


def load_debugged() -> RunClasses:
    """Import the modules that every job needs, and those of the debugger."""
    load()
    return RunClasses(TerminalLogs, DebuggedRuntime, DebuggedWalk)


class DebuggedRuntime(Runtime):
    """A runtime whose standard streams are a terminal, of which the engine reads nothing."""

    def send_output(self) -> None:
        """Send the log lines of the running step."""
        self.flush()


class DebuggedExecution(JobExecution):
    """Runs a job in the debugger."""

    breakpoints = True
    _debugger: JobDebugger
    _begun_s = 0.0

    def _make_scope(self) -> JobScope:
        scope = super()._make_scope()
        job = self._job
        assert job is not None
        texts = {name: text.lines for name, text in globals_texts.items()}
        texts[job.filename] = job.text.lines
        self._debugger = JobDebugger(
            Sources(
                {name: [f"{line}\n" for line in lines] for name, lines in texts.items()},
                job.filename,
                os.environ.get(DEBUG_SOURCE) or self._step.id,
                tuple(f"{path.rstrip('/')}/" for path in self._runtime.adaptor_directories),
            ),
            self._is_running,
            self._leave,
        )
        lines = frozenset(site.position.line for site in job.operations if site.name == BREAKPOINT)
        scope.globals["__builtins__"][BREAKPOINT] = self._debugger.make_breakpoint(lines)
        return scope

    def _execute(self, state: Any) -> Any:
        assert self._job is not None
        self._begun_s = time.monotonic()
        from_start = not calls_breakpoint(self._job.source) and not calls_breakpoint(
            self._start.workflow.globals or ""
        )
        try:
            with self._debugger.watch(sys._getframe(), from_start=from_start):  # noqa: SLF001 - as in `bdb`
                result = super()._execute(state)
        except (PipelineError, StepCrashedError, RunCancelledError):
            raise
        except BaseException as error:
            self._debugger.post_mortem(error)
            raise
        if not self._debugger.stopped:
            say("the step ended without a stop: it has come to no breakpoint()")
        return result

    def _is_running(self) -> bool:
        pipeline = self._failures.pipeline
        return pipeline is not None and pipeline.current is not None

    def _leave(self, command: str) -> NoReturn:
        """End the step and the run, without another line of the job.

        An exception in the job could be caught by it, and the job would go on unwatched.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert self._job is not None
        line = self._debugger.line
        report = make_report(
            "ExitError",
            f"the step was ended in the debugger ({command})",
            position=None if line is None else self._job.text.position(line, None),
        )
        try:
            try:
                self._failed(report, round((time.monotonic() - self._begun_s) * 1000))
            except StepCrashedError as error:
                self._runtime.flush()
                self._channel.send(m.WorkflowError(error=error.report))
            while True:  # until the engine kills this process
                self._channel.receive_any()
        except (EngineGoneError, BrokenPipeError):
            os._exit(_ENGINE_GONE)


class DebuggedWalk(Walk):
    """A walk whose jobs run in the debugger."""

    execution = DebuggedExecution
