"""The rules of a network permission: each text is read strictly and becomes a frozen rule.

A rule names hosts and ports.  A text in any other form than those below is an error: a rule that is
read generously opens more than its author meant.

    example.org:443      example.org:80,8000-8010      example.org (ports 80 and 443)
    *.example.org:443    one label more, never the bare domain
    10.0.0.5:5432        [fd00::5]:443
    10.0.0.0/8:5432      [fd00::/8]:443
    *:443                every host              *        everything
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

DEFAULT_PORTS: Final = ((80, 80), (443, 443))
"""The ports of a rule that does not name ports."""

MAX_PORTS: Final = 1_024
"""Most different ports that the rules of one run may name."""

_HIGHEST_PORT: Final = 65_535
_MAX_LABEL: Final = 63  # RFC 1035, 2.3.4
_MAX_NAME: Final = 253
_DIGITS: Final = frozenset("0123456789")
_HEX: Final = _DIGITS | frozenset("abcdef")
_LABEL: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_EVERYTHING: Final = frozenset({"*", "*:*"})
"""Texts with which an author means every host and every port."""

_LIKE_PORTS: Final = "write numbers, as in 'api.example.org:443' or 'api.example.org:80,8000-8010'"
_LIKE_NAME: Final = "write a name or an address, as in 'api.example.org:443'"
_LIKE_IPV6: Final = "write an address of IPv6 as in '[2001:db8::5]:443'"
_LIKE_BLOCK: Final = "write the length of a block behind its address, as in '10.1.0.0/16:443'"

Ports = tuple[tuple[int, int], ...]
Kind = Literal["name", "wildcard", "address", "block", "any"]


class NetRule(msgspec.Struct, frozen=True):
    """A rule: hosts of one kind, and ports."""

    kind: Kind
    """``any``: every host; ``wildcard``: one label before ``host``."""
    host: str
    """In canonical form: a name in lower case and IDNA form without a trailing dot, an address or a
    block as `ipaddress` writes it; empty for ``any``."""
    ports: Ports
    """Lowest and highest port of each range, ascending, without overlap; empty for ``*``."""

    @property
    def everything(self) -> bool:
        """Whether the rule is ``*``: every host and every port."""
        return self.kind == "any" and not self.ports

    def may_name(self, name: str) -> bool:
        """Whether the rule allows a name in canonical form at any port.

        This is only for the texts of errors: the relay decides, and knows more about labels.
        """
        if self.kind == "wildcard":
            return name.partition(".")[2] == self.host
        return self.kind == "any" or (self.kind == "name" and name == self.host)

    def __str__(self) -> str:
        """Return the canonical text, which is read as the same rule."""
        host = {"wildcard": f"*.{self.host}", "any": "*"}.get(self.kind, self.host)
        if self.kind in {"address", "block"} and ":" in host:
            host = f"[{host}]"
        ports = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in self.ports)
        return f"{host}:{ports}" if ports else host


def parse_net_rules(texts: Iterable[str]) -> tuple[NetRule, ...]:
    """Return the rules of one run, in order.

    Raises:
        ValueError: A text is not a rule, or the rules name too many ports.

    """
    rules = tuple(map(parse_net_rule, texts))
    number = count_ports(rules)
    if number > MAX_PORTS:
        raise ValueError(
            f"the network rules of a run may name at most {MAX_PORTS:,} ports, not {number:,};"
            " name only those that its jobs need"
        )
    return rules


def parse_net_rule(text: str) -> NetRule:
    """Return the rule that *text* is.

    Raises:
        ValueError: *text* is not a rule.  The error quotes it and says what would be right.  A rule that
            the error suggests can be parsed, and allows no more than the author of *text* has named.

    """
    try:
        return _read(text)
    except _RuleError as mistake:
        raise ValueError(_told(text, mistake)) from None


def count_ports(rules: Iterable[NetRule]) -> int:
    """Return how many different ports the rules name; ``*`` names none."""
    merged = _merged([span for rule in rules for span in rule.ports])
    return sum(high - low + 1 for low, high in merged)


def ports_of(rules: Iterable[NetRule]) -> set[int] | None:
    """Return every port that the rules name; None means all ports."""
    ports: set[int] = set()
    for rule in rules:
        if rule.everything:
            return None
        for low, high in rule.ports:
            ports.update(range(low, high + 1))
    return ports


class _RuleError(Exception):
    """A text is not a rule.

    Args:
        reason: The mistake, as in "is empty".
        meant: Returns rules that the author may have meant, with `protocol.net_rule_advice`.  The error
            shows those that can be parsed.
        otherwise: The end of the error if no such rule can be parsed.
        together: Whether the author meant all of these rules, and not one of them.

    """

    def __init__(
        self,
        reason: str,
        meant: Callable[[Any], Iterable[str]] = lambda _: (),
        *,
        otherwise: str = "write host:port, as in 'api.example.org:443'",
        together: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.meant = meant
        self.otherwise = otherwise
        self.together = together


def _told(text: str, mistake: _RuleError) -> str:
    """Return the message about a mistake."""
    import protocol.net_rule_advice as advice  # most processes meet no wrong rule

    meant = dict.fromkeys(mistake.meant(advice))
    # An author may copy the advice without a look, so it never opens everything for a part of the text.
    right = [one for one in meant if _is_rule(one) and (one != "*" or text.strip() in _EVERYTHING)]
    if mistake.together and right and len(right) == len(meant):
        remedy = f"write each by itself: {right!r}"
    elif right and not mistake.together:
        remedy = f"write {' or '.join(map(repr, right))}"
    else:
        remedy = mistake.otherwise
    return f"the network rule {advice.shown(text)!r} {mistake.reason}; {remedy}"


def _is_rule(text: str) -> bool:
    try:
        _read(text)
    except _RuleError:
        return False
    return True


def _read(text: str) -> NetRule:
    """Return the rule that *text* is.

    Raises:
        _RuleError: It is not one.

    """
    if text == "*":
        return NetRule("any", "", ())
    if not text:
        raise _RuleError("is empty", otherwise="write host:port, or remove this rule")
    if text != text.strip() or any(c.isspace() or not c.isprintable() for c in text):
        raise _RuleError("has white space or control characters in it", lambda _: (text.strip(),))
    if "://" in text or "@" in text:
        raise _RuleError("is a URL", lambda advice: advice.of_url(text))
    host, written = _split(text)
    ports = DEFAULT_PORTS if written is None else written
    if host == "*":
        return NetRule("any", "", ports)
    if host.startswith("["):
        return _bracketed(host[1:-1], ports)
    if "/" in host:
        return _block(host, ports, written)
    if host.startswith("*."):
        return NetRule("wildcard", _name(host[2:], room=2), ports)
    if "*" in host:
        raise _RuleError(
            "has * in a place where it means nothing",
            otherwise="it stands for the first part of a name, as in '*.example.org:443'",
        )
    if _looks_like_ipv4(host):
        return NetRule("address", str(_address(host, ports)), ports)
    return NetRule("name", _name(host), ports)


def _split(text: str) -> tuple[str, Ports | None]:
    """Return host and ports, None for no ports; an IPv6 host keeps its brackets."""
    if text.startswith("["):
        inside, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            reason = "has a bracket too much or too few"
            raise _RuleError(reason, lambda _: (f"{inside}]:{rest}",), otherwise=_LIKE_IPV6)
        host, colon, ports = f"{inside}]", rest[:1], rest[1:]
    else:
        host, colon, ports = text.partition(":")
        if host.count(",") or any(":" in part for part in ports.split(",")[1:]):
            raise _RuleError(
                "is more than one rule",
                lambda advice: advice.of_several(text),
                otherwise="write each by itself, as in 'api.example.org:443'",
                together=True,
            )
        if ":" in ports:
            reason = "has a colon too much, or an IPv6 address without brackets"
            raise _RuleError(reason, lambda advice: advice.of_colons(text))
    if not host:
        raise _RuleError(
            "names no host", otherwise="write one before the colon; * means every host"
        )
    return host, _ports(host, ports) if colon else None


def _ports(host: str, ports: str) -> Ports:
    if not ports:
        raise _RuleError("has no port behind the colon", lambda _: (f"{host}:443",))
    return _merged([_span(host, ports, part) for part in ports.split(",")])


def _span(host: str, ports: str, part: str) -> tuple[int, int]:
    low, dash, high = part.partition("-")
    first = _port(host, ports, low)
    last = _port(host, ports, high) if dash else first
    if last < first:
        reason = "has a range that ends before it begins"
        raise _RuleError(reason, lambda advice: advice.of_ports(host, ports))
    return first, last


def _port(host: str, ports: str, port: str) -> int:
    if port and _DIGITS.issuperset(port) and not (port[0] == "0" and len(port) > 1):
        number = int(port) if len(port) <= 5 else _HIGHEST_PORT + 1
        if 1 <= number <= _HIGHEST_PORT:
            return number
        raise _RuleError(f"has the port {port}", otherwise=f"ports go from 1 to {_HIGHEST_PORT}")
    if "/" in port:
        reason, like = "has a path or a block behind the port", _LIKE_BLOCK
    else:
        reason, like = f"has {port!r} in place of a port", _LIKE_PORTS
    raise _RuleError(reason, lambda advice: advice.of_ports(host, ports), otherwise=like)


def _merged(spans: list[tuple[int, int]]) -> Ports:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1 and (merged[-1], (low, high)) != DEFAULT_PORTS:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def _looks_like_ipv4(host: str) -> bool:
    """Whether the C library may read *host* as a number, as it does `127.1` and `0x7f.1`.

    Source: inet_aton(3); a name whose last label is a number cannot be a domain.
    """
    last = host.rstrip(".").rpartition(".")[2].lower()
    hexadecimal = last.startswith("0x") and _HEX.issuperset(last[2:])
    return bool(last) and (_DIGITS.issuperset(last) or hexadecimal)


def _bracketed(inside: str, ports: Ports) -> NetRule:
    if ":" not in inside:
        reason = "has brackets, which are for IPv6 addresses"
        raise _RuleError(reason, lambda advice: (advice.with_ports(inside, ports),))
    if "/" in inside:
        return _block(inside, ports, ports)
    return NetRule("address", str(_address(inside, ports)), ports)


def _address(host: str, ports: Ports) -> IPv4Address | IPv6Address:
    import ipaddress  # only for rules that need it: it takes 3 ms to import

    if "%" in host:
        raise _RuleError("names a network interface", otherwise="write the address without %")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        right = _LIKE_IPV6 if ":" in host else "write four numbers from 0 to 255: '10.0.0.5:443'"
        raise _RuleError(f"has {host!r}, which is not an address", otherwise=right) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        plain = str(address.ipv4_mapped)
        reason = "is an IPv4 address in IPv6 form"
        raise _RuleError(reason, lambda advice: (advice.with_ports(plain, ports),))
    return address


def _block(host: str, ports: Ports, written: Ports | None) -> NetRule:
    import ipaddress

    address, _, length = host.partition("/")
    if not (":" in address or _looks_like_ipv4(address)):
        behind = written or ((443, 443),)
        raise _RuleError("has a path", lambda advice: (advice.with_ports(address, behind),))

    def meant(advice: Any) -> Iterable[str]:
        found: tuple[str, ...] = advice.of_block(address, length, ports)
        return found

    try:
        first = _address(address, ports)
    except _RuleError as mistake:
        raise _RuleError(mistake.reason, meant, otherwise=mistake.otherwise) from None
    if not length or not _DIGITS.issuperset(length) or (length[0] == "0" and len(length) > 1):
        reason = f"has {length!r} for the length of a block"
        raise _RuleError(reason, meant, otherwise=_LIKE_BLOCK)
    try:
        block = ipaddress.ip_network(f"{first}/{length}", strict=False)
    except ValueError:
        longest = f"there are 0 to {first.max_prefixlen}"
        raise _RuleError(f"has a block of {length} bits", otherwise=longest) from None
    if block.network_address != first:
        raise _RuleError("has host bits that are not zero", meant)
    return NetRule("block", str(block), ports)


def _name(host: str, *, room: int = 0) -> str:
    """Return a name in lower case, IDNA form, and without a dot at its end."""
    labels = host.removesuffix(".").split(".")
    if _looks_like_ipv4(host):
        raise _RuleError("has a number for its last label", otherwise=_LIKE_NAME)
    name = ".".join(map(_label, labels))
    if len(name) + room > _MAX_NAME:
        allowed = f"allowed: {_MAX_NAME - room}"
        raise _RuleError(f"has a name of {len(name)} characters", otherwise=allowed)
    return name


def _label(label: str) -> str:
    if not label:
        raise _RuleError("has a name with an empty part")
    if not label.isascii():
        return _international(label)
    lowered = label.lower()
    wrong = next((char for char in lowered if char not in _LABEL), None)
    if wrong is not None:
        raise _RuleError(f"has {wrong!r} in its host", otherwise=_LIKE_NAME)
    if lowered[0] == "-" or lowered[-1] == "-":
        raise _RuleError(f"has {label!r} in its host", otherwise="it begins or ends with '-'")
    if len(label) > _MAX_LABEL:
        raise _RuleError(
            f"has a part of {len(label)} characters", otherwise=f"allowed: {_MAX_LABEL}"
        )
    return lowered


def _international(label: str) -> str:
    """Return the IDNA form of a label, if it is the same in every version of IDNA.

    IDNA 2003 maps some characters to others (`ß` to `ss`), and later versions do not.  A rule with
    such a character could mean two hosts.
    """
    from encodings.idna import ToASCII, ToUnicode

    letters = all(char.isalnum() or char == "-" or _is_mark(char) for char in label)
    try:
        encoded = ToASCII(label).decode() if letters else ""
        same = bool(encoded) and ToUnicode(encoded.encode()) == label.lower()
    except (UnicodeError, ValueError):
        same = False
    if not same or not _LABEL.issuperset(encoded):
        raise _RuleError(
            f"has {label!r} in its host, which has no clear form in the domain name system",
            otherwise="write the form that begins with 'xn--', and ports in the digits 0 to 9",
        )
    return encoded


def _is_mark(char: str) -> bool:
    import unicodedata

    return unicodedata.category(char).startswith("M")
