"""`jobcell run --net-audit`: what it prints is what the run needs."""

from __future__ import annotations

import json

import pytest
from network_jobs import Echo, install_connector
from warm import run_warm


@pytest.fixture
def server():
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def run(tmp_path):
    """Run the command: `run(places, *options)`."""
    repo = install_connector(tmp_path)

    def command(places, *options):
        (tmp_path / "job.py").write_text(f"reach(*{places!r})")
        target = [str(tmp_path / "job.py"), "--adaptor", "net", "--repo", str(repo)]
        return run_warm(None, "run", *target, *options, timeout_s=120)

    return command


def test_a_run_with_the_printed_rules_does_the_same(run, server):
    """The rules allow the connections by name and by address; a run without them reaches nothing."""
    places = [("localhost", server.port), ("127.0.0.1", server.port)]
    port = f"x.example.org:{server.port}"  # it need not be one of the usual ports
    audit = run(places, "--net-audit", "--net", port)
    assert json.loads(audit.stdout)["data"] == ["ping", "ping"], audit.stderr

    at = audit.stderr.splitlines().index(
        "net audit: a run with these rules reaches the same hosts:"
    )
    rules = json.loads(audit.stderr.splitlines()[at + 1])
    again = run(places, *(word for rule in rules for word in ("--net", rule)))
    assert json.loads(again.stdout) == json.loads(audit.stdout), again.stderr
    assert "ping" not in run(places, "--net", port).stdout


def test_connections_are_shown_as_they_end(run, server):
    """The first to each place, and their number at the end."""
    places = [("127.0.0.1", server.port)] * 5
    done = run(places, "--net", f"127.0.0.1:{server.port}")
    shown = [line for line in done.stderr.splitlines() if "  net 127.0.0.1:" in line]
    assert len(shown) == 1
    assert shown[0].endswith("4 B out, 4 B in")
    assert done.stderr.splitlines()[-1].endswith(", 5 connections (20 B out, 20 B in)")


def test_the_rules_are_an_object_for_programs(run, server):
    """After the result, on standard output."""
    places = [("127.0.0.1", server.port), ("127.0.0.1", 61_999)]
    options = ("--json", "--net-audit", "--net", f"x:{server.port}")
    *_, result, audit = map(json.loads, run(places, *options).stdout.splitlines())
    assert result["type"] == "result"
    assert audit == {
        "type": "net-audit",
        "rules": [f"127.0.0.1:{server.port}"],
        "refused": ["127.0.0.1:61999"],
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--no-sandbox",), "error: --net-audit: without the sandbox no connection is seen"),
        (("--allow-net",), "error: --net-audit: with --allow-net no connection is seen"),
        (("--net", "https://x"), "error: --net: the network rule 'https://x' is a URL"),
        (("--net-proxy", "x:3128"), "error: --net-proxy: the network proxy has"),
    ],
)
def test_an_audit_that_cannot_be_made_does_not_start(run, options, message):
    """A line says why."""
    done = run([], "--net-audit", *options)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(message)
