"""The relay may die or hang: its runs end in order, and later runs get another one."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from network_jobs import CONNECT, echo, engine_with, options
from runs import finish, wait_for
from warm_children import children_of_engines

from engine.network import process

pytestmark = pytest.mark.real_starts  # the relay is found by its command

WAIT_FOR_END = """
import socket

def main(state):
    with socket.create_connection(("127.0.0.1", state["port"]), timeout=30) as end:
        end.sendall(b"ping")
        end.recv(4)
        print("connected")
        try:
            ended = end.recv(4) == b""
        except ConnectionError:
            ended = True
    try:
        socket.create_connection(("127.0.0.1", state["port"]), timeout=30).close()
        again = "connected"
    except OSError as error:
        again = type(error).__name__
    return {"ended": ended, "again": again}
"""


def relay_of_this_process() -> psutil.Process:
    (found,) = [
        child
        for child in children_of_engines()
        if any("network/relay" in part for part in child.cmdline())
    ]
    return found


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_a_run_goes_on_without_its_connections_when_the_relay_dies(mode):
    """The job sees the end of its connections, the log says why, and the next run has a network."""
    with echo() as server:
        made = options(f"127.0.0.1:{server.port}")
        with engine_with(mode, made) as eng:
            run = eng.execute(WAIT_FOR_END, {"port": server.port})
            wait_for(run, "log")
            before = relay_of_this_process()
            before.kill()
            events = finish(run)
            assert run.result().state == {"ended": True, "again": "ConnectionRefusedError"}
            lines = [event.message for event in events if event.type == "log"]
            assert any("the relay of the network has died" in line for line in lines), lines

            later = eng.execute(CONNECT, {"data": [("127.0.0.1", server.port)]})
            assert later.result(60).state == {"data": ["ping"]}
            assert relay_of_this_process().pid != before.pid


def test_a_run_ends_although_the_relay_hangs():
    """The last event waits for the relay, but not for ever; other runs are not held up."""
    with echo() as server:
        made = options(f"127.0.0.1:{server.port}")
        with engine_with("zygote", made) as eng:
            job = "import time\ndef main(state):\n    print('here')\n    time.sleep(0.2)\n    return {}"
            eng.execute(CONNECT, {"data": [("127.0.0.1", server.port)]}).result(60)
            relay = relay_of_this_process()
            run = eng.execute(job)
            wait_for(run, "log")
            os.kill(relay.pid, signal.SIGSTOP)
            begun = time.monotonic()
            plain = eng.execute("def main(state):\n    return {'a': 1}", options=options())
            assert plain.result(60).state == {"a": 1}
            assert finish(run)[-1].type == "workflow-complete"
            assert time.monotonic() - begun < 30
            os.kill(relay.pid, signal.SIGCONT)
            again = eng.execute(CONNECT, {"data": [("127.0.0.1", server.port)]})
            assert again.result(60).state == {"data": ["ping"]}


def test_no_relay_is_started_for_runs_that_need_none():
    """Most engines never have one."""
    with engine_with("zygote", options()) as eng:
        eng.execute("def main(state):\n    return {}").result(60)
        eng.execute("def main(state):\n    return {}", options=options("*")).result(60)
        commands = [" ".join(child.cmdline()) for child in children_of_engines()]
    assert commands
    assert not [command for command in commands if "network/relay" in command]


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_a_run_whose_relay_does_not_start_has_an_error_that_says_so(mode, monkeypatch):
    """The job is not started, because it would have no network; the next run tries again."""
    monkeypatch.setattr(process, "relay_command", lambda: ["/bin/false"])
    with echo() as server, engine_with(mode, options(f"127.0.0.1:{server.port}")) as eng:
        places = {"data": [("127.0.0.1", server.port)]}
        result = eng.execute(CONNECT, places).result(60)
        assert (result.reason, result.error.name) == ("exception", "ConfinementError")
        assert "relay of the engine has ended" in result.error.message
        assert result.error.fix.startswith("start the run again")

        monkeypatch.undo()
        assert eng.execute(CONNECT, places).result(60).state == {"data": ["ping"]}
