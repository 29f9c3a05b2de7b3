"""The verbs work as authors of OpenFn jobs expect, and never change their input state."""

from __future__ import annotations

import ast
import asyncio
import copy
import logging
import re

import common
import pytest
from common import (
    ArgumentError,
    alter_state,
    as_,
    assert_,
    combine,
    compose_next_state,
    data_value,
    debug,
    each,
    field,
    fields,
    fn,
    fn_if,
    group_by,
    index,
    join,
    log,
    map_,
    merge,
    source_value,
)

BOOKS = [
    {"title": "Sayings of the Century", "price": 8.95},
    {"title": "Sword of Honour", "price": 12.99},
    {"title": "Moby Dick", "price": 8.99},
]


def library():
    return {"data": {"books": copy.deepcopy(BOOKS), "color": "red"}, "references": []}


def collect(state):
    return {**state, "references": [*state["references"], state["data"]]}


async def collect_later(state):
    await asyncio.sleep(0)
    return collect(state)


def test_every_public_name_exists_and_says_what_it_does():
    """Every name in `__all__` exists and has a docstring."""
    for name in common.__all__:
        assert getattr(common, name).__doc__, name


def test_fn_runs_its_function():
    """fn and alter_state make operations of a function."""
    assert fn(lambda state: {**state, "n": 1})({"data": {}}) == {"data": {}, "n": 1}
    assert alter_state(lambda state: {**state, "n": 2})({}) == {"n": 2}


def test_an_operation_that_an_argument_returns_is_run_with_the_same_state():
    """`fn(lambda state: post(...))` runs the post."""
    nested = fn(lambda state: fn(lambda inner: {**inner, "n": state["n"] + 1}))
    assert nested({"n": 1}) == {"n": 2}


def test_what_is_no_operation_is_refused_by_name():
    """The most common mistake is to call the operation; the error names it and carries details."""
    with pytest.raises(common.ArgumentError, match="each: an operation is a function") as caught:
        each([1], {"data": 1})
    assert caught.value.details == {"verb": "each", "got": "dict"}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("$.data.books[*]", id="path"),
        pytest.param("data.books[*]", id="path-without-root"),
        pytest.param(BOOKS, id="list"),
        pytest.param(lambda state: state["data"]["books"], id="function"),
        pytest.param(lambda state: "$.data.books[*]", id="function-giving-a-path"),
    ],
)
def test_each_runs_once_for_every_item(source):
    """The items come from a path, a list or a function; the state of the last run is the result."""
    state = library()
    before = copy.deepcopy(state)

    result = each(source, collect)(state)

    assert result["references"] == BOOKS
    assert result["index"] == 2
    assert state == before


def test_each_can_put_data_back():
    """With restore_data, only the output of the operation stays, and not that of the loop."""
    result = each("$.data.books[*]", collect, restore_data=True)(library())
    assert result == {"data": library()["data"], "references": BOOKS}


def test_each_over_nothing_returns_the_state():
    """An empty list runs nothing, with or without restore_data."""
    for restore in (False, True):
        assert each([], collect, restore_data=restore)({"data": 1}) == {"data": 1}


def test_each_awaits_an_asynchronous_operation_in_order():
    """A single asynchronous operation makes the whole loop awaitable."""
    for restore in (False, True):
        operation = each("$.data.books[*]", collect_later, restore_data=restore)
        assert asyncio.run(operation(library()))["references"] == BOOKS


def test_each_refuses_what_is_not_a_list():
    """A dict has no order of items, so the error says what was given."""
    with pytest.raises(common.ArgumentError, match="not dict"):
        each(lambda state: state["data"], collect)(library())


def test_index_is_the_place_of_the_item():
    """index() counts from 0 inside each, and is None outside."""
    operation = each(
        "$.data.books[*]", lambda s: {**s, "references": [*s["references"], index()(s)]}
    )
    assert operation(library())["references"] == [0, 1, 2]
    assert index()({}) is None


def test_combine_passes_state_along_and_awaits_what_is_asynchronous():
    """Sync and async operations may be mixed; after None comes an empty state."""

    async def six(state):
        return {"n": state["n"] + 5}

    def one(state):
        return {"n": 1}

    assert combine(one, one)({}) == {"n": 1}
    assert asyncio.run(combine(one, six, six)({})) == {"n": 11}
    assert combine(lambda state: None, lambda state: {"got": state})({"n": 1}) == {"got": {}}
    assert combine()({"n": 1}) == {"n": 1}


