"""Any text as a path is answered with a list or a PathError."""

from __future__ import annotations

import contextlib

import common
import pytest
from common.paths import find
from hypothesis import example, given
from hypothesis import strategies as st

DOCUMENT = {"a": [{"b": 1, "0": "x"}, {"b": None}], "b": "text", "": [[]], "a b": {}}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(st.text(alphabet="$.[]*'\"?(@)&|<>=!:,-01ab ", max_size=20))
@example("a[::0]")
@example("a[-:]")
@example("a[1:0:]")
@example("[?(@.b > )]")
@example("[?(@]")
@example("..")
@example("[99999999999999999999999:]")
def test_any_text_gives_a_list_or_a_path_error(path):
    """Other exceptions do not occur, and the list has only values of the document."""
    with contextlib.suppress(common.PathError):
        assert isinstance(find(DOCUMENT, path), list)


@pytest.mark.slow
@given(values)
def test_every_value_of_a_document_is_found_at_any_depth(document):
    """`$..*` finds all values of the document; `$` finds the document."""

    def count(value):
        children = value.values() if isinstance(value, dict) else value
        return sum(1 + count(child) for child in children) if isinstance(value, dict | list) else 0

    assert find(document, "$") == [document]
    assert len(find(document, "$..*")) == count(document)


@pytest.mark.slow
@given(st.dictionaries(st.text(st.characters(exclude_characters="'\""), min_size=1), values))
def test_a_quoted_key_finds_its_value(document):
    """The key may contain all characters except quotes."""
    for key, value in document.items():
        assert find(document, f"$['{key}']") == [value]
