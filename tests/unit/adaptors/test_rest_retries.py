"""Errors of rest say whether another attempt can succeed, and keys mark repeated requests."""

from __future__ import annotations

import sys
import time
from email.utils import formatdate
from types import ModuleType

import pytest
import rest
from rest.arguments import checked_key
from rest.retries import retry_advice


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 504)),
        *((status, False) for status in (400, 401, 403, 404, 409, 410, 422, 501, 505)),
    ],
)
def test_a_status_says_whether_another_attempt_can_succeed(status, retryable):
    """Overloaded, too early and too slow pass; a wrong request stays wrong."""
    assert retry_advice(status, None) == {"retryable": retryable}


@pytest.mark.parametrize("text", ["120", " 120 ", "0", "999999999999"])
def test_the_delay_of_a_server_is_read_from_seconds(text):
    """Whole numbers only, as the rules of HTTP have it."""
    assert retry_advice(503, text) == {"retryable": True, "retry_after_s": float(text)}


def test_the_delay_of_a_server_is_read_from_a_date():
    """A date in the past means now."""
    advice = retry_advice(503, formatdate(time.time() + 100, usegmt=True))
    assert 90 < advice["retry_after_s"] <= 100
    assert retry_advice(503, "Sun, 06 Nov 1994 08:49:37 GMT")["retry_after_s"] == 0
    assert retry_advice(503, "Sun, 06 Nov 1994 08:49:37 -0000")["retry_after_s"] == 0


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "1.5", "1e9", "9" * 13, "nan", "\u0661", "Sun, 99 Nov 1994 08:49:37 GMT"],
)
def test_a_delay_that_cannot_be_read_is_left_out(text):
    """The delay of the plan is then taken."""
    assert retry_advice(503, text) == {"retryable": True}


def test_a_delay_of_an_answer_that_is_final_is_left_out():
    """A delay would be useless, because no other attempt follows."""
    assert retry_advice(404, "3") == {"retryable": False}


def test_a_wrong_argument_is_never_retried():
    """The next attempt has the same."""
    with pytest.raises(rest.RequestError) as caught:
        rest.get("x")({"configuration": {}})
    assert caught.value.retryable is False
    assert rest.ResponseError("a body that cannot be read").retryable is None


def test_a_server_that_does_not_answer_may_answer_later():
    """A port of this machine on which nobody listens."""
    with pytest.raises(rest.UnreachableError) as caught:
        rest.get("http://127.0.0.1:1/x")({})
    assert caught.value.retryable is True


@pytest.fixture
def running(monkeypatch):
    """A module as a run has it."""
    module = ModuleType("jobcell_context")
    module.idempotency_key, module.attempt = "run:a", 1
    monkeypatch.setitem(sys.modules, "jobcell_context", module)
    return module


def test_each_request_of_an_attempt_has_a_key_of_its_own(running):
    """The next attempt has the same keys in the same order, and the next step others."""
    assert [checked_key(True) for _ in range(3)] == ["run:a", "run:a:2", "run:a:3"]
    running.attempt = 2
    assert [checked_key(True) for _ in range(2)] == ["run:a", "run:a:2"]
    running.idempotency_key, running.attempt = "run:b", 1
    assert checked_key(True) == "run:b"


def test_a_key_can_be_given_and_is_not_sent_unasked(running):
    """A text is sent as it is."""
    assert checked_key("order 7") == "order 7"
    assert checked_key(None) is None
    assert checked_key(False) is None
    for wrong in (1, "", " ", ["x"]):
        with pytest.raises(rest.RequestError, match="idempotency_key is True or a text"):
            checked_key(wrong)


def test_outside_of_a_run_there_is_no_key_to_make(monkeypatch):
    """A test of an adaptor gives a text."""
    monkeypatch.setitem(sys.modules, "jobcell_context", None)
    with pytest.raises(rest.RequestError, match="works in a run only"):
        checked_key(True)
