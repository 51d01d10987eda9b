"""NetworkPolicies say who may talk to engines and routers, and whom they may talk to.

An engine's port carries its whole API without a key, so only routers of the namespace, the operator's completion and,
if it is named, monitoring get in. Engines that download nothing may talk to nobody: a model cannot phone home. If a
source is downloaded, egress is open, because policies see ports after translation and hubs redirect to other hosts.
Policies add up: whoever needs more writes one beside ours.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from genset import kinds, names
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import metadata
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.engines import managed_engine_of
from genset.engines.base import Object

_ALL: Object = {}  # a rule without peers and ports


def for_engine(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the policy of a ModelDeployment's pods; None if somebody else writes the cluster's policies."""
    settings = context.settings
    if not settings.network_policies:
        return None
    name = resource.metadata.name
    operator = _operator(settings)
    ingress: list[Object] = [
        {"from": [{"podSelector": {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_ROUTER}}}],
         "ports": _tcp(names.ENGINE_PORT)},
        {"from": [operator], "ports": _tcp(names.ENGINE_PORT, names.WEIGHTS_PORT)},
    ]  # fmt: skip
    if settings.monitoring_namespace_labels:
        ingress.append({"from": [_monitoring(settings)], "ports": _tcp(names.ENGINE_PORT)})
    spec: Object = {
        "podSelector": {"matchLabels": metadata.engine_selector(name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
    }
    if _downloads(resource):
        spec["egress"] = [_ALL]
    return metadata.engine_child(resource, kinds.NETWORK_POLICY, name, spec=spec)


def for_router(resource: RoutePolicy, context: RoutePolicyContext) -> Object | None:
    """Makes the policy of a RoutePolicy's router pods; None if somebody else writes the cluster's policies."""
    settings = context.settings
    if not settings.network_policies:
        return None
    name = resource.metadata.name
    clients: Object = {"ports": _tcp(names.ROUTER_PORT)}
    if resource.spec.router.allowed_clients:
        clients["from"] = resource.spec.router.allowed_clients
    admin: Object = {"ports": _tcp(names.ROUTER_ADMIN_PORT)}
    admin["from"] = [_operator(settings), _monitoring(settings)]
    return metadata.router_child(
        resource,
        kinds.NETWORK_POLICY,
        metadata.router(name),
        spec={
            "podSelector": {"matchLabels": metadata.router_selector(name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [clients, admin],
            "egress": [_ALL] if _leaves_cluster(resource, context) else [*_inside(settings), *_collector(resource)],
        },
    )


def _downloads(resource: ModelDeployment) -> bool:
    source = resource.spec.source
    return source is not None and source.block.downloaded


def _leaves_cluster(resource: RoutePolicy, context: RoutePolicyContext) -> bool:
    """Returns whether a backend is a cloud or a server elsewhere: hosts by name, which no policy can select."""
    for backend in resource.spec.backends:
        if backend.cloud is not None:
            return True
        found = context.deployments.get(backend.deployment.name) if backend.deployment else None
        if found is not None and managed_engine_of(found) is None:
            return True
    return False


def _inside(settings: Settings) -> list[Object]:
    dns = [{"port": port, "protocol": protocol} for port in settings.dns_ports for protocol in ("UDP", "TCP")]
    return [
        {"ports": dns},
        {"to": [{"podSelector": {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_ENGINE}}}],
         "ports": _tcp(names.ENGINE_PORT)},
    ]  # fmt: skip


def _collector(resource: RoutePolicy) -> list[Object]:
    """Lets pods reach the traces' collector.

    A Service is known by its name, COLLECTOR or COLLECTOR.NAMESPACE.svc: its pods are somewhere in that namespace, on a
    port that only its translation knows. Any other host is known by its address, or by its port alone.
    """
    telemetry = resource.spec.router.telemetry
    if telemetry is None:
        return []
    url = urlsplit(telemetry.otlp_endpoint)
    host = url.hostname or ""
    port = _tcp(url.port or (443 if url.scheme == "https" else 80))
    try:
        address = ip_address(host)
    except ValueError:
        labels = host.rstrip(".").split(".")
        if len(labels) == 1:
            return [{"to": [{"podSelector": {}}]}]
        if labels[2:3] == ["svc"]:
            return [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": labels[1]}}}]}]
        return [{"ports": port}]
    return [{"to": [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}], "ports": port}]


def _operator(settings: Settings) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}},
        "podSelector": {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_OPERATOR}},
    }


def _monitoring(settings: Settings) -> Object:
    labels = dict(settings.monitoring_namespace_labels)
    return {"namespaceSelector": {"matchLabels": labels} if labels else {}}


def _tcp(*ports: int) -> list[Object]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
