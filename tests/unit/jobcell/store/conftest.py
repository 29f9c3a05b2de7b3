"""A store on each database, which the tests share: making one takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import engine
from jobcell.store import Store

if TYPE_CHECKING:
    from store_databases import StoreDatabases


@pytest.fixture(scope="session")
def store_in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An open store in a file, with runs of other tests."""
    with Store.open(f"sqlite:///{tmp_path_factory.mktemp('store')}/runs.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def store_in_postgresql(store_databases: StoreDatabases) -> Iterator[Store]:
    """An open store in PostgreSQL, with runs of other tests."""
    with store_databases.new() as url, Store.open(url) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """An open store with runs of other tests."""
    return request.getfixturevalue(f"store_in_{request.param}")


@pytest.fixture
def shared_url(store: Store) -> str:
    """The address of the store with runs of other tests."""
    url = store.database.url
    if store.database.is_sqlite:
        return f"sqlite:///{url.database}"
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def fresh(store_url: str) -> Iterator[Store]:
    """A store without runs."""
    with Store.open(store_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def eng() -> Iterator[engine.Engine]:
    """An engine that carries out runs of the store; other files count the children of this process."""
    with engine.Engine(max_runs=1, policy=engine.Policy(level="none")) as made:
        yield made