def test_fn_if_runs_only_when_the_condition_holds():
    """The condition may be a value or lazy state; an alternative is optional."""
    yes, no = (lambda state: "yes"), (lambda state: "no")
    assert fn_if(lambda state: state["ok"], yes)({"ok": 1}) == "yes"
    assert fn_if(False, yes)({"ok": 1}) == {"ok": 1}
    assert fn_if(lambda state: state["ok"], yes, no)({"ok": 0}) == "no"


def test_as_saves_data_under_another_key():
    """Other changes of the operation stay; data is as before."""
    operation = as_(lambda state: state["key"], lambda state: {**state, "data": 9, "response": 1})
    assert operation({"data": 1, "key": "nine"}) == {
        "data": 1,
        "key": "nine",
        "nine": 9,
        "response": 1,
    }

    async def later(state):
        return {**state, "data": 9}

    assert asyncio.run(as_("nine", later)({})) == {"nine": 9}


def test_map_takes_functions_of_item_index_and_state():
    """A function gets the first ones of these arguments, by the number of its parameters."""
    state = library() | {"base": "b"}
    assert map_("$.data.books[*]", lambda book: book["price"])(state)["data"] == [8.95, 12.99, 8.99]
    assert map_("$.data.books[*]", lambda book, i: i)(state)["data"] == [0, 1, 2]
    assert map_([1, 2], lambda item, i, state: f"{state['base']}{i}")(state)["data"] == ["b0", "b1"]
    assert map_([1, 2], str)(state)["data"] == ["1", "2"]


def test_map_understands_lazy_state_around_its_function():
    """`map_(rows, lambda row: row + state.n)` arrives as a function that returns a function."""
    lazy = lambda state: lambda row: row + state["n"]
    assert map_([1, 2], lazy)({"n": 10})["data"] == [11, 12]
    assert map_([1, 2], lambda state: state["data"] * 2)({})["data"] == [2, 4]


def test_the_state_around_a_function_is_that_of_the_verb():
    """An author writes the same name `state`, so its data is that of the verb, and not the item."""
    lazy = lambda state: lambda row: row + state["data"]["suffix"]
    state = {"data": {"suffix": "!"}, "rows": ["a", "b"]}
    assert map_(["a", "b"], lazy)(state)["data"] == ["a!", "b!"]
    assert group_by(["a", "b", "a"], lazy)(state)["data"] == {"a!": ["a", "a"], "b!": ["b"]}
    twice = lambda state: lambda state: lambda row, i: (row, i, state["data"])
    assert map_(["a"], twice)(state)["data"] == [("a", 0, {"suffix": "!"})]


@pytest.mark.parametrize("verb", [map_, group_by])
def test_functions_without_end_are_an_error(verb):
    """The verb neither hangs nor raises a RecursionError."""

    def endless(state):
        return endless

    with pytest.raises(ArgumentError, match="without end"):
        verb([1], endless)({})


def test_map_awaits_asynchronous_functions():
    """The results come in the order of the items."""

    async def double(item):
        await asyncio.sleep(0)
        return item * 2

    assert asyncio.run(map_([1, 2, 3], double)({"n": 1})) == {"n": 1, "data": [2, 4, 6]}


@pytest.mark.parametrize(
    "key",
    ["y.z", lambda state: state["key"], lambda item: item["y"].get("z")],
    ids=["path", "lazy-path", "function"],
)
def test_group_by_groups_and_leaves_out_what_has_no_value(key):
    """Items without the value, or with None, are in no group."""
    items = [{"y": {"z": "a"}}, {"y": {"z": None}}, {"y": {}}, {"y": {"z": "b"}}, {"y": {"z": "a"}}]
    grouped = group_by(items, key)({"key": "y.z"})["data"]
    assert grouped == {"a": [items[0], items[4]], "b": [items[3]]}


def test_assert_raises_with_its_message():
    """Condition and message may be lazy; without a message, the error has the value."""
    assert assert_(1)({"n": 1}) == {"n": 1}
    with pytest.raises(common.AssertionFailedError, match=r"^no rows$") as caught:
        assert_(lambda state: state["rows"], lambda state: "no " + state["what"])(
            {"rows": [], "what": "rows"}
        )
    assert caught.value.details == {"value": []}
    with pytest.raises(common.AssertionFailedError, match="assertion statement failed with False"):
        assert_(False)({})


