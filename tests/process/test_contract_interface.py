"""CONTRACT section 2, from outside: run, Engine, Run, RunOptions, Resolvers, RunResult."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from runs import QUICK, finish, make_engine, wait_for

import engine as api
from engine import (
    Engine,
    EngineClosedError,
    Permissions,
    PlanError,
    Policy,
    Resolvers,
    RunError,
    RunOptions,
)

SAME = "def main(state):\n    return state"
LOOP = "def main(state):\n    while True:\n        pass"
SLEEP = "import asyncio\nasync def main(state):\n    await asyncio.sleep(60)"


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """All tests of this file share this engine."""
    with make_engine("zygote", options=QUICK) as made:
        # A limit of 0.2 s counts from the start of a run, and the first one waits for the zygote.
        made.execute("def main(state): return state").result(20)
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def one(expression: str, **rest: Any) -> dict[str, Any]:
    """Return a plan of one step."""
    return {"workflow": {"steps": [{"id": "a", "expression": expression, **rest}]}}


# --- signatures, to the letter ---


def test_names_and_defaults_are_those_of_the_contract():
    """The test checks parameters, kinds and defaults of all names that a caller uses."""
    run = inspect.signature(api.run).parameters
    assert list(run) == [
        *("plan_or_source", "state", "options", "resolvers", "repo_dir", "on_event", "journal"),
        "trace",
    ]
    assert [p.name for p in run.values() if p.kind is p.KEYWORD_ONLY] == list(run)[2:]
    made = inspect.signature(Engine).parameters
    assert list(made) == [
        *("repo_dir", "max_runs", "start_mode", "spares", "policy", "options"),
        *("preload", "warm_mb"),
    ]
    assert (made["start_mode"].default, made["spares"].default) == ("zygote", 0)
    assert list(inspect.signature(Engine.execute).parameters)[1:] == [
        "plan",
        "state",
        "options",
        "resolvers",
        "journal",
        "trace",
    ]
    assert list(inspect.signature(api.Run.poll).parameters)[1:] == ["after", "timeout_s"]
    assert inspect.signature(api.Run.poll).parameters["timeout_s"].default == 0.0
    assert list(inspect.signature(api.Run.result).parameters)[1:] == ["timeout_s"]
    assert list(inspect.signature(api.Run.cancel).parameters)[1:] == ["reason"]


def test_run_options_have_the_fields_of_the_contract():
    """Each option of the contract exists and has its default."""
    options = RunOptions()
    assert options.timeout_s == 600.0
    assert options.step_timeout_s is None
    assert options.memory_mb == 500
    assert options.cpu_s is None
    assert options.state_mb is None
    assert options.payload_mb == 10.0
    assert options.log_payload_mb == 1.0
    assert options.max_log_bytes > 0
    assert options.log_level == "debug"
    assert options.modules == {}
    assert options.whitelist is None
    assert options.permissions == Permissions(net=(), read=())
    assert options.remove_from_state == ("configuration",)
    assert {key.lower() for key in options.public_credential_keys} == {
        "username",
        "user",
        "email",
        "host",
        "hostname",
        "port",
        "baseurl",
        "base_url",
        "url",
        "database",
        "schema",
        "apiversion",
        "api_version",
        "clientid",
        "client_id",
        "account",
        "region",
    }
    assert options.event_state is True
    assert (options.start, options.end) == (None, None)
    with pytest.raises(TypeError):
        RunOptions(600.0)
    assert Policy() == Policy(level="default", language=True)
    assert api.ModuleRef(path="/x", version="1.0.0").version == "1.0.0"


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": "1"},
        {"timeout_s": 0},
        {"timeout_s": -1},
        {"timeout_s": float("nan")},
        {"timeout_s": float("inf")},
        {"timeout_s": True},
        {"memory_mb": None},
        {"memory_mb": "500"},
        {"memory_mb": []},
        {"payload_mb": -1},
        {"log_level": "loud"},
        {"log_level": None},
        {"modules": []},
        {"modules": None},
        {"modules": {"common": "path"}},
        {"modules": {1: api.ModuleRef(path="x", version="1")}},
        {"whitelist": "common"},
        {"whitelist": [1]},
        {"whitelist": 3},
        {"whitelist": ["("]},
        {"permissions": {"net": ["*"]}},
        {"permissions": None},
        {"remove_from_state": "configuration"},
        {"remove_from_state": None},
        {"public_credential_keys": "user"},
        {"public_credential_keys": None},
        {"event_state": "yes"},
        {"start": 1},
        {"end": 1.5},
        {"cpu_s": "1"},
        {"state_mb": 0},
        {"max_log_bytes": "1"},
        {"timeout": 1},
    ],
    ids=repr,
)
def test_wrong_options_are_refused_where_they_are_made(shared: Engine, wrong: dict[str, Any]):
    """A TypeError or ValueError names the option, before anything is started."""
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        shared.execute(SAME, options=RunOptions(**wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"net": "host"},
        {"net": [1]},
        {"net": None},
        {"read": "/tmp"},
        {"read": [b"/tmp"]},
        {"nett": ()},
    ],
    ids=repr,
)
def test_wrong_permissions_are_refused(wrong: dict[str, Any]):
    """A wrong permission gives the same kind of error."""
    with pytest.raises((TypeError, ValueError)):
        Permissions(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_runs": 0},
        {"max_runs": "2"},
        {"max_runs": True},
        {"start_mode": "fork"},
        {"spares": -1},
        {"spares": "1"},
        {"spares": True},
        {"policy": "none"},
        {"policy": {}},
        {"options": {"timeout_s": 1}},
        {"options": 3},
        {"repo_dir": 3},
    ],
    ids=repr,
)
def test_wrong_arguments_of_an_engine_are_refused(wrong: dict[str, Any]):
    """The error comes at once, and not with the first run."""
    with pytest.raises((TypeError, ValueError)):
        Engine(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"options": {"timeout_s": 1}},
        {"options": 3},
        {"resolvers": {"state": len}},
        {"resolvers": len},
    ],
    ids=repr,
)
def test_wrong_arguments_of_execute_are_refused(shared: Engine, wrong: dict[str, Any]):
    """The error is a TypeError, and not an AttributeError from inside."""
    with pytest.raises(TypeError, match=next(iter(wrong))):
        shared.execute(SAME, **wrong)


@pytest.mark.parametrize(
    "wrong", [{"level": "strict"}, {"level": None}, {"language": "no"}, {"levle": 1}], ids=repr
)
def test_a_wrong_policy_is_refused(wrong: dict[str, Any]):
    """A typing error must not switch a wall off."""
    with pytest.raises((TypeError, ValueError)):
        Policy(**wrong)


@pytest.mark.parametrize("wrong", [{"credential": 3}, {"state": "x"}, {"stat": len}], ids=repr)
def test_wrong_resolvers_are_refused(wrong: dict[str, Any]):
    """A resolver must be callable."""
    with pytest.raises(TypeError):
        Resolvers(**wrong)


# --- engine.run ---


def test_run_returns_the_final_state():
    """A failed job leaves its error in the state, and on_event sees every event."""
    seen: list[api.Event] = []
    state = api.run(
        one("def main(state):\n    raise ValueError('no')"),
        {"data": {"x": 1}},
        on_event=seen.append,
    )
    assert state["data"] == {"x": 1}
    assert state["errors"]["a"]["name"] == "RuntimeError"
    assert [e.seq for e in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].type == "workflow-complete"


@pytest.mark.parametrize(
    ("source", "name", "severity"),
    [
        ("def main(state):\n    return nothing", "RuntimeCrash", "crash"),
        ("def main(state):\n    return eval('1')", "SecurityError", "kill"),
    ],
)
def test_run_raises_run_error(source: str, name: str, severity: str):
    """A crash and a kill raise a RunError with the report."""
    with pytest.raises(RunError) as caught:
        api.run(source)
    error = caught.value
    assert (error.error.name, error.severity, error.step_id) == (name, severity, "job-1")
    assert error.result.reason == severity == error.reason
    assert name in str(error)
    assert "job-1" in str(error)


def test_run_raises_plan_error():
    """The error comes before a process is started."""
    with pytest.raises(PlanError):
        api.run({})


def test_run_within_a_running_loop():
    """The call works, and blocks the loop as every blocking call does."""

    async def main() -> Any:
        return api.run("async def main(state):\n    return {'n': 1}")

    assert asyncio.run(main()) == {"n": 1}


def test_what_on_event_raises_is_raised():
    """The exception of on_event reaches the caller, and no child is left."""

    def stop(event: api.Event) -> None:
        raise LookupError(event.type)

    with pytest.raises(LookupError, match="workflow-start"):
        api.run(LOOP, on_event=stop)


# --- poll, result, await ---


def test_poll_with_a_cursor(shared: Engine):
    """A cursor gives events with seq > after; without a cursor a handle gives new events only."""
    run = shared.execute(SAME)
    run.result(20)
    assert run.done
    everything = run.poll()
    assert [e.seq for e in everything] == list(range(1, len(everything) + 1))
    assert run.poll(after=3) == everything[3:]
    assert run.poll(after=len(everything)) == []
    assert run.poll(after=10**30, timeout_s=5) == []
    assert run.poll() == []
    assert run.poll(timeout_s=5) == []
    assert run.poll(after=0) == everything
    for wrong in (-1, "1", 1.5, object()):
        with pytest.raises((TypeError, ValueError)):
            run.poll(after=wrong)


def test_poll_waits_for_the_first_event_only(shared: Engine):
    """The argument timeout_s is the longest time to wait."""
    run = shared.execute(SLEEP)
    wait_for(run, "job-start")
    while run.poll(timeout_s=0.2):
        pass
    begun = time.monotonic()
    assert run.poll(timeout_s=0.2) == []
    assert 0.15 < time.monotonic() - begun < 3
    assert run.poll(after=10**9, timeout_s=0.05) == []
    run.cancel()
    run.result(20)


def test_poll_sees_events_while_the_run_goes_on(shared: Engine):
    """The job never ends, but its job-start can be polled."""
    run = shared.execute(LOOP)
    event = wait_for(run, "job-start")
    assert not run.done
    assert event.step_id == "job-1"
    run.cancel()
    run.result(20)


def test_result_of_a_run_that_goes_on(shared: Engine):
    """The error is the builtin TimeoutError; a time of zero means now; the run goes on."""
    run = shared.execute(SLEEP)
    for timeout_s in (0, 0.0, 0.01):
        with pytest.raises(TimeoutError):
            run.result(timeout_s=timeout_s)
    assert not run.done
    run.cancel("enough of it")
    result = run.result(20)
    assert result == run.result(timeout_s=0)
    assert (result.reason, result.error.name, result.error.severity) == (
        "cancelled",
        "Cancelled",
        "kill",
    )
    assert "enough of it" in result.error.message
    assert finish(run)[-1].type == "workflow-error"


def test_cancel_again_and_after_the_end(shared: Engine):
    """A second cancel does nothing, and the first reason holds."""
    run = shared.execute(SLEEP)
    wait_for(run, "job-start")
    run.cancel("first")
    run.cancel("second")
    result = run.result(20)
    run.cancel("third")
    assert "first" in result.error.message
    over = shared.execute(SAME)
    over.result(20)
    over.cancel("too late")
    assert over.result().reason == "success"


def test_async_iteration_and_await(shared: Engine):
    """Several tasks of one loop may iterate and await, also twice."""

    async def follow(run: api.Run) -> list[api.Event]:
        return [event async for event in run]

    async def main() -> None:
        runs = [
            shared.execute("def main(state):\n    print('hi')\n    return {'n': 1}")
            for _ in range(5)
        ]
        followed = await asyncio.gather(*map(follow, runs))
        for run, events in zip(runs, followed, strict=True):
            assert [e.seq for e in events] == list(range(1, len(events) + 1))
            assert events[-1].type == "workflow-complete"
            assert (await run).state == {"n": 1}
            assert (await run).state == {"n": 1}
            assert await follow(run) == events
        run = shared.execute(LOOP)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(run), 0.2)
        assert not run.done
        run.cancel()
        assert (await run).reason == "cancelled"

    asyncio.run(main())


async def _await(run: api.Run) -> Any:
    return await run


def test_the_state_of_a_result_is_the_one_of_its_events(shared: Engine):
    """The state is decoded once, which saves memory; the caller's own state is separate."""
    given = {"data": {"rows": [1]}}
    run = shared.execute(SAME, given)
    given["data"]["rows"].append(2)
    state = run.result(20).state
    assert state == {"data": {"rows": [1]}}
    assert finish(run)[-1].state is state


