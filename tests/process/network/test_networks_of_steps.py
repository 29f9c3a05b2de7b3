"""Steps, attempts and resumed runs: each child has the network of its own steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from network_jobs import CONNECT, connections, echo, engine_with, options
from runs import finish

from engine import FileJournal

FLAKY = """
import jobcell_context, socket

def main(state):
    with socket.create_connection(("127.0.0.1", state["data"][0][1]), timeout=20) as end:
        end.sendall(b"ping")
        assert end.recv(4) == b"ping"
    if jobcell_context.attempt < 3:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    return {"data": jobcell_context.attempt}
"""


def plan(steps: list[dict]) -> dict:
    return {"workflow": {"steps": steps}}


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_each_step_reaches_only_its_own_hosts(mode):
    """The rules of the run are the union of those of its steps, and each step has a child."""
    with echo() as one, echo() as two:
        places = [("127.0.0.1", one.port), ("127.0.0.1", two.port)]
        rules = [f"127.0.0.1:{server.port}" for server in (one, two)]
        keep = "def main(state):\n    state['seen'] = state.get('seen', []) + [state['data']]\n"
        steps = []
        for name, net, following in (("a", rules[:1], "b"), ("b", rules[1:], "c"), ("c", [], None)):
            source = CONNECT.replace("def main(state):", "def connect(state):") + keep
            source += "    found = connect({'data': state['places']})['data']\n"
            source += (
                "    return {'places': state['places'], 'data': found, 'seen': state['seen']}\n"
            )
            step = {"id": name, "expression": source, "permissions": {"net": net}}
            steps.append(step | ({"next": following} if following else {}))
        with engine_with(mode, options(*rules, net_mb=1)) as eng:
            run = eng.execute(plan(steps), {"places": places, "data": []})
            finish(run)
            result = run.result()

    assert result.error is None
    assert result.children == 3
    assert result.state["seen"][1:] == [
        ["ping", "ConnectionRefusedError"],
        ["ConnectionRefusedError", "ping"],
    ]
    assert result.state["data"] == ["PermissionError", "PermissionError"]
    assert [outcome for _, _, outcome in connections(run)] == ["open", "open"]
    assert (result.usage.connections, result.usage.net_sent_bytes) == (2, 8)


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_each_attempt_after_a_death_has_a_network(mode):
    """The connections of children that died are in the totals as well."""
    with echo() as server:
        step = {
            "id": "a",
            "expression": FLAKY,
            "retry": {"attempts": 3, "delay": 1, "on": ["death"]},
        }
        with engine_with(mode, options(f"127.0.0.1:{server.port}")) as eng:
            run = eng.execute(plan([step]), {"data": [("127.0.0.1", server.port)]})
            finish(run)
            result = run.result()

    assert result.error is None
    assert (result.state["data"], result.children) == (3, 3)
    assert result.usage.connections == 3
    assert result.usage.net_sent_bytes == 12


def test_the_bytes_of_all_children_count_together():
    """A run cannot move more by dying."""
    with echo() as server:
        body = FLAKY.replace('sendall(b"ping")', 'sendall(b"ping" * 1000)')
        body = body.replace(
            'assert end.recv(4) == b"ping"', "end.shutdown(1)\n        while end.recv(10000): pass"
        )
        step = {
            "id": "a",
            "expression": body,
            "retry": {"attempts": 3, "delay": 1, "on": ["death"]},
        }
        made = options(f"127.0.0.1:{server.port}", net_mb=0.0185)
        with engine_with("zygote", made) as eng:
            result = eng.execute(plan([step]), {"data": [("127.0.0.1", server.port)]}).result(60)

    assert result.error.name == "NetLimitError"
    assert "0.0185 MB (net_mb)" in result.error.message
    assert result.usage.net_sent_bytes + result.usage.net_received_bytes <= 18_500


def test_a_resumed_run_has_its_network(tmp_path: Path):
    """The step that was not recorded reaches its host again."""
    with echo() as server:
        data = {"data": [("127.0.0.1", server.port)]}
        connect = CONNECT.replace("def main(state):", "def connect(state):")
        steps = [
            {
                "id": "a",
                "expression": f"{connect}\ndef main(state):\n    return connect({data!r})",
                "next": "b",
            },
            {
                "id": "b",
                "expression": f"{connect}\ndef main(state):\n    connect({data!r})\n    raise SystemExit",
            },
        ]
        path = tmp_path / "journal"
        key = bytes(32)
        with engine_with("zygote", options(f"127.0.0.1:{server.port}")) as eng:
            with FileJournal(path, key=key) as journal:
                first = eng.execute(plan(steps), {}, journal=journal)
                assert first.result(60).reason != "success"
                assert first.result().usage.connections == 2
            with FileJournal(path, key=key) as journal:
                again = eng.execute(plan(steps), {}, journal=journal)
                assert again.result(60).usage.connections == 1, "only the second step runs again"
    assert server.connections == 3
