"""Returns who a request comes from: the address of its connection, or what a proxy that the policy trusts says of it. Pure.

X-Forwarded-For grows to the right: each proxy adds the address that it has seen. What a client itself wrote stands
further left, so the last address that is no trusted proxy's is the only one that can be believed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED_FOR_BYTES: Final = 1024  # kept of its earlier lines
LOOKED_AT_HOPS: Final = 16  # of X-Forwarded-For, from its end


@final
class Proxies:
    """The proxies are networks whose X-Forwarded-For is believed."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[Any] = [ipaddress.ip_network(network, strict=False) for network in networks]

    def client(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Returns the address of a request's client. `peer` is who has connected."""
        said = headers.get(FORWARDED_FOR)
        if said is None or not self._trusts(peer):
            return peer
        believed = peer
        for hop in reversed(said.rsplit(b",", LOOKED_AT_HOPS)[-LOOKED_AT_HOPS:]):
            address = _address_in(hop)
            if not address:
                break
            believed = address
            if not self._trusts(address):
                break
        return believed

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def client_of(proxies: Proxies | None, peer: str, headers: Mapping[bytes, bytes]) -> str:
    """Returns the address of a request's client. `proxies` is None if nobody's X-Forwarded-For is believed."""
    return peer if proxies is None else proxies.client(peer, headers)


def peer_of(name: Any) -> str:
    """Returns the address of a connection's other side, from what `getpeername` gives. IPv4 inside IPv6 becomes IPv4."""
    return plain(str(name[0])) if isinstance(name, tuple | list) and name else ""


def plain(address: str) -> str:
    """Returns an address without its zone; that of an IPv4 client on a socket for both families as IPv4."""
    address = address.partition("%")[0]
    return address[7:] if address.lower().startswith("::ffff:") and "." in address else address


def _address_in(hop: bytes) -> str:
    """Returns the address in one entry (`192.0.2.7`, `192.0.2.7:1234`, `[2001:db8::1]:1234`); empty if there is none."""
    if len(hop) > 64:
        return ""
    text = hop.decode("latin-1").strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = plain(text)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
