"""Machines without IPv6: a kernel that lacks it, and settings that switch it off."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from outside_world import World
from relay_world import echo as talk
from relay_world import served
from spaced_manager import run_script, works

LACKS_IPV6 = [sys.executable, str(Path(__file__).parents[2] / "support" / "without_ipv6.py")]
OWN_NETWORK = ["unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--net"]

RUN = """
try:
    import socket
    socket.socket(socket.AF_INET6).close()
    raise SystemExit("this kernel has IPv6")
except OSError:
    pass
found = {}
for mode in ("exec", "zygote"):
    with echo() as server:
        made = options(f"127.0.0.1:{server.port}", f"localhost:{server.port}")
        places = [(host, server.port) for host in ("127.0.0.1", "localhost", "10.1.2.3", "::1")]
        with engine_with(mode, made) as eng:
            run = eng.execute(CONNECT, {"data": places})
            result = run.result(60)
    found[mode] = {"data": result.state and result.state["data"], "net": result.confinement.net,
                   "error": result.error and result.error.message, "connections": connections(run)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def runs():
    """The outcome of a run of each start mode."""
    return run_script(RUN, under=LACKS_IPV6)


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_a_run_works_on_a_kernel_without_ipv6(runs, mode):
    """Its listeners are of IPv4, and hosts are enforced as elsewhere."""
    found = runs[mode]

    assert found["error"] is None
    assert found["net"] == "by name"
    assert found["data"] == ["ping", "ping", "ConnectionResetError", "OSError"]
    assert sorted(outcome for _, _, outcome in found["connections"]) == ["open", "open", "refused"]


MAKE = """
import socket
from pathlib import Path
from protocol.confinement import ConfinementRequest
from sandbox_child.confine import network
for name in ("all", "default", "lo"):
    Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("SWITCH")
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
network.make(ConfinementRequest(net=("127.0.0.1:80",)), theirs.detach())
body, fds, _, _ = socket.recv_fds(ours, 100, 200)
made = [socket.socket(fileno=fd) for fd in fds]
listener = next(one for one in made if one.type == socket.SOCK_STREAM and one.getsockname()[1] == 80)
with socket.create_connection(("203.0.113.9", 80), timeout=10) as end:
    inside, _ = listener.accept()
    reached = inside.getsockname()[0]
print(json.dumps([listener.family == socket.AF_INET6, reached]))
"""


@pytest.mark.skipif(not works(OWN_NETWORK), reason="needs a network namespace")
@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_network_is_made_where_ipv6_is_switched_off(switch):
    """A new namespace has the setting of the machine if `devconf_inherit_init_net` says so."""
    dual, reached = run_script(MAKE.replace("SWITCH", switch), under=OWN_NETWORK)
    assert reached.removeprefix("::ffff:") == "203.0.113.9"
    assert dual or switch == "1"


def test_a_host_with_both_families_is_reached_over_ipv4(tmp_path: Path):
    """Where IPv6 is switched off outside, its addresses fail at once and the others are tried."""
    try:
        world = World(tmp_path, "127.0.0.53")
    except OSError as error:
        pytest.skip(f"no namespaces here: {error}")
    world.names.records = {"both.example.org": ["2001:db8::5", "203.0.113.5"]}
    switch = "for s in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $s; done"
    if world.space.wait(world.space.spawn(["/bin/sh", "-c", switch], {})):
        world.close()
        pytest.skip("only root may switch IPv6 off")
    listener = world.space.listener("203.0.113.5", 443)
    with pytest.raises(OSError), world.space.socket(socket.AF_INET6) as end:
        end.connect(("2001:db8::5", 443))
    with served(listener, talk):
        found = world.run("exec", ["both.example.org:443"], [("both.example.org", 443)])
    world.close()
    assert (found["error"], found["data"]) == (None, ["ping"])
