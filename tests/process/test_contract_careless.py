"""A careless or hostile caller always gets an answer, and never a hang or a bug's traceback."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime as dt
import signal
import subprocess
import textwrap
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ids import short
from runs import QUICK, finish, make_engine, wait_for
from warm import run_warm

import engine as api
from engine import Engine, PlanError, Resolvers, RunOptions

SAME = "def main(state):\n    return state"
SLEEPS = "import time\ndef main(state):\n    time.sleep(60)"


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """All tests of this file share this engine."""
    # With a short grace period, because many tests cancel a job that sleeps.
    options = msgspec.structs.replace(QUICK, cancel_grace_s=0.02)
    with make_engine("zygote", options=options) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def one(expression: Any, **rest: Any) -> dict[str, Any]:
    """Return a plan of one step."""
    return {"workflow": {"steps": [{"id": "a", "expression": expression, **rest}]}}


# --- plans ---


def cyclic() -> dict[str, Any]:
    """Return a dict that contains itself."""
    found: dict[str, Any] = {"x": 1}
    found["me"] = found
    return found


def deep(levels: int) -> Any:
    """Return nested lists."""
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    "plan",
    [
        one(SAME, state=cyclic()),
        one(SAME, configuration=cyclic()),
        one(SAME, configuration={"k": lambda: 0}),
        one(SAME, state={"data": object()}),
        one(SAME, state=deep(100_000)),
        one(SAME, state={"n": [2**70 + k * (2**61 - 1) for k in range(3_100)]}),
        one(b"def main(state): return state"),
        one(["def main"]),
        one(SAME, next=[]),
        one(SAME, next=["b"]),
        one(SAME, next={1: True}),
        one(SAME, next={"": True}),
        one(SAME, next=""),
        one(SAME, state="", id="\ud800"),
        one("x = '\ud800'"),
        one(SAME, **{"\ud800": 1}),
        {"workflow": {"steps": [{"id": "a"}], 5: 1}},
        {5: {}},
        {"workflow": {"steps": "abc"}},
        {"workflow": {"steps": {"a": {}}}},
        {"workflow": {"steps": (i for i in ())}},
        {"workflow": {"steps": [{"id": "a"}], "jobs": [{"id": "b"}]}},
        {
            "workflow": {
                "steps": [{"id": "a", "adaptor": "x", "adaptors": ["y"], "expression": "x"}]
            }
        },
        '{"workflow": {"steps": [{"id": "a"}, {"id": "a"}]}}',
        '{"a": ' * 50_000,
        "{" * 100_000,
        '{"workflow": {"steps": [{"id": "\\ud800"}]}}',
        '{"id": "x", "id": "y", "workflow": {"steps": [{}]}}',
        bytearray(b"{}"),
        memoryview(b"{}"),
        Path("/nonexistent/plan.json"),
        Path("/"),
        Path("/etc/hostname"),
        Path("a\0b.json"),
        dataclasses,
        Engine,
        lambda state: state,
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        {"workflow": cyclic()},
        {"workflow": {"steps": [{"id": "a", "next": f"b{i}"} for i in range(300)]}},
    ],
    ids=lambda plan: short(plan) if not isinstance(plan, dict) else None,
)
def test_an_odd_plan_is_a_plan_error(shared: Engine, plan: Any):
    """Every line of the error begins with a path, and the error is not megabytes long."""
    with pytest.raises(PlanError) as caught:
        shared.execute(plan)
    text = str(caught.value)
    assert text
    assert len(text) < 100_000
    assert all(problem.path and problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    "plan",
    [
        types.MappingProxyType(
            {"workflow": types.MappingProxyType({"steps": (types.MappingProxyType({"id": "a"}),)})}
        ),
        collections.OrderedDict(
            workflow=collections.OrderedDict(steps=[collections.OrderedDict(id="a")])
        ),
        {
            "id": None,
            "workflow": {
                "id": None,
                "name": None,
                "start": None,
                "globals": None,
                "credentials": None,
                "steps": [
                    {
                        "id": "a",
                        "name": None,
                        "expression": None,
                        "configuration": None,
                        "state": None,
                        "next": None,
                    }
                ],
            },
            "options": None,
        },
        {"workflow": {"steps": [{}]}, "options": {}},
        {
            "workflow": {"steps": [{"next": {}}]},
            "options": {"start": None, "end": None, "timeout": None},
        },
        '\ufeff  \n{"workflow": {"steps": [{}]}}',
        b'{"workflow": {"steps": [{}]}}',
        {"jobs": [{"id": "a"}]},
    ],
    ids=range(8),
)
def test_a_sparse_plan_is_one(shared: Engine, plan: Any):
    """A null means the same as a missing key, and any mapping is an object."""
    assert shared.execute(plan, {"k": 1}).result(20).state == {"k": 1}


# --- states ---


@dataclasses.dataclass
class Row:
    """A plain row."""

    x: int


@pytest.mark.parametrize(
    ("state", "back"),
    [
        ((1, 2), [1, 2]),
        ({"data": Row(1)}, {"data": {"x": 1}}),
        (collections.OrderedDict(k=1), {"k": 1}),
        ({"k": {1}}, {"k": [1]}),
        ({"k": dt.date(2026, 1, 2)}, {"k": "2026-01-02"}),
        ({"k": 2**300, "f": float("inf")}, {"k": 2**300, "f": float("inf")}),
        ({"k": bytearray(b"x")}, {"k": b"x"}),
        ({"k": api.Edge()}, None),
        ({"k": deep(150)}, None),
        (
            {"data": {"__class__": 1, "constructor": 2, "__proto__": 3}},
            {"data": {"__class__": 1, "constructor": 2, "__proto__": 3}},
        ),
    ],
)
def test_odd_initial_states(shared: Engine, state: Any, back: Any):
    """The states come back as plain values."""
    result = shared.execute(SAME, state).result(20)
    assert result.reason == "success", result.error
    if isinstance(result.state, dict) and result.state.get("data") == {} and back is not None:
        del result.state["data"]
    assert back is None or result.state == back


@pytest.mark.parametrize(
    "state",
    [
        cyclic(),
        deep(50_000),
        (i for i in ()),
        {"k": "\ud800"},
        {"\ud800": 1},
        {(1, 2): 3},
        Ellipsis,
        NotImplemented,
        1j,
    ],
    ids=range(9),
)
def test_a_state_that_cannot_be_carried(shared: Engine, state: Any):
    """The state gives an error at once or is carried; a RecursionError or a death never comes.

    Python 3.14 encodes a deeper state than a child can decode, so there the child reports it.
    """
    try:
        run = shared.execute(SAME, state)
    except (PlanError, TypeError, ValueError) as error:
        assert not isinstance(error, RecursionError)  # noqa: PT017
        assert str(error)  # noqa: PT017 - either is right
        return
    result = run.result(20)
    assert result.reason == "success" or result.error.name in ("StateError", "StateLoadError")


def test_a_text_as_state_without_a_resolver(shared: Engine):
    """The text is the id of a stored state."""
    assert shared.execute(SAME, "some-id").result(20).error.name == "StateLoadError"


# --- the handle ---


def test_odd_waiting_times(shared: Engine):
    """A negative time returns at once, and an endless time waits for the next event."""
    run = shared.execute(SLEEPS)
    wait_for(run, "job-start")
    for timeout_s in (0, -1, 0.0):
        with pytest.raises(TimeoutError):
            run.result(timeout_s=timeout_s)
    run.poll()
    assert run.poll(timeout_s=-1) == []
    threading.Timer(0.05, run.cancel).start()
    assert run.poll(timeout_s=1e9)
    assert run.result(timeout_s=1e9).reason == "cancelled"


@pytest.mark.parametrize(
    "reason", ["", "x" * 1_000_000, "\ud800", "é\n\0", None, 5, b"x"], ids=range(7)
)
def test_odd_reasons(shared: Engine, reason: Any):
    """The run is cancelled, or the call explains the mistake in its argument."""
    run = shared.execute(SLEEPS)
    wait_for(run, "job-start")
    try:
        run.cancel(reason)
    except TypeError:
        run.cancel()
    result = run.result(10)
    assert (result.reason, result.error.name) == ("cancelled", "Cancelled")
    finish(run)


def test_many_threads_wait_for_one_run(shared: Engine):
    """All threads get the same result, and several pollers see every event."""
    run = shared.execute(
        "import asyncio\nasync def main(state):\n    await asyncio.sleep(0.2)\n    return {'n': 1}"
    )
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(run.result(20).state)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert got == [{"n": 1}] * 8


def test_cancel_from_a_signal_handler(shared: Engine):
    """A signal handler may cancel a run, because the call takes no lock."""
    run = shared.execute(SLEEPS)
    wait_for(run, "job-start")
    before = signal.signal(signal.SIGUSR1, lambda *_: run.cancel("signal"))
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert "signal" in run.result(10).error.message
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_awaiting_task_that_is_cancelled(shared: Engine):
    """The run goes on, the loop closes, and Python does not warn."""

    async def main() -> None:
        run = shared.execute(SLEEPS)
        task = asyncio.ensure_future(collect(run))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not run.done
        run.cancel()
        await run

    async def collect(run: api.Run) -> None:
        async for _ in run:
            pass

    asyncio.run(main())


def test_many_runs_at_once(shared: Engine):
    """Forty runs are queued, and each has its own state."""
    runs = [
        shared.execute("def main(state):\n    return {'n': state['n'] * 2}", {"n": n})
        for n in range(40)
    ]
    assert [run.result(60).state for run in runs] == [{"n": n * 2} for n in range(40)]


def test_a_plan_of_ten_diamonds_meets_a_limit(shared: Engine):
    """The plan has 4093 executions, and a limit ends the run with a report."""
    steps: list[dict[str, Any]] = []
    for i in range(10):
        steps += [
            {"id": f"a{i}", "expression": SAME, "next": {f"b{i}": True, f"c{i}": True}},
            {"id": f"b{i}", "expression": SAME, "next": f"a{i + 1}"},
            {"id": f"c{i}", "expression": SAME, "next": f"a{i + 1}"},
        ]
    plan = {"workflow": {"steps": [*steps, {"id": "a10", "expression": SAME}]}}
    run = shared.execute(plan)
    result = run.result(60)
    assert (result.reason, result.error.name) == ("kill", "OutputLimitError")
    assert "1000" in result.error.message
    finish(run)


# --- resolvers and callbacks ---


def test_a_resolver_that_never_returns_ends_with_the_engine():
    """Closing the engine does not wait for the resolver."""
    stop = threading.Event()
    made = make_engine("zygote", options=QUICK)
    run = made.execute(
        one(SAME, configuration="c"), resolvers=Resolvers(credential=lambda _id: stop.wait(20))
    )
    wait_for(run, "init-start")
    begun = time.monotonic()
    made.close()
    assert time.monotonic() - begun < 5
    assert run.result(0).reason == "cancelled"
    stop.set()


def test_a_resolver_may_use_the_engine(shared: Engine):
    """The resolver is called in a thread of its own."""

    def credential(_id: str) -> Any:
        return (
            shared.execute("def main(state):\n    return {'token': 'from-a-run'}").result(10).state
        )

    plan = one(
        "def main(state):\n    return {'n': len(state.configuration.token)}", configuration="c"
    )
    assert shared.execute(plan, resolvers=Resolvers(credential=credential)).result(20).state == {
        "n": 10
    }


def test_on_event_may_block_and_may_cancel():
    """A slow reader still gets every event."""
    seen: list[str] = []

    def slow(event: api.Event) -> None:
        time.sleep(0.02)
        seen.append(event.type)

    state = api.run(
        "def main(state):\n    for i in range(20): print(i)\n    return {'n': 1}", on_event=slow
    )
    assert state == {"n": 1}
    assert seen.count("log") == 20
    assert seen[-1] == "workflow-complete"


# --- life of the process ---


def script(text: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a manager of its own."""
    return run_warm(textwrap.dedent(text), warnings=("error",), timeout_s=30, **more)