# --- engine ---


def test_threads_use_one_engine(shared: Engine):
    """Eight threads run at once, and each gets its own state back."""
    got: dict[int, Any] = {}

    def use(number: int) -> None:
        got[number] = [
            shared.execute(SAME, {"n": (number, i)}).result(30).state["n"] for i in range(4)
        ]

    threads = [threading.Thread(target=use, args=(n,), daemon=n % 2 == 0) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == {n: [[n, i] for i in range(4)] for n in range(8)}


def test_runs_beyond_max_runs_wait_in_order():
    """The first run in the queue starts first."""
    with make_engine("zygote", max_runs=1, options=QUICK) as one_at_a_time:
        runs = [one_at_a_time.execute(SAME) for _ in range(5)]
        starts = [run.result(20) and run.poll(after=0)[0].time for run in runs]
    assert starts == sorted(starts)


def test_closing_cancels_what_is_queued_or_running():
    """A second close does nothing; execute on a closed engine raises."""
    made = make_engine("zygote", max_runs=1, options=QUICK)
    running, queued = made.execute(LOOP), made.execute(SAME)
    wait_for(running, "job-start")
    made.close()
    made.close()
    for run in (running, queued):
        assert run.done
        result = run.result(0)
        assert (result.reason, result.error.name) == ("cancelled", "Cancelled")
        assert finish(run)[-1].type == "workflow-error"
    with pytest.raises(EngineClosedError):
        made.execute(SAME)
    with make_engine() as never_used:
        pass
    with pytest.raises(EngineClosedError):
        never_used.execute(SAME)
    with pytest.raises(EngineClosedError), made:
        made.execute(SAME)


def test_a_queued_run_that_is_cancelled_never_starts():
    """The run ends at once, with the error Cancelled and a single event."""
    with make_engine("zygote", max_runs=1, options=QUICK) as made:
        running, queued = made.execute(LOOP), made.execute(SAME)
        queued.cancel("not needed")
        result = queued.result(10)
        assert (result.reason, result.error.name) == ("cancelled", "Cancelled")
        assert [e.type for e in finish(queued)] == ["workflow-error"]
        assert not running.done


def test_options_of_a_run_and_of_the_engine():
    """The options of the run replace those of the engine."""
    with make_engine("zygote", options=RunOptions(timeout_s=0.3)) as made:
        result = made.execute(LOOP).result(20)
        assert (result.reason, result.error.name) == ("kill", "TimeoutError")
        assert "0.3" in result.error.message or "300" in result.error.message


@pytest.mark.parametrize(
    ("options", "plan_options", "value"),
    [
        ({"timeout_s": 0.2}, {}, "0.2"),
        ({}, {"timeout": 200}, "0.2"),
        ({"timeout_s": 0.2}, {"timeout": 5000}, "0.2"),
        ({"timeout_s": 20}, {"timeout": 200}, "0.2"),
        ({"step_timeout_s": 0.2}, {}, "0.2"),
        ({"step_timeout_s": 9}, {"step_timeout": 200}, "0.2"),
        ({"step_timeout_s": 0.2}, {"stepTimeout": 9000}, "0.2"),
    ],
)
def test_the_smaller_limit_holds(shared: Engine, options: Any, plan_options: Any, value: str):
    """A limit can be set in the plan and in the options."""
    sleeps = "import time\ndef main(state):\n    time.sleep(60)"
    run = shared.execute({**one(sleeps), "options": plan_options}, options=RunOptions(**options))
    result = run.result(20)
    assert (result.reason, result.error.name, result.error.severity) == (
        "kill",
        "TimeoutError",
        "kill",
    )
    assert value in result.error.message or "200" in result.error.message, result.error.message
    assert result.error.step_id == "a"
    finish(run)


@pytest.mark.parametrize(
    "policy",
    [Policy(), Policy(language=False), Policy(level="none"), Policy(level="none", language=False)],
    ids=repr,
)
def test_confinement_says_which_walls_were_on(policy: Policy):
    """The report is on workflow-start and on the result."""
    with make_engine("zygote", policy=policy) as made:
        run = made.execute(SAME)
        result = run.result(20)
        start = run.poll(after=0)[0]
        assert start.confinement == result.confinement
        assert (result.confinement.level, result.confinement.language) == (
            policy.level,
            policy.language,
        )
        on = {layer.name for layer in result.confinement.layers if layer.state == "on"}
        assert ("seccomp" in on) == (policy.level == "default")


def test_without_the_language_wall_anything_compiles():
    """The job is compiled with plain `compile`."""
    source = "import os\ndef main(state):\n    return {'n': eval('1 + 1'), 'c': type(state).__name__, 'os': hasattr(os, 'getpid')}"
    with make_engine("zygote", policy=Policy(language=False)) as made:
        assert made.execute(source).result(20).state == {"n": 2, "c": "dict", "os": True}


def test_a_result_has_every_field(shared: Engine):
    """Every field of a result has its type and unit."""
    run = shared.execute("def main(state):\n    x = [0] * 3_000_000\n    return {'n': len(x)}")
    result = run.result(20)
    assert result.state == {"n": 3_000_000}
    assert (result.reason, result.error) == ("success", None)
    assert isinstance(result.duration_ms, int)
    assert 0 <= result.duration_ms < 20_000
    assert 1_000_000 < result.usage.peak_memory_bytes < 500_000_000
    assert 0 <= result.usage.cpu_s < 20
    assert result.versions.python.startswith("3.")
    assert isinstance(result.versions.engine, str)
    assert result.versions.adaptors == {}


def test_whatever_is_public_has_a_short_repr(shared: Engine):
    """The functions repr and str work for everything and do not show secrets."""
    secret = "s3cret-value-xyz"
    plan = api.Plan(
        id="p",
        workflow=api.Workflow(
            credentials={"token": secret},
            steps=(api.Step(id="a", expression=SAME, configuration={"password": secret}),),
        ),
    )
    resolvers = Resolvers(credential=lambda _id: secret)
    run = shared.execute(plan, {"configuration": {"k": secret}}, resolvers=resolvers)
    result = run.result(20)
    things = [
        plan,
        plan.workflow,
        plan.workflow.steps[0],
        resolvers,
        run,
        result,
        shared,
        RunOptions(),
        Policy(),
        Permissions(),
        *finish(run),
    ]
    things += [api.Resolved(secret), RunError(run.id, run.result()) if result.error else run]
    for thing in things:
        for text in (repr(thing), str(thing)):
            assert text
            assert secret not in text, type(thing)


# --- resolvers ---


def test_resolvers_plain_and_async(shared: Engine):
    """A resolver is called when a step needs it, once per id and run."""
    asked: list[str] = []

    def plain(credential_id: str) -> Any:
        asked.append(credential_id)
        return {"password": "pass-" + credential_id}

    async def later(credential_id: str) -> Any:
        await asyncio.sleep(0.01)
        return plain(credential_id)

    show = "def main(state):\n    return {**state, 'n': len(state.configuration.password)}"
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": show,
                    "configuration": "c1",
                    "next": {"b": True, "x": "never"},
                },
                {"id": "b", "expression": show, "configuration": "c1", "next": "c"},
                {"id": "c", "expression": show, "configuration": "c2"},
                {"id": "x", "expression": show, "configuration": "c3"},
            ]
        }
    }
    for credential in (plain, later):
        asked.clear()
        run = shared.execute(plan, resolvers=Resolvers(credential=credential))
        assert run.result(20).state == {"data": {}, "n": 7}
        assert asked == ["c1", "c2"]
        loads = [e for e in finish(run) if e.type == "credential-load"]
        assert [(e.id, e.step_id) for e in loads if e.step_id != "b"] == [("c1", "a"), ("c2", "c")]


