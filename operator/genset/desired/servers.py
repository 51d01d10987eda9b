"""A resource names servers; not every server may be dialled for it, and not every one may be sent a key.

One judgement for the builder of configurations, which leaves such a backend out, and for the conditions, which say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote

from genset.addresses import ServerName, is_service, server_of
from genset.api.backend import Backend
from genset.api.cloud import Cloud
from genset.api.fault import FieldFault
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy, zone_of
from genset.data_zones import HOUSE
from genset.desired import metadata
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.data_zones import rules_of
from genset.engines import engine_of, managed_engine_of
from genset.off_limits import NETWORKS, OffLimits, is_loopback
from genset.router.providers import PROVIDERS

_API_SERVICE = ("kubernetes", "default")  # name and namespace


def cloud_url(cloud: Cloud) -> str:
    """Returns the base URL of a cloud: its own, or the provider's."""
    url = cloud.base_url or PROVIDERS[cloud.provider].base_url
    if url is None:
        raise ValueError(f"provider {cloud.provider} needs baseURL")  # the resource's rules refuse it
    return url.rstrip("/")


def target_url(cloud: Cloud) -> str:
    """Returns the base URL that a router asks: at Azure's older paths, that of the deployment."""
    url = cloud_url(cloud)
    return url if cloud.api_version is None else f"{url}/deployments/{quote(cloud.model, safe='')}"


def backend_url(backend: Backend, context: RoutePolicyContext) -> str | None:
    """Returns where a cloud or a server elsewhere answers; None for models that genset runs, and what is not there."""
    if backend.cloud is not None:
        return cloud_url(backend.cloud)
    found = elsewhere(backend, context.deployments)
    return engine_of(found).base_url(found) if found is not None else None


def site_proxy(url: str, settings: Settings) -> str:
    """Returns the site's proxy on the way to a server; "" if there is none."""
    inside = (*settings.cluster_cidrs, *settings.api_server)
    return "" if looks_like_service(url) else settings.place.site.proxy_for(url, inside)


def looks_like_service(url: str) -> bool:
    """Returns whether a host is NAME.NAMESPACE, as it seems: a host of two parts is asked with TLS."""
    return server_of(url).host.count(".") == 1 and not url.startswith("https:")


def elsewhere(backend: Backend, deployments: Mapping[str, ModelDeployment]) -> ModelDeployment | None:
    """Returns the ModelDeployment of a backend if its server is not ours; None for all others, and what is not there."""
    found = deployments.get(backend.deployment.name) if backend.deployment is not None else None
    return found if found is not None and managed_engine_of(found) is None else None


def external_faults(resource: ModelDeployment, settings: Settings, *, from_files: bool = False) -> Iterator[FieldFault]:
    """Yields why a server elsewhere is not used; nothing if the resource's server is one of ours."""
    if managed_engine_of(resource) is not None:
        return
    engine = engine_of(resource)
    url, field = engine.base_url(resource), engine.field("url")
    if not from_files and is_off_limits(url, resource.metadata.namespace, settings):
        yield FieldFault(field, f"{field}: {off_limits_text(url)}")
    credentials = engine.credentials(resource)
    if credentials.api_key is not None and not credentials.plain and _is_plain(url, from_files=from_files):
        yield FieldFault(field, f"{field}: {plain_text(engine.field('allowPlainHTTP'))}")