def test_an_engine_that_was_never_closed_does_not_keep_the_process():
    """The process ends after a run, with a run in progress, and with a daemon thread."""
    for rest in (
        "engine.Engine().execute('def main(state): return state').result()",
        "e = engine.Engine(); r = e.execute('import time\\ndef main(state): time.sleep(60)')\nwhile not any(x.type == 'job-start' for x in r.poll(0)): pass",
        "threading.Thread(target=lambda: (runs.append(engine.Engine().execute('import time\\ndef main(state): time.sleep(60)')), runs[0].result()), daemon=True).start()\nwhile not runs or not any(x.type == 'job-start' for x in runs[0].poll(after=0)): time.sleep(0.01)",
        "engine.Engine(spares=2).execute('def main(state): return state').result()",
        "engine.Engine(start_mode='exec', spares=1).execute('def main(state): return state').result()",
    ):
        done = script(
            f"import engine, threading, time\nruns = []\n{rest}\nprint('end')", real_end=True
        )
        assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
        assert "Traceback" not in done.stderr, done.stderr


def test_an_engine_in_a_daemon_thread_and_in_a_forked_process():
    """The daemon thread works; the forked process says that it does not."""
    done = script(
        """
        import engine, os, threading
        got = []
        def work():
            with engine.Engine() as e:
                got.append(e.execute("def main(state):\\n    return {'n': 1}").result(20).state)
        t = threading.Thread(target=work, daemon=True)
        t.start(); t.join()
        print(got, flush=True)
        e = engine.Engine()
        e.execute("def main(state): return state").result()
        pid = os.fork()
        if not pid:
            try:
                e.execute("def main(state): return state")
            except engine.EngineError as error:
                print("refused", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(e.execute("def main(state):\\n    return {'n': 2}").result(20).state)
        e.close()
        """
    )
    assert done.stdout == "[{'n': 1}]\nrefused\n{'n': 2}\n", done.stderr


