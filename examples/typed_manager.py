"""A small manager: it runs a plan, follows its events, and says how the run ended.

Mypy and pyright check this file in their strict modes (`make types`), so the annotations of the
public interface are those that a program needs.  Run it with ``python examples/typed_manager.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import assert_never

import jobcell
from jobcell import AnyEvent, Edge, Engine, ErrorReport, Plan, Run, RunOptions, RunResult, Step, Workflow

PLAN = Plan(
    id="typed-manager",
    workflow=Workflow(
        steps=(
            Step(
                id="load",
                expression="def main(state):\n    print('loading')\n    return {'data': [3, 4, 5]}",
                next={"sum": Edge(condition="len(state.data) > 0")},
            ),
            Step(id="sum", expression="def main(state): return {'data': sum(state.data)}"),
        )
    ),
)


def describe(event: AnyEvent) -> str:
    """Return one line for an event; a type checker reports an event that has no case."""
    match event:
        case jobcell.WorkflowStart(run_id=run_id, versions=versions):
            return f"run {run_id} on Python {versions.python}"
        case jobcell.InitStart() | jobcell.StateLoad() | jobcell.CredentialLoad():
            return "the run gets ready"
        case jobcell.InitComplete(duration_ms=duration_ms):
            return f"ready after {duration_ms:.0f} ms"
        case jobcell.JobStart(step_run_id=step_run_id):
            return f"{step_run_id} starts"
        case jobcell.JobComplete(step_run_id=step_run_id, next=following):
            return f"{step_run_id} is done; next: {', '.join(following) or 'nothing'}"
        case jobcell.JobError(step_run_id=step_run_id, error=error):
            return f"{step_run_id} failed: {place(error)}"
        case jobcell.EdgeResolved(from_step_id=source, to_step_id=target, taken=taken):
            return f"{source} to {target}: {'taken' if taken else 'not taken'}"
        case jobcell.Log(level=level, message=message):
            return f"{level}: {message}"
        case jobcell.NetConnect(host=host, port=port, outcome=outcome):
            return f"connection to {host}:{port}: {outcome}"
        case jobcell.WorkflowComplete(duration_ms=duration_ms):
            return f"finished after {duration_ms:.0f} ms"
        case jobcell.WorkflowError(error=error):
            return f"stopped: {place(error)}"
    assert_never(event)


def place(error: ErrorReport) -> str:
    """Return the message of an error with the line that it happened in."""
    where = f" (line {error.position.line})" if error.position is not None else ""
    return f"{error.name}: {error.message}{where}"


def follow(run: Run) -> Iterator[str]:
    """Yield a line for each event, until the last one."""
    while events := run.poll(timeout_s=None):
        for event in events:
            yield describe(event)


async def follow_in_a_loop(run: Run) -> RunResult:
    """Do the same in an event loop, which goes on with its other tasks meanwhile."""
    async for event in run:
        print(describe(event))
    return await run


def main() -> None:
    """Run the plan twice, once in each style."""
    problems = jobcell.check_plan(PLAN)
    for problem in problems:
        print(f"{problem.path}: {problem.message}")
    options = RunOptions(timeout_s=30, memory_mb=200)
    with Engine(max_runs=2, options=options) as engine:
        first = engine.execute(PLAN, {"data": []})
        for line in follow(first):
            print(line)
        second = asyncio.run(follow_in_a_loop(engine.execute(PLAN, {"data": []})))
    for result in (first.result(), second):
        print(result.reason, result.state, f"{result.usage.peak_memory_bytes:,} bytes")


if __name__ == "__main__":
    main()
