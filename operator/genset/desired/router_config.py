"""The RouterConfig and its credential files are built here from a RoutePolicy: nothing else builds the router's wire
contract.

The same for the operator and for `genset router -f`. A backend that cannot be resolved (unknown deployment, missing
Secret or key) is left out, so that the others go on serving; conditions say what is missing. A route whose tiers are
all empty stays, and the router answers 503 naming it.

Credential files are named by backend *and* by what they were copied from and for whom: a key whose Secret has gone
missing stays in use, but never for another Secret, key or host than it was given for.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from genset import names
from genset.api.backend import MAX_QUEUED, PREFIX_TOKENS, QUEUE_SECONDS, Backend, Balancing
from genset.api.base import SecretKeyRef
from genset.api.cloud import COMPATIBLE, Cloud
from genset.api.match import Match
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import whole
from genset.api.routepolicy import TO_CLOUD_ON, Route, RoutePolicy
from genset.api.router import RouterCors, TelemetrySpec
from genset.contracts.router_config import (
    VERSION,
    BackendConfig,
    BalancingConfig,
    ColdStartConfig,
    CorsConfig,
    DnsEndpoints,
    FailoverConfig,
    HeaderMatchConfig,
    LimitsConfig,
    LocalTarget,
    LogConfig,
    MatchConfig,
    PolicyRef,
    RouteConfig,
    RouterConfig,
    TargetHeader,
    TelemetryConfig,
    UrlTarget,
    WeightedBackend,
)
from genset.desired import metadata
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.credentials import CA, HEADER, KEY, PROXY, credential_fault
from genset.desired.gateways import added_fields, gateway_headers
from genset.desired.servers import backend_faults, cloud_url, site_proxy, target_url, telemetry_faults
from genset.desired.site import Site
from genset.engines import engine_of, managed_engine_of
from genset.router.providers import PROVIDERS
from genset.router.routing.hops import site_of

#: Of the site, in the credentials folder. No backend's file is named so: those have its name and a hash.
_SITE_CA_FILE = "site.ca"
_SITE_PROXY_FILE = "site.proxy"


def build(resource: RoutePolicy, context: RoutePolicyContext) -> RouterConfig:
    """Builds the configuration of a policy's routers. No secret is in it."""
    built = [_backend(resource, backend, context) for backend in resource.spec.backends]
    backends = tuple(backend for backend in built if backend is not None)
    known = {backend.name for backend in backends}
    limits = resource.spec.router.limits
    return RouterConfig(
        version=VERSION,
        policy=PolicyRef(
            namespace=resource.metadata.namespace,
            name=resource.metadata.name,
            generation=resource.metadata.generation,
        ),
        site=site_of(resource.metadata.uid) if resource.metadata.uid else None,
        backends=backends,
        routes=tuple(_route(route, known) for route in resource.spec.routes),
        limits=LimitsConfig(
            max_body_bytes=whole(limits.max_body),
            max_in_flight=limits.max_in_flight,
            max_queued=limits.max_queued,
            queue_seconds=limits.queue_seconds,
            drain_seconds=resource.spec.router.drain_seconds,
            memory_bytes=whole(resource.spec.router.resources.memory),
        ),
        telemetry=_telemetry(resource.spec.router.telemetry) if not any(telemetry_faults(resource, context)) else None,
        cors=_cors(resource.spec.router.cors),
        trusted_proxies=tuple(resource.spec.router.trusted_proxies) or None,
        log=LogConfig(required=True) if resource.spec.router.log.required else None,
        forbidden_networks=context.settings.forbidden_networks or None,
        site_ca_file=_SITE_CA_FILE if context.settings.place.site.ca else None,
    )


def credential_files(resource: RoutePolicy, context: RoutePolicyContext) -> dict[str, bytes]:
    """Returns file name -> content of everything that `build` names: the data of the credentials Secret."""
    files: dict[str, bytes] = {}
    for backend in resource.spec.backends:
        for credential in _credentials(backend, context):
            content = _content(credential, resource.metadata.namespace, context)
            if content is not None:
                files[credential.file] = content
    return {**files, **_site_files(context.settings.place.site)}


def _site_files(site: Site) -> dict[str, bytes]:
    found = {_SITE_CA_FILE: site.ca, _SITE_PROXY_FILE: site.proxies.credentials if site.proxies else ""}
    return {name: content.encode() for name, content in found.items() if content}


