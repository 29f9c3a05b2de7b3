"""The plain helpers do what their names say."""

from __future__ import annotations

import common
import pytest
from common import (
    array_to_string,
    chunk,
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