def test_log_prints_one_line_for_each_value(capsys):
    """Text is printed as it is, other values as JSON, and functions are resolved."""
    state = {"x": "a", "y": {"z": None}}
    assert log("test", lambda s: s["x"], lambda s: s["y"])(state) == state
    assert capsys.readouterr().out == 'test\na\n{"z": null}\n'


def test_debug_writes_at_level_debug(caplog):
    """debug uses the standard logging, so the engine can recognise its level."""
    with caplog.at_level("DEBUG"):
        assert debug("x", lambda s: s["n"])({"n": 1}) == {"n": 1}
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("DEBUG", "x"),
        ("DEBUG", "1"),
    ]


def test_debug_prints_where_nobody_listens_to_logging(capsys, monkeypatch):
    """A program without logging handlers would drop the line."""
    monkeypatch.setattr(logging.getLogger("common"), "propagate", False)
    debug("x")({})
    assert capsys.readouterr().out == "x\n"


def test_merge_and_join_add_to_every_item():
    """The added fields win over the item's fields; the items of the state do not change."""
    state = library()
    merged = merge("$.data.books[*]", fields(field("color", source_value("$.data.color"))))(state)
    assert [book["color"] for book in merged] == ["red"] * 3
    assert join("$.data.books[*]", "$.data.color", "color")(state) == merged
    assert state == library()


def test_a_reference_is_a_data_source():
    """merge takes the items from each."""
    source = merge("$.data.books[*]", {"price": data_value("color")})
    assert [item["price"] for item in each(source, collect)(library())["references"]] == ["red"] * 3


def test_compose_next_state_moves_data_to_references():
    """The old value of data goes to the end of references."""
    assert compose_next_state({"data": 1, "references": [0]}, 2) == {
        "data": 2,
        "references": [0, 1],
    }
    assert compose_next_state({}, 2) == {"data": 2, "references": [None]}


OTHER_NAMES = {
    name for name in common.__all__ if getattr(getattr(common, name), "__name__", name) != name
}
"""Names of language-common for the verbs of this package, and the module `beta`."""


def documented_examples():
    """Yield (verb, example, result or None) from the docstrings."""
    for name in sorted(set(common.__all__) - OTHER_NAMES):
        example = re.search(r"Example:\n(.+)\Z", getattr(common, name).__doc__, re.DOTALL)
        if example:
            for code, result in re.findall(r"`([^`]+)`(?: is `?([^`\n]+)`?)?", example[1]):
                yield pytest.param(name, code, result, id=f"{name}-{code[:20]}")


@pytest.mark.parametrize(("name", "code", "result"), list(documented_examples()))
def test_examples_in_docstrings_are_right(name, code, result):
    """Every example is Python that uses the verb, and gives the result that the docstring shows."""
    assert f"{name}(" in code
    tree = ast.parse(code, mode="eval")
    if result:
        names = {public: getattr(common, public) for public in common.__all__}
        assert eval(compile(tree, name, "eval"), names) == ast.literal_eval(result)


def test_every_verb_has_an_example():
    """Authors copy examples before they read the text."""
    told = {parameters.values[0] for parameters in documented_examples()}
    errors = {name for name in common.__all__ if name.endswith("Error")}
    assert set(common.__all__) - errors - told - OTHER_NAMES == {"alter_state"}


def test_every_verb_has_its_name_of_language_common():
    """A verb with an underscore also has the name in camelCase, unless Python uses that name."""
    for name in sorted(set(common.__all__) - OTHER_NAMES):
        camel = re.sub("_([a-z])", lambda match: match[1].upper(), name)
        if name[0].islower() and not name.endswith("_"):
            assert getattr(common, camel) is getattr(common, name)
            assert camel in common.__all__
    assert common.group is group_by


def test_beta_each_leaves_the_data_as_it_was():
    """Other keys that the operation has set stay, and the items have an index."""
    add = fn(
        lambda state: {**state, "seen": [*state.get("seen", []), (state["index"], state["data"])]}
    )
    before = {"data": ["a", "b"]}
    assert common.beta.each("$.data[*]", add)(before) == {
        "data": ["a", "b"],
        "seen": [(0, "a"), (1, "b")],
    }
