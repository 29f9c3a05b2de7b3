"""A resolver may run a plan on the engine that has called it, for any number of places."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import pytest
from runs import make_engine

from engine import Engine, Resolvers, Run, RunOptions, RunResult

ADDS = "def main(state): return {'token': 'token-' + str(state['data'])}"
USES = "def main(state): return {'data': len(state['configuration']['token'])}"
PLAN = {"workflow": {"steps": [{"id": "a", "expression": USES, "configuration": "c"}]}}
OPTIONS = RunOptions(resolve_timeout_s=15)


def execute(engine: Engine, credential: Any) -> Run:
    return engine.execute(PLAN, {}, options=OPTIONS, resolvers=Resolvers(credential=credential))


def check(result: RunResult) -> None:
    assert result.reason == "success", result.error


def test_a_resolver_waits_for_a_run_of_its_own_engine(mode: str):
    """With a single place, the run that waits for the resolver lends its place."""
    with make_engine(mode, max_runs=1) as engine:

        def credential(_id: str) -> dict[str, Any]:
            return engine.execute(ADDS, {"data": 1}).result(20).state

        check(execute(engine, credential).result(30))


def test_an_async_resolver_awaits_a_run_of_its_own_engine():
    """The event loop is in the thread that has called the resolver."""
    with make_engine("zygote", max_runs=1) as engine:

        async def credential(_id: str) -> dict[str, Any]:
            results = await asyncio.gather(*(engine.execute(ADDS, {"data": n}) for n in range(3)))
            in_thread = await asyncio.to_thread(
                lambda: engine.execute(ADDS, {"data": 1}).result(20)
            )
            return {"token": str([r.state for r in results]), "in_thread": in_thread.state}

        check(execute(engine, credential).result(30))


@pytest.mark.parametrize("depth", [2, 4])
def test_resolvers_are_nested_as_deep_as_one_likes(depth: int):
    """Each run lends the place that was lent to it."""
    with make_engine("zygote", max_runs=1) as engine:

        def credential(left: int) -> Any:
            def load(_id: str) -> dict[str, Any]:
                if left == 0:
                    return {"token": "t"}
                check(execute(engine, credential(left - 1)).result(20))
                return {"token": "t" * left}

            return load

        check(execute(engine, credential(depth)).result(40))


def test_all_places_are_held_by_runs_that_resolve():
    """Both places are taken, and other runs are in the queue before the runs of the resolvers."""
    both = threading.Barrier(2, timeout=20)
    with make_engine("zygote", max_runs=2) as engine:

        def credential(_id: str) -> dict[str, Any]:
            both.wait()
            states = [engine.execute(ADDS, {"data": n}) for n in range(3)]
            return {"token": str([run.result(20).state for run in states])}

        runs = [execute(engine, credential) for _ in range(2)]
        others = [engine.execute(ADDS, {"data": n}) for n in range(3)]
        for run in (*runs, *others):
            check(run.result(40))


def test_a_place_is_lent_to_one_run_at_a_time():
    """A resolver that starts ten runs does not start ten children at once."""
    together = "import time\ndef main(state):\n    time.sleep(0.05)\n    return {'t': time.time()}"
    with make_engine("zygote", max_runs=1) as engine:
        times: list[float] = []

        def credential(_id: str) -> dict[str, Any]:
            runs = [engine.execute(together) for _ in range(4)]
            times.extend(run.result(20).state["t"] for run in runs)
            return {"token": "t"}

        check(execute(engine, credential).result(30))
    assert all(later - earlier > 0.05 for earlier, later in itertools.pairwise(times))


def test_what_a_resolver_leaves_behind_runs_on_and_the_engine_closes():
    """The resolver does not wait for its run, and the engine counts its places right after that."""
    with make_engine("zygote", max_runs=1) as engine:
        left: list[Run] = []

        def credential(_id: str) -> dict[str, Any]:
            left.append(engine.execute(ADDS, {"data": 1}))
            return {"token": "t"}

        check(execute(engine, credential).result(30))
        check(left[0].result(30))
        check(engine.execute(ADDS, {"data": 2}).result(30))


def test_a_resolver_comes_back_by_way_of_another_engine():
    """The first engine lends its place although the resolver of the second engine asks."""
    with make_engine("zygote", max_runs=1) as one, make_engine("zygote", max_runs=1) as two:

        def last(_id: str) -> dict[str, Any]:
            return one.execute(ADDS, {"data": 1}).result(20).state

        def first(_id: str) -> dict[str, Any]:
            check(execute(two, last).result(20))
            return {"token": "t"}

        check(execute(one, first).result(40))
