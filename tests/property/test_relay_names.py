"""The parser of questions for names, with any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay_world import question, read_answer

from engine.network.relay import names
from engine.network.relay.loop import Loop
from engine.network.relay.naming import Naming
from engine.network.relay.permit import Permit
from engine.network.relay.share import Share
from examples import examples
from protocol.net_rules import parse_net_rules


def changed(message, changes):
    """Return a message with some bytes replaced, and a part of its end cut off or repeated."""
    out = bytearray(message)
    for place, byte in changes:
        out[place % len(out)] = byte
    return bytes(out)


LIKE_A_QUESTION = st.builds(
    changed,
    st.builds(question, st.binary(max_size=80), st.integers(0, 65_535)),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
)


@pytest.fixture(scope="module")
def naming():
    """The names of one run, for all examples."""
    loop = Loop()
    permit = Permit(parse_net_rules(["*.example.org", "*:443"]))
    return Naming(loop, permit, lambda *_: None, Share(loop))


@examples(400)
@given(st.one_of(st.binary(max_size=600), LIKE_A_QUESTION))
def test_any_message_gets_a_short_answer_or_none(naming, message):
    """The answer has the number of the question, says that it is one, and is not much longer."""
    answer = naming.answer(message)
    if answer is None:
        assert len(message) < names.HEADER_BYTES or message[2] & 0x80
        return
    assert answer[:2] == message[:2]
    code, found = read_answer(answer)
    assert code in range(6)
    assert len(answer) <= max(len(message), names.HEADER_BYTES) + 28
    assert all(one.startswith(("198.1", "127.0.0.1")) for one in found)


LABEL = st.text("abcXYZ019-_", min_size=1, max_size=63)


@examples(200)
@given(st.lists(LABEL, min_size=1, max_size=6), st.integers(0, 65_535))
def test_a_legal_name_is_read_in_lower_case(labels, kind):
    """The question comes back byte for byte, with its case."""
    name = ".".join(labels)
    message = question(name, kind)
    read = names.read_question(message)
    if len(name) > 253:
        assert isinstance(read, names.Malformed)
        return
    assert (read.name, read.legal, read.type) == (name.lower(), True, kind)
    assert names.answer(read, [])[names.HEADER_BYTES :] == message[names.HEADER_BYTES :]


@examples(200)
@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5))
def test_any_other_name_is_shown_without_odd_characters(labels):
    """It can be printed, and no two bytes of it are mixed up with a dot."""
    raw = b"".join(bytes([len(one)]) + one for one in labels) + b"\0\0\1\0\1"
    read = names.read_question(question("")[:12] + raw)
    assert read.name.isascii()
    assert read.name.isprintable()
    assert read.legal is all(set(one.lower()) <= names._NAME_BYTES for one in labels)
