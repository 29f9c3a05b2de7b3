"""Room `language`: compiles jobs, runs them in a scope, and reports their errors.

A module belongs here if it needs the code of a job, but no run.  The room `text` below it reads
texts, `guards` judges objects, and `facades` replaces standard modules.  The room imports these
three and `protocol`.  Other rooms also import `condition_errors` and `offer` directly, because most
runs do not need them.
"""

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
from sandbox_child.language.diagnosis import diagnose, undescribed
from sandbox_child.language.frames import globals_texts, own_frames
from sandbox_child.language.imports import make_importer
from sandbox_child.language.plain_data import encodable, exception_text
from sandbox_child.language.scope import JobScope, condition_scope, make_ground
from sandbox_child.language.text import LanguageError

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
    "encodable",
    "exception_text",
    "globals_texts",
    "make_ground",
    "make_importer",
    "own_frames",
    "undescribed",
]
