"""A run has one event loop: objects of adaptors live on, and tasks of a step end with the step."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import finish, make_engine, wait_for

from engine import Engine, Permissions, Policy, RunOptions

CLIENT = """
import asyncio

connection = None
kept = []
ended = False
heard_late = 0

def ask(text):
    async def operation(state):
        global connection
        if connection is None:
            connection = await asyncio.open_connection("127.0.0.1", state["port"])
        reader, writer = connection
        writer.write(text.encode() + b"\\n")
        answer = await reader.readline()
        return {**state, "data": [*state["data"], answer.decode().strip()]}
    return operation

def keep(value):
    kept.append(value)

def end():
    global ended
    ended = True

def hear():
    global heard_late
    heard_late += ended

def late():
    return heard_late
"""


class Echo(socketserver.StreamRequestHandler):
    """Answers each line with the number of the connection and the line."""

    def handle(self) -> None:
        self.server.connections += 1
        number = self.server.connections
        for line in self.rfile:
            self.wfile.write(b"%d %s" % (number, line))


@pytest.fixture
def port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads, server.connections = True, 0
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "client.py").write_text(CLIENT)
    entry = {"name": "client", "version": "1.0.0", "path": "client", "module": "client"}
    (tmp_path / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    return tmp_path


def chain(*sources: str) -> dict:
    """Return a plan of jobs that run one after another, all with the adaptor."""
    steps = [
        {"id": f"s{n}", "expression": source, "adaptor": "client", "next": f"s{n + 1}"}
        for n, source in enumerate(sources)
    ]
    del steps[-1]["next"]
    return {"workflow": {"steps": steps}}


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_an_asynchronous_client_of_an_adaptor_lives_as_long_as_the_run(mode, repo, port):
    """A single connection serves all steps, also after a step without await or a failed step."""
    options = RunOptions(permissions=Permissions(net=(f"127.0.0.1:{port}",)))
    plan = chain(
        "ask('a')\nask('b')",
        "def main(state): return {**state, 'port': 0}",
        "import asyncio\nasync def main(state):\n    await asyncio.sleep(0)\n    raise ValueError('no')",
        "ask('c')",
    )
    with make_engine(mode, repo_dir=repo, options=options) as engine:
        run = engine.execute(plan, {"data": [], "port": port})
        events = finish(run)
    assert run.result().reason == "success", events
    assert run.result().state["data"] == ["1 a", "1 b", "1 c"]


LEFT_BEHIND = {
    "a task": "asyncio.create_task(late())",
    "a task that another task makes when it is cancelled": "asyncio.create_task(heir())",
    "a callback of a task": "asyncio.create_task(asyncio.sleep(60)).add_done_callback(shout)",
    "an asynchronous generator": "late_numbers = numbers()\n    client.keep(late_numbers)\n    await anext(late_numbers)",
    "a timer": "asyncio.get_running_loop().call_later(0.02, shout)",
    "a timer of a partial": "asyncio.get_running_loop().call_later(0.02, functools.partial(shout, 1))",
    "an endless chain of callbacks": "again()",
    "a reader": "asyncio.get_running_loop().add_reader(readable(), shout)",
    "a reader that is an object": "asyncio.get_running_loop().add_reader(readable(), Shout())",
    "a task that is not to be cancelled": "asyncio.create_task(stubborn())\n    await asyncio.sleep(0)",
}

LEAVES = """
import asyncio
import client
import functools
STEP = "first"
def shout(*_):
    client.hear()
class Shout:
    def __call__(self):
        shout()
async def late():
    await asyncio.sleep(0.02)
    shout()
async def heir():
    try:
        await asyncio.sleep(60)
    finally:
        asyncio.create_task(late())
async def numbers():
    try:
        yield 1
        yield 2
    finally:
        shout()
async def stubborn():
    while True:
        try:
            await asyncio.sleep(0.02)
            shout()
        except BaseException:
            pass
def again():
    shout()
    asyncio.get_running_loop().call_soon(again)
def readable():
    import os
    reading, writing = os.pipe()
    os.write(writing, b"x")
    return reading
async def main(state):
    {leave}
    return state
"""

LISTENS = """
import asyncio
import client
async def main(state):
    client.end()
    await asyncio.sleep(0.1)
    print("heard late:", client.late())
    return state
