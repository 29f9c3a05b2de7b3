"""import: the linker finds modules at run time; private modules are refused before."""

from __future__ import annotations

import pytest

from sandbox_child.language.compiler import compile_job

MAIN = "def main(state):\n    return state\n"


@pytest.mark.parametrize(
    "statement",
    ["import json", "import os.path", "import a.b as c", "from a.b import c, d as e",
     "from __future__ import annotations", "import json, re"],
)  # fmt: skip
def test_any_public_module_compiles(statement):
    """The linker decides whether such a module exists."""
    compile_job(f"{statement}\n{MAIN}", step_id="a")


@pytest.mark.parametrize(
    "statement",
    ["import _thread", "import a._b as c", "import a.__b__", "from _a import b", "from a._b import c",
     "from a import _b", "from a import _b as c", "from a import __b__ as c", "from a import mro",
     "import __main__", "from a import gi_frame as g", "import _io, json"],
)  # fmt: skip
def test_private_modules_and_names_are_refused(refusal_of, statement):
    """An import is another way to read an attribute."""
    assert refusal_of(f"{statement}\n{MAIN}").name == "SecurityError"


@pytest.mark.parametrize(
    "statement", ["from a import *", "from . import a", "from .a import b", "from .. import a"]
)
def test_star_and_relative_imports_are_refused(refusal_of, statement):
    """The error says what to write instead."""
    report = refusal_of(f"{statement}\n{MAIN}")
    assert report.name == "CompileError"
    assert report.fix
