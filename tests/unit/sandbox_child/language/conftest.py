"""Fixtures for tests of the job language: they run a job as a step does, without a step."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox_child.language.compiler import (
    OPERATIONS,
    CompiledJob,
    LanguageError,
    OperationSite,
    compile_job,
)
from sandbox_child.language.diagnosis import diagnose
from sandbox_child.language.scope import JobScope


def fn(function: Any) -> Any:
    """The operation of an adaptor: wraps a function of state."""

    def operation(state: Any) -> Any:
        return function(state)

    return operation


def put(key: Any, value: Any) -> Any:
    """An operation whose arguments may wait for the state."""

    def operation(state: Any) -> Any:
        told = value(state) if callable(value) else value
        return {**state, key(state) if callable(key) else key: told}

    return operation


@dataclass
class Ran:
    """The outcome of a job."""

    job: CompiledJob
    scope: JobScope
    logged: list[tuple[str, str]] = field(default_factory=list)
    state: Any = None
    error: BaseException | None = None
    operation: OperationSite | None = None

    @property
    def report(self) -> Any:
        assert self.error is not None, "the job raised nothing"
        return diagnose(self.error, job=self.job, operation=self.operation, adaptors={})


def _run(
    source: str, state: Any = None, *, language: bool = True, check: bool = True, **names: Any
) -> Ran:
    in_scope = {"fn": fn, "put": put, **names}
    job = compile_job(source, step_id="a", language=language, adaptor_names=frozenset(in_scope))
    logged: list[tuple[str, str]] = []
    scope = JobScope(
        step_id="a",
        language=language,
        resolve_import=lambda name: None,
        importable=lambda: (),
        in_scope=in_scope,
        log=lambda level, message: logged.append((level, message)),
    )
    ran = Ran(job, scope, logged)
    try:
        scope.execute(job.code)
        state = {} if state is None else state
        for number, operation in enumerate(scope.globals[OPERATIONS], 1):
            ran.operation = job.operations[number - 1] if job.operations else None
            state = scope.call(operation, state)
            if inspect.isawaitable(state):
                state = asyncio.run(_settle(state))
        ran.state = state
    except BaseException as error:
        if check:
            raise
        ran.error = error
    return ran


async def _settle(awaitable: Any) -> Any:
    return await awaitable


@pytest.fixture
def run_job() -> Any:
    """Run a job, return its outcome; an error passes through."""
    return _run


@pytest.fixture
def result_of() -> Any:
    """Run a job, return the state at its end."""
    return lambda source, state=None, **options: _run(source, state, **options).state


@pytest.fixture
def report_of() -> Any:
    """Run a job that fails, return the report."""

    def report(source: str, state: Any = None, **options: Any) -> Any:
        try:
            return _run(source, state, check=False, **options).report
        except LanguageError as error:
            return error.report

    return report


@pytest.fixture
def refusal_of() -> Any:
    """Compile a text that is refused, return the report."""

    def refusal(source: str, **options: Any) -> Any:
        with pytest.raises(LanguageError) as caught:
            compile_job(source, step_id="a", **options)
        return caught.value.report

    return refusal
