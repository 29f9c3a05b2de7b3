"""Guesses the rules that the author of a wrong network rule meant, for the text of an error.

`protocol.net_rules` parses each guess, and shows only those that are rules.  A guess never allows more hosts or
ports than the text has named.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

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
"""The port of a name that people write in place of a number, and of a URL without port."""
_LENGTH_AND_PORTS: Final = re.compile(r"/([0-9.]+)(?::([0-9,-]+))?(?:[/?#].*)?")
_PORTS: Final = re.compile(r"[0-9]+(?:-[0-9]+)?")
_RANGE: Final = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_MAPPED_BITS: Final = 96
"""The bits before an IPv4 address in IPv6 form: RFC 4291, 2.5.5.2."""
_MOST_RULES: Final = 20
_MAX_QUOTED: Final = 300
_LONGEST_USER: Final = 15
_SHORTEST_TOKEN: Final = 6


def with_ports(host: str, ports: tuple[tuple[int, int], ...]) -> str:
    """Return a rule for a host with these ranges of ports."""
    texts = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ports)
    return f"{host}:{texts}"


def of_url(text: str) -> tuple[str, ...]:
    """Return the rule for the host of a URL, or of ``user@host``."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "https", text
    place = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(place) :]
    host, ports = _divided(place.rpartition("@")[2])
    known = str(_SCHEMES.get(scheme.lower(), ""))
    length = _LENGTH_AND_PORTS.fullmatch(path)
    if length is not None and not ports:
        blocks = _blocks(host.strip("[]"), length[1])
        if length[2]:
            return tuple(f"{_in_brackets(one)}:{length[2]}" for one in blocks)
        if (
            len(blocks) == 1
        ):  # without host bits it is a block; with them it is an address and a path
            return (f"{_in_brackets(blocks[0])}:{known}",)
    return of_ports(host, ports or known)


def of_several(text: str) -> tuple[str, ...]:
    """Return the rules that were written as one: each has a port, or none has, or the last has it for all."""
    rules: list[str] = []
    for part in filter(None, text.split(",")):
        if rules and _PORTS.fullmatch(part) and _divided(rules[-1])[1]:
            rules[-1] += f",{part}"
        else:
            rules.append(part)
    ports = [_divided(rule)[1] for rule in rules]
    if not rules or len(rules) > _MOST_RULES or (any(ports[:-1]) and not all(ports)):
        return ()
    if ports[-1] and not ports[0]:
        rules[:-1] = [f"{host}:{ports[-1]}" for host in rules[:-1]]
    return tuple(rules)


def of_colons(text: str) -> tuple[str, ...]:
    """Return the rules for an IPv6 address without brackets; its last part may be a port."""
    host, _, ports = text.rpartition(":")
    with_port = [rule for one in _hosts(host) for rule in of_ports(_in_brackets(one), ports)]
    return (*with_port, *(f"{_in_brackets(one)}:443" for one in _hosts(text)))


def of_ports(host: str, ports: str) -> tuple[str, ...]:
    """Return the rule with numbers for names of ports, ranges the right way round, and no path."""
    if (host, ports) == ("*", "*"):
        return ("*",)
    right = []
    for part in ports.split(","):
        number, slash, rest = part.partition("/")
        if slash and rest.isdecimal() and _ip(host.strip("[]")) is not None:
            blocks = _blocks(host.strip("[]"), rest)
            if len(blocks) != 1:
                return ()
            host = _in_brackets(blocks[0])
        span = _RANGE.fullmatch(number)
        if span is not None and int(span[2]) < int(span[1]):
            number = f"{span[2]}-{span[1]}"
        if slash and not number:
            number = "443"
        right.append(str(_SCHEMES.get(number.lower(), number)))
    return (f"{host}:{','.join(right)}",)


def of_block(address: str, length: str, ports: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    """Return the rule for a block with host bits, with a mask, or in the form of the other version of IP."""
    return tuple(with_ports(_in_brackets(host), ports) for host in _blocks(address, length))


def shown(text: str) -> str:
    """Return a rule, or the URL given as one, with its password and query values hidden; a long one is cut."""
    text, mark, query = text.partition("?")
    before, at, host = text.rpartition("@")
    scheme, separator, user = before.rpartition("://")
    name, colon, _ = user.partition(":")
    if colon:
        text = f"{scheme}{separator}{name}:***{at}{host}"
    elif len(user) > _LONGEST_USER:  # a token
        text = f"{scheme}{separator}***{at}{host}"
    pairs = [pair.partition("=") for pair in query.split("&")]
    values = "&".join(
        f"{key}={'***' if len(value) >= _SHORTEST_TOKEN else value}" if equals else key
        for key, equals, value in pairs
    )
    text = f"{text}{mark}{values}"
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


def _divided(rule: str) -> tuple[str, str]:
    """Return the host and the ports of a rule; empty for no ports."""
    inside, bracket, rest = rule.rpartition("]")
    host, _, ports = rest.partition(":")
    return f"{inside}{bracket}{host}", ports


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _hosts(text: str) -> tuple[str, ...]:
    """Return what an IPv6 address or block without brackets means; empty if *text* is neither."""
    address, slash, length = text.partition("/")
    if ":" not in address or _ip(address) is None:
        return ()
    return _blocks(address, length) if slash else (_blocks(address, "128")[0].partition("/")[0],)


def _blocks(address: str, length: str) -> tuple[str, ...]:
    """Return the block of this length or mask.  If it has host bits, the address alone comes before it."""
    ip = _ip(address)
    bits = None if ip is None else _bits(ip, length)
    if ip is None or bits is None:
        return ()
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip, bits = ip.ipv4_mapped, bits - _MAPPED_BITS
        if bits < 0:
            return ()  # it has more addresses than those of IPv4
    block = ipaddress.ip_network(f"{ip}/{bits}", strict=False)
    if block.network_address == ip:
        return (str(block),)
    return (str(ip), str(block)) if bits else (str(ip),)


def _bits(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, length: str) -> int | None:
    """Return the length of a block that is written as a number or as a mask."""
    if length.isdecimal():
        bits = int(length[:4])
        return bits if bits <= ip.max_prefixlen else None
    try:
        return ipaddress.ip_network(f"{ip}/{length}", strict=False).prefixlen
    except ValueError:
        return None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
