"""One sample of `bench_store` in a process of its own: the bare engine, or a bare DBOS workflow.

``python -m benchmarks.store_process engine|dbos WORKLOAD RUNS [URL]`` prints the seconds that the runs took.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

PLACES: Final = 4
PAUSES_S: Final[dict[str, tuple[float, ...]]] = {"trivial": (0.0,), "five": (0.03,) * 5}
"""The seconds that each step of a workload waits."""


def plan_of(workload: str) -> dict[str, Any]:
    """Return the plan of a workload."""
    pauses = PAUSES_S[workload]
    return {
        "workflow": {
            "steps": [
                {
                    "id": f"s{number}",
                    "expression": "def main(state): return state"
                    if not pause
                    else f"import time\ndef main(state):\n    time.sleep({pause})\n    return state",
                    "next": {f"s{number + 1}": True} if number + 1 < len(pauses) else {},
                }
                for number, pause in enumerate(pauses)
            ]
        }
    }


def run_engine(workload: str, runs: int) -> float:
    """Run plans with an engine, and read all their events; return the seconds that it took."""
    from jobcell import Engine

    plan = plan_of(workload)
    with Engine(max_runs=PLACES) as engine:
        assert engine.execute(plan, {"data": 0}).result().reason == "success"
        begun = time.perf_counter()
        handles = [engine.execute(plan, {"data": number}) for number in range(runs)]
        for number, handle in enumerate(handles):
            events = handle.poll(timeout_s=None)
            while not handle.done:
                events += handle.poll(timeout_s=None)
            assert handle.result().state == {"data": number}
        return time.perf_counter() - begun


def run_dbos(workload: str, runs: int, url: str) -> float:
    """Run DBOS workflows, whose steps wait as long as those of the plan; return the seconds."""
    from dbos import DBOS, SetWorkflowID

    pauses = PAUSES_S[workload]
    ends: list[float] = []
    DBOS(config={"name": "bare", "system_database_url": url, "log_level": "ERROR"})

    @DBOS.step()
    def step(pause: float) -> None:
        time.sleep(pause)

    @DBOS.workflow()
    def workflow(number: int) -> int:
        for pause in pauses:
            step(pause)
        ends.append(time.perf_counter())
        return number

    DBOS.launch()
    queue: Any = DBOS.register_queue("bare", worker_concurrency=0, polling_interval_sec=0.02)
    handles = []
    for number in range(runs):
        with SetWorkflowID(f"run-{number}"):
            handles.append(DBOS.enqueue_workflow(queue.name, workflow, number))
    begun = time.perf_counter()
    queue.set_worker_concurrency(PLACES)
    for number, handle in enumerate(handles):
        assert handle.get_result() == number
    DBOS.destroy()
    return max(ends) - begun


def main() -> None:
    kind, workload, runs, *url = sys.argv[1:]
    if kind == "engine":
        print(run_engine(workload, int(runs)))
    else:
        print(run_dbos(workload, int(runs), *url))


if __name__ == "__main__":
    main()
