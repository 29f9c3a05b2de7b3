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

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

DEFAULT_PORTS: Final = ((80, 80), (443, 443))
"""The ports of a rule that does not name ports."""

MAX_PORTS: Final = 1_024
"""Most different ports that the rules of one run may name."""

_HIGHEST_PORT: Final = 65_535
_MAX_LABEL: Final = 63  # RFC 1035, 2.3.4
_MAX_NAME: Final = 253
_MAX_QUOTED: Final = 300
_DIGITS: Final = frozenset("0123456789")
_HEX: Final = _DIGITS | frozenset("abcdef")
_LABEL: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_SCHEMES: Final = {
    "http": 80,
    "https": 443,
    "ws": 80,
    "wss": 443,
    "ftp": 21,
    "ssh": 22,
    "sftp": 22,
    "smtp": 25,
    "ldap": 389,
    "ldaps": 636,
    "mysql": 3306,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "amqp": 5672,
    "mongodb": 27017,
}
"""Names that people write in place of a port; only for the hint in an error."""

Kind = Literal["name", "wildcard", "address", "block", "any"]


class NetRule(msgspec.Struct, frozen=True):
    """A rule: hosts of one kind, and ports."""

    kind: Kind
    """``any``: every host; ``wildcard``: one label before ``host``."""
    host: str
    """In canonical form: a name in lower case and IDNA form without a trailing dot, an address or a
    block as `ipaddress` writes it; empty for ``any``."""
    ports: tuple[tuple[int, int], ...]
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
            " name fewer, or write '*' for everything"
        )
    return rules


_LONGEST_USER: Final = 15
_SHORTEST_TOKEN: Final = 6


def parse_net_rule(text: str) -> NetRule:
    """Return the rule that *text* is.

    Raises:
        ValueError: *text* is not a rule.  The error quotes it and says what would be right.

    """
    if text == "*":
        return NetRule("any", "", ())
    if not text:
        raise _wrong(text, "is empty; write host:port, or remove this rule")
    if text != text.strip() or any(c.isspace() or not c.isprintable() for c in text):
        raise _wrong(text, "has white space or control characters in it; write host:port without")
    if "://" in text or "@" in text:
        raise _wrong(text, f"is a URL; write {_url_as_rule(text)!r}")
    host, ports = _split(text)
    if host == "*":
        return NetRule("any", "", ports)
    if host.startswith("["):
        return _bracketed(text, host[1:-1], ports)
    if "/" in host:
        return _block(text, host, ports)
    if host.startswith("*."):
        return NetRule("wildcard", _name(text, host[2:], room=2), ports)
    if "*" in host:
        raise _wrong(text, "has * in a place where it means nothing; write '*.example.org:443'")
    if _looks_like_ipv4(host):
        return NetRule("address", _address(text, host), ports)
    return NetRule("name", _name(text, host), ports)


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


def _wrong(text: str, reason: str) -> ValueError:
    text = _without_credentials(text)
    shown = text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."
    return ValueError(f"the network rule {shown!r} {reason}")


def _without_credentials(text: str) -> str:
    """Return a rule, or the URL given as one, with its password and query values hidden."""
    text, mark, query = text.partition("?")
    before, at, host = text.rpartition("@")
    scheme, separator, user = before.rpartition("://")
    name, colon, _ = user.partition(":")
    if colon:
        text = f"{scheme}{separator}{name}:***{at}{host}"
    elif len(user) > _LONGEST_USER:  # a token
        text = f"{scheme}{separator}***{at}{host}"
    pairs = [pair.partition("=") for pair in query.split("&")]
    shown = "&".join(
        f"{key}={'***' if len(value) >= _SHORTEST_TOKEN else value}" if equals else key
        for key, equals, value in pairs
    )
    return f"{text}{mark}{shown}"


