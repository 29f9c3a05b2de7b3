"""Which sets of adaptors become warm, and which of them have to go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.start import warm_sets
from engine.start.warm_sets import IMPORTING, SECOND_USE_S, WarmSets
from protocol.adaptor import AdaptorLink
from protocol.confinement import ConfinementRequest
from protocol.zygote import AdaptorSet

MB = 1_000_000
WALLS = ConfinementRequest()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Nursery:
    """A zygote that is told what to do."""

    usable = True

    def __init__(self) -> None:
        self.asked: list[tuple[int, AdaptorSet]] = []
        self.cooled: list[int] = []

    def serves(self, request: ConfinementRequest) -> bool:
        return True

    def warm(self, number: int, request: Any, adaptors: AdaptorSet, told: Any) -> None:
        self.asked.append((number, adaptors))

    def cool(self, number: int) -> None:
        self.cooled.append(number)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(warm_sets, "time", made)
    return made


@pytest.fixture
def nursery() -> Nursery:
    return Nursery()


@pytest.fixture
def adaptor(tmp_path: Path) -> Any:
    def make(*names: str) -> AdaptorSet:
        for name in names:
            (tmp_path / name).mkdir(exist_ok=True)
        return AdaptorSet(tuple(AdaptorLink(n, "1", str(tmp_path / n), n) for n in names))

    return make


def test_the_second_use_within_ten_minutes_is_due(clock: Clock, nursery: Nursery, adaptor: Any):
    """A use that is longer ago does not count."""
    sets = WarmSets(100 * MB)
    for wait_s in (0.0, SECOND_USE_S + 1, SECOND_USE_S - 1):
        clock.now += wait_s
        assert nursery.asked == []
        sets.use(WALLS, adaptor("a"))
        sets.warm_due(nursery)
    assert [number for number, _ in nursery.asked] == [1]
    assert sets.told()[0].reason == IMPORTING
    sets.warmed(1, 5 * MB)
    assert sets.use(WALLS, adaptor("a")) == (1, nursery)
    assert sets.told()[0].memory_bytes == 5 * MB
    sets.close()


def test_other_walls_and_other_adaptors_are_other_sets(
    clock: Clock, nursery: Nursery, adaptor: Any
):
    """The order of the adaptors does not matter."""
    sets = WarmSets(100 * MB)
    sets.want(WALLS, [adaptor("a", "b")])
    sets.warm_due(nursery)
    sets.warmed(1, MB)
    assert sets.use(WALLS, adaptor("b", "a"))[0] == 1
    assert sets.use(WALLS, adaptor("a"))[0] == 0
    assert sets.use(ConfinementRequest(net=("*",)), adaptor("a", "b"))[0] == 0
    assert sets.use(WALLS, AdaptorSet(adaptor("a", "b").links, "debug"))[0] == 0
    sets.close()


def test_one_set_is_imported_at_a_time(clock: Clock, nursery: Nursery, adaptor: Any):
    """The next one begins when the first is ready, or was refused."""
    sets = WarmSets(100 * MB)
    sets.want(WALLS, [adaptor("a"), adaptor("b"), adaptor("c")])
    sets.warm_due(nursery)
    assert [number for number, _ in nursery.asked] == [1]
    sets.warmed(1, MB)
    sets.cooled(2, "it is broken")
    assert [number for number, _ in nursery.asked] == [1, 2, 3]
    assert [one.reason for one in sets.told()] == [None, "it is broken", IMPORTING]
    sets.close()


def test_the_least_recently_used_goes_first(clock: Clock, nursery: Nursery, adaptor: Any):
    """All together stay within the limit, and a set that exceeds it alone is refused."""
    sets = WarmSets(100 * MB)
    sets.want(WALLS, [adaptor(name) for name in "abcd"])
    sets.warm_due(nursery)
    for number in (1, 2):
        clock.now += 1
        sets.warmed(number, 40 * MB)
    clock.now += 1
    sets.use(WALLS, adaptor("a"))
    sets.warmed(3, 40 * MB)
    assert nursery.cooled == [2]
    sets.warmed(4, 101 * MB)
    assert nursery.cooled == [2, 4]
    assert [one.warm for one in sets.told()] == [True, False, True, False]
    assert sets.told()[3].reason == "it takes 101 MB, and warm_mb allows 100"
    sets.close()


def test_sets_in_turns_do_not_push_each_other_out(clock: Clock, nursery: Nursery, adaptor: Any):
    """Ten sets of which three fit: three stay warm, and the others are not imported again and again."""
    sets = WarmSets(100 * MB)
    served = []
    for _ in range(10):
        for name in "abcdefghij":
            clock.now += 1
            served.append(sets.use(WALLS, adaptor(name))[0] > 0)
            sets.warm_due(nursery)
            for number, _ in nursery.asked:
                sets.warmed(number, 30 * MB)
    assert len(nursery.asked) <= 10, "each was imported once"
    assert sum(served[-10:]) == 3
    assert [one.reason for one in sets.told() if not one.warm] == [warm_sets._NO_ROOM] * 7
    sets.close()


def test_a_set_that_is_used_more_often_gets_the_place(clock: Clock, nursery: Nursery, adaptor: Any):
    """A warm set goes for another one if it was idle for longer than the other one is between two uses."""
    sets = WarmSets(50 * MB)
    for name, wait_s in (("a", 5), ("a", 5), ("b", 100), ("b", 100)):
        clock.now += wait_s
        sets.use(WALLS, adaptor(name))
        sets.warm_due(nursery)
        if nursery.asked:
            sets.warmed(nursery.asked[-1][0], 30 * MB)
    assert [one.warm for one in sets.told()] == [False, True], "a was idle for longer"
    for _ in range(2):
        clock.now += 70
        sets.use(WALLS, adaptor("b"))
        clock.now += 70
        sets.use(WALLS, adaptor("a"))
        sets.warm_due(nursery)
    assert [one.warm for one in sets.told()] == [False, True], "both are used as often"
    for _ in range(2):
        clock.now += 10
        sets.use(WALLS, adaptor("a"))
        sets.warm_due(nursery)
    sets.warmed(nursery.asked[-1][0], 30 * MB)
    assert [one.warm for one in sets.told()] == [True, False]
    sets.close()


def test_a_refused_set_is_tried_again_when_its_files_change(
    clock: Clock, nursery: Nursery, adaptor: Any, tmp_path: Path
):
    """Otherwise only after ten minutes."""
    sets = WarmSets(100 * MB)
    sets.want(WALLS, [adaptor("a")])
    sets.warm_due(nursery)
    sets.cooled(1, "it is broken")
    for _ in range(3):
        sets.use(WALLS, adaptor("a"))
        sets.warm_due(nursery)
    assert len(nursery.asked) == 1
    (tmp_path / "a" / "a.py").write_text("")
    sets.use(WALLS, adaptor("a"))
    sets.warm_due(nursery)
    assert len(nursery.asked) == 2
    sets.cooled(2, "it is broken")
    clock.now += SECOND_USE_S + 1
    sets.use(WALLS, adaptor("a"))
    sets.warm_due(nursery)
    assert len(nursery.asked) == 3
    sets.close()


def test_a_zygote_that_dies_takes_its_warm_ones_along(clock: Clock, nursery: Nursery, adaptor: Any):
    """A warm set is made again; a set whose import may have killed it is not."""
    sets = WarmSets(100 * MB)
    sets.want(WALLS, [adaptor("a"), adaptor("b")])
    sets.warm_due(nursery)
    sets.warmed(1, MB)
    for number in (1, 2):
        sets.cooled(number, None)
    other = Nursery()
    for name in "ab":
        assert sets.use(WALLS, adaptor(name)) == (0, None)
        sets.warm_due(other)
    assert [one.links[0].name for _, one in other.asked] == ["a"]
    sets.close()


def test_the_number_of_remembered_sets_is_limited(
    clock: Clock, nursery: Nursery, adaptor: Any, monkeypatch: pytest.MonkeyPatch
):
    """The least recently used set is forgotten."""
    monkeypatch.setattr(warm_sets, "MOST_SETS", 3)
    sets = WarmSets(100 * MB)
    for name in "abcde":
        clock.now += 1
        sets.use(WALLS, adaptor(name))
    assert [one.adaptors for one in sets.told()] == [("c@1",), ("d@1",), ("e@1",)]
    sets.close()
