"""http puts a request into the trace of the run if the configuration says so, and only for its own origin."""

from __future__ import annotations

import sys
from types import ModuleType

import http_
import pytest
from web import Reply

pytestmark = [pytest.mark.usefixtures("forget_sessions"), pytest.mark.slow]

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def traced(monkeypatch):
    """The facts of an attempt in a trace."""
    module = ModuleType("jobcell_context")
    module.traceparent, module.tracestate = PARENT, "vendor=x"
    monkeypatch.setitem(sys.modules, "jobcell_context", module)
    return module


def test_the_own_origin_gets_the_trace_when_asked(web, traced):
    """Each request of the attempt has the same one."""
    http_.get("a")(web.state(trace=True))
    assert web.seen[0].headers["traceparent"] == PARENT
    assert web.seen[0].headers["tracestate"] == "vendor=x"


def test_nobody_gets_it_otherwise(web, traced):
    """The twin."""
    http_.get("a")(web.state())
    http_.get("a")(web.state(trace=False))
    assert all("traceparent" not in seen.headers for seen in web.seen)


def test_an_empty_tracestate_is_left_out(web, traced):
    """W3C allows it to be empty, and some servers do not."""
    traced.tracestate = ""
    http_.get("a")(web.state(trace=True))
    assert "tracestate" not in web.seen[0].headers


def test_a_run_without_a_trace_sends_none(web, traced):
    """The facts are None."""
    traced.traceparent = traced.tracestate = None
    http_.get("a")(web.state(trace=True))
    assert "traceparent" not in web.seen[0].headers


def test_a_header_of_the_job_wins(web, traced):
    """Then the trace state of the run does not fit, and is left out."""
    http_.get("a", headers={"Traceparent": "mine"})(web.state(trace=True))
    assert web.seen[0].headers["traceparent"] == "mine"
    assert "tracestate" not in web.seen[0].headers


def test_a_redirect_to_another_origin_loses_it(web, other, traced):
    """As it loses the credentials."""
    web.routes["/a"] = lambda _: Reply(302, {"Location": f"{other.url}/b"})
    http_.get("a")(web.state(trace=True))
    assert web.seen[0].headers["traceparent"] == PARENT
    assert "traceparent" not in other.seen[0].headers


def test_another_value_is_refused(web, traced):
    """A list of hosts is not an option."""
    with pytest.raises(http_.RequestError, match="trace in the configuration is true or false"):
        http_.get("a")(web.state(trace=["example.org"]))