class _Credential(NamedTuple):
    """A credential is a file for the router, the key that it is copied from, and where the router sends it; "": nowhere."""

    file: str
    use: str
    ref: SecretKeyRef
    sent_to: str


def _content(credential: _Credential, namespace: str, context: RoutePolicyContext) -> bytes | None:
    """Returns the key as it is, or as it was last while it is missing or of no use.

    A Secret that does not let the key go to its server takes it back. Surrounding white space is never meant.
    """
    ref = credential.ref
    secret = context.secrets.get(ref.name)
    if secret is not None and secret.why_not(credential.sent_to, namespace, ref.name):
        return None
    current = secret.data.get(ref.key) if secret is not None else None
    if current is None or credential_fault(credential.use, current):
        return context.applied_credentials.get(credential.file)
    return current.strip()


def _backend(resource: RoutePolicy, backend: Backend, context: RoutePolicyContext) -> BackendConfig | None:
    namespace = resource.metadata.namespace
    if any(_content(item, namespace, context) is None for item in _credentials(backend, context)):
        return None
    if any(backend_faults(backend, resource, context)):
        return None  # a condition says why
    if backend.cloud is not None:
        return _cloud(backend, backend.cloud, context.settings)
    found = context.deployments.get(backend.deployment.name) if backend.deployment else None
    return _house(backend, found, context.settings) if found is not None else None


def _proxy(backend: Backend, cloud: Cloud | None, url: str, settings: Settings) -> tuple[str | None, str | None]:
    """Returns the proxy before a server, the policy's own or the site's, and the file with its credentials."""
    if cloud is not None and cloud.proxy is not None:
        own = cloud.proxy
        return own.url.rstrip("/"), _file(backend, PROXY, own.credentials_secret_ref, own.url)
    found = site_proxy(url, settings)
    return found or None, _SITE_PROXY_FILE if found and settings.place.site.proxies.credentials else None


def _cloud(backend: Backend, cloud: Cloud, settings: Settings) -> BackendConfig:
    proxy_url, proxy_file = _proxy(backend, cloud, cloud_url(cloud), settings)
    return BackendConfig(
        name=backend.name,
        kind="cloud",
        model=cloud.model,
        context_tokens=backend.context_tokens,
        continuation=backend.continuation or PROVIDERS[cloud.provider].continuation,
        balancing=_balancing(backend.balancing),
        url=UrlTarget(
            base_url=target_url(cloud),
            provider=cloud.provider,
            key_file=_file(backend, KEY, cloud.credentials_secret_ref, cloud_url(cloud)),
            ca_file=_file(backend, CA, cloud.ca_secret_ref, cloud_url(cloud)),
            proxy_url=proxy_url,
            proxy_credentials_file=proxy_file,
            forward_headers=tuple(sorted(group.value for group in cloud.forward_headers)) or None,
            key_header=cloud.key_header.value if cloud.key_header is not None else None,
            headers=_headers(backend, cloud),
            query=f"api-version={cloud.api_version}" if cloud.api_version is not None else None,
            body=added_fields(cloud) or None,
        ),
    )


def _headers(backend: Backend, cloud: Cloud) -> tuple[TargetHeader, ...] | None:
    made = [TargetHeader(name=name, value=value) for name, value in gateway_headers(cloud).items()]
    for header in cloud.headers:
        file = _file(backend, HEADER, header.secret_key_ref, cloud_url(cloud))
        made.append(TargetHeader(name=header.name, value=header.value, file=file))
    return tuple(sorted(made, key=lambda header: header.name)) or None


def _house(backend: Backend, found: ModelDeployment, settings: Settings) -> BackendConfig:
    engine = engine_of(found)
    task = engine.only_task(found)
    adapters = tuple(one.name for one in found.spec.adapters) if engine.adapters_by_name else ()
    target = found.metadata
    context_tokens = backend.context_tokens or found.spec.context.tokens
    if managed_engine_of(found) is not None:
        # Without the cluster's domain, which only resolvers know; the search list adds it.
        host = f"{metadata.endpoints_service(target.name)}.{target.namespace}.svc"
        return BackendConfig(
            name=backend.name,
            kind="local",
            model=found.served_model,
            context_tokens=context_tokens,
            task=task,
            adapters=adapters or None,
            continuation=backend.continuation or engine.continuation,
            balancing=_balancing(backend.balancing),
            local=LocalTarget(
                dns=DnsEndpoints(host=host, port=names.ENGINE_PORT),
                health_path=engine.health_path(found),
                wakes=target.name if found.spec.autoscaling is not None else None,
            ),
        )
    url, credentials = engine.base_url(found), engine.credentials(found)
    proxy_url, proxy_file = _proxy(backend, None, url, settings)
    return BackendConfig(
        name=backend.name,
        kind="local",
        model=found.served_model,
        context_tokens=context_tokens,
        task=task,
        continuation=backend.continuation or engine.continuation,
        balancing=_balancing(backend.balancing),
        url=UrlTarget(
            base_url=url,
            provider=COMPATIBLE,
            key_file=_file(backend, KEY, credentials.api_key, url),
            ca_file=_file(backend, CA, credentials.ca, url),
            proxy_url=proxy_url,
            proxy_credentials_file=proxy_file,
            health_path=engine.health_path(found),
        ),
    )


