"""Ways out are rules of NetworkPolicies that say whom pods may reach: each rule names peers and ports, never everything.

A URL becomes a rule by how it names its server. An address is that address; a Service is known by its namespace, because
policies see its pods and not itself; any other host is outside the cluster: the networks that the policy names, or every
address but those of the cluster and those that are off limits for every resource, at the port that the URL says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from genset.addresses import Network, is_inside, server_of
from genset.api.egress import RouterEgress
from genset.desired.context import Settings
from genset.engines.base import Object
from genset.off_limits import NETWORKS

_EVERY = ("0.0.0.0/0", "::/0")
_NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Outside:
    """The outside is which networks, at which ports, count as outside of the cluster."""

    networks: tuple[Network, ...]
    ports: frozenset[int]  # empty: whatever URLs name
    closed: tuple[Network, ...]  # inside `networks`, and not to be reached
    cluster: tuple[Network, ...] = ()  # the cluster's own among them

    @classmethod
    def of(cls, settings: Settings, egress: RouterEgress | None = None) -> Outside:
        """Returns what the operator's settings and a policy's `router.egress` leave open."""
        return cls(
            networks=tuple(network(cidr) for cidr in (egress.cidrs if egress else ()) or _EVERY),
            ports=frozenset(egress.ports if egress else ()),
            closed=tuple(network(cidr) for cidr in (*NETWORKS, *settings.cluster_cidrs)),
            cluster=tuple(network(cidr) for cidr in settings.cluster_cidrs),
        )

    @property
    def peers(self) -> list[Object]:
        """Returns the networks as peers of a rule."""
        return [_block(one, self.closed) for one in self.networks if not any(is_inside(c, one) for c in self.closed)]

    def takes(self, address: Network) -> bool:
        """Returns whether an address is in it."""
        return self.holds(address) and not any(is_inside(one, address) for one in self.closed)

    def holds(self, address: Network) -> bool:
        """Returns whether an address is in one of its networks, closed or not."""
        return any(is_inside(one, address) for one in self.networks)

    def is_cluster(self, address: Network) -> bool:
        """Returns whether an address is the cluster's own."""
        return any(is_inside(one, address) for one in self.cluster)

    def open_at(self, port: int) -> bool:
        """Returns whether a port is one of its ports."""
        return not self.ports or port in self.ports


@dataclass(frozen=True)
class Destination:
    """A destination is what a URL says of where its requests go: one of address, namespaces and outside is given."""

    host: str
    port: int
    address: Network | None = None
    namespaces: tuple[str, ...] = ()  # of a Service; "" is the pods' own
    outside: bool = False

    @classmethod
    def of(cls, url: str) -> Destination:
        """Reads a URL. A name of two parts may be a Service and its namespace, or a host: without TLS it counts as both."""
        host, port = server_of(url)
        if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
            host = "127.0.0.1"
        try:
            address = ip_address(host)
        except ValueError:
            labels = tuple(host.split("."))
            if len(labels) == 1:
                return cls(host, port, namespaces=("",))
            if labels[2:3] == ("svc",):
                return cls(host, port, namespaces=(labels[1],))
            mixed = len(labels) == 2 and not url.startswith("https:")
            return cls(host, port, namespaces=labels[1:] if mixed else (), outside=True)
        address = getattr(address, "ipv4_mapped", None) or address  # policies take the address that is really dialled
        return cls(host, port, address=network(f"{address}/{address.max_prefixlen}"))


def rules(servers: Iterable[Destination], outside: Outside) -> list[Object]:
    """Returns the rules that let pods reach the servers: equal servers, in whichever order, give equal rules."""
    addresses: set[tuple[str, int]] = set()
    namespaces: set[str] = set()
    ports: set[int] = set()
    for server in servers:
        namespaces.update(server.namespaces)
        if server.outside and outside.open_at(server.port):
            ports.add(server.port)
        if server.address is not None and outside.takes(server.address) and outside.open_at(server.port):
            addresses.add((str(server.address), server.port))
    made = [_rule([_pods_of(name)], [{"protocol": "TCP"}]) for name in sorted(namespaces)]
    made += [_rule([{"ipBlock": {"cidr": cidr}}], tcp(port)) for cidr, port in sorted(addresses)]
    if ports and outside.peers:
        made.append(_rule(outside.peers, tcp(*sorted(ports))))
    return made


def dns(settings: Settings) -> Object:
    """Returns the rule that lets pods ask for names, where the cluster's DNS servers are: in pods, or on nodes."""
    ports = [{"port": port, "protocol": protocol} for port in settings.dns_ports for protocol in ("UDP", "TCP")]
    nodes = settings.dns_networks or _EVERY
    return _rule([{"namespaceSelector": {}}, *({"ipBlock": {"cidr": str(network(cidr))}} for cidr in nodes)], ports)


def tcp(*ports: int) -> list[Object]:
    """Returns ports of a rule."""
    return [{"port": port, "protocol": "TCP"} for port in ports]


def network(cidr: str) -> Network:
    """Returns the network of an address in it, as policies must name it."""
    return ip_network(cidr, strict=False)


def _rule(peers: list[Object], ports: list[Object]) -> Object:
    return {"to": peers, "ports": ports}


def _pods_of(namespace: str) -> Object:
    """Returns the pods of a namespace as a peer, on any port: only the Service knows the one behind its own."""
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE: namespace}}} if namespace else {"podSelector": {}}


def _block(one: Network, closed: Iterable[Network]) -> Object:
    inside = sorted({str(c) for c in closed if is_inside(one, c) and c != one})
    return {"ipBlock": {"cidr": str(one), **({"except": inside} if inside else {})}}