# These do not touch each other, and so need one manager.
HARMLESS_TOGETHER = """
import decimal, os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.chdir("/")
os.environ.clear()
os.umask(0o777)
sys.setrecursionlimit(200)
decimal.getcontext().prec = 2
"""


def test_the_streams_and_signals_of_the_manager_are_left_alone():
    """A run works with stdin closed, with stderr closed, with SIGCHLD ignored, and with few descriptors."""
    for first in (
        "import os; os.close(0)",
        "import sys, os; os.close(2)",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
        HARMLESS_TOGETHER,
    ):
        done = script(
            f"{first}\nimport engine\nfor m in ('zygote', 'exec'):\n    with engine.Engine(start_mode=m) as e:\n        r = e.execute('def main(state):\\n    return {{\"n\": 1}}').result(20)\n        print(r.state, r.error)"
        )
        assert done.stdout == "{'n': 1} None\n" * 2, (first, done.stdout, done.stderr)


# --- jobs ---


@pytest.mark.parametrize(
    "source",
    [
        "def main(state):\n    return [print(i) for i in range(10_000)] and {}",
        "def main(state):\n    print(*range(50_000))\n    return {}",
        "def main(state):\n    print('x', file=None)\n    return {}",
        "def main(state):\n    print('x', flush=True)\n    return {}",
        "import warnings\ndef main(state):\n    warnings.warn('careful')\n    return {}",
        "import logging\nlogging.basicConfig(level=logging.DEBUG)\nlogging.getLogger().setLevel('ERROR')\ndef main(state):\n    logging.critical('x %s', object())\n    return {}",
        "import logging\ndef main(state):\n    logging.info('%d', 'not a number')\n    return {}",
        "import asyncio\nasync def forever():\n    while True:\n        await asyncio.sleep(0)\nasync def main(state):\n    asyncio.create_task(forever())\n    return {}",
        "import asyncio\nasync def stubborn():\n    while True:\n        try:\n            await asyncio.sleep(60)\n        except asyncio.CancelledError:\n            pass\nasync def main(state):\n    t = asyncio.create_task(stubborn())\n    await asyncio.sleep(0)\n    return {}",
        "import asyncio\nasync def bad():\n    raise ValueError('never seen')\nasync def main(state):\n    asyncio.create_task(bad())\n    await asyncio.sleep(0)\n    return {}",
        "async def never(): pass\ndef main(state):\n    never()\n    return {}",
        "def gen():\n    try:\n        yield 1\n    finally:\n        print('closed')\ndef main(state):\n    g = gen()\n    next(g)\n    return {}",
        "class S(str): pass\nclass I(int): pass\nclass L(list): pass\nclass D(dict): pass\ndef main(state):\n    return {'x': [S('a'), I(1), L([1]), D(a=1)]} and {}",
    ],
    ids=range(13),
)
def test_odd_jobs_that_are_fine(shared: Engine, source: str):
    """The jobs succeed in time."""
    begun = time.monotonic()
    run = shared.execute(source)
    result = run.result(20)
    assert (result.reason, result.state) == ("success", {}), result.error
    assert time.monotonic() - begun < 10
    finish(run)


