"""Many runs, long runs, wide plans: resources do not grow, and time grows with the work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import finish, make_engine, types_of
from warm import run_warm

from engine import Engine, RunOptions

ROOT = Path(__file__).parents[2]
LOOSE = 3.0
"""Four times the work may take twelve times the time, because the machine has other work."""


SOAK = """
from engine.start import exec as starts
from warm_children import Interpreters

interpreters = Interpreters()
starts.spawn = interpreters.spawn
from benchmarks import soak
soak.main()
interpreters.close()
"""
"""The soak, in a manager whose children are forks of a warm interpreter."""


def test_a_short_soak_leaves_the_manager_as_it_was():
    """The runs end in every way in both start modes; `make soak` does the same for longer."""
    # Each of the 24 kinds runs before and after the half.
    words = ("48", "--seed", "7", "--growth", "1.25")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    done = run_warm(SOAK, *words, cwd=ROOT, env=environment, timeout_s=110)
    assert done.returncode == 0, done.stdout + done.stderr


def seconds(action: Callable[[int], None], size: int) -> float:
    """Return the duration of *action* for a size."""
    begun = time.monotonic()
    action(size)
    return time.monotonic() - begun


def assert_linear(action: Callable[[int], None], size: int) -> None:
    """Four times the work takes about four times the time, at least once, because others may disturb it."""
    action(10)  # only the first call pays for this
    seen = []
    for _ in range(5):
        quarter, whole = seconds(action, size // 4), seconds(action, size)
        if whole < LOOSE * 4 * max(quarter, 0.05):
            return
        seen.append((quarter, whole))
    pytest.fail(f"seconds for a quarter of the work and for all of it: {seen}")


def test_tens_of_thousands_of_log_lines(zygote: Engine):
    """All lines of a run arrive in order."""

    def talk(lines: int) -> None:
        source = f"def main(state):\n    for n in range({lines}): print(n)\n    return state"
        run = zygote.execute(source, options=RunOptions(max_log_bytes=10**8))
        logs = [event.message for event in finish(run, 60) if event.type == "log"]
        assert logs == [str(n) for n in range(lines)]

    assert_linear(talk, 40_000)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("return state", id="plain"),
        pytest.param(
            "def depth(n): return depth(n - 1) if n else len(state)\n    depth(3)\n    return state",
            id="left in a cycle",
        ),
        pytest.param("raise ValueError(state['data']['rows'][0]['n'])", id="fails"),
    ],
)
def test_a_large_state_is_gone_when_its_step_is(zygote: Engine, body: str):
    """A child has the memory of one step, even if many steps have had the state."""
    state = {"data": {"rows": [{"n": n, "name": f"row {n}"} for n in range(60_000)]}}

    def peak(steps: int) -> int:
        source = f"def main(state):\n    {body}"
        jobs = [
            {"id": f"s{n}", "expression": source, "next": {f"s{n + 1}": n + 1 < steps}}
            for n in range(steps)
        ]
        jobs.append({"id": f"s{steps}"})
        run = zygote.execute({"workflow": {"steps": jobs}}, state)
        types = types_of(finish(run))
        assert types.count("job-complete") + types.count("job-error") == steps
        return run.result().usage.peak_memory_bytes

    one = peak(1)
    assert one > 30_000_000
    assert peak(4) < 1.15 * one


def test_a_thousand_steps(zygote: Engine):
    """A chain of a thousand steps is walked to its end."""

    def walk(count: int) -> None:
        steps = [
            {"id": f"s{n}", "expression": "def main(state): return state", "next": f"s{n + 1}"}
            for n in range(count)
        ]
        del steps[-1]["next"]
        run = zygote.execute({"workflow": {"steps": steps}}, {"n": 1})
        assert types_of(finish(run, 90)).count("job-complete") == count
        assert run.result().state == {"n": 1, "data": {}}

    assert_linear(walk, 1_000)


def test_a_hundred_queued_runs():
    """The runs start in the order of the queue, and all of them run."""
    with make_engine("zygote", max_runs=2) as engine:

        def queue(count: int) -> None:
            runs = [engine.execute("def main(state): return state", {"n": n}) for n in range(count)]
            assert [run.result(60).state["n"] for run in runs] == list(range(count))

        assert_linear(queue, 100)


def test_a_thousand_queued_runs_are_cancelled_at_once():
    """The time to close an engine grows in proportion to the number of runs, also that of a processor."""
    engine = make_engine("zygote", max_runs=1)
    runs = [engine.execute("import time\ndef main(state): time.sleep(60)") for _ in range(1_000)]
    begun, begun_cpu = time.monotonic(), time.process_time()
    engine.close()
    assert time.process_time() - begun_cpu < 3
    assert time.monotonic() - begun < 10
    assert {run.result(0).error.name for run in runs} == {"Cancelled"}
