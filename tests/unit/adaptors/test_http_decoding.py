"""Decompression of http gives what was packed, for any pieces, and only one kind of error for anything else."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import zlib

import brotli
import pytest
from http_.decoding import UndecodableError, decoded
from hypothesis import given
from hypothesis import strategies as st

from examples import examples

pytestmark = pytest.mark.slow

PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}
CODINGS = st.lists(st.sampled_from(sorted(PACKERS)), max_size=3)


def pieces_of(body, cuts):
    """Cut a body at these places, which may be outside of it."""
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[start:end] for start, end in itertools.pairwise(places)] or [body]


def packed(content, codings):
    for coding in codings:
        content = PACKERS[coding](content)
    return content


@examples(120)
@given(
    st.binary(max_size=2_000), st.integers(1, 200), CODINGS, st.lists(st.integers(0), max_size=8)
)
def test_any_pieces_give_the_whole_body(content, times, codings, cuts):
    """A connection may cut a body anywhere."""
    body = packed(content * times, codings)
    found = b"".join(decoded(pieces_of(body, cuts), ", ".join(codings), 10_000_000))
    assert found == content * times


@examples(200)
@given(
    st.binary(max_size=300), st.sampled_from(sorted(PACKERS)), st.binary(max_size=300),
    st.integers(0), st.lists(st.integers(0), max_size=4),
)  # fmt: skip
def test_anything_else_is_one_kind_of_error(content, coding, garbage, place, cuts):
    """A body with other bytes in it is the right content or an error, and never an endless loop."""
    body = PACKERS[coding](content)
    place %= len(body) + 1
    with contextlib.suppress(UndecodableError):  # any other error fails the test
        b"".join(decoded(pieces_of(body[:place] + garbage, cuts), coding, 1_000_000))


@examples(60)
@given(st.binary(min_size=1, max_size=500), st.sampled_from(sorted(PACKERS)), st.integers(1))
def test_a_body_without_its_end_is_never_taken_for_the_whole(content, coding, left_out):
    """Each of these formats knows its own end."""
    body = PACKERS[coding](content)
    short = body[: len(body) - 1 - left_out % (len(body) - 1)]
    with pytest.raises(UndecodableError):
        list(decoded([short], coding, 1_000_000))
