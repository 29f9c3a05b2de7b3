"""The flusher: one transaction for everything that is due, again and again while the store is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from jobcell.store.errors import StoreDamagedError, StoreError, StoreUnavailableError
from jobcell.worker.flusher import Flusher


class Letters:
    """A source of letters."""

    def __init__(self, letters: str) -> None:
        self.letters = letters
        self.wanted = True
        self.written: list[object] = []
        self.problem: Exception | None = None
        self.heard = threading.Event()

    def collect(self) -> str | None:
        """Return the letters."""
        if self.letters == "!":
            raise RuntimeError("a bug")
        letters, self.letters = self.letters, ""
        return letters or None

    def is_wanted(self, _writes: str) -> bool:
        """Return whether somebody wants them."""
        return self.wanted

    def committed(self, writes: str, answer: object) -> None:
        """Take note."""
        self.written.append((writes, answer))
        self.heard.set()

    def broken(self, error: Exception) -> None:
        """Take note."""
        self.problem = error
        self.heard.set()

    def failed(self, _writes: str, error: StoreError) -> None:
        """Take note."""
        self.problem = error
        self.heard.set()


class Store:
    """Takes letters, unless it is away or refuses some."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []
        self.away = threading.Event()
        self.asked = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def commit(self, parts: Sequence[str]) -> list[object]:
        """Keep the letters."""
        self.asked.set()
        self.may_go_on.wait()
        if self.away.is_set():
            raise StoreUnavailableError("away")
        if "x" in parts:
            raise StoreDamagedError("no x")
        self.transactions.append(list(parts))
        return [part.upper() for part in parts]


@pytest.fixture
def store() -> Store:
    """A store."""
    return Store()


@pytest.fixture
def flusher(store: Store) -> Iterator[Flusher[str]]:
    """A flusher that waits long for more."""
    made: Flusher[str] = Flusher(store.commit, linger_s=600)
    made.start()
    yield made
    made.stop()


def test_each_source_hears_its_own_answer(store: Store, flusher: Flusher[str]) -> None:
    """An urgent notice does not wait."""
    source = Letters("a")
    flusher.notify(source, urgent=True)
    assert source.heard.wait(10)
    assert source.written == [("a", "A")]


def test_what_is_not_urgent_goes_with_what_is(store: Store, flusher: Flusher[str]) -> None:
    """So a log line costs no transaction of its own."""
    first, second = Letters("a"), Letters("b")
    flusher.notify(first, urgent=False)
    flusher.notify(first, urgent=False)
    flusher.notify(second, urgent=True)
    assert second.heard.wait(10)
    assert store.transactions == [["a", "b"]]


def test_writes_gather_while_a_transaction_is_committed(
    store: Store, flusher: Flusher[str]
) -> None:
    """The slower the store, the fewer the transactions."""
    store.may_go_on.clear()
    sources = [Letters(letter) for letter in "abcd"]
    flusher.notify(sources[0], urgent=True)
    assert store.asked.wait(10)
    for source in sources[1:]:
        flusher.notify(source, urgent=True)
    store.may_go_on.set()
    assert all(source.heard.wait(10) for source in sources)
    assert store.transactions == [["a"], ["b", "c", "d"]]


def test_a_transaction_is_repeated_until_the_store_is_back(
    store: Store, flusher: Flusher[str]
) -> None:
    """Nothing is lost, and nothing is reported before it is safe."""
    store.away.set()
    source = Letters("a")
    flusher.notify(source, urgent=True)
    assert store.asked.wait(10)
    assert source.written == []
    store.away.clear()
    assert source.heard.wait(10)
    assert store.transactions == [["a"]]


def test_writes_that_nobody_wants_any_more_are_dropped(store: Store, flusher: Flusher[str]) -> None:
    """A fenced run writes nothing when the store is back."""
    store.away.set()
    fenced, other = Letters("a"), Letters("b")
    flusher.notify(fenced, urgent=False)
    flusher.notify(other, urgent=True)
    assert store.asked.wait(10)
    fenced.wanted = False
    store.away.clear()
    assert other.heard.wait(10)
    assert store.transactions == [["b"]]


def test_writes_that_the_store_refuses_do_not_hold_up_the_others(
    store: Store, flusher: Flusher[str]
) -> None:
    """Each part is then written alone."""
    refused, broken, other = Letters("x"), Letters("!"), Letters("b")
    flusher.notify(refused, urgent=False)
    flusher.notify(broken, urgent=False)
    flusher.notify(other, urgent=True)
    assert all(source.heard.wait(10) for source in (refused, broken, other))
    assert isinstance(refused.problem, StoreDamagedError)
    assert isinstance(broken.problem, RuntimeError)
    assert store.transactions == [["b"]]


def test_a_flusher_that_stops_writes_what_is_due(store: Store) -> None:
    """The last events of a drained worker are not lost."""
    flusher: Flusher[str] = Flusher(store.commit, linger_s=600)
    flusher.start()
    flusher.notify(Letters("a"), urgent=False)
    flusher.stop()
    assert store.transactions == [["a"]]


def test_a_flusher_can_stop_while_the_store_is_away(store: Store) -> None:
    """The next owner of the run repeats what was not written."""
    flusher: Flusher[str] = Flusher(store.commit)
    flusher.start()
    store.away.set()
    flusher.notify(Letters("a"), urgent=True)
    assert store.asked.wait(10)
    flusher.stop()
    assert store.transactions == []
