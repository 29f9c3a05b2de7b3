"""Another `engine` or `protocol` on the import path is named, and not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]


def run_import(package: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Import *package* in a new interpreter, with *folder* first on its import path."""
    program = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(HOME)!r}]; import {package}"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd="/", check=False
    )


@pytest.mark.parametrize("form", ["module", "package"])
@pytest.mark.parametrize(
    ("package", "foreign"),
    [
        ("jobcell", "engine"),
        ("jobcell", "protocol"),
        ("engine", "protocol"),
        ("engine", "sandbox_child"),
    ],
)
def test_a_foreign_module_is_named_and_not_run(
    package: str, foreign: str, form: str, tmp_path: Path
) -> None:
    """The error names the file and the remedy; the code of the file does not run."""
    found = tmp_path / f"{foreign}.py"
    if form == "package":
        found = tmp_path / foreign / "__init__.py"
        found.parent.mkdir()
    found.write_text("print('it ran')")
    done = run_import(package, tmp_path)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError: ")
    assert str(found) in last
    assert "rename that file" in last
    assert "it ran" not in done.stdout


def test_without_a_foreign_module_both_packages_are_imported(tmp_path: Path) -> None:
    """The check passes for packages that are beside each other, and for a folder without code."""
    (tmp_path / "engine").mkdir()  # a directory without `__init__.py` hides nothing
    assert run_import("jobcell, engine", tmp_path).returncode == 0
