"""The forks that run the tests report all that happens in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import coverage
import pytest
from coverage.data import combine_parallel_data

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "support" / "parallel.py"
FIRST = """
import os, warnings
import pytest

@pytest.fixture(scope="session")
def late():
    yield
    raise ValueError("late")

def test_passes(late, tmp_path): print(os.getpid())
def test_dies(): os._exit(9)
def test_is_after_a_death(): pass
@pytest.mark.xfail
def test_is_expected_to_fail(): assert False
def test_warns(): warnings.warn("careful")
def test_fails(): print("said before"); assert [1] == [2]
def test_has_the_fixture_of_the_session(late): pass
"""
SECOND = "import pytest\ndef test_of_another_file(): pass\ndef test_skips(): pytest.skip('why')\n"


def run(directory: Path, *arguments: str, **environment: str) -> str:
    """Run tests in two forks; return the report."""
    done = subprocess.run(
        [sys.executable, PROGRAM, "-W", "default", "-ra", *arguments, "first.py", "second.py"],
        cwd=directory,
        env={**os.environ, "WORKERS": "2", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_each_end_of_a_test_is_reported(tmp_path: Path) -> None:
    """A death fails its test, and the tests after it run all the same."""
    (tmp_path / "first.py").write_text(FIRST)
    (tmp_path / "second.py").write_text(SECOND)

    report = run(tmp_path)

    assert "FAILED first.py::test_fails - assert [1] == [2]" in report
    assert "said before" in report
    assert "ERROR first.py::test_dies - the worker died in this test: exit code 9" in report
    assert "ERROR teardown of the session" in report
    assert "ValueError: late" in report
    assert "XFAIL first.py::test_is_expected_to_fail" in report
    assert re.search(r"SKIPPED \[1\] second.py:\d+: why", report)
    assert "UserWarning: careful" in report
    counts = "1 failed, 5 passed, 1 skipped, 1 xfailed, 1 warning, 2 errors"
    assert counts in report.splitlines()[-1], report


def test_the_run_ends_after_a_failure_if_that_is_asked_for(tmp_path: Path) -> None:
    """With `-x`, no further file begins."""
    (tmp_path / "first.py").write_text("def test_fails(): assert False\n")
    (tmp_path / "second.py").write_text(SECOND)

    assert "stopping after 1 failures" in run(tmp_path, "-x")


def test_only_the_named_files_are_measured(tmp_path: Path) -> None:
    """A fork that has run two files traced one of them, and what the collection ran is measured as well."""
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(f"def test_{name}():\n    assert 1\n    assert 2\n")
    (tmp_path / "third.py").write_text("def test_fails(): assert False\n")

    run(tmp_path, "third.py", MEASURED="first", WORKERS="1")

    data = coverage.CoverageData(str(tmp_path / ".coverage"))
    combine_parallel_data(data)
    lines = {name: data.lines(str(tmp_path / f"{name}.py")) for name in ("first", "second")}
    assert {name: sorted(found or []) for name, found in lines.items()} == {
        "first": [1, 2, 3],
        "second": [1],
    }


def test_a_second_process_rewrites_modules_during_the_collection(tmp_path: Path) -> None:
    """The first module of the list waits until another process has rewritten the last one."""
    (tmp_path / "first.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "while not list(Path(__file__).parent.glob('__pycache__/second*-pytest-*.pyc')):\n"
        "    time.sleep(0.01)\n"
        "def test_fails(): assert [1] == [2]\n"
    )
    (tmp_path / "second.py").write_text(SECOND)

    assert "FAILED first.py::test_fails - assert [1] == [2]" in run(
        tmp_path, PYTHONDONTWRITEBYTECODE=""
    )