def backend_faults(backend: Backend, resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    """Yields why a backend is not used; nothing about what it names that is not there."""
    at = f"spec.backends[{backend.name}]"
    if (cloud := backend.cloud) is not None:
        yield from _cloud_faults(f"{at}.cloud", cloud, resource, context)
    if (own := providers_own(backend, resource, context)) is not None:
        yield FieldFault(at, f"{at}: {own}")
    found = elsewhere(backend, context.deployments)
    if found is None or backend.deployment is None:
        return
    name = backend.deployment.name
    field, where = f"{at}.deployment.name", engine_of(found).field("url")
    if is_own(url := engine_of(found).base_url(found), resource, context):
        remedy = f"correct {where} of ModelDeployment {name}, or remove the backend"
        yield FieldFault(field, f"{at}: {_own(url)}: {remedy}")
    for fault in external_faults(found, context.settings, from_files=context.from_files):
        yield FieldFault(field, f"{at}: ModelDeployment {name}: {fault.message}")


def providers_own(backend: Backend, resource: RoutePolicy, context: RoutePolicyContext) -> str | None:
    """Says that a backend would be in the house by name alone, at a provider's own server; None if it is not, or if nobody says
    anything of data zones.
    """
    url = backend_url(backend, context) if zone_of(backend) == HOUSE else None
    if url is None or not any(rules_of(resource, route, context.settings) for route in resource.spec.routes):
        return None
    host = server_of(url).host
    for name, own in _provider_hosts().items():
        if host == own or host.endswith(f".{own}"):
            return (
                f"{host} is a server of {name}, which is not in data zone {HOUSE}, and rules say which zones may answer: "
                "make it a cloud with the dataZone that it is in"
            )
    return None


@lru_cache(1)
def _provider_hosts() -> Mapping[str, str]:
    return {name: server_of(one.base_url).host for name, one in PROVIDERS.items() if one.base_url is not None}


def telemetry_faults(resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    """Yields why spans are not sent."""
    telemetry, field = resource.spec.router.telemetry, "spec.router.telemetry.otlpEndpoint"
    if telemetry is not None:
        yield from server_faults(field, telemetry.otlp_endpoint, resource, context)


def server_faults(field: str, url: str, resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    """Yields why routers do not dial a server that is no backend: a collector, a proxy, an identity provider."""
    if is_own(url, resource, context):
        what = "is the Service of this policy's own routers, which are asked for completions alone"
        yield FieldFault(field, f"{field}: {url} {what}: name the server that is meant")
    elif _is_refused(url, resource, context):
        yield FieldFault(field, f"{field}: {off_limits_text(url)}")


def is_off_limits(url: str, namespace: str, settings: Settings) -> bool:
    """Returns whether a URL names a server that no router may dial, as far as can be told without DNS."""
    host = server_of(url).host
    if _off_limits_of(tuple(settings.forbidden_networks), tuple(settings.api_server)).names(host):
        return True
    name, home = _API_SERVICE
    return is_service(url, name, home) and (host != name or namespace == home)


@lru_cache(maxsize=8)  # the operator's settings do not change, and a policy may name a hundred servers
def _off_limits_of(networks: tuple[str, ...], api_server: tuple[str, ...]) -> OffLimits:
    return OffLimits((*NETWORKS, *networks), api_server)


def _cloud_faults(at: str, cloud: Cloud, resource: RoutePolicy, context: RoutePolicyContext) -> Iterator[FieldFault]:
    url = cloud_url(cloud)
    if is_own(url, resource, context):
        yield FieldFault(
            f"{at}.baseURL", f"{at}.baseURL: {_own(url)}: name the server that is meant, or remove the backend"
        )
    elif _is_refused(url, resource, context):
        yield FieldFault(f"{at}.baseURL", f"{at}.baseURL: {off_limits_text(url)}")
    if cloud.proxy is not None:
        yield from server_faults(f"{at}.proxy.url", cloud.proxy.url, resource, context)
    has_key = cloud.credentials_secret_ref is not None or any(header.secret_key_ref for header in cloud.headers)
    if has_key and not cloud.allow_plain_http and _is_plain(url, from_files=context.from_files):
        yield FieldFault(f"{at}.baseURL", f"{at}.baseURL: {plain_text(f'{at}.allowPlainHTTP')}")


def _is_refused(url: str, resource: RoutePolicy, context: RoutePolicyContext) -> bool:
    return not context.from_files and is_off_limits(url, resource.metadata.namespace, context.settings)


def is_own(url: str, resource: RoutePolicy, context: RoutePolicyContext) -> bool:
    """Returns whether a URL leads to the policy's own routers, by a name or an address of their Service."""
    if metadata.is_router(url, resource.metadata.name, resource.metadata.namespace):
        return True
    host = server_of(url).host
    return any(ServerName.of(address, 0).host == host for address in context.router_addresses)


def _is_plain(url: str, *, from_files: bool) -> bool:
    return url.startswith("http://") and not (from_files and is_loopback(server_of(url).host))


def _own(url: str) -> str:
    return f"{url} is the Service of this policy's own routers, so every request would come back"


def off_limits_text(url: str, who: str = "routers", meant_for: str = "clients") -> str:
    """Says that a URL names a server that no pod of ours dials for a resource. `who`: which pods would."""
    host = server_of(url).shown(with_port=False)
    return (
        f"{host} is no address that {who} may dial (loopback, link-local, metadata of the cloud, API server): name a server "
        f"that is meant for {meant_for}"
    )


def plain_text(switch: str) -> str:
    """Says why a key is not sent to an http:// server."""
    return (
        f"the key would be sent over plain HTTP, where everybody on the way can read it: write https://, or set {switch}: "
        "true"
    )
