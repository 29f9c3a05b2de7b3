"""Addresses near to the engine's machine: a run reaches them only if a rule names them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

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
    # These give credentials of the machine to everybody who asks.  Most others are link-local.
    ("a metadata address of a cloud", IPv6Network("fd00:ec2::/32")),  # AWS
    ("a metadata address of a cloud", IPv6Network("fd20:ce::254/128")),  # Google
    ("a metadata address of a cloud", IPv4Network("168.63.129.16/32")),  # Azure
    ("a metadata address of a cloud", IPv4Network("100.100.100.200/32")),  # Alibaba
    ("a metadata address of a cloud", IPv4Network("192.0.0.192/32")),  # Oracle
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


def inside_special(block: Network) -> bool:
    """Whether all addresses of a block need a rule of their own."""
    return any(
        block.version == range_.version and block.subnet_of(range_)  # type: ignore[arg-type]
        for _, range_ in SPECIAL
    )
