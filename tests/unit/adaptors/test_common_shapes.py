"""The plain helpers do what their names say."""

from __future__ import annotations

import common
import pytest
from common import (
    array_to_string,
    chunk,
    data_value,
    decode,
    encode,
    field,
    fields,
    human_proper,
    scrub_emojis,
    split_keys,
    to_array,
)


def test_fields_makes_a_dict_of_pairs():
    """The pairs come one by one, or as one list."""
    assert field("a", 1) == ("a", 1)
    assert fields(field("a", 1), ["b", 2]) == fields([field("a", 1), ("b", 2)]) == {"a": 1, "b": 2}
    assert fields() == {}
    assert fields(("a", 1)) == {"a": 1}


def test_fields_leaves_out_what_a_path_does_not_find():
    """None that is there stays, and so does None of a function of the author."""
    made = fields(
        field("name", data_value("name")),
        field("note", data_value("note")),
        field("missing", data_value("missing")),
        field("lazy", common.source_value(lambda state: "$.data." + state["key"])),
        field("document", common.json_value(lambda state: state["data"], "nope")),
        field("reference", common.last_reference_value("id")),
        field("row", common.index()),
        field("own", lambda state: state["data"].get("missing")),
        field("nested", fields(field("a", data_value("name")), field("b", data_value("nope")))),
        field("plain", None),
    )
    state = {"data": {"name": "Ada", "note": None}, "key": "none"}
    expected = {
        "name": "Ada",
        "note": None,
        "own": None,
        "nested": {"a": "Ada"},
        "plain": None,
    }
    assert made(state) == expected
    assert common.expand_references({"body": made})(state) == {"body": expected}
    assert common.as_data(made, state) == expected


def test_fields_with_references_is_a_dict_as_well():
    """It can be spread and read; its values are then references, which give None for what is missing."""
    made = fields(field("a", data_value("a")), field("b", 2))
    assert made["b"] == 2
    assert {**made, "c": 3}["a"]({"data": {}}) is None
    assert type(fields(field("b", 2))) is dict


def test_the_index_is_absent_outside_of_each():
    """In `each` it is the number of the item, also 0."""
    row = fields(field("row", common.index()), field("n", data_value("n")))
    assert row({"data": {"n": 1}}) == {"n": 1}
    assert row({"data": {"n": 1}, "index": 0}) == {"row": 0, "n": 1}


def test_lists_and_texts():
    """The helpers join, wrap and cut."""
    assert array_to_string([1, 2, None]) == "1,2,"
    assert array_to_string([1, 2], ", ") == "1, 2"
    assert (to_array([1]), to_array({"a": 1}), to_array("a")) == ([1], [{"a": 1}], ["a"])
    assert chunk([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    with pytest.raises(common.ArgumentError, match="at least 1"):
        chunk([1], 0)


def test_keys_and_names():
    """The helpers split a dict, and make a name presentable."""
    assert split_keys({"a": 1, "b": 2, "c": 3}, ["b", "x"]) == [{"a": 1, "c": 3}, {"b": 2}]
    assert human_proper("first_name of IT") == "First Name Of It"


def test_emojis_are_replaced():
    """Emojis and the marks that choose their form are replaced; other text stays."""
    assert scrub_emojis("dove\U0001f54a\ufe0f\u2b50_29", "") == "dove_29"
    assert scrub_emojis("star\u2b50") == "star\ufffd"
    assert scrub_emojis("plain \u00e4\u4e2d") == "plain \u00e4\u4e2d"
    assert scrub_emojis(None) is None


def test_base64_both_ways():
    """Text, bytes and JSON go through base64 and back."""
    assert encode("hello") == encode(b"hello") == "aGVsbG8="
    assert decode("aGVsbG8=") == "hello"
    assert decode(encode({"a": [1]}), parse_json=True) == {"a": [1]}
    with pytest.raises(common.ArgumentError, match="decode"):
        decode("*")
