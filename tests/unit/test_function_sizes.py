"""A function fits on a screen, or says why it does not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("protocol", "engine", "sandbox_child", "jobcell", "adaptors", "benchmarks")
MOST_LINES = 60
"""Most lines of one function, without its docstring."""
REASON = "# long: "
"""A reason follows, on the line of the name: this function is longer."""


def long_functions(source):
    """Return the names of functions that are too long and give no reason."""
    lines = source.splitlines()
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > MOST_LINES
        and REASON not in lines[node.lineno - 1]
    ]


def lines_of(function):
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = first.end_lineno - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_is_long_without_a_reason(package):
    """Ruff counts statements and branches; this test counts lines, also of nested functions."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {str(file.relative_to(ROOT)): long_functions(file.read_text("utf-8")) for file in files}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_a_long_function_is_found_unless_it_gives_a_reason():
    """The docstring of a function does not count."""
    body = "    x = 1\n" * MOST_LINES
    assert long_functions(f"def f():\n{body}") == ["f"]
    assert long_functions(f"def f():  {REASON}a table\n{body}") == []
    documented = 'def f():\n    """Do.\n\n    More.\n    """\n' + "    x = 1\n" * (MOST_LINES - 1)
    assert long_functions(documented) == []
