"""The places of a worker, and the order in which claimed runs get them."""

from __future__ import annotations

import threading

import pytest

from jobcell.worker import places as module
from jobcell.worker.places import Places


def opened(number: int, **options: bool) -> Places:
    """Return open places."""
    places = Places(number, **options)
    places.open()
    return places


@pytest.mark.slow
def test_closed_places_let_nothing_be_claimed() -> None:
    """A worker that drains, or is fenced off, claims nothing."""
    places = Places(2)
    assert places.wait() == 0
    places.open()
    assert places.wait() == 2
    places.close()
    assert (places.free, places.wait()) == (0, 0)


def test_a_claim_takes_a_place_until_its_run_is_over() -> None:
    """DBOS may count a claim late, so the count is kept here."""
    places = opened(2)
    places.take(["a", "b"])
    assert (places.free, places.taken) == (0, 2)
    places.give_back("a")
    places.give_back("a")
    assert (places.free, places.claimed()) == (1, {"b"})


def test_short_runs_are_claimed_ahead_but_wait_for_their_turn() -> None:
    """More than the number of places never run at once."""
    places = opened(2)
    places.measured(0.01)
    places.take(["a", "b", "c", "d"])
    assert places.free == 2
    assert not places.has_room  # several are claimed at once
    done: list[str] = []
    waiting = threading.Thread(
        target=lambda: (places.wait_turn("c", lambda: False), done.append("c"))
    )
    waiting.start()
    places.wait_turn("b", lambda: False)
    assert done == []
    places.give_back("a")
    waiting.join()
    assert done == ["c"]


def test_a_place_is_free_when_the_child_is_gone() -> None:
    """The next run need not wait until the end is written; the claim counts until then."""
    places = opened(1)
    places.measured(0.01)
    places.take(["a", "b"])
    assert (places.has_place("a"), places.has_place("b")) == (True, False)
    waiting = threading.Thread(target=lambda: places.wait_turn("b", lambda: False))
    waiting.start()
    places.leave("a")
    places.leave("a")
    waiting.join()
    assert places.has_place("b")
    assert places.claimed() == {"a", "b"}
    places.give_back("a")
    assert places.claimed() == {"b"}


def test_a_place_that_becomes_free_is_reported_as_taken_if_a_run_waits_for_it() -> None:
    """The end of a run is written at once only if the worker has an empty place."""
    places = opened(2)
    places.measured(0.01)
    places.take(["a", "b", "c"])
    assert places.leave("a")
    assert not places.leave("b")
    assert not places.leave("c")


def looking(places: Places) -> tuple[threading.Thread, list[int]]:
    """Start a thread that waits until it is time to claim, and return it when it waits."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(places.wait()), daemon=True)
    thread.start()
    while thread.is_alive() and not places._changed._waiters:  # type: ignore[attr-defined]
        thread.join(0.001)
    return thread, found


def test_a_claim_ahead_waits_while_the_runs_before_it_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has time as long as each place has a run, and has none when a place is empty."""
    monkeypatch.setattr(module, "CALM", 1e6)
    places = opened(2)
    places.measured(0.1)
    places.take(["a", "b"])
    thread, found = looking(places)
    assert found == []
    places.leave("a")
    thread.join(10)
    assert found == [4]
    places.give_back("a")
    places.take(["c"])
    thread, found = looking(places)
    assert found == []
    places.close()
    thread.join(10)
    assert found == [0]


def test_a_claim_ahead_waits_for_a_share_of_the_time_of_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise nothing would ever be claimed ahead."""
    monkeypatch.setattr(module, "CALM", 1e-3)
    places = opened(2)
    places.measured(0.1)
    places.take(["a", "b"])
    assert places.wait() == 4


def test_the_first_claim_does_not_wait() -> None:
    """No place has a run."""
    places = opened(2)
    places.measured(0.4)
    places.take(["a"])
    thread, found = looking(places)
    thread.join(10)
    assert found == [5]


def test_long_runs_are_not_claimed_ahead() -> None:
    """They would wait here, while another worker has a place."""
    places = opened(2)
    places.measured(5.0)
    places.take(["a", "b"])
    assert places.free == 0


def test_nothing_is_claimed_ahead_if_claims_count_for_a_limit() -> None:
    """A tenant limit counts claimed runs."""
    places = opened(2, ahead=False)
    places.measured(0.01)
    places.take(["a", "b"])
    assert places.free == 0


def test_a_run_that_is_given_up_does_not_wait_for_its_turn() -> None:
    """The worker stops."""
    places = opened(1)
    places.take(["a", "b"])
    places.wait_turn("b", lambda: True)


def test_many_workers_look_into_the_queue_no_more_often_than_a_few() -> None:
    """An idle fleet costs its store the same, whatever its size, up to a longest pause."""
    places = opened(1)
    assert places.share(0.25) == 0.25
    places.shared_by(8)
    assert places.share(0.25) == 0.25
    places.shared_by(80)
    assert places.share(0.25) == 2.5
    places.shared_by(10_000)
    assert places.share(0.25) == 5.0