@pytest.mark.parametrize("kind", ["S('a')", "I(1)", "L([1])", "D(a=1)"])
def test_subclasses_of_plain_types_are_carried(shared: Engine, kind: str):
    """An object of a subclass becomes its plain value."""
    source = f"class S(str): pass\nclass I(int): pass\nclass L(list): pass\nclass D(dict): pass\ndef main(state):\n    return {{'x': {kind}}}"
    result = shared.execute(source).result(20)
    assert result.error is None, result.error
    assert result.state["x"] in ("a", 1, [1], {"a": 1})


@pytest.mark.parametrize(
    "source",
    [
        "class E(dict):\n    def items(self): raise KeyError('x')\n    def __iter__(self): raise KeyError('y')\n    def keys(self): raise KeyError('z')\ndef main(state):\n    return E(a=1)",
        "class E(dict):\n    def __contains__(self, k): raise SystemExit\n    def __getitem__(self, k): raise SystemExit\ndef main(state):\n    return E(a=1)",
        "class E:\n    def __getattr__(self, name): raise SystemExit\n    def __call__(self, state): raise SystemExit(3)\nmain = E()",
        "class E:\n    def __await__(self): raise SystemExit\ndef main(state):\n    return E()",
        "class E(list):\n    def __iter__(self): raise KeyboardInterrupt\noperations = E([lambda s: s])",
        "class E(str):\n    def __eq__(self, o): raise SystemExit\n    __hash__ = str.__hash__\ndef main(state):\n    return {E('configuration'): 1, E('data'): 2}",
        "class M:\n    def __bool__(self): raise SystemExit\n    def __eq__(self, o): raise SystemExit\ndef main(state):\n    return M()",
        "def execute(*ops): raise SystemExit\noperations = []",
        "def execute(*ops): return 5\noperations = []",
        "execute = 5\noperations = [lambda s: s]",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "1 / 0\ndef main(state): return state",
        "def main(state, extra): return state",
        "def main(*, state): return state",
        "async def main(state):\n    await 5",
        "import asyncio\ndef main(state):\n    return asyncio.run(f())\nasync def f(): return {}",
        "import asyncio\nasync def main(state):\n    asyncio.get_running_loop().stop()\n    await asyncio.sleep(1)\n    return state",
        "import asyncio\nasync def main(state):\n    asyncio.current_task().cancel()\n    await asyncio.sleep(1)",
        "def main(state):\n    state.clear()\n    raise ValueError('gone')",
        "def main(state):\n    state['errors'] = 5\n    raise ValueError('gone')",
        "def main(state):\n    state['errors'] = {'a': lambda: 0}\n    raise ValueError('gone')",
        "def main(state):\n    raise ValueError",
        "def main(state):\n    " + "(" * 90 + "1" + ")" * 90 + "\n    raise TypeError('x')",
    ],
    ids=range(24),
)
def test_hostile_jobs_end_with_a_report(shared: Engine, source: str):
    """Each job ends with a known error name or with success, and every job-start is closed."""
    run = shared.execute(one(source), {"data": {"k": 1}})
    result = run.result(20)
    finish(run)
    if result.error is not None:
        assert result.error.name not in ("ProtocolError", "SpawnError", "ConfinementError"), (
            result.error
        )
        assert result.error.name != "ExitError" or "SystemExit" in source
        assert result.error.step_id == "a"
        if result.error.severity == "fail":
            assert result.state["errors"]["a"]["name"] == result.error.name


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "import itertools; 1 in itertools.repeat(0)",
        "10 ** 10 ** 8",
        "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
        "sum(iter(int, 1))",
        "try:\n        while True: pass\n    finally:\n        while True: pass",
        "while True:\n        try:\n            while True: pass\n        except BaseException:\n            pass",
    ],
    ids=range(7),
)
def test_busy_jobs_die_in_time(shared: Engine, body: str):
    """The jobs run under a step timeout of 50 ms."""
    begun = time.monotonic()
    result = shared.execute(
        one(f"def main(state):\n    {body}"), options=RunOptions(step_timeout_s=0.05)
    ).result(20)
    assert time.monotonic() - begun < 3
    assert result.error is not None
    assert result.error.name in ("TimeoutError", "SecurityError", "RuntimeError"), result.error
    if "while" in body:
        assert result.error.name == "TimeoutError"


