"""In an engine's pod the puller dials no address that is off limits, whatever a resource, a redirect or DNS says.

Its pod stands inside the cluster, with a policy that lets it out. Where somebody runs it by hand, nothing is off limits.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.off_limits import NETWORKS, OffLimits
from genset.weights.failure import WeightsFailure

_API_SERVER = "KUBERNETES_SERVICE_HOST"  # its address, set in every pod


def guard_of(spec: FetchSpec, environ: Mapping[str, str] = os.environ) -> OffLimits | None:
    """Returns what may not be dialled; None if everything may."""
    if not spec.guarded:
        return None
    networks = filter(None, spec.forbidden_networks.split(","))
    return OffLimits((*NETWORKS, *networks), filter(None, [environ.get(_API_SERVER)]))


def guarded(transport: Any, off_limits: OffLimits) -> Any:
    """Has a transport of httpx or httpx2 dial only what may be dialled; their connection pools take no other way to it."""
    pool = transport._pool
    pool._network_backend = Guarded(pool._network_backend, off_limits)
    return transport


def forbidden(host: str) -> WeightsFailure:
    """Says that a host is off limits."""
    return WeightsFailure(
        Reason.SOURCE_UNREACHABLE,
        f"{host} is no address that pods may dial for a resource (loopback, link-local, metadata of the cloud, API server): "
        "name a server that is meant for downloads",
    )


class Guarded:
    """This is the network of httpcore. What it dials is the address that was looked at: no name is resolved again."""

    def __init__(self, network: Any, off_limits: OffLimits) -> None:
        self._network = network
        self._off_limits = off_limits

    def connect_tcp(self, host: str, port: int, *args: Any, **settings: Any) -> Any:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:  # its own words are those that everybody knows
            return self._network.connect_tcp(host, port, *args, **settings)
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        allowed = [address for address in addresses if not self._off_limits.holds(address)]
        if not allowed or self._off_limits.names(host):
            raise forbidden(host)
        for address in allowed[:-1]:
            try:
                return self._network.connect_tcp(address, port, *args, **settings)
            except Exception:
                continue
        return self._network.connect_tcp(allowed[-1], port, *args, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)
