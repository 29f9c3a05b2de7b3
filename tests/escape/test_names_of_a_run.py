"""Attacks with names and addresses on a run with rules, each with a twin without the layer `network`.

The machine is that of this file.  Every address belongs to it, and a server listens at all of them, so that without
the layer each attack reaches somebody.  The layer may depend on the way in which the child is started, so most
attacks are tried in both ways.  A twin is without the layer, so its child is a fork.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from outside_world import World
from relay_world import CNAME, TXT, A, echo, reply, served

SERVER = "203.0.113.5"
RESOLVER = "127.0.0.53"
WITHOUT = ("network",)
MODES = ["exec", "zygote"]


@pytest.fixture(scope="module")
def shared_world(
    no_descriptor_of_file: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    try:
        made = World(tmp_path_factory.mktemp("world"), RESOLVER)
    except OSError as error:
        pytest.skip(f"no namespaces here: {error}")
    yield made
    made.close()


@pytest.fixture
def world(shared_world: World) -> World:
    """The machine, whose names nobody has asked for, and its engines of each mode and set of layers."""
    shared_world.names.records = {}
    shared_world.names.asked.clear()
    return shared_world


@pytest.fixture(autouse=True)
def no_descriptor_is_left(world: World) -> None:
    """The tests share a machine, whose descriptors come and go: `no_descriptor_of_file` looks at the end."""


@contextlib.contextmanager
def everywhere(world: World, *ports: int) -> Iterator[None]:
    """Serve an echo at each address."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(served(world.space.listener("::", port), echo))
        yield


EVIL = [
    "evil.example.org",
    "api.example.org.evil.example.org",
    "_api.example.org",
    "api_.example.org",
    "api-.example.org",
    "xn--api-cva.example.org",
    "a.api.example.org",
    "example.org",
    "API.EVIL.example.org.",
    "\uff45vil.example.org",
    "evil\u3002example.org",
]
ODD = [
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "0xcb.0x0.0x71.0x5",
    "203.113.5",
    "::ffff:203.0.113.5",
    "::ffff:7f00:1",
    "64:ff9b::203.0.113.5",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
    "fe80::1%1",
    "fd00:ec2::254",
]


def test_odd_forms_of_names_and_addresses_reach_nobody(world: World):
    """Case, dots, marks, digits, other scripts and other forms of addresses; the permitted name still works."""
    names = ["api.example.org", *map(str.lower, EVIL)]
    names += ["evil.example.org", "api.evil.example.org"]
    world.names.records = {name.rstrip("."): [SERVER] for name in names}
    good = [("api.example.org", 443), ("API.Example.ORG.", 443), ("\uff41pi.example.org", 443)]
    places = [(host, 443) for host in (*EVIL, *ODD)]
    with everywhere(world, 443):
        walled = [world.run(mode, ["api.example.org:443"], [*good, *places]) for mode in MODES]
        open_ = world.run("zygote", ["api.example.org:443"], [*good, *places], without=WITHOUT)

    for mode, one in zip(MODES, walled, strict=True):
        assert one["data"][:3] == ["ping"] * 3, mode
        assert "ping" not in one["data"][3:], list(zip(places, one["data"][3:], strict=True))
        assert {host for host, _, outcome in one["connections"] if outcome == "open"} == {
            "api.example.org"
        }
    reached = dict(zip(places, open_["data"][3:], strict=True))
    assert [place for place, found in reached.items() if found != "ping"] == []


QUESTIONS = """
import socket
from concurrent.futures import ThreadPoolExecutor

def ask(server, name, kind):
    question = bytes.fromhex("0007010000010000000000000000"[:24])
    for label in name.split("."):
        question += bytes([len(label)]) + label.encode()
    question += b"\\0" + kind.to_bytes(2, "big") + b"\\0\\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(3)
        end.sendto(question, (server, 53))
        end.recv(512)

def over_tcp(server, name):
    with socket.create_connection((server, 53), timeout=3) as end:
        label = b"\\0\\7\\1\\0\\0\\1" + bytes(6)
        for part in name.split("."):
            label += bytes([len(part)]) + part.encode()
        label += b"\\0\\0\\1\\0\\1"
        end.sendall(len(label).to_bytes(2, "big") + label)
        end.recv(512)

def attempt(attack):
    try:
        attack()
    except OSError:
        pass

def main(state):
    attacks = (
        lambda: socket.getaddrinfo("by-libc.stolen.example.org", 443),
        lambda: socket.gethostbyname("old-call.stolen.example.org"),
        lambda: socket.gethostbyaddr("203.0.113.99"),
        lambda: ask("127.0.0.53", "text.stolen.example.org", 16),
        lambda: ask("127.0.0.53", "a.stolen.example.org", 1),
        lambda: ask("127.0.0.53", "null.stolen.example.org", 10),
        lambda: ask("203.0.113.53", "far.stolen.example.org", 1),
        lambda: over_tcp("127.0.0.53", "stream.stolen.example.org"),
    )
    # Some of them wait for an answer until their time is over.
    with ThreadPoolExecutor(len(attacks)) as pool:
        list(pool.map(attempt, attacks))
    return {"data": []}
"""