@pytest.mark.parametrize(
    ("resolve", "told"),
    [
        (None, "c1"),
        (lambda _id: 1 / 0, "ZeroDivisionError"),
        (lambda _id: 3, "c1"),
        (lambda _id: None, "c1"),
        (lambda _id: object(), "c1"),
        (lambda _id: time.sleep(2), "0.1"),
        (dict, "c1"),
    ],
    ids=["missing", "raises", "number", "none", "object", "late", "signature"],
)
def test_a_credential_that_cannot_be_had(shared: Engine, resolve: Any, told: str):
    """The run ends with a CredentialLoadError that names the step, and does not hang."""
    options = RunOptions(timeout_s=20, resolve_timeout_s=0.1)
    run = shared.execute(
        one(SAME, configuration="c1"), resolvers=Resolvers(credential=resolve), options=options
    )
    result = run.result(20)
    assert (result.reason, result.error.name, result.error.severity) == (
        "crash",
        "CredentialLoadError",
        "crash",
    )
    assert result.error.step_id == "a"
    assert told in result.error.message
    assert finish(run)[-1].error == result.error


def test_workflow_credentials_by_id(shared: Engine):
    """A resolver also gets the ids in `workflow.credentials`."""
    plan = one("def main(state):\n    return {'n': len(state.configuration.token)}")
    plan["workflow"]["credentials"] = "shared"
    resolvers = Resolvers(credential=lambda name: {"token": name * 2})
    assert shared.execute(plan, resolvers=resolvers).result(20).state == {"n": 12}


def test_what_a_resolver_raises_shows_no_secret(shared: Engine):
    """The report gives only the kind of the resolver's exception."""

    def resolve(_id: str) -> Any:
        raise BaseExceptionGroup("several", [SystemExit(3)])

    result = shared.execute(
        one(SAME, configuration="c1"), resolvers=Resolvers(credential=resolve)
    ).result(20)
    assert result.error.name == "CredentialLoadError"


def test_the_report_of_a_run_is_json(shared: Engine):
    """A manager may store the report of a run as JSON."""
    import msgspec

    result = shared.execute("def main(state):\n    raise KeyError('k')").result(20)
    assert json.loads(msgspec.json.encode(result))["reason"] == "fail"
