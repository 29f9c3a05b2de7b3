"""Every accepted network rule has one canonical form, and allows only what it names."""

from __future__ import annotations

import ipaddress
import re

from hypothesis import example, given
from hypothesis import strategies as st

from protocol.net_rules import DEFAULT_PORTS, parse_net_rule, ports_of

PIECES = st.sampled_from(
    ["a", "B", "0", "9", "80", "443", "65535", ".", ":", ",", "-", "*", "*.", "[", "]", "/", "::"]
) | st.sampled_from(
    ["10.0.0.0", "fd00::", "/8", "ü", "ß", "。", "٣", "_", " ", "\n", "\0", "%", "@", "xn--", "//"]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=12)


@given(TEXTS)
@example("*:1-65535")
@example("a:443,")
def test_what_is_accepted_is_read_again_from_its_canonical_form(text):
    """The canonical form is its own canonical form."""
    try:
        rule = parse_net_rule(text)
    except ValueError:
        return

    assert parse_net_rule(str(rule)) == rule
    assert str(parse_net_rule(str(rule))) == str(rule)
    assert str(rule).isascii()


@given(TEXTS)
def test_a_rule_opens_no_port_that_its_text_does_not_name(text):
    """A rule opens the ports behind its colon, or the default ports; `*` alone opens all."""
    try:
        rule = parse_net_rule(text)
    except ValueError:
        return

    if rule.everything:
        assert text == "*"
        return
    written = re.search(r"^(?:\[[^]]*\]|[^:]*):([0-9,-]+)$", text)
    if written is None:
        assert rule.ports == DEFAULT_PORTS
        return
    named = set()
    for part in written[1].split(","):
        low, _, high = part.partition("-")
        named |= set(range(int(low), int(high or low) + 1))
    assert ports_of([rule]) == named


@given(st.ip_addresses(), st.integers(0, 128), st.integers(1, 65535))
def test_a_block_is_accepted_only_if_its_host_bits_are_zero(address, length, port):
    """The parser does not round a block to a wider one."""
    length = min(length, address.max_prefixlen)
    block = f"{address}/{length}"
    text = f"[{block}]:{port}" if address.version == 6 else f"{block}:{port}"
    try:
        ipaddress.ip_network(block)
        exact = True
    except ValueError:
        exact = False
    mapped = getattr(address, "ipv4_mapped", None) is not None

    try:
        rule = parse_net_rule(text)
    except ValueError:
        assert not exact or mapped
    else:
        assert exact
        assert ipaddress.ip_network(rule.host) == ipaddress.ip_network(block)
