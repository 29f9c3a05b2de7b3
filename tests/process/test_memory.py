"""A finished run is freed at once, by reference counting alone, with its states and secrets."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from runs import make_engine, wait_for

import engine as api
from engine import Engine, Policy, Resolvers, Run, RunOptions

CALM = "def main(state): return {**state, 'calm': True}"
SLEEPS = "import time\ndef main(state): time.sleep(60)"
SECRET = {"password": "hunter2-hunter2"}


class Tracked(dict):
    """A state or a credential whose end the test can observe."""


def with_credential(credential: Any) -> dict[str, Any]:
    step = {"id": "a", "expression": CALM, "configuration": credential}
    return {"workflow": {"steps": [step]}}


async def asynchronous(_id: str) -> dict[str, str]:
    await asyncio.sleep(0)
    return dict(SECRET)


def raises(_id: str) -> None:
    raise LookupError(str(SECRET))


def ended(run: Run) -> str:
    return run.result(30).reason


def cancelled(run: Run) -> str:
    wait_for(run, "job-start")
    run.cancel("seen")
    return ended(run)


def awaited(run: Run) -> str:
    async def follow() -> str:
        async for _ in run:
            pass
        return (await run).reason

    return asyncio.run(follow())


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# Each line: the plan, its state, the way to follow it, its reason, and other arguments.
KINDS: dict[str, tuple[Any, Any, Callable[[Run], str], str, dict[str, Any]]] = {
    "success": (CALM, {"data": "x" * 10_000}, ended, "success", {}),
    "a deep state": (CALM, {"data": nested(600)}, ended, "success", {}),
    "a failing job": ("def main(state): raise ValueError('no')", {}, ended, "fail", {}),
    "a crash": ("def main(state): return nonsense", {}, ended, "crash", {}),
    "no job at all": ("def main(state) return 1", {}, ended, "crash", {}),
    "logs": ("def main(state): print('a\\nb'); return state", {}, ended, "success", {}),
    "an exit": ("import os\ndef main(state): os._exit(3)", {}, ended, "crash", {}),
    "noise on the wire": (
        "import os\ndef main(state): os.write(11, b'\\xff' * 999)",
        {},
        ended,
        "exception",
        {},
    ),
    "a message that is none": (
        "import os\ndef main(state): os.write(11, b'\\x01\\0\\0\\0\\xc1')",
        {},
        ended,
        "exception",
        {},
    ),
    "a timeout": (SLEEPS, {}, ended, "kill", {"options": RunOptions(timeout_s=0.2)}),
    "a cancellation": (SLEEPS, {}, cancelled, "cancelled", {}),
    "inline credential": (with_credential(SECRET), {}, ended, "success", {}),
    "resolver": (
        with_credential("c"),
        {},
        ended,
        "success",
        {"resolvers": Resolvers(credential=lambda _: dict(SECRET))},
    ),
    "async resolver": (
        with_credential("c"),
        {},
        ended,
        "success",
        {"resolvers": Resolvers(credential=asynchronous)},
    ),
    "a resolver that raises": (
        with_credential("c"),
        {},
        ended,
        "crash",
        {"resolvers": Resolvers(credential=raises)},
    ),
    "an event loop": (CALM, {}, awaited, "success", {}),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    with make_engine("zygote", max_runs=1, policy=Policy(language=False)) as engine:
        yield engine


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine lives on, so single tests do not compare its resources."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Keep the garbage collector from hiding a cycle."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def wait_until(fact: Callable[[], bool]) -> bool:
    """Wait until the supervisor lets go of the run; it first wakes the waiting thread."""
    deadline = time.monotonic() + 5
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.001)
    return fact()


def one(engine: Engine, kind: str) -> weakref.ref[Run]:
    """Do one run, and keep no object of it."""
    source, state, follow, reason, more = KINDS[kind]
    run = engine.execute(source, state, **more)
    assert follow(run) == reason, run.result().error
    run.poll(after=0)
    return weakref.ref(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_leaves_nothing_for_the_garbage_collector(
    shared: Engine, kind: str, no_collector: None
):
    """At any end of a run its objects are in no cycle, so its states and secrets are gone."""
    one(shared, kind)  # modules that are imported at first use leave cycles of their own
    gc.collect()

    gc.set_debug(gc.DEBUG_SAVEALL)
    reference = one(shared, kind)
    assert wait_until(lambda: reference() is None), gc.get_referrers(reference())
    gc.collect()

    left = Counter(type(x) for x in gc.garbage)
    ours = {t for t in left if t.__module__.partition(".")[0] in ("engine", "protocol")}
    assert not ours, left
    assert not [x for x in gc.garbage if isinstance(x, dict) and "password" in x]


def test_a_credential_is_gone_with_its_run_while_the_handle_is_kept(
    shared: Engine, no_collector: None
):
    """A manager may keep the handle for long, but the value from the resolver is gone."""
    given: list[weakref.ref[Tracked]] = []

    def resolver(_id: str) -> Tracked:
        value = Tracked(SECRET)
        given.append(weakref.ref(value))
        return value

    run = shared.execute(with_credential("c"), resolvers=Resolvers(credential=resolver))

    assert ended(run) == "success"
    assert wait_until(lambda: given[0]() is None)


def test_the_memory_of_a_manager_does_not_grow_with_its_runs(no_collector: None):
    """States of 4 MB follow each other with the collector off: 20 runs need the memory of 10."""
    process = psutil.Process()
    with make_engine("zygote", max_runs=1) as engine:
        for number in range(20):
            run = engine.execute(CALM, {"data": "x" * 4_000_000})
            assert ended(run) == "success"
            assert len(run.poll(after=0)) > 2
            del run
            if number == 9:
                early = process.memory_info().rss
        late = process.memory_info().rss
    assert late < 1.1 * early, f"{early / 1e6:.1f} MB became {late / 1e6:.1f} MB"


def test_a_bad_plan_leaves_nothing_either(no_collector: None):
    """The error has the problems, and the state is not in a cycle."""
    state = Tracked(bad=object())
    reference = weakref.ref(state)
    with make_engine("exec") as engine:
        try:
            engine.execute(CALM, state)
        except api.PlanError as error:
            assert "cannot carry" in str(error)  # noqa: PT017 - the traceback must not outlive this block
        del state
    assert reference() is None
