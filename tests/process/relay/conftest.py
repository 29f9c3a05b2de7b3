"""Fixtures: a relay between the namespace of a job and a world of the test's own."""

from __future__ import annotations

import contextlib
import os
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

    def __init__(self, space: Space, names: NameServer, resolv_conf: Path) -> None:
        self.space = space
        self.resolv_conf = resolv_conf
        self.names = names


@contextlib.contextmanager
def make_world(directory: Path, user: int | None) -> Iterator[World]:
    """Make the outside; the test is skipped where that is not possible."""
    (directory / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    (directory / "hosts").write_text(HOSTS)
    files = {f"/etc/{name}": directory / name for name in ("resolv.conf", "hosts")}
    try:
        space = Space(user=user, files=files)
    except OSError as error:
        pytest.skip(f"no namespaces here: {error}")
    names = NameServer(space)
    yield World(space, names, directory / "resolv.conf")
    names.close()
    space.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The outside that tests share."""
    with make_world(tmp_path_factory.mktemp("etc"), None) as made:
        yield made


@pytest.fixture(scope="module", params=["root", "ordinary user"])
def each_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The outside, made with root's rights, and through a user namespace without capabilities."""
    user = None if request.param == "root" else ORDINARY_UID
    if user is None and os.geteuid():
        pytest.skip("needs root")
    with make_world(tmp_path_factory.mktemp("etc"), user) as made:
        yield made


@pytest.fixture(scope="module")
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
