"""What a relay reports becomes events, log lines, totals and a verdict."""

from __future__ import annotations

import msgspec
import pytest
from session_bench import FAILED, HELLO, READY, STARTED, Bench, complete, end, failed

from engine import to_json
from engine.reporting import event_from_json
from protocol import messages as m
from protocol.confinement import ConfinementRequest
from protocol.messages import LogEntry
from protocol.relay import Closed, Ended, LimitReached, OpenFailed, RelayLost

OPEN = Ended(1, "api.example.org", 443, "open", "", 10, 20, 1.6)
NO_RULE = "no rule allows it"


@pytest.fixture
def bench():
    """A session whose child has a private network."""
    request = ConfinementRequest(net=("api.example.org:443",), net_bytes=2_000_000)
    return Bench(requests=(request,), net_mb=2)


def report(bench, *messages):
    for message in messages:
        bench.take(bench.session.network(message, bench.now))


def lines(bench):
    return [event.message for event in bench.events if event.type == "log"]


def connects(bench):
    return [event for event in bench.events if event.type == "net-connect"]


def test_a_connection_is_an_event_that_json_keeps(bench):
    """The duration is in whole milliseconds, as in every event."""
    bench.start_job()
    report(bench, OPEN)

    (event,) = connects(bench)
    assert (event.host, event.port, event.outcome, event.reason) == (
        *("api.example.org", 443),
        *("open", ""),
    )
    assert (event.bytes_sent, event.bytes_received, event.duration_ms) == (10, 20, 2)
    assert event_from_json(to_json(event)) == event


def test_a_report_before_the_first_event_waits(bench):
    """Another descriptor brings it, so that it may overtake the first message of the child."""
    report(bench, OPEN)
    assert bench.types == []
    bench.say(HELLO, READY)
    assert bench.types == ["workflow-start", "net-connect"]


def test_totals_are_over_all_children(bench):
    """The next child may move only what is left."""
    report(bench, Closed(1, 2, 300_000, 200_000))
    beginning = bench.session.begin(bench.now)
    assert beginning.request.net_bytes == 1_500_000
    report(bench, Closed(2, 1, 5, 6))
    bench.say(HELLO, READY, *STARTED, complete(), end())
    usage = bench.finish(None).usage

    assert (usage.connections, usage.net_sent_bytes, usage.net_received_bytes) == (
        *(3, 300_005),
        200_006,
    )


def test_a_limit_counts_though_the_job_has_ended_first(bench):
    """The job may notice the end of its connection, and end, before the report is read."""
    bench.start_job().say(failed(), end(error=FAILED))
    report(bench, LimitReached(1, 1_500_000, 500_000))
    ending = bench.finish(None).ending

    assert bench.killed
    assert (ending.reason, ending.error.name, ending.error.option) == (
        *("kill", "NetLimitError"),
        "net_mb",
    )
    assert "moved 2 MB" in ending.error.message
    assert "allowed: 2 MB (net_mb)" in ending.error.message


def test_a_run_that_the_relay_does_not_serve_ends(bench):
    """It is an error of the engine or of the machine, and not of the job."""
    bench.start_job()
    report(bench, OpenFailed(1, "a socket is not usable"))
    ending = bench.finish(None).ending
    assert bench.killed
    assert (ending.reason, ending.error.name) == ("exception", "ConfinementError")


def test_a_relay_that_dies_is_reported_and_the_run_goes_on(bench):
    """The job sees errors of its connections."""
    bench.start_job()
    report(bench, RelayLost(1), Closed(1))
    assert not bench.killed
    bench.say(complete(), end())
    bench.finish(None)
    assert any("relay of the network has died" in line for line in lines(bench))


def test_a_refused_connection_is_explained_once(bench):
    """With the rule that would allow it, if one would."""
    bench.start_job()
    reason = "near.example.org is 127.0.0.1 outside, a loopback address"
    report(
        bench,
        Ended(1, "10.0.0.5", 443, "refused", NO_RULE),
        Ended(1, "10.0.0.5", 443, "refused", NO_RULE),
        Ended(1, "fd00::5", 443, "refused", NO_RULE),
        Ended(1, "near.example.org", 443, "refused", reason),
        Ended(1, "api.example.org", 443, "failed", "connection refused"),
    )
    bench.say(complete(), end())
    bench.finish(None)

    assert len(connects(bench)) == 5
    text = 'connection to {0} was refused; allow it with Permissions(net=["{0}"])'
    assert lines(bench) == [
        text.format("10.0.0.5:443"),
        text.format("[fd00::5]:443"),
        f"connection to near.example.org:443 was refused: {reason}",
    ]


@pytest.mark.parametrize("said", ["log", "error", None])
def test_a_refused_name_is_explained_by_who_knows_the_port(bench, said):
    """The child often does; the engine is silent then."""
    own = 'connection to Db.example.org:5432 was refused; allow it with Permissions(net=["x"])'
    bench.start_job()
    report(bench, Ended(1, "db.example.org", 0, "refused", "no rule allows the name"))
    assert lines(bench) == []
    if said == "log":
        bench.say(m.LogBatch(entries=(LogEntry("warning", "runtime", own),)), complete(), end())
    elif said == "error":
        error = msgspec.structs.replace(FAILED, fix=own)
        bench.say(failed(error), end(error=error))
    else:
        bench.say(complete(), end())
    bench.finish(None)

    general = "connection to db.example.org:PORT was refused"
    assert any(line.startswith(general) for line in lines(bench)) is (said is None)


def test_connections_that_were_not_reported_are_counted(bench):
    """A job could fill the log of events otherwise."""
    bench.start_job()
    report(bench, Closed(1, 0, 0, 0, 9_000))
    bench.say(complete(), end())
    bench.finish(None)
    assert any("9000 connections were not reported" in line for line in lines(bench))
