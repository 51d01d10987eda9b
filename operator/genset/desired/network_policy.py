"""NetworkPolicies say who may talk to engines and routers, and whom they may talk to.

An engine's port carries its whole API without a key, so only routers of the namespace, the operator's completion and,
if it is named, monitoring get in. Engines may talk to nobody: a model cannot phone home. The way out that a download
needs is a policy of its own, for pods that carry the label `genset.dev/downloading`; the operator takes the label off
once the weights are there. Everything is selected by labels that only genset sets. Policies add up: whoever needs more
writes one beside ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from genset import kinds, names
from genset.addresses import is_url
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import metadata
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.egress import Destination, Outside, dns, rules, tcp
from genset.desired.servers import backend_url, site_proxy
from genset.desired.weights import weights
from genset.desired.workload import pod_template
from genset.engines import managed_engine_of
from genset.engines.base import Object

_HTTPS = 443  # where hubs redirect to, on hosts that nobody knows before
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def for_engine(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the policy of a ModelDeployment's pods; None if somebody else writes the cluster's policies."""
    settings = context.settings
    if not settings.network_policies:
        return None
    name = resource.metadata.name
    operator = _operator(settings)
    ingress: list[Object] = [
        {"from": [_made_for(names.COMPONENT_ROUTER, names.LABEL_ROUTE_POLICY)], "ports": tcp(names.ENGINE_PORT)},
        {"from": [operator], "ports": tcp(names.ENGINE_PORT, names.WEIGHTS_PORT)},
    ]
    if settings.monitoring_namespace_labels:
        ingress.append({"from": [_monitoring(settings)], "ports": tcp(names.ENGINE_PORT)})
    spec: Object = {
        "podSelector": {"matchLabels": metadata.engine_selector(name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
    }
    return metadata.engine_child(resource, kinds.NETWORK_POLICY, name, spec=spec)


def for_download(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the policy of pods that download: names, the source, and where a hub's redirects lead; None without any."""
    settings = context.settings
    if not settings.network_policies:
        return None
    name, egress = resource.metadata.name, _way_to_sources(resource, settings)
    if not egress:
        return None
    selector = {**metadata.engine_selector(name), names.LABEL_DOWNLOADING: names.DOWNLOADING}
    spec: Object = {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Egress"],
        "egress": egress,
    }
    return metadata.engine_child(resource, kinds.NETWORK_POLICY, metadata.download_policy(name), spec=spec)


def for_prefetch(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the policy of the pod that fetches ahead: the operator asks for its progress, and it reaches the sources."""
    settings = context.settings
    if not settings.network_policies or not resource.spec.prefetch:
        return None
    name, egress = resource.metadata.name, _way_to_sources(resource, settings)
    if not egress:
        return None
    spec: Object = {
        "podSelector": {"matchLabels": metadata.prefetch_selector(name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [_operator(settings)], "ports": tcp(names.WEIGHTS_PORT)}],
        "egress": egress,
    }
    return metadata.engine_child(resource, kinds.NETWORK_POLICY, metadata.prefetch_policy(name), spec=spec)


def _way_to_sources(resource: ModelDeployment, settings: Settings) -> list[Object]:
    """Returns the rules that a download needs; none if nothing is downloaded."""
    addresses = weights(resource, settings).addresses
    if not addresses:
        return []
    sources = [Destination.of(address) for address in addresses]
    site = settings.place.site.proxies
    proxies = filter(None, (*_proxies(resource, settings), site.http, site.https))
    servers = [*sources, *(Destination.of(url) for url in proxies)]
    if any(source.outside for source in sources):
        servers.append(Destination("", _HTTPS, outside=True))
    return [dns(settings), *rules(servers, Outside.of(settings))]


def for_router(resource: RoutePolicy, context: RoutePolicyContext) -> Object | None:
    """Makes the policy of a RoutePolicy's router pods; None if somebody else writes the cluster's policies."""
    settings = context.settings
    if not settings.network_policies:
        return None
    name, router = resource.metadata.name, resource.spec.router
    clients: Object = {"ports": tcp(names.ROUTER_PORT)}
    if router.allowed_clients:
        clients["from"] = router.allowed_clients
    admin: Object = {"ports": tcp(names.ROUTER_ADMIN_PORT)}
    admin["from"] = [_operator(settings), _monitoring(settings)]
    engines: Object = {
        "to": [_made_for(names.COMPONENT_ENGINE, names.LABEL_MODEL_DEPLOYMENT)],
        "ports": tcp(names.ENGINE_PORT),
    }
    servers = [Destination.of(url) for _, url in servers_of(resource, context)]
    return metadata.router_child(
        resource,
        kinds.NETWORK_POLICY,
        metadata.router(name),
        spec={
            "podSelector": {"matchLabels": metadata.router_selector(name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [clients, admin],
            "egress": [dns(settings), engines, *rules(servers, Outside.of(settings, router.egress))],
        },
    )


def _proxies(resource: ModelDeployment, settings: Settings) -> Iterator[str]:
    """Yields the proxies that the download is told of, as far as they are written down and not kept in a Secret."""
    engine = managed_engine_of(resource)
    if engine is None:
        return
    for container in pod_template(resource, engine, settings)["spec"].get("initContainers") or ():
        if not isinstance(container, dict) or container.get("name") != names.WEIGHTS_CONTAINER:
            continue
        for variable in container.get("env") or ():
            if isinstance(variable, dict) and str(variable.get("name")).lower() in _PROXIES and variable.get("value"):
                value = re.sub("^([a-z]+://)?([^/]*@)?", r"http://", str(variable["value"]))
                if is_url(value):
                    yield value


def servers_of(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[tuple[str, str]]:
    """Yields (field, URL) of everything that routers dial beside engines: servers elsewhere or the proxies before them,
    and the traces' collector."""
    for backend in resource.spec.backends:
        at = f"spec.backends[{backend.name}]"
        url = backend_url(backend, context)
        if backend.cloud is not None and backend.cloud.proxy is not None:
            yield f"{at}.cloud.proxy.url", backend.cloud.proxy.url
        elif url is not None:
            field = f"{at}.{'cloud.baseURL' if backend.cloud is not None else 'deployment'}"
            proxy = site_proxy(url, context.settings)
            yield (f"{field} (by the site's proxy)", proxy) if proxy else (field, url)
    if resource.spec.router.telemetry is not None:
        yield "spec.router.telemetry.otlpEndpoint", resource.spec.router.telemetry.otlp_endpoint


def _made_for(component: str, owner: str) -> Object:
    """Returns, as a peer, the pods of the namespace that genset made for resources of one kind."""
    own = [{"key": owner, "operator": "Exists"}]
    return {"podSelector": {"matchExpressions": own, "matchLabels": {names.LABEL_COMPONENT: component}}}


def _operator(settings: Settings) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}},
        "podSelector": {"matchLabels": {names.LABEL_OPERATOR: names.OPERATOR}},
    }


def _monitoring(settings: Settings) -> Object:
    labels = dict(settings.monitoring_namespace_labels)
    return {"namespaceSelector": {"matchLabels": labels} if labels else {}}