def test_a_busy_condition_dies_in_time(shared: Engine):
    """Conditions run in the child as well, and their time counts."""
    for condition in ("[0 for _ in iter(int, 1)] == 1", "10 ** 10 ** 9 > state.data.x"):
        plan = {
            "workflow": {
                "steps": [{"id": "a", "expression": SAME, "next": {"b": condition}}, {"id": "b"}]
            }
        }
        run = shared.execute(plan, {"data": {"x": 1}}, options=RunOptions(timeout_s=0.1))
        result = run.result(20)
        assert result.reason in ("kill", "crash")
        types = [e.type for e in finish(run)]
        assert types.count("job-start") == types.count("job-complete") + types.count("job-error")


def test_a_resolver_that_raises_odd_text(shared: Engine):
    """A lone surrogate in the text of the exception does not make the run hang."""

    def resolve(_id: str) -> Any:
        raise ValueError("odd \ud800 text")

    run = shared.execute(one(SAME, configuration="c"), resolvers=Resolvers(credential=resolve))
    assert run.result(10).error.name == "CredentialLoadError"


def test_memory_of_a_job_is_known_however_soon_its_child_is_gone():
    """In each start mode, `mem` of a trivial job is never zero."""
    for mode in ("exec", "zygote"):
        with make_engine(mode, options=QUICK) as made:
            for _ in range(4):
                [done] = [e for e in finish(made.execute(SAME)) if e.type == "job-complete"]
                assert 1_000_000 < done.mem.system <= done.mem.peak, mode


# --- arguments of a handle ---


@pytest.mark.parametrize("timeout_s", ["1", float("nan"), True, object(), b"1", [1]])
def test_a_timeout_that_is_no_number_is_quoted(shared: Engine, timeout_s: Any):
    """The value is not compared, not added, and not waited for."""
    run = shared.execute(SAME)
    for wait in (run.poll, run.result):
        with pytest.raises(ValueError, match="timeout_s must be a number of seconds or None, not"):
            wait(timeout_s=timeout_s)
    finish(run)


@pytest.mark.parametrize("after", [True, -1, 1.0, "1"])
def test_a_cursor_that_is_no_seq_is_quoted(shared: Engine, after: Any):
    """A bool is not the number of an event."""
    run = shared.execute(SAME)
    with pytest.raises(ValueError, match=f"after must be the seq of an event.*not {after!r}"):
        run.poll(after=after)
    finish(run)


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_called_with_events_is_refused():
    """The error comes before the run or at the first event; no coroutine is left unawaited."""

    async def forgotten(_event: Any) -> None:
        pass

    with pytest.raises(TypeError, match="on_event must be callable, not 5"):
        api.run(SAME, on_event=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_event must be an ordinary function"):
        api.run(SAME, on_event=forgotten)
