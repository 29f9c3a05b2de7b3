"""A matcher finds many needles in one pass: whole, overlapping, and at the end of a text."""

from __future__ import annotations

import re
import time

import pytest

from engine.reporting.redaction.matcher import Layers, Matcher


def test_nothing_is_found_where_nothing_is():
    """An empty text and a similar text give no hit."""
    matcher = Matcher([b"secret", b"password"])
    assert matcher.spans(b"") == []
    assert matcher.spans(b"secre passwor secre") == []
    assert matcher.spans(b"secretpasswor"[1:]) == []


def test_needles_are_found_where_they_are():
    """The needles are at the beginning, in the middle, at the end, and side by side."""
    matcher = Matcher([b"secret", b"password"])
    assert matcher.spans(b"secret") == [(0, 6)]
    assert matcher.spans(b"a secret b") == [(2, 8)]
    assert matcher.spans(b"secretpassword") == [(0, 6), (6, 14)]


@pytest.mark.parametrize(
    ("needles", "text", "spans"),
    [
        pytest.param([b"abcdef", b"abcdefghij"], b"abcdefghij", [(0, 10)], id="the longer one"),
        pytest.param([b"abcdef", b"abcdefghij"], b"abcdefghi", [(0, 6)], id="the shorter one"),
        pytest.param([b"abcdefghij", b"cdefgh"], b"abcdefghij", [(0, 10)], id="one in the other"),
        pytest.param([b"abcdefgh", b"efghijkl"], b"abcdefghijkl", [(0, 12)], id="overlapping"),
        pytest.param([b"abcabcabc"], b"abcabcabcabc", [(0, 12)], id="overlapping itself"),
        pytest.param([b"aaaaaa"], b"aaaaaaaa", [(0, 8)], id="overlapping itself everywhere"),
        pytest.param([b"ZZabcdef", b"abcdefQQ"], b"ZZabcdefQQ", [(0, 10)], id="rare at both ends"),
    ],
)
def test_overlapping_needles_are_one_span(needles, text, spans):
    """No part of a secret is left readable beside another secret."""
    assert Matcher(needles).spans(text) == spans


def test_needles_that_begin_alike_are_told_apart():
    """The keys of one vendor share their beginning, and often a piece."""
    needles = [b"sk_live_QQQQ%04d" % number for number in range(500)]
    matcher = Matcher(needles)
    assert all(matcher.spans(b"x" + needle) == [(1, 17)] for needle in needles)
    assert matcher.spans(b"sk_live_QQQQ9999") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"", 0),
        (b"nothing", 7),
        (b"a s", 2),
        (b"a secre", 2),
        (b"a secret", 2),
        (b"a password", 10),
        (b"a passwordpasswor", 10),
        (b"a secret-tok", 2),
        (b"a ssss", 5),
    ],
)
def test_the_beginning_of_a_needle_at_the_end_is_found(text, place):
    """The result is the earliest place, because the next text may complete the longest needle."""
    assert Matcher([b"secret", b"secret-token", b"password"]).opening(text) == place


def test_a_text_that_keeps_almost_matching_takes_linear_time():
    """A tenant may choose both secret and text, but other tenants must not wait for the search.

    Too many comparisons make the whole text one hit: the text is hidden, and not let through.
    """
    matcher = Matcher([b"a" * 5000 + b"b", *(b"aaaaaaaa%05d" % number for number in range(300))])
    assert matcher.spans(b"a" * 100_000) == [(0, 100_000)]


def test_a_short_needle_is_refused():
    """A short needle would have no piece, and would match everywhere."""
    with pytest.raises(ValueError, match="at least 6 bytes"):
        Matcher([b"short"])


def test_patterns_are_not_kept_in_the_cache_of_re():
    """Patterns consist of pieces of secrets, and `re` keeps the last 512 patterns until the end."""
    needle = b"neverSeenBefore"
    matcher = Matcher([needle])
    assert matcher.spans(b"x" + needle) == [(1, 16)]
    assert matcher.opening(needle[:9]) == 0
    caches = [getattr(re, name) for name in ("_cache", "_cache2") if hasattr(re, name)]
    assert caches
    assert not [key for cache in caches for key in cache if b"everSeen" in bytes(str(key), "utf-8")]
    assert re.compile(b"neverSeen")  # the twin: this pattern is in the cache
    assert [key for cache in caches for key in cache if b"everSeen" in bytes(str(key), "utf-8")]


def test_layers_find_what_one_matcher_of_all_finds():
    """The result does not depend on how the needles are divided into layers."""
    needles = [b"abcdef", b"cdefgh", b"secret-token", b"efghsecret", b"zzzzzz"]
    texts = [b"abcdefghsecret-tok", b"xsecret-tokenzzzzzzz", b"", b"secret-token abcdefgh sec"]
    whole = Matcher(needles)
    layers = Layers()
    assert (layers.spans(b"abcdef"), layers.opening(b"abc"), layers.may_be_in(b"x")) == (
        [],
        3,
        False,
    )
    for needle in needles:
        layers = layers.and_also([needle])
    separate = Layers(tuple(Matcher([needle]) for needle in needles))
    for text in texts:
        for found in (layers, separate):
            assert found.spans(text) == whole.spans(text)
            assert found.opening(text) == whole.opening(text)
            assert found.may_be_in(text) == whole.may_be_in(text)


def test_a_text_that_keeps_almost_opening_a_needle_takes_linear_time():
    """Each place in the text begins like the needle; the matcher may hold back more than necessary."""
    matcher = Matcher([b"ab" * 200_000 + b"!"])
    matcher.opening(b"ab")
    text = b"ab" * 100_000 + b"?"
    began = time.thread_time()
    assert matcher.opening(text) <= len(text)
    assert time.thread_time() - began < 0.3  # a quadratic search took a second
    assert matcher.opening(b"c" + b"ab" * 100_000) == 1
