"""Some addresses are off limits for servers that a resource names: they lead into the pod itself, to its node, to the
cloud's metadata service, or to the API server.

A router runs where its namespace's network policies let it, but no policy keeps a pod from its own loopback, and few from
the metadata service. So the operator refuses such an address that it can read, and the router one that DNS gives it. Pure.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

#: For every cluster. Sources: RFC 6890 (special-purpose addresses), the clouds' documentation of instance metadata.
NETWORKS: Final = (
    "0.0.0.0/8",  # this host: a connection to 0.0.0.0 reaches 127.0.0.1
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local, with the metadata service of most clouds
    "224.0.0.0/3",  # multicast, reserved, broadcast
    "100.100.100.200/32",  # metadata of Alibaba Cloud
    "168.63.129.16/32",  # Azure's platform service
    "192.0.0.192/32",  # metadata of Oracle Cloud
    "::/127",  # unspecified and loopback
    "fe80::/10",  # link-local
    "fec0::/10",  # site-local
    "ff00::/8",  # multicast
    "fd00:ec2::254/128",  # metadata of AWS
    "fd20:ce::254/128",  # metadata of Google Cloud
)
#: Prefixes of IPv6 that hold an IPv4 address, and the bits behind it: mapped, compatible, NAT64 (RFC 6052), 6to4.
_CARRIERS: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
LOOPBACK_NAMES: Final = frozenset(("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"))
_NUMBER: Final = re.compile(r"0[xX][0-9A-Fa-f]{1,8}|0[0-7]*|[1-9][0-9]{0,9}")


class OffLimits:
    """These are the networks in which no server that a resource names may be, and hosts that no server may be.

    `hosts` are names or addresses of the API server.
    """

    __slots__ = ("_hosts", "_lets_loopback", "_networks")

    def __init__(self, networks: Iterable[str] = NETWORKS, hosts: Iterable[str] = ()) -> None:
        self._lets_loopback = False
        named = {host: address_of(host) for host in hosts}
        self._hosts = frozenset(host.lower().rstrip(".") for host, address in named.items() if address is None)
        self._networks = (
            *(ipaddress.ip_network(network, strict=False) for network in networks),
            *(ipaddress.ip_network(address) for address in named.values() if address is not None),
        )

    def but_loopback(self) -> OffLimits:
        """Returns the same, with the machine itself allowed."""
        found = copy.copy(self)
        found._lets_loopback = True
        return found

    def holds(self, address: str) -> bool:
        """Returns whether an address, as DNS gives it, lies in one of them; also one of IPv4 inside one of IPv6."""
        found = address_of(address)
        return found is not None and any(self._covers(one) for one in _meant(found))

    def names(self, host: str) -> bool:
        """Returns whether a host is such an address in any spelling, or a name that may not be used."""
        name = host.lower().rstrip(".")
        return name in self._hosts or (is_loopback(name) and self.holds("127.0.0.1")) or self.holds(name)

    def _covers(self, address: IPAddress) -> bool:
        if self._lets_loopback and address.is_loopback:
            return False
        return any(address.version == network.version and address in network for network in self._networks)


def is_loopback(host: str) -> bool:
    """Returns whether a host means the machine itself, by name or address."""
    name = host.lower().rstrip(".")
    if name in LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    found = address_of(name)
    return found is not None and any(one.is_loopback for one in _meant(found))


def address_of(host: str) -> IPAddress | None:
    """Returns the address that a host stands for; None for a name.

    IPv4 may be one number, hexadecimal, octal or short, as the system's resolver reads it (inet_aton(3)).
    """
    text = host.partition("%")[0].strip("[]")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return _by_numbers(text.split("."))


def _by_numbers(parts: Sequence[str]) -> IPAddress | None:
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    *first, last = [int(part, 16 if part[:2] in ("0x", "0X") else 8 if part[0] == "0" else 10) for part in parts]
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return ipaddress.IPv4Address(sum(number << (24 - 8 * at) for at, number in enumerate(first)) + last)


def _meant(address: IPAddress) -> list[IPAddress]:
    """Returns the address, and the one of IPv4 inside it."""
    found = [address]
    if isinstance(address, ipaddress.IPv6Address):
        for carrier, behind in _CARRIERS:
            if address in carrier and int(address) > 1:
                found.append(ipaddress.IPv4Address(int(address) >> behind & 0xFFFFFFFF))
    return found
