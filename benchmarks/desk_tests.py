"""The cost of a test with ``run_job`` beyond its job: tests in pytest take turns with bare runs of an engine.

``python -m benchmarks.desk_tests ROUNDS`` prints the milliseconds of each pair as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine import Engine

JOB: Final = "def main(state):\n    return {**state, 'n': 1}"
TESTS: Final = """
import pytest

@pytest.mark.parametrize("number", range(ROUNDS))
def test_job(run_job, number):
    assert run_job(JOB, {"number": number})["number"] == number
"""


class Recorder:
    """Measures each test from its start to its end, and a bare run after it.

    Attributes:
        extra_ms: For each test, how much longer it took than the bare run.

    """

    def __init__(self, engine: Engine) -> None:
        self.extra_ms: list[float] = []
        self._engine = engine

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Wrap a test."""
        begin = time.perf_counter()
        result = yield
        middle = time.perf_counter()
        ended = self._engine.execute(JOB, {"number": 1}).result()
        end = time.perf_counter()
        assert ended.reason == "success"
        self.extra_ms.append(((middle - begin) - (end - middle)) * 1000)
        return result


def measure_tests(rounds: int) -> list[float]:
    """Return how many milliseconds each test took beyond its job."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.desk_tests", str(rounds)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run the tests in this process."""
    rounds = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as room, Engine(max_runs=1) as engine:
        file = Path(room, "test_desk.py")
        file.write_text(TESTS.replace("ROUNDS", str(rounds + 5)).replace("JOB", repr(JOB)))
        recorder = Recorder(engine)
        for _ in range(5):
            engine.execute(JOB, {"number": 1}).result()
        options = ["-q", "-p", "no:cacheprovider", "--rootdir", room, str(file)]
        code = pytest.main(options, [recorder])
        assert code == 0
        print(json.dumps(recorder.extra_ms[5:]))


if __name__ == "__main__":
    main()
