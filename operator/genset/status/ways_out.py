"""What a policy's NetworkPolicy keeps its own routers from is told: the network alone would only let requests time out."""

from __future__ import annotations

from collections.abc import Iterator

from genset.api import routepolicy
from genset.api.routepolicy import RoutePolicy
from genset.desired import proxies
from genset.desired.context import RoutePolicyContext
from genset.desired.egress import Destination, Outside
from genset.desired.network_policy import servers_of
from genset.desired.servers import cloud_url
from genset.status.problem import Problem


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


def warnings(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[Problem]:
    """Yields what keeps the policy's proxy from being the only way out, or from being one at all."""
    egress, settings = resource.spec.egress, context.settings
    if egress is None or egress.proxy is None:
        return
    servers, at = list(servers_of(resource, context)), "spec.egress.proxy"
    clouds = (one.cloud for one in resource.spec.backends if one.cloud is not None and one.cloud.proxy is None)
    waits = any(
        proxies.policy_proxy(cloud_url(cloud), resource, settings) for cloud in clouds
    )  # for zones that allow it
    if proxies.FIELD not in dict(servers) and not waits:
        told = f"{at} has no effect, because nothing that the routers ask is behind it: take it out"
        yield Problem(routepolicy.Reason.WITHOUT_EFFECT, told, at)
    bound = resource.spec.router.egress is not None and resource.spec.router.egress.cidrs
    if bound or not settings.network_policies:
        return
    for field, url in servers:
        server = Destination.of(url)
        if server.outside and not field.startswith(at) and not field.endswith(".cloud.proxy.url"):
            yield Problem(
                routepolicy.Reason.WAY_OUT_OPEN,
                f"{field}: {server.host} is not behind {at}, and NetworkPolicies know no names, so routers can reach every "
                f"address at port {server.port}: name it by its address, or its network in spec.router.egress.cidrs",
                field,
            )


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
