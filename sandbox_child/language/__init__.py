"""The job language: what a job may say, how it is compiled and run, and how its errors are told."""

from __future__ import annotations

from sandbox_child.language.compiler import (
    OPERATIONS,
    CompiledCondition,
    CompiledJob,
    OperationSite,
    compile_condition,
    compile_globals,
    compile_job,
)
from sandbox_child.language.diagnosis import diagnose
from sandbox_child.language.scope import JobScope, condition_scope
from sandbox_child.language.violations import LanguageError

__all__ = [
    "OPERATIONS",
    "CompiledCondition",
    "CompiledJob",
    "JobScope",
    "LanguageError",
    "OperationSite",
    "compile_condition",
    "compile_globals",
    "compile_job",
    "condition_scope",
    "diagnose",
]
