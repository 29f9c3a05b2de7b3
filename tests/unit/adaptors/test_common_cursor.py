"""A cursor is a value, a time or nothing; the test sets the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import common
import pytest
from common.cursors import Cursors

START = datetime(2024, 5, 6, 7, 8, 9, 10_000, tzinfo=UTC)
HOUR = timedelta(hours=1)


def make_cursors():
    """Return cursors that were made at START and are used an hour later."""
    moments = [START, START + HOUR]
    return Cursors(lambda: moments.pop(0) if len(moments) > 1 else moments[0])


def set_cursor(value, state=None, **options):
    return make_cursors().operation(value, None, options)({} if state is None else state)


@pytest.mark.parametrize(
    ("value", "saved"),
    [
        (1234, 1234),
        ("rock the cashbah", "rock the cashbah"),
        ({"page": 22}, {"page": 22}),
        ("now", "2024-05-06T08:08:09.010Z"),
        ("end", "2024-05-06T08:08:09.010Z"),
        ("start", "2024-05-06T07:08:09.010Z"),
        ("today", "2024-05-06T00:00:00.000Z"),
        ("yesterday", "2024-05-05T00:00:00.000Z"),
        ("1 hour ago", "2024-05-06T07:08:09.010Z"),
        ("0003 hours ago", "2024-05-06T05:08:09.010Z"),
        ("2 days ago", "2024-05-04T00:00:00.000Z"),
        (lambda state: state["since"], 7),
    ],
)
def test_a_cursor_is_saved(value, saved):
    """Words become times in UTC; other values stay as they are."""
    state = {"since": 7, "cursor": "old"}
    assert set_cursor(value, state) == {"since": 7, "cursor": saved}
    assert state == {"since": 7, "cursor": "old"}


def test_no_value_clears_the_cursor():
    """The key is removed, and not set to None."""
    assert set_cursor(None, {"cursor": 1, "data": 2}) == {"data": 2}


@pytest.mark.parametrize("spelling", ["default", "default_value", "defaultValue"])
def test_the_default_is_used_when_there_is_no_value(spelling):
    """The option has the spelling of either language; 0 counts as no value only with a default."""
    lazy = lambda state: state.get("cursor")
    assert set_cursor(lazy, **{spelling: "today"})["cursor"] == "2024-05-06T00:00:00.000Z"
    assert set_cursor("", **{spelling: 33}) == {"cursor": 33}
    assert set_cursor(0, **{spelling: 33}) == {"cursor": 33}
    assert set_cursor(0) == {"cursor": 0}


@pytest.mark.parametrize("error", [KeyError, AttributeError])
def test_a_state_without_the_cursor_needs_a_default(error):
    """The first run of a workflow has no `state.cursor`, which is an error without a default."""

    def lazy(state):
        raise error("cursor")

    assert set_cursor(lazy, default=1) == {"cursor": 1}
    with pytest.raises(error):
        set_cursor(lazy)


def test_a_key_is_kept_for_later_cursors_of_the_run():
    """As in OpenFn, the key holds for the whole run."""
    cursors = make_cursors()
    assert cursors.operation(44, {"key": "page"}, {})({}) == {"page": 44}
    assert cursors.operation(55, None, {})({}) == {"page": 55}


def test_a_format_gets_the_value_or_the_time():
    """If the format is lazy state around a function, the verb unwraps it."""
    assert set_cursor("abc", format=str.upper)["cursor"] == "ABC"
    assert set_cursor(3, format=lambda n: {"page": n})["cursor"] == {"page": 3}
    assert set_cursor("today", format=lambda t: t.strftime("%d.%m."))["cursor"] == "06.05."
    assert set_cursor(1, {"n": 2}, format=lambda state: lambda v: v + state["n"])["cursor"] == 3


def test_mistakes_are_told():
    """The mistakes are an unknown option, and a time before all time."""
    with pytest.raises(common.ArgumentError, match="unknown option 'defualt'"):
        set_cursor(1, defualt=2)
    with pytest.raises(common.ArgumentError, match="before all time"):
        set_cursor("99999999999999 days ago")


def test_the_verb_takes_options_as_a_dict_too(capsys):
    """cursor(value, {...}) reads like the original, and logs the value that it sets."""
    assert common.cursor(5, {"key": "cursor"})({}) == {"cursor": 5}
    assert capsys.readouterr().out == "Setting cursor to: 5\n"
    lazy_options = lambda state: {"default": state["n"], "format": lambda v: v + 1}
    assert common.cursor(None, lazy_options)({"n": 1}) == {"n": 1, "cursor": 2}
