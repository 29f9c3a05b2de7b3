"""Fixtures: a relay between the namespace of a job and a world of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from network_spaces import ORDINARY_UID, Space
from relay_world import Job, NameServer, Relay

HOSTS = """\
127.0.0.1 localhost
203.0.113.9 fixed.example.org
127.0.0.1 near.example.org
::1 near6.example.org
"""


class World:
    """The outside: a namespace with a name server and a `hosts` file."""

    def __init__(self, space: Space, names: NameServer) -> None:
        self.space = space
        self.names = names


@pytest.fixture(scope="session", params=["root", "ordinary user"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The outside, made with root's rights and through a user namespace."""
    directory: Path = tmp_path_factory.mktemp("etc")
    (directory / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:1\n")
    (directory / "hosts").write_text(HOSTS)
    files = {f"/etc/{name}": directory / name for name in ("resolv.conf", "hosts")}
    try:
        space = Space(user=None if request.param == "root" else ORDINARY_UID, files=files)
    except OSError as error:
        pytest.skip(f"no namespaces here: {error}")
    names = NameServer(space)
    yield World(space, names)
    names.close()
    space.close()


@pytest.fixture(scope="session")
def relay(world: World) -> Iterator[Relay]:
    """A relay that tests share."""
    made = Relay(world.space)
    yield made
    assert made.close() == 0


@pytest.fixture
def job(world: World, relay: Relay) -> Iterator[Callable[..., Job]]:
    """Make a run: `job(*rules, ports=...)`."""
    made: list[Job] = []

    def make(*rules: str, through: Relay = relay, **values) -> Job:
        made.append(Job(through, world.space.inner(), *rules, **values))
        return made[-1]

    yield make
    for one in made:
        one.finish()
