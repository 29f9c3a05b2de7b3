"""Names of hosts: the relay looks them up outside, and the job sees addresses of its own network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from outside_world import World
from relay_world import echo, served


@pytest.fixture(params=["127.0.0.53", "2001:db8::53"], ids=["ipv4", "ipv6"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The machine, whose server for names has an address of each family."""
    try:
        made = World(tmp_path, request.param)
    except OSError as error:
        pytest.skip(f"no namespaces here: {error}")
    yield made
    made.close()


def test_a_name_is_reached_and_its_address_is_not(world: World, request: pytest.FixtureRequest):
    """A rule with a name is for the name.  The file of hosts counts outside, and not in the run."""
    # The relay does not know how a child was started, so each start mode has one kind of server for names.
    mode = {"ipv4": "zygote", "ipv6": "exec"}[request.node.callspec.id]
    world.names.records = {"api.example.org": ["203.0.113.5"], "other.example.org": ["203.0.113.5"]}
    rules = ["api.example.org:443", "fixed.example.org:443"]
    places = [
        ("API.example.org.", 443),
        ("fixed.example.org", 443),
        ("203.0.113.5", 443),
        ("203.0.113.7", 443),
        ("other.example.org", 443),
        ("api.example.org", 80),
    ]
    with (
        served(world.space.listener("203.0.113.5", 443), echo),
        served(world.space.listener("203.0.113.7", 443), echo),
    ):
        found = world.run(mode, rules, places)

    assert found["error"] is None
    assert found["data"] == [
        *("ping", "ping", "ConnectionResetError"),
        *("ConnectionResetError", "gaierror", "ConnectionRefusedError"),
    ]
    assert found["connections"] == [
        ["203.0.113.5", 443, "refused"],
        ["203.0.113.7", 443, "refused"],
        ["api.example.org", 443, "open"],
        ["fixed.example.org", 443, "open"],
        ["other.example.org", 0, "refused"],
    ]
    text = 'connection to {0} was refused; allow it with Permissions(net=["{0}"])'
    refused = ["203.0.113.5:443", "203.0.113.7:443", "other.example.org:443", "api.example.org:80"]
    assert sorted(found["lines"]) == sorted(map(text.format, refused))
    assert "other.example.org" not in world.names.asked


def test_a_name_that_means_this_machine_is_refused(world: World):
    """The log says which address it was, and which rule would allow it."""
    world.names.records = {"near.example.org": ["127.0.0.1"], "gone.example.org": []}
    rules = ["near.example.org:443", "gone.example.org:443"]
    with served(world.space.listener("127.0.0.1", 443), echo):
        found = world.run("exec", rules, [("near.example.org", 443), ("gone.example.org", 443)])

    assert found["data"] == ["ConnectionResetError", "ConnectionResetError"]
    # If the reset comes while the job still connects, it tries the second address of the name as well.
    assert {tuple(one) for one in found["connections"]} == {
        ("gone.example.org", 443, "failed"),
        ("near.example.org", 443, "refused"),
    }
    (line,) = found["lines"]
    assert line.endswith(
        "near.example.org is 127.0.0.1 outside, a loopback address;"
        " to allow that, add '127.0.0.1:443' to the rules"
    )
