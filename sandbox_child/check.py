"""Compiles one job and says what is wrong with it: a process of its own, used once.

    python -I -m sandbox_child.check < request.json > answer.json

It runs nothing of the job.  But a hostile text can make the parser eat memory, or crash it, so
this happens here and not in the process of whoever asks.
"""

from __future__ import annotations

import ast
import resource
import sys

import msgspec
import msgspec.json

MEMORY_BYTES = 1_000_000_000
CPU_S = 10


class CheckRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A job, and what it may use."""

    source: str
    adaptor_sources: list[str] = []
    """The text of each adaptor's module: what it defines is in scope."""
    importable: list[str] | None = None
    """Modules that the job may import besides the standard ones; None: not known here."""


class CheckedOperation(msgspec.Struct):
    """One operation of a script, and where it is called."""

    number: int
    name: str
    line: int
    column: int | None


class CheckedViolation(msgspec.Struct, omit_defaults=True):
    """One thing that is wrong, as an editor shows it."""

    kind: str
    message: str
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    fix: str | None = None


class CheckAnswer(msgspec.Struct):
    """What became of the job."""

    form: str | None
    operations: list[CheckedOperation]
    violations: list[CheckedViolation]


def check(request: CheckRequest) -> CheckAnswer:
    """Compile a job; return what it consists of, and everything that is wrong with it."""
    # What these import stays out of the parent, which needs the messages above only.
    from sandbox_child.language import LanguageError, compile_job

    names = {name for source in request.adaptor_sources for name in exported_names(source)}
    answer = CheckAnswer(None, [], [])
    try:
        job = compile_job(request.source, step_id="check", adaptor_names=frozenset(names))
    except LanguageError as error:
        answer.violations = _violations(error)
    else:
        answer.form = job.form
        answer.operations = [
            CheckedOperation(site.number, site.name, site.position.line, site.position.column)
            for site in job.operations
        ]
    answer.violations += _refused_imports(request)
    answer.violations.sort(key=lambda found: (found.line or 0, found.column or 0))
    return answer


def exported_names(source: str) -> set[str]:
    """Return the public names that the text of a module defines, without running it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()  # the adaptor is broken: the run will say so, with its name
    found: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    if target.id == "__all__":
                        return _literal_names(statement.value)
                    found.add(target.id)
    return {name for name in found if not name.startswith("_")}


def _literal_names(value: ast.expr) -> set[str]:
    items = value.elts if isinstance(value, ast.List | ast.Tuple) else []
    return {
        item.value for item in items if isinstance(item, ast.Constant) and type(item.value) is str
    }


def _violations(error: Exception) -> list[CheckedViolation]:
    from sandbox_child.language import LanguageError

    assert isinstance(error, LanguageError)
    report = error.report
    if isinstance(report.details, list):
        return [CheckedViolation(kind=report.name, **found) for found in report.details]
    position = report.position
    return [
        CheckedViolation(
            kind=report.subtype or report.name,
            message=report.message,
            line=position.line if position else None,
            column=position.column if position else None,
            end_line=position.end_line if position else None,
            end_column=position.end_column if position else None,
            fix=report.fix,
        )
    ]


def _refused_imports(request: CheckRequest) -> list[CheckedViolation]:
    """Return the imports that will fail; of modules outside of Python only if they are known."""
    from sandbox_child.language.facades import TABLE
    from sandbox_child.language.hints import nearest
    from sandbox_child.language.parsing import MARK
    from sandbox_child.language.spans import SourceText

    source = request.source.removeprefix(MARK)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    known = {*TABLE, *(request.importable or ())}
    text = SourceText(source)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module]
        else:
            continue
        for module in modules:
            root = module.partition(".")[0]
            if module in known or root in (request.importable or ()) or root.startswith("_"):
                continue
            if root not in sys.stdlib_module_names and request.importable is None:
                continue
            near = nearest(module, known)
            position = text.of(node)
            found.append(
                CheckedViolation(
                    kind="ImportError",
                    message=f"a job cannot import {module}",
                    line=position.line,
                    column=position.column,
                    end_line=position.end_line,
                    end_column=position.end_column,
                    fix=f"did you mean {near}?" if near else None,
                )
            )
    return found


def main() -> None:
    """Read a request from standard input, write the answer to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=CheckRequest)
    sys.stdout.buffer.write(msgspec.json.encode(check(request)))


if __name__ == "__main__":
    main()
