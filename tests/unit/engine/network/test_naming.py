"""The limits of the names of a run."""

from __future__ import annotations

import pytest
from relay_world import question, read_answer

from engine.network.relay.loop import Loop
from engine.network.relay.naming import Naming
from engine.network.relay.permit import Permit
from engine.network.relay.resolver import search_domains
from engine.network.relay.share import Share
from protocol.net_rules import parse_net_rules


@pytest.fixture
def naming():
    """Make the names of a run; the refused ones are in the list `refused`."""
    refused = []

    def make(*rules, search=()):
        permit = Permit(parse_net_rules(rules))
        loop = Loop()
        made = Naming(loop, permit, lambda *what: refused.append(what), Share(loop), search)
        made.refused = refused
        return made

    return make


def ask(naming, name, kind=1):
    return read_answer(naming.answer(question(name, kind)))


def test_a_run_has_a_thousand_names(naming):
    """A further name gets an error and is reported once; those before still work."""
    made = naming("*.example.org:443")
    for number in range(1, 1_001):
        address = f"198.18.{number // 256}.{number % 256}"
        assert ask(made, f"n{number}.example.org") == (0, [address])
    for _ in range(2):
        assert ask(made, "more.example.org") == (2, [])
    assert made.refused == [("more.example.org", "the run has asked for more than 1,000 names")]
    assert ask(made, "n8.example.org") == (0, ["198.18.0.8"])


def test_a_flood_of_refused_names_is_not_remembered(naming):
    """A thousand different names are reported once each, and further ones not at all."""
    made = naming("api.example.org")
    for number in range(1_100):
        assert ask(made, f"{number % 1_050}.evil.org") == (3, [])
    assert len(made.refused) == 1_000


def test_addresses_that_a_rule_names_are_not_given_to_names(naming):
    """A literal address keeps its meaning; without any other address a name has IPv6 only."""
    made = naming("198.18.0.0/30:443", "198.18.0.5:443", "a.org", "b.org", "c.org")
    assert [ask(made, name) for name in ("a.org", "b.org")] == [
        (0, ["198.18.0.4"]),
        (0, ["198.18.0.6"]),
    ]
    made = naming("198.18.0.0/15:443", "a.org")
    made.with_ipv6 = True
    assert ask(made, "a.org") == (0, [])
    assert ask(made, "a.org", 28) == (0, ["fd6a:6f62:6365:6c6c::1"])


def test_ipv6_is_answered_if_the_run_has_a_listener_for_it(naming):
    """Where the kernel lacks IPv6, libraries try IPv4 only."""
    made = naming("a.org")
    assert ask(made, "a.org", 28) == (0, [])
    assert ask(made, "localhost", 28) == (0, [])
    made.with_ipv6 = True
    assert ask(made, "a.org", 28) == (0, ["fd6a:6f62:6365:6c6c::1"])
    assert ask(made, "localhost", 28) == (0, ["::1"])
    assert ask(made, "localhost") == (0, ["127.0.0.1"])


def test_a_name_with_the_machine_s_domain_behind_it_is_not_reported(naming):
    """The C library appends the domain to a name that it did not find; the job did not name it."""
    made = naming("a.org", search=("corp.example", "example"))
    for name in ("b.org", "b.org.corp.example", "b.org.example", "a.org", "a.org.corp.example"):
        ask(made, name)
    assert [name for name, _ in made.refused] == ["b.org"]
    ask(made, "c.org.corp.example")
    assert [name for name, _ in made.refused] == ["b.org", "c.org.corp.example"]


def test_the_domains_of_resolv_conf(tmp_path, monkeypatch):
    """The last line counts; a missing file has none."""
    file = tmp_path / "resolv.conf"
    monkeypatch.setattr("engine.network.relay.resolver.RESOLV_CONF", str(file))
    assert search_domains() == ()
    file.write_text(
        "# search no\nsearch a.org\n\nsearch Corp.Example. b.org\nnameserver 127.0.0.1\n"
    )
    assert search_domains() == ("corp.example", "b.org")
    file.write_text("domain one.org\n")
    assert search_domains() == ("one.org",)
