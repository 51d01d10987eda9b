"""Returns whose a request is: the key by which what is scarce is shared among clients. Pure."""

from __future__ import annotations

import ipaddress
from typing import final


@final
class Peer:
    """A peer is the other side of a client's connection: `address`, and `origin`, whose share the connection takes.

    Both are empty until the connection is made.
    """

    __slots__ = ("address", "origin")

    def __init__(self) -> None:
        self.address = ""
        self.origin = ""

    def is_at(self, address: str) -> None:
        """Takes the address: the connection is made."""
        self.address = address
        self.origin = origin_of(address)


def origin_of(address: str) -> str:
    """Names the client behind a network address, as far as one can tell: by the address itself.

    With IPv6 it is the network of 64 bits, all of whose addresses one machine may use (RFC 4291, 2.5.1; RFC 7721).
    """
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    if mapped is not None:
        return str(mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
