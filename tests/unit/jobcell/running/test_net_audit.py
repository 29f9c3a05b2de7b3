"""The rules of an audit, and those that it prints."""

from __future__ import annotations

import io
import json

import pytest

from jobcell.input.errors import BadInputError
from jobcell.running.net_audit import AuditView, audit_rules, shown_ports
from protocol.events import JobError, Log, NetConnect, WorkflowStart
from protocol.net_rules import MAX_PORTS, count_ports, parse_net_rules, ports_of
from protocol.report import make_report

BASE = {"run_id": "r", "time": 1.0, "seq": 1}


class Silent:
    def __init__(self):
        self.seen = 0

    def show(self, event):
        self.seen += 1

    def close(self, result):
        pass


def connect(host, port, outcome="open"):
    return NetConnect(**BASE, host=host, port=port, outcome=outcome, reason="")


def refused(rule):
    message = f'connection to {rule} was refused; allow it with Permissions(net=["{rule}"])'
    return Log(
        **BASE, level="warning", source="runtime", message=message, step_id="a", step_run_id="a"
    )


ADDRESSES = {"near.test": ["127.0.0.1", "::1"], "mixed.test": ["127.0.0.1", "203.0.113.5"]}


def printed(*shown):
    stream = io.StringIO()
    view = AuditView(
        inner := Silent(), as_json=False, stream=stream, look_up=lambda n: ADDRESSES.get(n, [])
    )
    for event in shown:
        view.show(event)
    assert inner.seen == len(shown)
    view.close(object())
    return stream.getvalue().splitlines()


def test_the_rules_of_an_audit_are_rules_of_a_run():
    """With room for ports of the user, and without that of names."""
    rules = parse_net_rules(audit_rules())
    assert count_ports(rules) <= MAX_PORTS - 100
    ports = ports_of(rules)
    assert {22, 25, 80, 443, 1433, 3306, 5432, 6379, 8080, 8443, 27017} <= ports
    assert 53 not in ports


def test_ports_of_the_user_are_added():
    """For a service on a port of its own."""
    rules = parse_net_rules(audit_rules(["x.example.org:45001,45003", "y:45002"]))
    assert {45001, 45002, 45003} <= ports_of(rules)
    assert {rule.kind for rule in rules} == {"any", "name", "block", "address"}


def test_more_ports_than_a_run_may_have_are_an_error():
    """The message says that the audit has some of its own."""
    with pytest.raises(BadInputError) as caught:
        audit_rules(["x:40000-40500"])
    [line] = caught.value.lines
    assert line.startswith(
        "--net-audit: the rules of --net name too many ports; 1,024 are possible"
    )


def test_an_audit_of_the_machine_s_network_is_an_error():
    """Nobody sees its connections."""
    with pytest.raises(BadInputError, match="with --allow-net no connection is seen"):
        audit_rules(["*"])


@pytest.mark.parametrize(
    ("ports", "shown"),
    [((443,), "443"), ((80, 443), "80,443"), ((3, 1, 2, 7), "1-3,7"), ((8000, 8001), "8000-8001")],
)
def test_ports_are_shown_as_in_a_rule(ports, shown):
    """Ranges where they are possible."""
    assert shown_ports(ports) == shown


def test_each_host_is_one_rule():
    """In order, with its ports, for each form of a host; a failed attempt needs its rule as well."""
    lines = printed(
        connect("b.example.org", 443),
        connect("b.example.org", 80),
        connect("b.example.org", 443),
        connect("::1", 8000),
        connect("10.0.0.1", 5432, "failed"),
    )
    rules = ["10.0.0.1:5432", "b.example.org:80,443", "localhost:8000"]
    assert lines[0] == "net audit: a run with these rules reaches the same hosts:"
    assert json.loads(lines[1]) == rules
    assert lines[2].split(" --net ")[1:] == [repr(rule) for rule in rules]
    assert len(lines) == 3
    parse_net_rules(rules)


def test_a_name_of_this_machine_needs_a_rule_for_its_addresses():
    """Without them the run with the printed rules would be refused; another address is enough to reach it."""
    lines = printed(connect("near.test", 5432), connect("mixed.test", 443))
    assert json.loads(lines[1]) == [
        "127.0.0.1:5432",
        "[::1]:5432",
        "mixed.test:443",
        "near.test:5432",
    ]
    assert lines[3:] == [
        f"net audit: near.test is {address}, a loopback address, which needs a rule, too"
        for address in ("127.0.0.1", "::1")
    ]


def test_an_audit_of_a_resumed_run_says_what_it_has_not_seen():
    """The steps that were replayed have connected in another run."""
    start = WorkflowStart(**BASE, versions=None, confinement=None, replayed=2)
    assert printed(start, connect("a.test", 443))[-1] == (
        "net audit: 2 steps were replayed from the journal; their connections are not in the list"
    )


def test_a_run_without_connections_needs_no_rule():
    """A line says it."""
    assert printed() == ["net audit: the run has connected to nothing"]


def test_a_port_on_which_an_audit_does_not_listen_is_named():
    """In a log line, or in the error of the job."""
    report = make_report("JobError", "x", option="net", option_value="z:61000")
    error = JobError(
        **BASE, step_id="a", step_run_id="a", error=report, state={}, next=(), duration_ms=1
    )
    lines = printed(refused("x:61999"), refused("y:PORT"), refused("x:61999"), error)
    assert lines[-1] == "  --net-audit --net 'x:61999' --net 'z:61000'"


def test_a_name_that_is_not_possible_in_a_rule_is_named():
    """Such as one with a space."""
    lines = printed(connect("a b", 443))
    assert lines[-1] == "net audit: no rule can be written for 'a b:443'"
