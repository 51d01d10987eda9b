"""What a policy's NetworkPolicy keeps its own routers from is told: the network alone would only let requests time out."""

from __future__ import annotations

from collections.abc import Iterator

from genset.api import routepolicy
from genset.api.routepolicy import RoutePolicy
from genset.desired.context import RoutePolicyContext
from genset.desired.egress import Destination, Outside
from genset.desired.network_policy import servers_of
from genset.status.observed import Problem


def problems(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    """Yields a problem for each server that the routers' NetworkPolicy keeps them from."""
    settings, egress = context.settings, resource.spec.router.egress
    if not settings.network_policies:
        yield from _not_enforced(resource)
        return
    outside = Outside.of(settings, egress)
    for field, url in servers_of(resource, context):
        server, fault = Destination.of(url), ""
        if server.namespaces and not server.outside:
            continue
        if not outside.open_at(server.port):
            fault = f"port {server.port} is none of spec.router.egress.ports: add it"
        elif server.address is not None and egress is not None and egress.cidrs and not outside.holds(server.address):
            fault = f"{server.host} is in none of spec.router.egress.cidrs: add its network"
        elif server.address is not None and outside.is_cluster(server.address):
            fault = (
                f"{server.host} is one of the cluster's own addresses (networkPolicies.clusterCIDRs), which routers may "
                "not reach by address: name a Service, as http://NAME.NAMESPACE.svc:PORT"
            )
        if fault:
            yield Problem(routepolicy.Reason.INVALID_SPEC, f"{field}: {fault}", field)


def _not_enforced(resource: RoutePolicy) -> Iterator[Problem]:
    """Yields a problem for each bound that nobody would keep: who writes it relies on it."""
    router = resource.spec.router
    for name, given in (("allowedClients", router.allowed_clients), ("egress", router.egress)):
        if given:
            field = f"spec.router.{name}"
            yield Problem(
                routepolicy.Reason.INVALID_SPEC,
                f"{field} has no effect, because this operator makes no NetworkPolicies (networkPolicies.enabled of the "
                "chart): remove it and write a policy of your own, or have them turned on",
                field,
            )
