"""An own address is a URL that names this router itself, in any spelling; this module recognises it without a look-up.

What only DNS knows is found by the header `x-genset-hops` when the first request comes back.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from genset import names, off_limits
from genset.addresses import is_service
from genset.contracts.router_config import PolicyRef
from genset.off_limits import IPAddress
from genset.router.http.callers import plain

IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"  # set in every pod


def is_own(url: str, listen: tuple[str, int], port: int, policy: PolicyRef, environment: Mapping[str, str]) -> bool:
    """Returns whether a URL names this router itself.

    `listen` is where the router listens or is going to, `port` the port that it has got, 0 if none yet.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    at = parts.port or (443 if parts.scheme == "https" else 80)
    service = f"{policy.name}{names.ROUTER_SUFFIX}"
    if IN_CLUSTER in environment and is_service(url, service, policy.namespace):
        return True  # on any port: the Service has one, and the policy says which
    return at in (port, listen[1]) and _is_here(host, listen[0], environment)


def address_of(host: str) -> IPAddress | None:
    """Returns the address that a host stands for; None for a name.

    IPv4 may be one number, hexadecimal, octal or short, as the system's resolver reads it (inet_aton(3)).
    """
    return off_limits.address_of(plain(host))


def _is_here(host: str, listening: str, environment: Mapping[str, str]) -> bool:
    """Returns whether a connection to `host` reaches what listens at `listening`."""
    if host == listening.rstrip(".").lower():
        return True
    listens = address_of(listening) if listening else ipaddress.IPv4Address(0)
    everywhere = listens is not None and listens.is_unspecified
    locally = everywhere or listening in off_limits.LOOPBACK_NAMES or (listens is not None and listens.is_loopback)
    address = _mapped(address_of(host))
    if address is None:
        if host in off_limits.LOOPBACK_NAMES or host.endswith(".localhost"):
            return locally
        return everywhere and host in {name.lower() for name in (socket.gethostname(), environment.get("HOSTNAME", ""))}
    if address.is_unspecified or address.is_loopback:  # a connection to 0.0.0.0 reaches 127.0.0.1
        return locally
    return address == _mapped(listens) or (everywhere and _is_of_this_machine(address))


def _mapped(address: IPAddress | None) -> IPAddress | None:
    """Returns the IPv4 address inside an IPv6 address; any other address as it is."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_of_this_machine(address: IPAddress) -> bool:
    """Returns whether a packet to this address would be sent from it, as the routes say. Nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ipaddress.ip_address(plain(str(probe.getsockname()[0]))) == address
    except OSError:
        return False