def _balancing(balancing: Balancing) -> BalancingConfig:
    return BalancingConfig(
        strategy=balancing.strategy.value,
        prefix_tokens=PREFIX_TOKENS if balancing.prefix_tokens is None else balancing.prefix_tokens,
        max_in_flight_per_endpoint=balancing.max_in_flight_per_endpoint,
        max_queued=MAX_QUEUED if balancing.max_queued is None else balancing.max_queued,
        queue_seconds=QUEUE_SECONDS if balancing.queue_seconds is None else balancing.queue_seconds,
    )


def _telemetry(telemetry: TelemetrySpec | None) -> TelemetryConfig | None:
    if telemetry is None:
        return None
    return TelemetryConfig(otlp_endpoint=telemetry.otlp_endpoint, sample_percent=telemetry.sample_percent)


def _cors(cors: RouterCors | None) -> CorsConfig | None:
    return CorsConfig(allowed_origins=tuple(cors.allowed_origins)) if cors is not None else None


def _credentials(backend: Backend, context: RoutePolicyContext) -> list[_Credential]:
    """Returns everything secret that a backend needs."""
    wanted: list[tuple[str, SecretKeyRef | None, str]] = []
    if (cloud := backend.cloud) is not None:
        url = cloud_url(cloud)
        wanted = [(KEY, cloud.credentials_secret_ref, url), (CA, cloud.ca_secret_ref, url)]
        wanted += [(HEADER, header.secret_key_ref, url) for header in cloud.headers]
        if cloud.proxy is not None:
            wanted.append((PROXY, cloud.proxy.credentials_secret_ref, cloud.proxy.url))
    found = context.deployments.get(backend.deployment.name) if backend.deployment else None
    if found is not None:
        url, credentials = engine_of(found).base_url(found), engine_of(found).credentials(found)
        wanted = [(KEY, credentials.api_key, url), (CA, credentials.ca, url)]
    return [
        _Credential(file, use, ref, "" if use == CA else url)
        for use, ref, url in wanted
        if ref is not None and (file := _file(backend, use, ref, url)) is not None
    ]


def _file(backend: Backend, use: str, ref: SecretKeyRef | None, url: str) -> str | None:
    """Names a credential file, e.g. `frontier-3f2a9c01.key`."""
    if ref is None:
        return None
    identity = json.dumps([ref.name, ref.key, url])
    return f"{backend.name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}.{use}"


def _route(route: Route, known: set[str]) -> RouteConfig:
    tiers = (
        tuple(WeightedBackend(backend=b.name, weight=b.weight) for b in tier.backends if b.name in known)
        for tier in route.tiers
    )
    failover = route.failover
    return RouteConfig(
        name=route.name,
        match=_match(route.match),
        tiers=tuple(tier for tier in tiers if tier),
        failover=FailoverConfig(
            first_token_seconds=failover.first_token_seconds,
            stall_seconds=failover.stall_seconds,
            total_seconds=failover.total_seconds,
            max_attempts=failover.max_attempts,
            continue_streams=failover.continue_streams,
            rebuild_answers=failover.rebuild_answers,
            to_cloud_on=TO_CLOUD_ON
            if failover.to_cloud_on is None
            else tuple(word.value for word in failover.to_cloud_on),
        ),
        cold_start=ColdStartConfig(mode=route.cold_start.mode.value, seconds=route.cold_start.seconds),
        when_full=route.when_full.value,
    )


def _match(match: Match) -> MatchConfig:
    return MatchConfig(
        models=tuple(match.models),
        max_input_tokens=match.max_input_tokens,
        headers=tuple(HeaderMatchConfig(name=header.name.lower(), value=header.value) for header in match.headers),
    )
