"""Decides which names and addresses a run may reach.  It knows rules and no sockets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from protocol.net_rules import NetRule

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOCALHOST: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

SPECIAL: Final[tuple[tuple[str, Network], ...]] = (
    ("a loopback address", IPv4Network("127.0.0.0/8")),
    ("a loopback address", IPv6Network("::1/128")),
    ("a link-local address", IPv4Network("169.254.0.0/16")),
    ("a link-local address", IPv6Network("fe80::/10")),
    # Linux takes 0.0.0.0 for itself.
    ("an unspecified address", IPv4Network("0.0.0.0/8")),
    ("an unspecified address", IPv6Network("::/128")),
    ("a multicast address", IPv4Network("224.0.0.0/4")),
    ("a multicast address", IPv6Network("ff00::/8")),
    ("a broadcast address", IPv4Network("255.255.255.255/32")),
)
"""Addresses near to the engine's machine.  Only a rule that names them allows them."""

EMBEDDING: Final = (
    ("::/96", 0),  # IPv4-compatible: RFC 4291, 2.5.5.1
    ("::ffff:0:0:0/96", 0),  # IPv4-translated: RFC 7915
    ("64:ff9b::/96", 0),  # NAT64: RFC 6052
    ("64:ff9b:1::/48", 0),  # NAT64 of one network: RFC 8215
    ("2002::/16", 80),  # 6to4: RFC 3056
)
"""Blocks of IPv6 with an IPv4 address inside, and the number of bits behind that address."""
_EMBEDDING: Final = tuple((IPv6Network(block), shift) for block, shift in EMBEDDING)
_TEREDO: Final = IPv6Network("2001::/32")
"""RFC 4380: the server's address, and the inverted address of the client."""
_ISATAP: Final = 0x5EFE
"""RFC 5214: the middle of an interface identifier, with an IPv4 address behind."""
_WORD: Final = 0xFFFFFFFF

_WILDCARD_LABEL: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def read_address(text: str) -> Address:
    """Return an address of a socket; IPv4 in the IPv6 form (``::ffff:1.2.3.4``) becomes IPv4.

    Raises:
        ValueError: *text* is not an address.

    """
    return plain(ipaddress.ip_address(text.partition("%")[0]))


def plain(address: Address) -> Address:
    """Return the address; IPv4 in the IPv6 form becomes IPv4."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def special(address: Address) -> str | None:
    """Return the kind of an address that needs a rule of its own, such as ``a loopback address``."""
    for kind, block in SPECIAL:
        if address in block:
            return kind
    if isinstance(address, IPv6Address):
        for inner in _embedded(address):
            kind_inside = special(inner)
            if kind_inside is not None:
                return f"{kind_inside} in IPv6 form"
    return None


def _embedded(address: IPv6Address) -> Iterable[IPv4Address]:
    number = int(address)
    for block, shift in _EMBEDDING:
        if address in block:
            yield IPv4Address(number >> shift & _WORD)
    if address in _TEREDO:
        yield IPv4Address(number >> 64 & _WORD)
        yield IPv4Address(number & _WORD ^ _WORD)
    # The bit 0x200 of the identifier says that the IPv4 address is known to everybody.
    if number >> 32 & 0xFDFFFFFF == _ISATAP:
        yield IPv4Address(number & _WORD)


class Permit:
    """The rules of a run, prepared for questions."""

    def __init__(self, rules: Iterable[NetRule]) -> None:
        self._names: dict[str, list[NetRule]] = {}
        self._wildcards: dict[str, list[NetRule]] = {}
        self._addresses: dict[Address, list[NetRule]] = {}
        self._blocks: list[tuple[Network, bool, NetRule]] = []
        self._any: list[NetRule] = []
        for rule in rules:
            self._add(rule)

    def _add(self, rule: NetRule) -> None:
        if rule.kind == "name":
            self._names.setdefault(rule.host, []).append(rule)
            if rule.host == "localhost":
                for address in LOCALHOST:
                    self._addresses.setdefault(address, []).append(rule)
        elif rule.kind == "wildcard":
            self._wildcards.setdefault(rule.host, []).append(rule)
        elif rule.kind == "address":
            self._addresses.setdefault(ipaddress.ip_address(rule.host), []).append(rule)
        elif rule.kind == "block":
            block = ipaddress.ip_network(rule.host)
            self._blocks.append((block, _inside_special(block), rule))
        else:
            self._any.append(rule)

    def allows_name(self, name: str, port: int | None = None) -> bool:
        """Whether a rule allows *name* at *port*, or at any port.

        Args:
            name: In lower case and IDNA form, without a dot at its end.
            port: None asks for any port.

        """
        label, _, rest = name.partition(".")
        rules = [*self._names.get(name, ())]
        if _is_host_label(label):
            rules += self._wildcards.get(rest, ())
        if all(map(_is_host_label, name.split("."))):
            rules += self._any
        return any(port is None or _has(rule, port) for rule in rules)

    def allows_address(self, address: Address, port: int) -> bool:
        """Whether a rule allows *address* itself at *port*."""
        if self.names_address(address, port):
            return True
        if special(address) is not None:
            return False
        return any(_has(rule, port) for rule in self._any) or any(
            address in block and _has(rule, port) for block, _, rule in self._blocks
        )

    def names_address(self, address: Address, port: int) -> bool:
        """Whether a rule names *address*, or a block that lies inside of a special range."""
        return (
            any(_has(rule, port) for rule in self._addresses.get(address, ()))
            or any(rule.everything for rule in self._any)
            or any(
                inside and address in block and _has(rule, port)
                for block, inside, rule in self._blocks
            )
        )

    def other_of_localhost(self, address: Address, port: int) -> Address | None:
        """Return the other address of localhost, if a rule with that name allows *address* at *port*."""
        if address not in LOCALHOST or not any(
            _has(rule, port) for rule in self._names.get("localhost", ())
        ):
            return None
        ipv4, ipv6 = LOCALHOST
        return ipv6 if address == ipv4 else ipv4

    def reachable(
        self, addresses: tuple[Address, Address]
    ) -> tuple[Address | None, Address | None]:
        """Return the addresses that a rule names at any port, with None for the others.

        A job that gets an address without a rule may try it first, and find it refused.  If no rule
        names any of the addresses, all are returned, so that the refusal can be explained.
        """
        first, second = (one if self._names_special(one) else None for one in addresses)
        return addresses if first is second is None else (first, second)

    def _names_special(self, address: Address) -> bool:
        return (
            address in self._addresses
            or any(rule.everything for rule in self._any)
            or any(inside and address in block for block, inside, _ in self._blocks)
        )

    def last_named(self, address: Address) -> Address | None:
        """Return the last address of the rule that names *address* or its block, at any port."""
        if address in self._addresses:
            return address
        for block, _, _ in self._blocks:
            if address in block:
                return block.broadcast_address
        return None


def _inside_special(block: Network) -> bool:
    return any(
        block.version == range_.version and block.subnet_of(range_)  # type: ignore[arg-type]
        for _, range_ in SPECIAL
    )


def _has(rule: NetRule, port: int) -> bool:
    return rule.everything or any(low <= port <= high for low, high in rule.ports)


def _is_host_label(label: str) -> bool:
    return (
        0 < len(label) <= 63
        and _WILDCARD_LABEL.issuperset(label)
        and label[0] != "-"
        and label[-1] != "-"
    )