"""


@pytest.mark.parametrize("left", LEFT_BEHIND)
def test_nothing_that_a_step_leaves_in_the_loop_runs_during_a_later_step(left, repo):
    """The language wall is off, so that a job can reach the loop itself."""
    with make_engine("zygote", repo_dir=repo, policy=Policy(language=False)) as engine:
        run = engine.execute(chain(LEAVES.replace("{leave}", LEFT_BEHIND[left]), LISTENS), {})
        events = finish(run)
    said = [event.message for event in events if event.type == "log" and event.source != "runtime"]
    assert run.result().reason == "success", events
    assert said == ["heard late: 0"]
    warnings = [
        event.message for event in events if event.type == "log" and event.source == "runtime"
    ]
    assert len(warnings) == (left == "a task that is not to be cancelled"), warnings


def test_a_loop_that_had_to_be_closed_is_replaced(repo):
    """A task that cannot be cancelled takes the loop with it; the next step awaits in a new one."""
    source = LEAVES.replace("{leave}", LEFT_BEHIND["a task that is not to be cancelled"])
    with make_engine("zygote", repo_dir=repo, policy=Policy(language=False)) as engine:
        events = finish(engine.execute(chain(source, LISTENS), {}))
    [warning] = [event for event in events if event.type == "log" and event.source == "runtime"]
    assert "1 task of the step went on after it was cancelled" in warning.message
    assert warning.step_id == "s0"


def test_an_asynchronous_generator_works_in_every_step(zygote: Engine):
    """The shutdown of one step's generators does not stop those of the next step."""
    job = (
        "import asyncio\n"
        "async def numbers():\n    for n in range(3):\n        await asyncio.sleep(0)\n        yield n\n"
        "async def main(state):\n"
        "    async for n in numbers():\n        if n == 1: break\n"
        "    return {'sum': sum([n async for n in numbers()])}\n"
    )
    steps = [{"id": "a", "expression": job, "next": "b"}, {"id": "b", "expression": job}]
    run = zygote.execute({"workflow": {"steps": steps}}, {})
    events = finish(run)
    assert run.result().state["sum"] == 3
    assert not [event for event in events if event.type == "log"]


def test_the_second_job_that_awaits_sees_a_cancellation_too(zygote: Engine):
    """The loop listens for a cancellation in every step."""
    quick = "import asyncio\nasync def main(state):\n    await asyncio.sleep(0)\n    return state"
    waits = (
        "import asyncio\nasync def main(state):\n    print('waiting')\n"
        "    try:\n        await asyncio.sleep(60)\n    finally:\n        print('tidied up')\n"
    )
    steps = [{"id": "a", "expression": quick, "next": "b"}, {"id": "b", "expression": waits}]
    run = zygote.execute({"workflow": {"steps": steps}}, {}, options=RunOptions(cancel_grace_s=30))
    wait_for(run, "log")
    run.cancel("enough")
    events = finish(run, 20)
    assert "tidied up" in [event.message for event in events if event.type == "log"]
    assert events[-1].error.name == "Cancelled"


def test_a_job_that_ends_although_it_was_cancelled_has_completed(zygote: Engine):
    """The job keeps the state that it returned, but the run is cancelled."""
    source = (
        "import asyncio\nasync def main(state):\n    print('waiting')\n"
        "    try:\n        await asyncio.sleep(60)\n    except asyncio.CancelledError:\n"
        "        return {'saved': True}\n"
    )
    run = zygote.execute(source, options=RunOptions(cancel_grace_s=30))
    wait_for(run, "log")
    run.cancel("enough")
    events = finish(run, 20)
    assert [event.type for event in events[-2:]] == ["job-complete", "workflow-error"]
    assert events[-2].state == {"saved": True}


def test_the_loop_keeps_no_state_alive(zygote: Engine):
    """Each step makes 20 MB and awaits; the memory of the run has room for one at a time."""
    job = (
        "import asyncio\n"
        "async def main(state):\n"
        "    big = ['x' * 1000 + str(n) for n in range(20_000)]\n"
        "    asyncio.create_task(asyncio.sleep(60, big))\n"
        "    await asyncio.sleep(0, big)\n"
        "    return {'n': len(big)}\n"
    )
    steps = [{"id": f"s{n}", "expression": job, "next": f"s{n + 1}"} for n in range(12)]
    del steps[-1]["next"]
    run = zygote.execute({"workflow": {"steps": steps}}, {}, options=RunOptions(memory_mb=150))
    assert run.result(60).reason == "success", run.result().error
