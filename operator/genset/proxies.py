"""Says which hosts are reached without a proxy: NO_PROXY as clusters write it, address ranges among its entries. Pure."""

from __future__ import annotations

import ipaddress
import re

from genset.addresses import host_and_port


def bypasses(host: str, port: int | None, no_proxy: str) -> bool:
    """Returns whether NO_PROXY names a host: `*`, names with their subdomains, addresses, ranges, each with or without
    port."""
    host = host.rstrip(".").lower()
    entries = [entry for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry]
    return any(entry == "*" or _names(entry, host, port) for entry in entries)


def _names(entry: str, host: str, port: int | None) -> bool:
    at = host_and_port(entry)
    name, wanted = at if at is not None else (entry.strip("[]"), port)
    if wanted != port:
        return False
    try:
        network = ipaddress.ip_network(name, strict=False)
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.version == network.version and address in network
