"""Every accepted network rule has one canonical form, and allows only what it names."""

from __future__ import annotations

import ipaddress
import re

from hypothesis import example, given
from hypothesis import strategies as st
from net_suggestions import suggested

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


def suggestions(text: str) -> list[str]:
    """Return the rules that the error about *text* suggests; empty if it is a rule."""
    try:
        parse_net_rule(text)
    except ValueError as error:
        return suggested(str(error), text)
    return []


@given(TEXTS)
@example("a,https://b")
@example("'a:443 ")
@example("fd00::1/8:https")
@example("a:443,*")
@example(",*")
def test_a_suggestion_is_a_rule_and_opens_everything_only_if_the_text_does(text):
    """An author may copy it without a look at the page."""
    for one in suggestions(text):
        rule = parse_net_rule(one)
        assert rule.kind != "any" or "*" in text
        assert not rule.everything or text.strip() in {"*", "*:*"}


HOSTS = st.one_of(
    st.sampled_from(["api.example.org", "db", "*.example.org", "b\u00fccher.example"]),
    st.ip_addresses().map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(
        lambda pair: f"::ffff:{pair[0]}/{pair[1] + 96}"
    ),
    st.tuples(st.ip_addresses(v=4), st.integers(1, 32)).map(
        lambda pair: f"{pair[0]}/{ipaddress.ip_network(f'0.0.0.0/{pair[1]}').netmask}"
    ),
)
SPANS = st.lists(st.tuples(st.integers(1, 65535), st.integers(0, 20)), min_size=1, max_size=3)
MISTAKES = (
    "{bare}:{ports}",
    "[{bare}]:{ports}",
    "https://{host}:{ports}/v1",
    "tcp://{host}:{ports}",
    "user@{host}:{ports}",
    "{host}:{ports}/v1",
    "{head}:{ports}{tail}",
    "{host}:{reversed}",
    " {host}:{ports}",
    "{host}:{ports},{host}:{ports}",
    "{host}/v1:{ports}",
    "[{host}]:{ports}",
)


@given(HOSTS, SPANS, st.sampled_from(MISTAKES))
@example("::ffff:10.0.0.0/104", [(443, 0)], "[{bare}]:{ports}")
@example("10.1.0.0/255.255.0.0", [(443, 0)], "{bare}:{ports}")
@example("10.0.0.0/8", [(443, 0)], "{head}:{ports}{tail}")
def test_a_suggestion_allows_no_more_than_the_wrong_rule_names(host, starts, mistake):
    """It has neither another host, nor a wider block, nor another port."""
    spans = [(low, min(65_535, low + more)) for low, more in starts]
    head, slash, length = host.partition("/")
    text = mistake.format(
        bare=host,
        host=f"[{host}]" if ":" in host else host,
        head=f"[{head}]" if ":" in head else head,
        tail=f"{slash}{length}",
        ports=",".join(f"{low}-{high}" for low, high in spans),
        reversed=",".join(f"{high}-{low}" for low, high in spans),
    )

    for one in suggestions(text):
        rule = parse_net_rule(one)
        if mistake != MISTAKES[0] or ":" not in host:  # there the last group may be a port
            assert ports_of([rule]) <= {
                port for low, high in spans for port in range(low, high + 1)
            }
            assert is_within(rule, host)


def is_within(rule, host: str) -> bool:
    """Return whether a rule allows no other hosts than *host* names."""
    address, slash, length = host.partition("/")
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return rule.kind in {"name", "wildcard"} and str(rule).startswith(
            parse_net_rule(host).host if rule.kind == "name" else host
        )
    mapped = getattr(ip, "ipv4_mapped", None)
    if mapped is not None and slash:
        ip, length = mapped, str(int(length) - 96)
    elif mapped is not None:
        ip = mapped
    named = ipaddress.ip_network(f"{ip}{slash}{length}", strict=False)
    return rule.kind in {"address", "block"} and ipaddress.ip_network(rule.host).subnet_of(named)
