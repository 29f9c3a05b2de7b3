"""A store on each database, which the tests share: making one takes a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import engine
from jobcell.store import Store


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a store with runs of other tests."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store')}/runs.db"
        Store.open(url).close()
        yield url
        return
    with request.getfixturevalue("postgres").database() as url:
        Store.open(url).close()
        yield url


@pytest.fixture(scope="session")
def store(shared_url: str) -> Iterator[Store]:
    """An open store with runs of other tests."""
    with Store.open(shared_url) as opened:
        yield opened


@pytest.fixture
def fresh(store_url: str) -> Iterator[Store]:
    """A store without runs."""
    with Store.open(store_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def eng() -> Iterator[engine.Engine]:
    """An engine that carries out runs of the store."""
    with engine.Engine(start_mode="exec", policy=engine.Policy(level="none")) as made:
        yield made