def _split(text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return host and ports; an IPv6 host keeps its brackets."""
    if text.startswith("["):
        inside, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _wrong(text, "has a bracket too much or too few; write '[::1]:443'")
        host, colon, ports = f"{inside}]", rest[:1], rest[1:]
    else:
        host, colon, ports = text.partition(":")
        if host.count(",") or any(":" in part for part in ports.split(",")[1:]):
            several = [part for part in text.split(",") if part]
            raise _wrong(text, f"is more than one rule; write each by itself: {several!r}")
        if ":" in ports:
            raise _wrong(text, _too_many_colons(text))
    if not host:
        raise _wrong(text, f"names no host; write '*{text}' for every host")
    if not colon:
        return host, DEFAULT_PORTS
    return host, _ports(text, host, ports)


def _too_many_colons(text: str) -> str:
    """Return what is wrong with a text of two colons or more, which is probably an IPv6 address."""
    host, _, port = text.rpartition(":")
    if _is_ipv6(text.partition("/")[0]) and ":" not in text.partition("/")[2]:
        return f"is an IPv6 address without brackets; write '[{text}]:443'"
    if _is_ipv6(host.partition("/")[0]):
        return f"has an IPv6 address without brackets; write '[{host}]:{port}'"
    return "has a colon too much; write host:port"


def _ports(text: str, host: str, ports: str) -> tuple[tuple[int, int], ...]:
    if not ports:
        raise _wrong(text, f"has no port behind the colon; write '{host}:443'")
    return _merged([_span(text, host, part) for part in ports.split(",")])


def _span(text: str, host: str, part: str) -> tuple[int, int]:
    low, dash, high = part.partition("-")
    first = _port(text, host, low)
    last = _port(text, host, high) if dash else first
    if last < first:
        raise _wrong(text, f"has a range that ends before it begins; write '{host}:{last}-{first}'")
    return first, last


def _port(text: str, host: str, port: str) -> int:
    if port and _DIGITS.issuperset(port) and not (port[0] == "0" and len(port) > 1):
        number = int(port) if len(port) <= 5 else _HIGHEST_PORT + 1
        if 1 <= number <= _HIGHEST_PORT:
            return number
        raise _wrong(text, f"has the port {port}; ports go from 1 to {_HIGHEST_PORT}")
    known = _SCHEMES.get(port.lower())
    if known is not None:
        raise _wrong(text, f"has a name in place of a port; write the number: '{host}:{known}'")
    if "/" in port:
        return _port_with_path(text, host, port)
    if port == "*":
        raise _wrong(text, "has * in place of a port; name the ports, or write '*' for everything")
    raise _wrong(
        text,
        f"has {port!r} in place of a port; write digits, as in '{host}:443' or '{host}:80,443'",
    )


def _port_with_path(text: str, host: str, port: str) -> int:
    number = port.partition("/")[0]
    right = f"{host}:{number}" if _DIGITS.issuperset(number) and number else f"{host}:443"
    raise _wrong(text, f"has a path or a block behind the port; write '{right}'")


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
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


def _is_ipv6(host: str) -> bool:
    import ipaddress  # only for rules that need it: it takes 3 ms to import

    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _bracketed(text: str, inside: str, ports: tuple[tuple[int, int], ...]) -> NetRule:
    if "/" in inside:
        return _block(text, inside, ports)
    if ":" not in inside:
        raise _wrong(text, "has brackets, which are for IPv6 addresses; write the host without")
    return NetRule("address", _address(text, inside), ports)


def _address(text: str, host: str) -> str:
    import ipaddress

    if "%" in host:
        raise _wrong(text, "names a network interface; write the address without %")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        right = "'[::1]:443'" if ":" in host else "four numbers from 0 to 255: '10.0.0.5:443'"
        raise _wrong(text, f"has {host!r}, which is not an address; write {right}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        right = f"{address.ipv4_mapped}{text.rpartition(']')[2]}"
        raise _wrong(text, f"is an IPv4 address in IPv6 form; write {right!r}")
    return str(address)


def _block(text: str, host: str, ports: tuple[tuple[int, int], ...]) -> NetRule:
    import ipaddress

    address, _, length = host.partition("/")
    if not (":" in address or _looks_like_ipv4(address)):
        raise _wrong(text, f"has a path; write '{address}:443'")
    address = _address(text, address)
    if not length or not _DIGITS.issuperset(length) or (length[0] == "0" and len(length) > 1):
        raise _wrong(text, f"has {length!r} for the length of a block; write '10.0.0.0/8:443'")
    try:
        block = ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        longest = 128 if ":" in address else 32
        raise _wrong(text, f"has a block of {length} bits; there are 0 to {longest}") from None
    if str(block.network_address) != address:
        right = str(NetRule("block", str(block), ports))
        raise _wrong(text, f"has host bits that are not zero; write {right!r}")
    return NetRule("block", str(block), ports)


def _name(text: str, host: str, *, room: int = 0) -> str:
    """Return a name in lower case, IDNA form, and without a dot at its end."""
    labels = host.removesuffix(".").split(".")
    if _looks_like_ipv4(host):
        raise _wrong(text, "has a number for its last label; write '*.example.org:443'")
    name = ".".join(_label(text, label) for label in labels)
    if len(name) + room > _MAX_NAME:
        raise _wrong(text, f"has a name of {len(name)} characters; allowed: {_MAX_NAME - room}")
    return name


def _label(text: str, label: str) -> str:
    if not label:
        raise _wrong(text, "has a name with an empty part; write 'example.org:443'")
    if not label.isascii():
        return _international(text, label)
    lowered = label.lower()
    wrong = next((char for char in lowered if char not in _LABEL), None)
    if wrong is not None:
        raise _wrong(text, f"has {wrong!r} in its host; write a name, an address or '*'")
    if lowered[0] == "-" or lowered[-1] == "-":
        raise _wrong(text, f"has {label!r} in its host; a name does not begin or end with '-'")
    if len(label) > _MAX_LABEL:
        raise _wrong(text, f"has a part of {len(label)} characters; allowed: {_MAX_LABEL}")
    return lowered


def _international(text: str, label: str) -> str:
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
        raise _wrong(
            text,
            f"has {label!r} in its host, which has no clear form in the domain name system;"
            " write the form that begins with 'xn--', and ports in the digits 0 to 9",
        )
    return encoded


def _is_mark(char: str) -> bool:
    import unicodedata

    return unicodedata.category(char).startswith("M")


def _url_as_rule(text: str) -> str:
    """Return the rule that the author of a URL probably wants."""
    scheme, _, rest = text.rpartition("://") if "://" in text else ("https", "", text)
    for end in "/?#":
        rest = rest.partition(end)[0]
    host = rest.rpartition("@")[2] or "example.org"
    tail = host.rpartition("]")[2] if host.startswith("[") else host
    port = tail.partition(":")[2] if ":" in tail else ""
    if port and _DIGITS.issuperset(port):
        return host
    name = host.removesuffix(f":{port}") if ":" in tail else host
    return f"{name}:{_SCHEMES.get(scheme.lower(), 443)}"
