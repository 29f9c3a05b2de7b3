"""Run the quick tests in plain pytest processes, one for each processor: `python tests/support/quick.py`.

Workers of pytest-xdist each collect all tests, and report each test to one more process. This costs more
than the quick tests themselves. Here a process collects its own files only. Arguments go to each pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
OPTIONS = ("-q", "-m", "not slow", "--hypothesis-profile=fast", "-p", "no:xdist", "-p", "no:cov")
OVERHEAD_BYTES = 8_000
"""A file takes about as long as the tests in this number of bytes, even if it is smaller."""

SLOW_FILE = "\npytestmark = pytest.mark.slow"
"""A file with this line has no quick test, so it is not even imported."""

NOTHING_TO_RUN = 5
"""The exit code of a pytest that has found no test, because all in its files are slow."""


def parts(number: int) -> list[list[str]]:
    """Return the files of the quick tests in parts with about the same amount of text."""
    files = [file for room in ("unit", "property") for file in (TESTS / room).rglob("test_*.py")]
    sizes = {
        str(file.relative_to(ROOT)): file.stat().st_size + OVERHEAD_BYTES
        for file in files
        if SLOW_FILE not in file.read_text()
    }
    made: list[list[str]] = [[] for _ in range(number)]
    for file in sorted(sizes, key=lambda file: (-sizes[file], file)):
        min(made, key=lambda part: sum(sizes[one] for one in part)).append(file)
    return [sorted(part) for part in made if part]


def run(part: list[str]) -> int:
    """Run the tests of some files, print their report, and return the exit code."""
    command = [sys.executable, "-m", "pytest", *OPTIONS, *sys.argv[1:], *part]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, check=False
    )
    sys.stdout.write(done.stdout)
    sys.stdout.flush()
    return 0 if done.returncode == NOTHING_TO_RUN else abs(done.returncode)


def main() -> int:
    """Run all parts at once; return the highest exit code."""
    number = int(os.environ.get("WORKERS") or len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(number) as pool:
        return max(pool.map(run, parts(number)))


if __name__ == "__main__":
    sys.exit(main())
