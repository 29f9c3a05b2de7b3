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


ENDS = """
import logging, os, threading
import pytest
from hypothesis import settings

@pytest.fixture
def fails_first():
    raise ValueError("first")

@pytest.fixture
def fails_last():
    print("said by a fixture")
    yield
    raise ValueError("last")

@pytest.fixture
def skips(): pytest.skip("by a fixture")

class LostError(Exception):
    pass

class Lost:
    def __del__(self): raise LostError("lost")

def raise_in_a_thread(): raise LostError("in a thread")

def test_passes(): os.write(1, b"not of the next test")
def test_has_a_bad_setup(fails_first): pass
def test_has_a_bad_teardown(fails_last): pass
def test_fails_twice(fails_last): print("said"); os.write(2, b"written"); logging.warning("logged"); assert [1] == [2]
def test_skips_in_a_fixture(skips): pass
def test_expects_to_fail(): pytest.xfail("known")
def test_loses_an_error(): Lost()
def test_loses_a_thread(): thread = threading.Thread(target=raise_in_a_thread); thread.start(); thread.join()
def test_reads_its_output(capsys): print("read"); assert capsys.readouterr().out == "read\\n"
def test_reads_its_log(caplog): logging.warning("read"); assert caplog.messages == ["read"]
def test_has_a_directory(tmp_path): assert not list(tmp_path.iterdir())
@pytest.mark.parametrize("number", [1, 2])
def test_counts(number, monkeypatch): monkeypatch.setenv("NUMBER", "3"); assert number == 1
@pytest.mark.xfail(strict=True)
def test_passes_against_expectation(): pass
@settings(max_examples=3)
def test_has_settings_without_examples(): pass
class TestsOfAClass:
    def test_is_a_method(self): assert not hasattr(self, "seen"); self.seen = True
    def test_has_an_object_of_its_own(self): assert not hasattr(self, "seen")
"""


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


def outcomes(report: str) -> list[str]:
    """Return the lines about each test without addresses of objects, and the counts."""
    lines = [
        re.sub("0x[0-9a-f]+", "0x", line)
        for line in report.splitlines()
        if re.match("[A-Z]+ (ends.py|.*by a fixture)", line)
    ]
    return sorted(lines) + re.findall(
        r"\d+ (?:failed|passed|skipped|xfailed|errors?)", report.splitlines()[-1]
    )


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_fork_reports_what_pytest_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    """The short way through pytest finds each bad end, and shows the output and the log of a failed test.

    With the variable `CI` pytest does not cut its lines.
    """
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", ci)
    for name, text in (("ends.py", ENDS), ("first.py", "import pytest"), ("second.py", "")):
        (tmp_path / name).write_text(text)
    plain = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-ra",
        "-W",
        "error",
        "-p",
        "_hypothesis_pytestplugin",
        "ends.py",
    ]

    expected = subprocess.run(
        plain, cwd=tmp_path, capture_output=True, text=True, check=False
    ).stdout
    report = run(tmp_path, "-W", "error", "ends.py")

    assert outcomes(report) == outcomes(expected)
    assert "6 failed" in expected
    for part in (
        "said by a fixture\n",
        "said\n",
        "written",
        "WARNING  root:ends.py",
        "At index 0",
    ):
        assert report.count(part) == expected.count(part) > 0, part
    assert "not of the next test" not in report


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
