"""The rules of a network permission: the accepted texts, their meaning, and the errors."""

from __future__ import annotations

import pytest
from net_suggestions import suggested

from protocol.net_rules import (
    MAX_PORTS,
    NetRule,
    count_ports,
    parse_net_rule,
    parse_net_rules,
    ports_of,
)

WEB = ((80, 80), (443, 443))

RULES = {
    "example.org:443": ("name", "example.org", ((443, 443),)),
    "example.org": ("name", "example.org", WEB),
    "EXAMPLE.Org.:443": ("name", "example.org", ((443, 443),)),
    "bücher.example:443": ("name", "xn--bcher-kva.example", ((443, 443),)),
    "xn--bcher-kva.example:443": ("name", "xn--bcher-kva.example", ((443, 443),)),
    "localhost:8080": ("name", "localhost", ((8080, 8080),)),
    "my_db:5432": ("name", "my_db", ((5432, 5432),)),
    "1.example.org:443": ("name", "1.example.org", ((443, 443),)),
    "host:80,8000-8010": ("name", "host", ((80, 80), (8000, 8010))),
    "host:8000-8010,80": ("name", "host", ((80, 80), (8000, 8010))),
    "host:81,80,82-90,85": ("name", "host", ((80, 90),)),
    "host:1,65535": ("name", "host", ((1, 1), (65535, 65535))),
    "*.example.org:443": ("wildcard", "example.org", ((443, 443),)),
    "*.example.org": ("wildcard", "example.org", WEB),
    "10.0.0.5:5432": ("address", "10.0.0.5", ((5432, 5432),)),
    "10.0.0.5": ("address", "10.0.0.5", WEB),
    "10.0.0.0/8:5432": ("block", "10.0.0.0/8", ((5432, 5432),)),
    "0.0.0.0/0:443": ("block", "0.0.0.0/0", ((443, 443),)),
    "[::1]:443": ("address", "::1", ((443, 443),)),
    "[FD00:0:0::1]:443": ("address", "fd00::1", ((443, 443),)),
    "[::1]": ("address", "::1", WEB),
    "[fd00::/8]:443": ("block", "fd00::/8", ((443, 443),)),
    "[fd00::/8]": ("block", "fd00::/8", WEB),
    "*:443": ("any", "", ((443, 443),)),
    "*": ("any", "", ()),
}


@pytest.mark.parametrize("text", RULES)
def test_a_rule_is_read_as_hosts_and_ports(text):
    """The test covers each form of the contract, in each of its spellings."""
    rule = parse_net_rule(text)

    assert (rule.kind, rule.host, rule.ports) == RULES[text]
    assert rule.everything is (text == "*")
    assert parse_net_rule(str(rule)) == rule


