"""The walls of the relay: a relay that was taken over cannot do more than a relay does.

Each attack is tried with all walls, with each wall that stops it alone, and without them: then it succeeds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from modes import let_everybody_in
from network_spaces import Space
from relay_world import Relay

from protocol.relay import Open

ATTACKER = Path(__file__).parents[2] / "support" / "relay_attacker.py"
NEEDED = ["connect", "look_up", "start_thread", "move_bytes", "enlarge_pipe", "choose_congestion"]

ATTACKS = {
    "listen": ["seccomp", "landlock"],
    "bind_datagrams": ["seccomp"],
    "execute": ["seccomp", "landlock", "mounts"],
    "fork": ["seccomp"],
    "read": ["landlock", "mounts"],
    "see": ["mounts"],
    "write": ["landlock", "mounts"],
    "send_signal": ["seccomp", "landlock", "identity"],
    "abstract_socket": ["seccomp", "landlock"],
    "raw_socket": ["seccomp", "identity"],
    "memory": ["rlimits"],
    "core": ["rlimits"],
    "machine_code": ["mdwe"],
    "old_descriptor": ["descriptors"],
    "host_name": ["namespaces"],
    "engine_session": ["session"],
}
"""For each attack the walls that stop it; each of them is enough."""

FACTS = {"new_privileges": ["no_new_privs", "landlock"], "be_read": ["dumpable", "identity"]}
"""Flags of the process, and the walls that set them or need them: the kernel clears the second flag with
a change of the user id, and Landlock needs the first one."""


def but_one(walls):
    """Return the walls without each of them."""
    return [[other for other in walls if other != wall] for wall in walls]


if os.geteuid():
    pytestmark = pytest.mark.skip(reason="the walls of root are more; run the tests as root")


ALL = (*ATTACKS, *FACTS, *NEEDED)
CASES = [
    ((), ALL),
    *((without, ALL) for walls in ATTACKS.values() for without in [walls, *but_one(walls)]),
    *((("seccomp", *walls[:count]), ALL) for walls in FACTS.values() for count in (0, 2)),
    *((("seccomp", *walls[1:]), ALL) for walls in FACTS.values()),
    *((without, ("trace",)) for without in ((), ("seccomp",))),
]
"""Walls that are off, and attacks that are tried then: one process has a fork for each."""


@pytest.fixture(scope="module")
def attempt(tmp_path_factory):
    """Return a function that gives the outcome of attacks without some walls: `attempt(*walls)`."""
    directory = tmp_path_factory.mktemp("attack")
    let_everybody_in(directory, 0o777)
    (directory / "secret").write_text("secret")
    (directory / "secret").chmod(0o644)
    name = f"\0jobcell-test-{os.getpid()}"
    places = {"secret": str(directory / "secret"), "directory": str(directory), "abstract": name}
    cases = list(dict.fromkeys((frozenset(without), attacks) for without, attacks in CASES))
    values = [
        {"without": sorted(without), "attacks": attacks, **places} for without, attacks in cases
    ]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        done = subprocess.run(
            [sys.executable, str(ATTACKER), json.dumps(values)],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert (done.returncode, done.stderr) == (0, "")
    lines = map(json.loads, done.stdout.splitlines())
    answers = dict(zip(cases, lines, strict=True))

    def found(*without, attacks=ALL):
        answer = answers[frozenset(without), attacks]
        if answer["code"]:
            return answer["code"]
        off = {layer for layer, state in answer["layers"].items() if state != "on"}
        if off != set(without):
            pytest.skip(f"walls that this machine lacks: {off - set(without)}")
        return answer["done"]

    return found


def test_a_relay_can_do_its_work(attempt):
    """Connecting, looking up, threads, splice and large pipes are all that it needs."""
    assert {name: attempt()[name] for name in NEEDED} == dict.fromkeys(NEEDED)


@pytest.mark.parametrize("attack", [*ATTACKS, *FACTS])
def test_an_attack_fails(attempt, attack):
    """All walls are on."""
    assert attempt()[attack] is not None


@pytest.mark.parametrize(
    ("attack", "wall"), [(attack, wall) for attack, walls in ATTACKS.items() for wall in walls]
)
def test_each_wall_stops_the_attack_alone(attempt, attack, wall):
    """The others that would stop it are off."""
    others = [other for other in ATTACKS[attack] if other != wall]
    assert attempt(*others)[attack] is not None


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attack_succeeds_without_these_walls(attempt, attack):
    """So the tests above would see it."""
    assert attempt(*ATTACKS[attack])[attack] is None


@pytest.mark.parametrize("fact", FACTS)
def test_a_flag_is_set_by_its_wall(attempt, fact):
    """The kernel reports it."""
    assert attempt("seccomp")[fact] is not None
    assert attempt("seccomp", *FACTS[fact][1:])[fact] is not None
    assert attempt("seccomp", *FACTS[fact])[fact] is None


def test_ptrace_ends_the_relay(attempt):
    """The filter kills; without the filter the call succeeds."""
    assert attempt(attacks=("trace",)) == -signal.SIGSYS
    assert attempt("seccomp", attacks=("trace",)) == {"trace": None}


@pytest.mark.parametrize("without", [(), ("pdeathsig",)])
def test_the_relay_dies_with_its_engine(without):
    """Even if another process holds the engine's end of the socket; the twin lives on."""
    engine = Space()
    relay = Relay(engine, without=without)
    engine.kill()
    if without:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with mine, its:
            relay.send(Open(1, ()), its.fileno())
            assert relay.receive().run == 1
    else:
        with pytest.raises((EOFError, ConnectionResetError)):
            relay.receive()
    relay.control.close()
    engine.close()
