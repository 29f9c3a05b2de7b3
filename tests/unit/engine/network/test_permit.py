"""The rules of a run allow names and addresses; no socket is needed to ask them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.network.relay.permit import Permit, plain, read_address
from protocol.near_addresses import special
from protocol.net_rules import parse_net_rules


def permit(*rules):
    return Permit(parse_net_rules(rules))


NEAR = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "224.0.0.251",
    "239.255.255.250",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::169.254.169.254",
    "64:ff9b:1:2:3:4:7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::5",
    "2001:0:7f00:1::",
    "2001:0:5db8::80ff:fffe",
    "2001:db8::5efe:127.0.0.1",
    "2001:db8::200:5efe:169.254.1.1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "64:ff9b::100.100.100.200",
]


@pytest.mark.parametrize("text", NEAR)
def test_a_near_address_needs_a_rule_that_names_it(text):
    """Neither a rule for all hosts nor a wide block allows it."""
    address = ipaddress.ip_address(text)
    assert special(address)
    wide = permit("*:443", "0.0.0.0/0:443", "[::/0]:443", "api.example.org")
    assert not wide.allows_address(address, 443)
    shown = f"[{text}]" if address.version == 6 else text
    named = permit(f"{shown}:443")
    assert named.allows_address(address, 443)
    assert named.names_address(address, 443)
    assert not named.allows_address(address, 80)


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "10.0.0.5",
        "192.168.1.1",
        "198.18.0.1",
        "2001:db8::1",
        "fd00::5",
        "fd00:ec3::254",
        "100.100.100.201",
        "64:ff9b::8.8.8.8",
    ],
)
def test_another_address_does_not(text):
    """Private networks count as outside."""
    address = ipaddress.ip_address(text)
    assert special(address) is None
    assert permit("*:443").allows_address(address, 443)
    assert permit("0.0.0.0/0:443", "[::/0]:443").allows_address(address, 443)
    assert not permit("api.example.org", "*.example.org").allows_address(address, 443)


def test_a_block_names_near_addresses_only_if_it_lies_inside_of_their_range():
    """`0.0.0.0/0` and `126.0.0.0/7` do not mean loopback."""
    address = ipaddress.ip_address("127.0.0.1")
    assert permit("127.0.0.0/8:443").allows_address(address, 443)
    assert permit("127.0.0.0/30:443").allows_address(address, 443)
    assert not permit("126.0.0.0/7:443").allows_address(address, 443)


def test_localhost_means_two_addresses():
    """And no other address of the loopback."""
    local = permit("localhost:5432")
    assert local.allows_address(ipaddress.ip_address("127.0.0.1"), 5432)
    assert local.allows_address(ipaddress.ip_address("::1"), 5432)
    assert not local.allows_address(ipaddress.ip_address("127.0.0.2"), 5432)
    assert not local.allows_address(ipaddress.ip_address("127.0.0.1"), 5433)


@pytest.mark.parametrize(
    ("rule", "name", "allowed"),
    [
        ("a.org:443", "a.org", True),
        ("a.org:443", "b.a.org", False),
        ("*.a.org:443", "b.a.org", True),
        ("*.a.org:443", "a.org", False),
        ("*.a.org:443", "c.b.a.org", False),
        ("*.a.org:443", ".a.org", False),
        ("*.a.org:443", "_b.a.org", False),
        ("*.a.org:443", "b-.a.org", False),
        ("a_b:443", "a_b", True),
        ("*.a_b:443", "c.a_b", True),
        ("*:443", "a_b", False),
        ("*:443", "x.y.z", True),
        ("*:443", "", False),
        ("10.0.0.0/8:443", "a.org", False),
    ],
)
def test_names(rule, name, allowed):
    """A wildcard is one label of letters, digits and hyphens."""
    assert permit(rule).allows_name(name, 443) is allowed
    assert permit(rule).allows_name(name) is allowed
    assert not permit(rule).allows_name(name, 444)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_form(address):
    """A form of IPv6 never opens what the address itself does not."""
    number = int(address)
    forms = [number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80, 0xFFFF << 48 | number]
    for form in map(ipaddress.IPv6Address, forms):
        if special(address):
            assert special(form)
    assert plain(ipaddress.IPv6Address(0xFFFF << 32 | number)) == address
    assert read_address(f"::ffff:{address}") == address