WRONG = {
    "https://api.example.org": "write 'api.example.org:443'",
    "http://api.example.org": "write 'api.example.org:80'",
    "https://api.example.org:8443/v1?a=b": "write 'api.example.org:8443'",
    "https://[::1]:8443/": "write '[::1]:8443'",
    "postgresql://user@db/name": "write 'db:5432'",
    "user@host": "write 'host:443'",
    "api.example.org/v1": "write 'api.example.org:443'",
    "host:443/v1": "write 'host:443'",
    "host:https": "write 'host:443'",
    "host:ssh": "write 'host:22'",
    "host:44e3": "'44e3' in place of a port",
    "host:0x1bb": "'0x1bb' in place of a port",
    "host:+443": "'+443' in place of a port",
    "host:4_43": "'4_43' in place of a port",
    "host:0443": "'0443' in place of a port",
    "host:٤٤٣": "'٤٤٣' in place of a port",
    "host:\uff14\uff14\uff13": "in place of a port",
    "host:0": "ports go from 1 to 65535",
    "host:65536": "ports go from 1 to 65535",
    "host:99999": "ports go from 1 to 65535",
    "host:" + "9" * 5000: "ports go from 1 to 65535",
    "host:80-70": "write 'host:70-80'",
    "host:80-": "in place of a port",
    "host:-80": "in place of a port",
    "host:80,,81": "in place of a port",
    "host:80,": "in place of a port",
    "host:": "write 'host:443'",
    "host:*": "write numbers",
    "*:*": "write '*'",
    ":443": "names no host",
    "": "write host:port",
    " x:443": "white space",
    "x:443 ": "white space",
    "x: 443": "white space",
    "x:443\n": "white space",
    "x\x00y:443": "control characters",
    "x\u200b:443": "control characters",
    "a:443,b:443": "['a:443', 'b:443']",
    "a,b": "['a', 'b']",
    "a:80,443,b:443": "more than one rule",
    "::1:443": "without brackets",
    "[::ffff:127.0.0.1]:80": "in IPv6 form; write '127.0.0.1:80'",
    "[::ffff:127.0.0.1]": "in IPv6 form; write '127.0.0.1:80,443'",
    "[fe80::1%eth0]:80": "names a network interface",
    "0x7f.1:80": "is not an address",
    "0177.0.0.1:80": "is not an address",
    "a\u3002b:80": "has no clear form",
    "fa\u00df.de:80": "has no clear form",
    "\uff41pi.org:80": "has no clear form",
    "a\0b:80": "control characters",
    "*.0:80": "has a number for its last label",
    "fd00::1": "write '[fd00::1]:443'",
    "fd00::/8:443": "write '[fd00::/8]:443'",
    "fd00::/8": "write '[fd00::/8]:443'",
    "[::1": "bracket",
    "[::1]443": "bracket",
    "[10.0.0.1]:443": "brackets, which are for IPv6",
    "[host]:443": "brackets, which are for IPv6",
    "[fe80::1%eth0]:443": "without %",
    "[::ffff:10.0.0.1]:443": "write '10.0.0.1:443'",
    "[::ffff:10.0.0.0/104]:443": "write '10.0.0.0/8:443'",
    "[12345::]:443": "is not an address",
    "10.1.0.0/8:443": "write '10.1.0.0:443' or '10.0.0.0/8:443'",
    "[fd00::1/8]:443": "write '[fd00::1]:443' or '[fd00::/8]:443'",
    "10.0.0.0/33:443": "there are 0 to 32",
    "[fd00::/129]:443": "there are 0 to 128",
    "10.0.0.0/255.0.0.0:443": "for the length of a block",
    "10.0.0.0/08:443": "for the length of a block",
    "10.0.0.0/:443": "for the length of a block",
    "10.0.0.0/٨:443": "for the length of a block",
    "127.1:80": "is not an address",
    "2130706433:80": "is not an address",
    "0x7f000001:80": "is not an address",
    "010.0.0.1:80": "is not an address",
    "256.0.0.1:80": "is not an address",
    "127.0.0.1.:80": "is not an address",
    "a.*.b:443": "has * in a place",
    "*a.org:443": "has * in a place",
    "**:443": "has * in a place",
    "*.*.org:443": "'*' in its host",
    "*.10.0.0.1:443": "a number for its last label",
    "*.": "an empty part",
    ".example.org:443": "an empty part",
    "a..b:443": "an empty part",
    "a.b..:443": "an empty part",
    "-a.org:443": "it begins or ends with '-'",
    "a-.org:443": "it begins or ends with '-'",
    "a!b:443": "'!' in its host",
    "a" * 64 + ":443": "allowed: 63",
    ".".join(["a" * 60] * 5) + ":443": "allowed: 253",
    "straße.example:443": "'xn--'",
    "\uff45xample.org:443": "'xn--'",
    "a。b:443": "'xn--'",
    "host:1:2": "colon too much",
}


