"""The limits of the network of a run: its bytes, and its connections at once."""

from __future__ import annotations

import pytest
from network_jobs import connections, echo, engine_with, options
from runs import finish

SEND = """
import socket

def main(state):
    with socket.create_connection(("127.0.0.1", state["port"]), timeout=20) as end:
        moved = 0
        while moved < state["bytes"]:
            end.sendall(bytes(50_000))
            left = 50_000
            while left:
                got = len(end.recv(left))
                if not got:
                    return {"moved": moved}
                left -= got
            moved += 100_000
    return {"moved": moved}
"""

HOLD = """
import socket

def main(state):
    held = []
    for _ in range(state["count"]):
        try:  # the reset of one connection too many may come at any of these calls
            end = socket.create_connection(("127.0.0.1", state["port"]), timeout=20)
            end.sendall(b"ping")
            if end.recv(4) != b"ping":
                break
        except OSError:
            break
        held.append(end)
    return {"held": len(held)}
"""


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_a_run_that_moves_too_many_bytes_is_ended(mode):
    """The error names the limit and its value, and the totals show that no more was moved."""
    with echo() as server:
        made = options(f"127.0.0.1:{server.port}", net_mb=1.5)
        with engine_with(mode, made) as eng:
            enough = eng.execute(SEND, {"port": server.port, "bytes": 1_400_000})
            assert enough.result(60).state == {"moved": 1_400_000}
            run = eng.execute(SEND, {"port": server.port, "bytes": 5_000_000})
            events = finish(run)
            result = run.result()

    assert (result.reason, result.error.name, result.error.option) == (
        "kill",
        "NetLimitError",
        "net_mb",
    )
    assert "1.5 MB (net_mb)" in result.error.message
    usage = result.usage
    assert 1_000_000 < usage.net_sent_bytes + usage.net_received_bytes <= 1_500_000
    assert events[-1].type == "workflow-error"


def test_one_connection_too_many_fails_and_those_before_stay():
    """The descriptors of the child are enough for the default of 256."""
    with echo() as server:
        few = options(f"127.0.0.1:{server.port}", max_connections=3)
        many = options(f"127.0.0.1:{server.port}")
        with engine_with("zygote", few) as eng:
            run = eng.execute(HOLD, {"port": server.port, "count": 5})
            finish(run)
            assert run.result().state == {"held": 3}
            all_of_them = eng.execute(HOLD, {"port": server.port, "count": 256}, options=many)
            assert all_of_them.result(60).state == {"held": 256}
            logged = [event.message for event in run.poll(after=0) if event.type == "log"]

    assert [outcome for _, _, outcome in connections(run)].count("refused") == 1
    assert run.result().usage.connections == 3
    assert any("too many connections: 3 are open" in line for line in logged), logged
