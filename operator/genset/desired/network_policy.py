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
from genset.desired import metadata, prefetch, proxies
from genset.desired.access import shares_limits
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.data_zones import reachable
from genset.desired.egress import Destination, Outside, dns, rules, tcp
from genset.desired.servers import backend_url, cloud_url, providers_own, site_proxy
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
    # The port of a server that can sleep has calls for developers, too, which run code: nobody scrapes it.
    if settings.monitoring_namespace_labels and not resource.spec.sleeps:
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
    selector: Object = {"matchLabels": metadata.engine_selector(name)}
    if resource.spec.nodes > 1:
        selector = metadata.every_selector(name)
    selector = {**selector, "matchLabels": {**selector["matchLabels"], names.LABEL_DOWNLOADING: names.DOWNLOADING}}
    spec: Object = {
        "podSelector": selector,
        "policyTypes": ["Egress"],
        "egress": egress,
    }
    return metadata.engine_child(resource, kinds.NETWORK_POLICY, metadata.download_policy(name), spec=spec)


def for_group(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the policy of pods that are one server together: they reach each other, at ports of their own choice, and names.

    Nobody else reaches a worker but the operator, which asks how far its download is: what they say to each other is not
    protected, and runs code (vllm docs/usage/security.md).
    """
    settings = context.settings
    if not settings.network_policies or resource.spec.nodes == 1:
        return None
    name = resource.metadata.name
    group: Object = {"podSelector": metadata.every_selector(name)}
    spec: Object = {
        "podSelector": metadata.every_selector(name),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [group]}, {"from": [_operator(settings)], "ports": tcp(names.WEIGHTS_PORT)}],
        "egress": [dns(settings), {"to": [group]}],
    }
    return metadata.engine_child(resource, kinds.NETWORK_POLICY, metadata.group_policy(name), spec=spec)


def for_prefetch(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the policy of the pod that fetches ahead: the operator asks for its progress, and it reaches the sources."""
    settings = context.settings
    if not settings.network_policies or not prefetch.is_wanted(resource):
        return None
    name, egress = resource.metadata.name, _way_to_sources(resource, settings, ahead=True)
    if not egress:
        return None
    spec: Object = {
        "podSelector": {"matchLabels": metadata.prefetch_selector(name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [_operator(settings)], "ports": tcp(names.WEIGHTS_PORT)}],
        "egress": egress,
    }
    return metadata.engine_child(resource, kinds.NETWORK_POLICY, metadata.prefetch_policy(name), spec=spec)


def _way_to_sources(resource: ModelDeployment, settings: Settings, *, ahead: bool = False) -> list[Object]:
    """Returns the rules that a download needs; none if nothing is downloaded."""
    addresses = weights(resource, settings, ahead=ahead).addresses
    if not addresses:
        return []
    sources = [Destination.of(address) for address in addresses]
    site = settings.place.site.proxies
    before = filter(None, (*_proxies(resource, settings), site.http, site.https))
    servers = [*sources, *(Destination.of(url) for url in before)]
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
    admin["from"] = [_operator(settings), _console(settings), _monitoring(settings)]
    peers: list[Object] = []
    if shares_limits(resource):
        own: Object = {"podSelector": {"matchLabels": metadata.router_selector(name)}}
        admin["from"].append(own)
        peers.append({"to": [own], "ports": tcp(names.ROUTER_ADMIN_PORT)})
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
            "egress": [
                dns(settings),
                engines,
                *peers,
                *_ledger(settings),
                *rules(servers, Outside.of(settings, router.egress)),
            ],
        },
    )


def _ledger(settings: Settings) -> list[Object]:
    """Returns the way to the ledger: to its pods if it is a Service, else as to any server.

    Whatever a policy says of its own ways out, this one is the administrator's.
    """
    ledger = settings.place.site.ledger
    if ledger is None:
        return []
    at = Destination.of(ledger.url)
    if len(at.namespaces) != 1 or at.outside:
        return rules([at], Outside.of(settings))
    pods: Object = {"podSelector": {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_LEDGER}}}
    if at.namespaces[0]:
        pods["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": at.namespaces[0]}}
    return [{"to": [pods], "ports": tcp(names.LEDGER_PORT)}]


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
    """Yields (field, URL) of everything that routers dial beside engines: servers elsewhere and the traces'
    collector, or the proxies before them."""
    settings, asked = context.settings, reachable(resource, context.settings)
    for backend in resource.spec.backends:
        if backend.name not in asked or providers_own(backend, resource, context) is not None:
            continue
        at, cloud = f"spec.backends[{backend.name}]", backend.cloud
        if cloud is None:
            if (url := backend_url(backend, context)) is not None:
                yield _by_site(f"{at}.deployment", url, settings)
        elif cloud.proxy is not None:
            yield f"{at}.cloud.proxy.url", cloud.proxy.url
        else:
            yield _way_to(f"{at}.cloud.baseURL", cloud_url(cloud), resource, settings)
            if cloud.workload_identity is not None:
                yield _way_to(f"{at}.cloud.workloadIdentity", cloud.workload_identity.token_url, resource, settings)
    if (telemetry := resource.spec.router.telemetry) is not None:
        yield _way_to("spec.router.telemetry.otlpEndpoint", telemetry.otlp_endpoint, resource, settings)
    jwt = resource.spec.access.jwt if resource.spec.access is not None else None
    if jwt is not None and jwt.jwks_url is not None:
        yield _way_to("spec.access.jwt.jwksURL", jwt.jwks_url, resource, settings)


def _way_to(field: str, url: str, resource: RoutePolicy, settings: Settings) -> tuple[str, str]:
    proxy = proxies.policy_proxy(url, resource, settings)
    return (proxies.FIELD, proxy.url) if proxy is not None else _by_site(field, url, settings)


def _by_site(field: str, url: str, settings: Settings) -> tuple[str, str]:
    proxy = site_proxy(url, settings)
    return (f"{field} (by the site's proxy)", proxy) if proxy else (field, url)


def _made_for(component: str, owner: str) -> Object:
    """Returns, as a peer, the pods of the namespace that genset made for resources of one kind."""
    own = [{"key": owner, "operator": "Exists"}]
    return {"podSelector": {"matchExpressions": own, "matchLabels": {names.LABEL_COMPONENT: component}}}


def _operator(settings: Settings) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}},
        "podSelector": {"matchLabels": {names.LABEL_OPERATOR: names.OPERATOR}},
    }


def _console(settings: Settings) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}},
        "podSelector": {"matchLabels": {names.LABEL_CONSOLE: names.CONSOLE}},
    }


def _monitoring(settings: Settings) -> Object:
    labels = dict(settings.monitoring_namespace_labels)
    return {"namespaceSelector": {"matchLabels": labels} if labels else {}}
