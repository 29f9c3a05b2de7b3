"""Hosts that a job reaches through the relay, for every kind of rule."""

from __future__ import annotations

import pytest
from relay_world import AAAA, echo, served

OUTSIDE = "203.0.113.5"


@pytest.fixture(scope="module", autouse=True)
def outside(world):
    """Servers at every address of the world, also at its loopback."""
    world.names.records.update(
        {
            "api.example.org": [OUTSIDE],
            "a.wild.example.org": [OUTSIDE],
            "xn--bcher-kva.example.org": [OUTSIDE],
            "six.example.org": ["2001:db8::5"],
            "my_db": [OUTSIDE],
            "meta.example.org": ["169.254.169.254"],
        }
    )
    with (
        served(world.space.listener("::", 443), echo),
        served(world.space.listener("::", 5432), echo),
    ):
        yield


ALLOWED = [
    ("api.example.org:443", "api.example.org"),
    ("api.example.org:443", "API.Example.ORG"),
    ("api.example.org:443", "api.example.org."),
    ("API.example.org.:443", "api.example.org"),
    ("b\u00fccher.example.org:443", "xn--bcher-kva.example.org"),
    ("fixed.example.org:443", "fixed.example.org"),
    ("my_db:443", "my_db"),
    ("*.wild.example.org:443", "a.wild.example.org"),
    ("six.example.org:443", "six.example.org"),
    ("203.0.113.5:443", OUTSIDE),
    ("203.0.113.0/24:443", OUTSIDE),
    ("[2001:db8::5]:443", "2001:db8::5"),
    ("[2001:db8::/32]:443", "2001:db8::5"),
    ("203.0.113.5:443", "::ffff:203.0.113.5"),
    ("*:443", OUTSIDE),
    ("*:443", "api.example.org"),
    ("127.0.0.1:443", "127.0.0.1"),
    ("127.0.0.0/8:443", "127.9.9.9"),
    ("localhost:443", "127.0.0.1"),
    ("localhost:443", "::1"),
    ("localhost:443", "localhost"),
    ("169.254.0.0/16:443", "169.254.169.254"),
    ("[fd00:ec2::254]:443", "fd00:ec2::254"),
    ("198.18.0.1:443", "198.18.0.1"),
]


@pytest.mark.parametrize(("rule", "host"), ALLOWED)
def test_a_rule_lets_a_job_reach_its_host(job, rule, host):
    """Bytes go both ways, and the report names the host and the bytes."""
    run = job(rule)
    with run.connect(host, 443) as end:
        end.sendall(b"hello")
        assert end.recv(10) == b"hello"
    ended = run.ended()
    assert (ended.port, ended.outcome, ended.reason) == (443, "open", "")
    assert (ended.bytes_sent, ended.bytes_received) == (5, 5)
    assert run.close().connections == 1


REFUSED = [
    ("203.0.113.5:443", "203.0.113.6"),
    ("203.0.113.0/24:443", "203.0.114.1"),
    ("api.example.org:443", OUTSIDE),
    ("api.example.org:443", "198.18.0.1"),
    ("*:443", "127.0.0.1"),
    ("*:443", "::1"),
    ("*:443", "::ffff:127.0.0.1"),
    ("*:443", "169.254.169.254"),
    ("*:443", "64:ff9b::a9fe:a9fe"),
    ("*:443", "2002:7f00:1::1"),
    ("*:443", "fe80::1%1"),
    ("*:443", "fd00:ec2::254"),
    ("[fd00::/8]:443", "fd00:ec2::254"),
    ("*:443", "100.100.100.200"),
    ("0.0.0.0/0:443", "127.0.0.1"),
    ("[::/0]:443", "::1"),
    ("[::1]:443", "127.0.0.1"),
    ("127.0.0.1:443", "127.0.0.2"),
    ("api.example.org:5432", "203.0.113.5"),
]


@pytest.mark.parametrize(("rule", "host"), REFUSED)
def test_a_job_does_not_reach_another_host(job, rule, host):
    """The connection is reset, and the report names the address."""
    run = job(rule)
    ended = run.refused(host, 443)
    assert (ended.port, ended.outcome, ended.reason) == (443, "refused", "no rule allows it")
    assert ended.host == host.removeprefix("::ffff:").removesuffix("%1")
    assert run.close().connections == 0


def test_a_name_is_allowed_at_its_ports_only(job):
    """The other port has a listener, for another host."""
    run = job("api.example.org:443", "fixed.example.org:5432", ports=(443, 5432))
    assert run.refused("api.example.org", 5432).reason == "no rule allows it"
    with run.connect("api.example.org", 443) as end:
        end.sendall(b"x")
        assert end.recv(1) == b"x"


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("*.wild.example.org:443", "wild.example.org"),
        ("*.wild.example.org:443", "b.a.wild.example.org"),
        ("*.wild.example.org:443", "_a.wild.example.org"),
        ("*.wild.example.org:443", "-a.wild.example.org"),
        ("api.example.org:443", "evil.example.org"),
        ("api.example.org:443", "api.example.org.evil.org"),
        ("api.example.org:443", "xapi.example.org"),
        ("b\u00fccher.example.org:443", "b\u00fccher.example.org"),
        ("*:443", "a_b.example.org"),
        ("203.0.113.5:443", "203.0.113.5"),
        ("127.0.0.1:443", "near.example.org"),
    ],
)
def test_a_name_without_a_rule_does_not_exist(job, rule, name):
    """It is reported once, with port 0."""
    run = job(rule)
    for _ in range(2):
        with pytest.raises(KeyError, match="3"):
            run.addresses(name)
    ended = run.ended()
    assert (ended.port, ended.outcome) == (0, "refused")
    assert ended.host.isascii()
    assert ended.host.isprintable()
    run.close()
    assert not [message for message in run.relay._waiting if message.run == run.run]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("near.example.org", "127.0.0.1"),
        ("near6.example.org", "::1"),
        ("meta.example.org", "169.254.169.254"),
    ],
)
def test_a_name_of_a_near_address_needs_a_rule_for_the_address(job, name, address):
    """The name alone is refused, and the reason shows the address; with the address it works."""
    ended = (run := job(f"{name}:443")).refused(name, 443)
    assert (ended.host, ended.outcome) == (name, "refused")
    assert f"is {address} outside" in ended.reason
    run.close()
    shown = f"[{address}]" if ":" in address else address
    with job(f"{name}:443", f"{shown}:443").connect(name, 443) as end:
        end.sendall(b"x")
        assert end.recv(1) == b"x"


def test_names_have_addresses_of_both_families(job):
    """A name keeps its addresses, and two names have different ones."""
    run = job("api.example.org", "six.example.org")
    found = [
        run.addresses(name, kind)
        for name in ("api.example.org", "six.example.org")
        for kind in (1, AAAA)
    ]
    assert found == [
        ["198.18.0.1"],
        ["fd6a:6f62:6365:6c6c::1"],
        ["198.18.0.2"],
        ["fd6a:6f62:6365:6c6c::2"],
    ]
    assert run.addresses("API.example.org") == ["198.18.0.1"]
    assert run.addresses("api.example.org", 16) == []
