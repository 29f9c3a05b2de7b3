"""The child finds a few packages by name, and ignores others beside them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sandbox_child import finder


@pytest.fixture
def packages(tmp_path):
    """A directory like a site-packages, with a wanted package and an unwanted one."""
    for name in ("wanted", "unwanted", "RestrictedPython"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"loaded = {name!r}\n")
        (tmp_path / name / "part.py").write_text("value = 42\n")
    return tmp_path


def run_with(packages, source, *pairs):
    code = f"""
import sys
sys.path.insert(0, {finder.__file__.rpartition("/")[0]!r})
import finder
del sys.path[0]
finder.install(sys.argv[1:])
{source}
"""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *(f"{name}={packages / name}" for name in pairs)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_named_package_is_found_with_its_modules(packages):
    """The package works as if its directory were on the path."""
    done = run_with(
        packages,
        "import wanted.part; print(wanted.loaded, wanted.part.value, wanted.__file__)",
        "wanted",
    )

    assert done.stdout == f"wanted 42 {packages / 'wanted' / '__init__.py'}\n", done.stderr


def test_what_lies_beside_it_is_not_found(packages):
    """The directory itself is not on the import path."""
    done = run_with(packages, "import wanted, unwanted", "wanted")

    assert "No module named 'unwanted'" in done.stderr


def test_a_bare_package_is_not_executed(packages):
    """Its modules can be imported, but its own file is not executed."""
    done = run_with(
        packages,
        "import RestrictedPython.part as part, RestrictedPython as whole\n"
        "print(part.value, hasattr(whole, 'loaded'))",
        "RestrictedPython",
    )

    assert done.stdout == "42 False\n", done.stderr


@pytest.mark.parametrize("argument", ["", "name", "name=", "name=relative", "na-me=/dir", "=/dir"])
def test_an_argument_that_is_no_pair_is_refused(argument):
    """The error says that the command line is wrong."""
    with pytest.raises(ValueError, match="expected name=/directory"):
        finder.install([argument])
