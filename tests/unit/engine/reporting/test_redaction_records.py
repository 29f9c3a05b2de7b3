"""A secret in several records is found; no other text is held back."""

from __future__ import annotations

import base64
import time

import pytest

from engine.reporting.redaction import Redactor

SECRET = "s3cret-Pa55"


@pytest.fixture
def redactor():
    redactor = Redactor()
    redactor.learn([SECRET, "s3cret-Pa55-longer", "ключ-ключ"])
    return redactor


@pytest.mark.parametrize("cut", range(3, len(SECRET)))
@pytest.mark.parametrize(
    "secret", [SECRET, "ключ-ключ", base64.b64encode(SECRET.encode()).decode()]
)
def test_a_secret_in_two_records_is_found(redactor, secret, cut):
    """The secret is found wherever it is cut, and in each spelling."""
    cut = min(cut, len(secret) - 1)
    records = redactor.records()
    assert records.feed(1, "before " + secret[:cut]) == []
    done = [*records.feed(2, secret[cut:] + " after"), *records.flush()]
    assert done == [(1, "before [redacted]"), (2, "[redacted] after")]


def test_a_longer_secret_is_waited_for(redactor):
    """A secret may be the beginning of another secret."""
    records = redactor.records()
    assert records.feed(1, SECRET) == []
    assert records.feed(2, "-longer") == [(1, "[redacted]"), (2, "[redacted]")]
    assert records.feed(3, SECRET) == []
    assert records.feed(4, "-lo") == []
    assert records.feed(5, "st") == [(3, "[redacted]"), (4, "-lo"), (5, "st")]


def test_records_stay_records(redactor):
    """A log message is held back only while it may end in a secret."""
    records = redactor.records()
    assert records.feed(1, "hello!") == [(1, "hello!")]
    assert records.feed(2, "key " + SECRET[:5]) == []
    assert records.feed(3, SECRET[5:] + " !") == [(2, "key [redacted]"), (3, "[redacted] !")]
    assert records.feed(4, "s3cr") == []
    assert records.feed(5, "ap!") == [(4, "s3cr"), (5, "ap!")]
    assert records.feed(6, "s3cr") == []
    assert records.flush() == [(6, "s3cr")]


def test_two_characters_that_begin_a_secret_hold_up_no_record(redactor):
    """Many words end in them.  If they began a secret, the rest of the secret is hidden."""
    records = redactor.records()
    assert records.feed(1, "it is s3") == [(1, "it is s3")]
    assert records.feed(2, SECRET[2:] + " !") == [(2, "[redacted] !")]


def test_what_follows_a_flush_is_hidden_if_it_completes_a_secret(redactor):
    """A step may end between the two halves of a secret."""
    records = redactor.records()
    assert records.feed(1, SECRET[:8]) == []
    assert records.flush() == [(1, SECRET[:8])]
    assert records.feed(2, SECRET[8:] + "!") == [(2, "[redacted]!")]


def test_a_secret_in_many_records_is_taken_out_of_each(redactor):
    """The secret comes one character at a time; two are let out before it can be recognised."""
    records = redactor.records()
    done = [pair for index, char in enumerate(SECRET) for pair in records.feed(index, char)]
    done += records.flush()
    assert [text for _, text in done] == [*SECRET[:2], *["[redacted]"] * (len(SECRET) - 2)]
    assert [index for index, _ in done] == list(range(len(SECRET)))


def test_a_record_waits_with_the_one_it_shares_a_secret_with(redactor):
    """The second record is not settled, so the first one is not settled either."""
    records = redactor.records()
    assert records.feed(1, SECRET[:5]) == []
    assert records.feed(2, SECRET[5:] + " and s3cr") == []
    assert records.feed(3, "!") == [(1, "[redacted]"), (2, "[redacted] and s3cr"), (3, "!")]


def test_without_secrets_nothing_is_held_back():
    """Redaction is free for a run that has no credentials."""
    redactor = Redactor()
    assert redactor.records().feed(1, "s3cr") == [(1, "s3cr")]


def test_an_empty_record_within_a_secret_stays_empty():
    """The record stays empty even if it is one of the engine's own."""
    redactor = Redactor()
    redactor.learn([SECRET])
    for is_own in (lambda _: True, lambda _: False):
        records = redactor.records(is_own)
        assert records.feed(1, SECRET[:5]) == []
        assert records.feed(2, "") == []
        assert records.feed(3, SECRET[5:]) == [(1, "[redacted]"), (2, ""), (3, "[redacted]")]


def seconds(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def feed_all(records, pieces):
    done = [pair for index, piece in enumerate(pieces) for pair in records.feed(index, piece)]
    return done + records.flush()


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["ab", "ab" * 50, "ab" * 5_000])
def test_records_that_spell_out_a_long_secret_take_linear_time(piece):
    """A job may know its secret, or write the plan that holds it: the supervisor must not stall."""
    redactor = Redactor()
    redactor.learn(["ab" * 250_000 + "X"])
    pieces = [piece] * min(4_000, 400_000 // len(piece))
    took = seconds(lambda: feed_all(redactor.records(), pieces))
    assert took < 1, f"{len(pieces)} records took {took:.1f} s"


def test_a_long_secret_in_small_pieces_is_still_found():
    """The search is only delayed, and not left out."""
    redactor = Redactor()
    secret = "".join(f"<{number}>" for number in range(4_000))
    redactor.learn([secret])
    pieces = ["so: ", *(secret[place : place + 70] for place in range(0, len(secret), 70)), "!"]
    done = feed_all(redactor.records(), pieces)
    assert [text for _, text in done] == ["so: ", *["[redacted]"] * (len(pieces) - 2), "!"]


def test_more_records_than_a_secret_has_lines_are_not_waited_for():
    """After a thousand records, the engine does not wait for the end of a secret any longer."""
    redactor = Redactor()
    redactor.learn(["abcdefgh"])
    records = redactor.records()
    assert records.feed(0, "x abcdef") == []
    done = [pair for index in range(1, 1_001) for pair in records.feed(index, "")]
    assert done[0] == (0, "x [redacted]") or done[0] == (0, "x abcdef")
    assert len(done) == 1_001
    assert records.feed(1_001, "gh!") == [(1_001, "[redacted]!")]


def test_the_beginning_of_a_long_secret_is_found_in_linear_time():
    """A text may begin the secret at each place without completing it, whatever comes before it."""
    redactor = Redactor()
    secret = ("a" * 50 + "b") * 20_000
    redactor.learn([secret])
    for text in (secret[:60] * 10_000, "a" * 600_000, secret[:40_000] * 10):
        took = seconds(lambda text=text: redactor.settled(text))
        assert took < 1, f"{took:.1f} s"
