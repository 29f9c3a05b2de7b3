"""Paths and lazy arguments find the same values as in language-common."""

from __future__ import annotations

import common
import pytest
from common import (
    as_data,
    data_path,
    data_value,
    expand_references,
    json_value,
    last_reference_value,
    reference_path,
    source,
)

STORE = {
    "book": [
        {"title": "A", "price": 8, "isbn": "x", "cat": "ref"},
        {"title": "B", "price": 12},
        {"title": "C", "price": 8, "cat": "it's"},
    ],
    "bicycle": {"color": "red", "price": 20},
    "odd.key": 1,
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [STORE]),
        ("", [STORE]),
        ("$.bicycle.color", ["red"]),
        ("bicycle.color", ["red"]),
        ("$['bicycle']['color']", ["red"]),
        ('$["odd.key"]', [1]),
        ("$.book[0].title", ["A"]),
        ("$.book.0.title", ["A"]),
        ("$.book[-1].title", ["C"]),
        ("$.book[*].title", ["A", "B", "C"]),
        ("$.book.*.title", ["A", "B", "C"]),
        ("$.book.[0].title", ["A"]),
        ("$.book[0,2].title", ["A", "C"]),
        ("$.bicycle['color','price']", ["red", 20]),
        ("$.book[1:].title", ["B", "C"]),
        ("$.book[:1].title", ["A"]),
        ("$.book[::-1].title", ["C", "B", "A"]),
        ("$..price", [8, 12, 8, 20]),
        ("$..book[0].title", ["A"]),
        ("$.book[?(@.price < 10)].title", ["A", "C"]),
        ("$.book[?(@.price == 8 && @.isbn)].title", ["A"]),
        ("$.book[?(@.price > 10 || @.isbn)].title", ["A", "B"]),
        ("$.book[?(!@.isbn)].title", ["B", "C"]),
        ("$.book[?(@.cat === 'ref')].title", ["A"]),
        ('$.book[?(@.cat == "it\'s")].title', ["C"]),
        ("$.book[?(@.title > 5)].title", []),
        ("$.none.deeper", []),
        ("$.book[9]", []),
        ("$.bicycle[0]", []),
    ],
)
def test_a_path_finds_what_it_says(path, found):
    """The test covers every form in the table of `paths`."""
    assert source(path)(STORE) == found


@pytest.mark.parametrize(
    "path",
    [
        "$.a[",
        "$.a[(@.length-1)]",
        "$.a[?(@.x ~ 1)]",
        "$.a[?(@.x == y)]",
        "$.",
        "$.a[b]",
        "$..",
        "$a]",
    ],
)
def test_a_path_that_is_not_understood_is_an_error(path):
    """The verb does not guess: the error quotes the path and carries it."""
    with pytest.raises(common.PathError) as caught:
        source(path)({"a": [{"x": 1}]})
    assert caught.value.details == {"path": path}


def test_json_value_is_the_first_value_or_none():
    """Falsy values are values."""
    document = {"a": {"b": {"c": 1, "e": ""}}}
    assert json_value(document, "a.b.c") == 1
    assert json_value(document, "a.b.e") == ""
    assert json_value(document, "a.d.c") is None


def test_paths_are_put_below_data_and_references():
    """The texts are the same as in language-common."""
    assert data_path("data.hello") == data_path("$.data.hello") == "$.data.data.hello"
    assert data_path("[0].foo") == "$.data.[0].foo"
    assert reference_path("[0]") == "$.references[0]"
    assert reference_path("$.id") == "$.references.id"


def test_values_are_looked_up_below_data_and_references():
    """data_value looks into data; last_reference_value looks into the first of the references."""
    state = {"data": STORE, "references": [{"foo": "bar"}, {"baz": "foo"}]}
    assert data_value("bicycle.color")(state) == "red"
    assert last_reference_value("foo")(state) == "bar"


def test_as_data_takes_a_path_a_function_or_the_data_itself():
    """A text is a path into the state."""
    assert as_data("$.data.book[*].title", {"data": STORE}) == ["A", "B", "C"]
    assert as_data(lambda state: state["data"], {"data": [1]}) == [1]
    assert as_data([2], {}) == [2]


def test_functions_are_resolved_at_any_depth_and_again():
    """Dicts, lists and tuples are searched; classes are values; the given value does not change."""
    value = {"a": [lambda s: s["n"], "x"], "b": (lambda s: lambda t: t["n"] + 1,), "c": int}
    assert expand_references(value)({"n": 1}) == {"a": [1, "x"], "b": (2,), "c": int}
    assert callable(value["a"][0])


def test_a_filter_keeps_values_from_being_resolved():
    """skip_filter chooses the values that are not resolved."""
    keep = lambda state: 1
    assert expand_references([keep, lambda s: 2], lambda v: v is keep)({}) == [keep, 2]


def test_functions_that_return_functions_without_end_are_an_error():
    """A verb does not loop for ever."""

    def endless(state):
        return endless

    with pytest.raises(common.ArgumentError, match="without end"):
        expand_references(endless)({})


def test_plain_functions_with_lazy_arguments_become_references():
    """`each(chunk(state.rows, 2), ...)`: the engine makes the inner argument lazy."""
    state = {"rows": [1, 2, 3], "path": "rows[*]", "data": {"rows": 7}, "references": [{"a": 1}]}
    rows = lambda state: state["rows"]
    for lazy, value in [
        (common.chunk(rows, 2), [[1, 2], [3]]),
        (common.chunk(rows, size=lambda state: 3), [[1, 2, 3]]),
        (common.array_to_string(rows, "-"), "1-2-3"),
        (common.to_array(rows), [1, 2, 3]),
        (common.json_value(lambda state: state, "rows[1]"), 2),
        (common.source(lambda state: state["path"]), [1, 2, 3]),
        (common.data_value(lambda state: "rows"), 7),
        (common.last_reference_value(lambda state: "a"), 1),
        (common.join(lambda state: "references[*]", "rows", "b"), [{"a": 1, "b": [1, 2, 3]}]),
    ]:
        assert expand_references(lazy)(state) == value

    summed = common.each(
        common.chunk(rows, 2), lambda s: {**s, "sum": s.get("sum", 0) + sum(s["data"])}
    )
    assert summed(state)["sum"] == 6