def test_no_question_carries_data_out(world: World):
    """Neither by the C library nor by a message of the job's own; port 53 is permitted at another host only."""
    rules = ["api.example.org:53"]
    for mode in MODES:
        assert world.run(mode, rules, [], job=QUESTIONS)["data"] == []
    assert world.names.asked == []

    world.run("zygote", rules, [], job=QUESTIONS, without=WITHOUT)
    asked = {name.partition(".")[0] for name in world.names.asked}
    assert asked >= {"by-libc", "old-call", "text", "a", "null", "stream"}


METADATA = ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"]


@pytest.mark.parametrize("address", METADATA)
def test_metadata_of_a_cloud_is_not_reached(world: World, address: str):
    """By its address, by a name, and by each rule that permits every other host."""
    world.names.records = {"meta.example.org": [address]}
    rules = ["*:80", "meta.example.org:80", "0.0.0.0/0:80", "[::/0]:80"]
    places = [(address, 80), ("meta.example.org", 80)]
    with everywhere(world, 80):
        assert "ping" not in world.run("zygote", rules, places)["data"]
        assert world.run("zygote", rules, places, without=WITHOUT)["data"] == ["ping"] * 2


def test_a_name_that_changes_its_address_does_not_lead_to_the_machine(world: World):
    """The name server gives the address of this machine from the second question on."""
    asked = []

    def changing(message: bytes, over_tcp: bool) -> bytes:
        if int.from_bytes(message[-4:-2], "big") != A:
            return reply(message, [])
        asked.append(message)
        return reply(message, [(A, socket.inet_aton(SERVER if len(asked) == 1 else "127.0.0.1"))])

    def near(end: socket.socket) -> None:
        end.recv(4)
        end.sendall(b"near")

    places = [("rebinds.example.org", 443)] * 3
    world.names.records = {"rebinds.example.org": changing}
    with (
        served(world.space.listener(SERVER, 443), echo),
        served(world.space.listener("127.0.0.1", 443), near),
    ):
        walled = world.run("zygote", ["rebinds.example.org:443"], places)
        assert walled["data"] == ["ping", "ConnectionResetError", "ConnectionResetError"]
        assert len(asked) >= 3  # the relay has looked, and has seen the new address

        asked.clear()
        open_ = world.run("zygote", ["rebinds.example.org:443"], places, without=WITHOUT)
    assert open_["data"] == ["ping", "near", "near"]


ANSWERS = """
import socket

def look_up(name):
    try:
        return sorted({place[0] for *_, place in socket.getaddrinfo(name, 443, socket.AF_INET)})
    except OSError as error:
        return [type(error).__name__]

def attempt(name):
    try:
        with socket.create_connection((name, 443), timeout=20) as end:
            return len(end.recv(1))
    except OSError as error:
        return type(error).__name__

def main(state):
    names = ["many", "loop", "long"]
    return {"data": [look_up(f"{one}.example.org") for one in names] + [attempt("loop.example.org")]}
"""


def over_tcp_only(records: list[tuple[int, bytes]]):
    """Say over UDP that the answer is too long for it."""
    return lambda message, over_tcp: reply(
        message, records if over_tcp else [], flags=0 if over_tcp else 0x0200
    )


def test_hostile_answers_of_a_name_server_do_not_reach_the_job(world: World):
    """A job gets one address for each name, whatever the server says: the relay reads its answers."""
    many = [(A, bytes((198, 51, number // 250, number % 250 + 1))) for number in range(1_000)]
    world.names.records = {
        "many.example.org": over_tcp_only(many),
        "loop.example.org": lambda message, _: reply(message, [(CNAME, b"\xc0\x0c")]),
        "long.example.org": over_tcp_only([(TXT, bytes(60_000))]),
    }
    rules = ["*.example.org:443"]
    for mode in MODES:
        data = world.run(mode, rules, [], job=ANSWERS)["data"]
        assert [len(found) for found in data[:3]] == [1] * 3
        assert all(found[0].startswith("198.18.") for found in data[:3])
        assert data[3] == "ConnectionResetError"
    assert "many.example.org" not in world.names.asked  # nobody has connected to it

    data = world.run("zygote", rules, [], job=ANSWERS, without=WITHOUT)["data"]
    assert len(data[0]) == 1_000
    assert data[1:] == [["gaierror"], ["gaierror"], "gaierror"]
