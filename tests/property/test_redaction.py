"""For any secrets and texts, nothing leaks, nothing else is lost, and cuts do not matter."""

from __future__ import annotations

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from engine.reporting.redaction import Redactor
from engine.reporting.redaction.matcher import Matcher
from examples import examples
from protocol.state import decode_state, encode_state

LETTERS = st.sampled_from(b"abAQ")
NEEDLES = st.lists(st.lists(LETTERS, min_size=6, max_size=12).map(bytes), min_size=1, max_size=8)
TEXT = st.lists(LETTERS, max_size=80).map(bytes)

# Without characters of the mark, and from a small alphabet: secrets must be likely, and marks must
# not make new ones.
WORDS = st.text("xyXYé日\U0001f511'\"\\/ \n", min_size=6, max_size=9).filter(
    lambda s: s.strip() == s
)
SECRETS = st.lists(WORDS, min_size=1, max_size=4)
MESSAGES = st.text("xyXYé日\U0001f511'\"\\/ \n", max_size=40)


def naive_spans(needles, text):
    """Compare every needle at every place."""
    hidden = sorted(
        (place, place + len(needle))
        for needle in set(needles)
        for place in range(len(text))
        if text.startswith(needle, place)
    )
    merged = []
    for start, end in hidden:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


@given(NEEDLES, TEXT)
@example([b"aaaaaa", b"aaaaaaaaaaaa"], b"a" * 40)
def test_the_matcher_finds_what_a_naive_search_finds(needles, text):
    """Pieces and anchors only make the search faster."""
    assert Matcher(needles).spans(text) == naive_spans(needles, text)


@given(NEEDLES, TEXT)
def test_the_opening_is_the_earliest_beginning_of_a_needle(needles, text):
    """The result is compared with a trial of every place."""
    expected = next(
        place
        for place in range(len(text) + 1)
        if place == len(text)
        or any(len(n) > len(text) - place and n.startswith(text[place:]) for n in needles)
    )
    assert Matcher(needles).opening(text) == expected


@given(SECRETS, st.data())
@examples(60)
def test_no_secret_is_left_in_a_text(secrets, data):
    """After redaction, a text of secrets and other parts has only the other parts."""
    parts = data.draw(st.lists(st.one_of(st.sampled_from(secrets), MESSAGES), max_size=8))
    redactor = Redactor()
    redactor.learn(secrets)
    redacted = redactor.text("".join(parts))
    assert not [secret for secret in secrets if secret in redacted]


@given(SECRETS, st.lists(MESSAGES, max_size=6), st.data())
@examples(60)
def test_records_stay_in_order_and_hide_each_secret(secrets, parts, data):
    """The text may be cut into records anywhere."""
    text = "".join(part + data.draw(st.sampled_from(secrets)) for part in parts)
    redactor = Redactor()
    redactor.learn(secrets)
    records = redactor.records()
    out, fed, rest = [], 0, text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        out += records.feed(fed, rest[:size])
        fed, rest = fed + 1, rest[size:]
    out += records.flush()
    assert [number for number, _ in out] == list(range(fed))
    assert not [secret for secret in secrets for _, shown in out if secret in shown]


STATES = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), MESSAGES, st.binary(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(MESSAGES, st.integers()), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@given(SECRETS, STATES, st.data())
@examples(60)
def test_an_encoded_state_is_redacted_like_a_decoded_one(secrets, state, data):
    """The way through encoded containers gives the same value, for small and large states."""
    redactor = Redactor()
    redactor.learn(secrets)
    filler = data.draw(st.sampled_from(["", "-" * 5000]))
    state = [state, filler, data.draw(st.sampled_from(secrets)), {"k": state, "f": filler}]
    assert decode_state(redactor.raw(encode_state(state))) == redactor.value(state)


@given(SECRETS, st.binary(max_size=60), st.data())
@examples(60)
def test_garbage_is_never_let_through_with_a_secret(secrets, garbage, data):
    """For any bytes in place of a state, the answer is without the secret, or is None."""
    secret = data.draw(st.sampled_from(secrets))
    redactor = Redactor()
    redactor.learn(secrets)
    encoded = garbage + msgspec.msgpack.encode(secret)
    redacted = redactor.raw(encoded)
    if redacted is not None:
        assert secret.encode() not in redacted
