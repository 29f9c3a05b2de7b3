"""Decides which names and addresses a run may reach.  It knows rules and no sockets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from protocol.near_addresses import Address, Network, inside_special, special
from protocol.net_rules import NetRule

LOCALHOST: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

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
            self._blocks.append((block, inside_special(block), rule))
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


def _has(rule: NetRule, port: int) -> bool:
    return rule.everything or any(low <= port <= high for low, high in rule.ports)


def _is_host_label(label: str) -> bool:
    return (
        0 < len(label) <= 63
        and _WILDCARD_LABEL.issuperset(label)
        and label[0] != "-"
        and label[-1] != "-"
    )