MEANT = {
    # The suggestion has all that the text names.
    "[::ffff:10.1.0.0/112]:22": ["10.1.0.0/16:22"],
    "[::ffff:10.1.0.5/104]": ["10.1.0.5:80,443", "10.0.0.0/8:80,443"],
    "::ffff:10.0.0.0/104:443": ["10.0.0.0/8:443"],
    "10.0.0.0:443/8": ["10.0.0.0/8:443"],
    "[fd00::]:443/8": ["[fd00::/8]:443"],
    "tcp://10.0.0.0/8:5432": ["10.0.0.0/8:5432"],
    "https://10.0.0.0/8": ["10.0.0.0/8:443"],
    "https://10.0.0.5/8": ["10.0.0.5:443"],
    "https://host:8000-8010/x": ["host:8000-8010"],
    "https://host:80,443": ["host:80,443"],
    "api.example.org/v1:8443": ["api.example.org:8443"],
    "host:80,https": ["host:80,443"],
    "host:22,90-80": ["host:22,80-90"],
    "host:22,443/v1": ["host:22,443"],
    "a:80,443,b:443": ["a:80,443", "b:443"],
    "a,b:8443": ["a:8443", "b:8443"],
    "10.0.0.0/8,172.16.0.0/12:22": ["10.0.0.0/8:22", "172.16.0.0/12:22"],
    "10.1.0.0/255.255.0.0:443": ["10.1.0.0/16:443"],
    "10.1.0.0/0.0.255.255:443": ["10.1.0.0/16:443"],
    "10.1.0.0/016:443": ["10.1.0.0/16:443"],
    "fd00::1/8": ["[fd00::1]:443", "[fd00::/8]:443"],
    # Both readings are suggested.
    "::1:443": ["[::1]:443", "[::1:443]:443"],
    # A guess would allow more than the text names, or is not a rule.
    "[::ffff:0.0.0.0/95]:443": [],
    "10.1.2.3/0:443": ["10.1.2.3:443"],
    "10.1.2.3:443/8": [],
    "10.1.0.0/255.0.255.0:443": [],
    "host:*": [],
    ":443": [],
    "a:80,b": [],
    "host:80,,443": [],
    "host:99999": [],
    "fd00::1:99999": [],
    "ftp://[::1": [],
    "https://a!b": [],
    "https://host:99999": [],
    "kafka://broker": [],
    "https://a?next=http://b": ["a:443"],
    "git@example.org:team/repo": [],
    "a!b/x:443": [],
    "[host]:443": ["host:443"],
    "[10.0.0.0/8]:443": ["10.0.0.0/8:443"],
    "[::1]443": ["[::1]:443"],
    "x:443 ": ["x:443"],
}


@pytest.mark.parametrize("text", MEANT)
def test_a_suggestion_keeps_what_the_text_names_and_adds_nothing(text):
    """The author may copy the suggestion."""
    with pytest.raises(ValueError, match=r"^the network rule ") as caught:
        parse_net_rule(text)

    assert suggested(str(caught.value), text) == MEANT[text]


@pytest.mark.parametrize("text", WRONG, ids=lambda text: ascii(text)[:40])
def test_what_is_not_a_rule_is_quoted_with_what_would_be_right(text):
    """The error is one sentence: the rule, its mistake, and the right form."""
    with pytest.raises(ValueError, match=r"^the network rule ") as caught:
        parse_net_rule(text)

    assert WRONG[text] in str(caught.value)
    assert f"{text[:100]!r}"[:-1] in str(caught.value)
    assert len(str(caught.value)) < 1_000 or len(text) > 1_000


def test_the_ports_of_a_run_are_limited():
    """Different ports are counted over all rules; `*` does not count."""
    assert count_ports(parse_net_rules([f"*:1-{MAX_PORTS}", "*", "host:5,6-9"])) == MAX_PORTS
    with pytest.raises(ValueError, match="at most 1,024 ports, not 1,025"):
        parse_net_rules(["a:1-1000", "b:900-1025"])


def test_the_ports_of_all_rules_are_those_of_each():
    """Only `*` opens every port."""
    assert ports_of(parse_net_rules(["a:1", "b:2-4", "c"])) == {1, 2, 3, 4, 80, 443}
    assert ports_of(parse_net_rules(["a:1", "*"])) is None
    assert ports_of(()) == set()
    assert ports_of([NetRule("any", "", ())]) is None
    assert ports_of([parse_net_rule("a:5-7")]) == {5, 6, 7}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://app:Zq7_kW9xVt@db:443/x", "'https://app:***@db:443/x'"),
        ("app:Zq7_kW9xVt@db:443", "'app:***@db:443'"),
        ("postgres://a:b@Zq7_kW9xVt@db", "'postgres://a:***@db'"),
        ("https://ghp_Zq7_kW9xVtAAAAAA@db", "'https://***@db'"),
        ("https://db/x?token=Zq7_kW9xVt", "'https://db/x?token=***'"),
    ],
)
def test_the_error_about_a_url_shows_neither_password_nor_token(text, shown):
    """An author may copy the rule from a connection string."""
    with pytest.raises(ValueError, match="network rule") as caught:
        parse_net_rule(text)
    assert "Zq7_kW9xVt" not in str(caught.value)
    assert shown in str(caught.value)
