"""http repeats a request if that is safe, waits as the server says, and marks repeated requests."""

from __future__ import annotations

import socket
import sys
import time
from email.utils import formatdate
from types import ModuleType

import http_
import pytest
from http_.arguments import checked_key
from http_.errors import HttpError
from http_.retries import LONGEST_WAIT_S, retry_advice, wait_before
from web import Reply, echo

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]


def failing(times, status=503, **headers):
    """Return a route that fails so often and then is an echo."""
    left = [times]

    def route(seen):
        if left[0]:
            left[0] -= 1
            return Reply(status, headers)
        return echo(seen)

    return route


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_is_repeated(web, method):
    """A second request changes nothing more than the first."""
    web.routes["/x"] = failing(2, **{"Retry-After": "0"})
    state = http_.request(method, "x")(web.state())
    assert state["response"]["status"] == 200
    assert len(web.seen) == 3


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_another_request_is_repeated_only_with_a_key(web, method):
    """The key lets the server recognise the second request; it is the same each time."""
    web.routes["/x"] = failing(1, **{"Retry-After": "0"})
    with pytest.raises(http_.ResponseError) as caught:
        http_.request(method, "x", body={})(web.state())
    assert (len(web.seen), caught.value.retryable, caught.value.retry_after_s) == (1, True, 0)

    for options in ({"idempotency_key": "order 7"}, {"headers": {"idempotency-key": "order 7"}}):
        web.seen.clear()
        web.routes["/x"] = failing(2, **{"Retry-After": "0"})
        http_.request(method, "x", body={"a": 1}, **options)(web.state())
        keys = [seen.headers["idempotency-key"] for seen in web.seen]
        assert keys == ["order 7"] * 3
        assert {seen.body for seen in web.seen} == {b'{"a": 1}'}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 501])
def test_an_answer_that_is_final_is_not_repeated(web, status):
    """The next answer would be the same."""
    web.routes["/x"] = failing(1, status)
    with pytest.raises(http_.ResponseError) as caught:
        http_.get("x")(web.state())
    assert (len(web.seen), caught.value.retryable) == (1, False)


def test_the_number_of_attempts_is_an_argument(web):
    """The last error is that of the operation."""
    web.routes["/x"] = failing(9, 429, **{"Retry-After": "0"})
    for retries in (0, 1, 3):
        web.seen.clear()
        with pytest.raises(http_.ResponseError, match="429"):
            http_.get("x", retries=retries)(web.state())
        assert len(web.seen) == retries + 1


def test_a_long_delay_is_left_to_the_plan(web):
    """A step that sleeps for a minute cannot do anything else; the plan can end it and come back."""
    web.routes["/x"] = failing(9, 503, **{"Retry-After": "120"})
    with pytest.raises(http_.ResponseError) as caught:
        http_.get("x")(web.state())
    assert (len(web.seen), caught.value.retry_after_s) == (1, 120)


def test_a_delay_of_the_server_is_kept(web):
    """The second request does not come before the time that the server has named."""
    times = []
    route = failing(1, 503, **{"Retry-After": "1"})

    def timed(seen):
        times.append(time.monotonic())
        return route(seen)

    web.routes["/x"] = timed
    http_.get("x")(web.state())
    assert times[1] - times[0] >= 1


def test_our_own_delay_doubles():
    """It varies by a tenth, so that clients that failed together do not come back together."""
    error = HttpError("x")
    waits = [[wait_before(attempt, error) for _ in range(50)] for attempt in (1, 2, 3)]
    for middle, values in zip((0.5, 1.0, 2.0), waits, strict=True):
        assert all(0.9 * middle <= value <= 1.1 * middle for value in values)
        assert len(set(values)) > 1
    assert wait_before(20, error) is None
    assert wait_before(1, HttpError("x", retry_after_s=LONGEST_WAIT_S)) == LONGEST_WAIT_S


def test_a_request_that_was_never_sent_is_repeated(monkeypatch):
    """Nothing can happen twice, whatever the method is."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)
    with pytest.raises(http_.UnreachableError) as caught:
        http_.post(url, {"a": 1})({})
    assert len(waited) == 2
    assert (caught.value.retryable, caught.value.sent) == (True, False)


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


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "1.5", "1e9", "9" * 13, "nan", "\u0661", "Sun, 99 Nov 1994 08:49:37 GMT"],
)
def test_a_delay_that_cannot_be_read_is_left_out(text):
    """Our own delay, or that of the plan, is then taken."""
    assert retry_advice(503, text) == {"retryable": True}


@pytest.fixture
def running(monkeypatch):
    """A module as a run has it."""
    module = ModuleType("jobcell_context")
    module.idempotency_key, module.attempt = "run:a", 1
    monkeypatch.setitem(sys.modules, "jobcell_context", module)
    return module


def test_each_request_of_an_attempt_has_a_key_of_its_own(running, web):
    """The next attempt has the same keys in the same order, and the next step others."""
    http_.post("x", {}, idempotency_key=True)(web.state())
    assert web.seen[0].headers["idempotency-key"] == "run:a"
    assert [checked_key(True) for _ in range(2)] == ["run:a:2", "run:a:3"]
    running.attempt = 2
    assert [checked_key(True) for _ in range(2)] == ["run:a", "run:a:2"]
    running.idempotency_key, running.attempt = "run:b", 1
    assert checked_key(True) == "run:b"


def test_a_key_can_be_given_and_is_not_sent_unasked(web):
    """A text is sent as it is."""
    seen = http_.post("x", {}, idempotency_key="order 7")(web.state())["data"]
    assert seen["headers"]["idempotency-key"] == "order 7"
    assert "idempotency-key" not in http_.post("x", {})(web.state())["data"]["headers"]
    for wrong in (1, "", " ", ["x"]):
        with pytest.raises(http_.RequestError, match="idempotency_key is True or a text"):
            http_.post("x", {}, idempotency_key=wrong)(web.state())


def test_outside_of_a_run_there_is_no_key_to_make(monkeypatch):
    """A test of a job gives a text."""
    monkeypatch.setitem(sys.modules, "jobcell_context", None)
    with pytest.raises(http_.RequestError, match="works in a run only"):
        http_.post("http://h/", idempotency_key=True)({})
