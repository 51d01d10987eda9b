"""The RouterConfig and its credential files are built here from a RoutePolicy: nothing else builds the router's wire
contract.

The same for the operator and for `genset router -f`. A backend that cannot be resolved (unknown deployment, missing
Secret or key) is left out, so that the others go on serving; conditions say what is missing. A route whose tiers are
all empty stays, and the router answers 503 naming it.
"""

from __future__ import annotations

from typing import Any

from genset import names
from genset.api.backend import MAX_QUEUED, PREFIX_TOKENS, QUEUE_SECONDS, Backend, Balancing
from genset.api.base import SecretKeyRef
from genset.api.cloud import COMPATIBLE, Cloud, CloudApi
from genset.api.modeldeployment import ModelDeployment
from genset.api.quantity import whole
from genset.api.routepolicy import RoutePolicy
from genset.api.router import RouterCors, TelemetrySpec
from genset.api.workload_identity import SCOPES
from genset.contracts.backend_config import (
    BackendConfig,
    BalancingConfig,
    CapabilitiesConfig,
    DnsEndpoints,
    IdentityConfig,
    LocalTarget,
    ModelClassConfig,
    TargetHeader,
    UrlTarget,
)
from genset.contracts.ledger import token as ledger_token
from genset.contracts.router_config import (
    VERSION,
    BackendClassConfig,
    CorsConfig,
    LedgerConfig,
    LimitsConfig,
    LogConfig,
    PolicyRef,
    RouterConfig,
    TelemetryConfig,
    UsageConfig,
    ZoneRuleConfig,
)
from genset.desired import metadata, proxies
from genset.desired.access import access_config, access_files
from genset.desired.budgets import budgets_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.credential_files import Credential, file_name
from genset.desired.credentials import CA, HEADER, KEY, PROXY
from genset.desired.data_zones import left_out, reachable, rules_above
from genset.desired.gateways import added_fields, gateway_headers
from genset.desired.listener_tls import tls_config, tls_files
from genset.desired.prices import price_config
from genset.desired.route_config import egress_config, route_config
from genset.desired.servers import backend_faults, cloud_url, target_url, telemetry_faults
from genset.desired.site import Ledger, Site
from genset.engines import engine_of, managed_engine_of
from genset.router.providers import PROVIDERS
from genset.router.routing.hops import site_of

#: Of the site, in the credentials folder. No backend's file is named so: those have its name and a hash.
_SITE_CA_FILE = "site.ca"
_LEDGER_TOKEN_FILE = "site.ledger"
_USAGE_SPOOL_BYTES = 12 * 1024 * 1024  # beside the 48 MiB of the egress record, in the 64 MiB of a router's /tmp


def build(resource: RoutePolicy, context: RoutePolicyContext) -> RouterConfig:
    """Builds the configuration of a policy's routers. No secret is in it."""
    settings = context.settings
    ledger = None if context.before_this_release else settings.place.site.ledger  # nothing that a policy asks for
    asked = reachable(resource, settings)
    built = [_backend(resource, backend, context) for backend in resource.spec.backends if backend.name in asked]
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
        routes=tuple(route_config(route, known, left_out(resource, route, settings)) for route in resource.spec.routes),
        limits=LimitsConfig(
            max_body_bytes=whole(limits.max_body),
            max_in_flight=limits.max_in_flight,
            max_queued=limits.max_queued,
            queue_seconds=limits.queue_seconds,
            drain_seconds=resource.spec.router.drain_seconds,
            memory_bytes=whole(resource.spec.router.resources.memory),
        ),
        telemetry=_telemetry(resource.spec.router.telemetry, resource, context)
        if not any(telemetry_faults(resource, context))
        else None,
        cors=_cors(resource.spec.router.cors),
        trusted_proxies=tuple(resource.spec.router.trusted_proxies) or None,
        log=LogConfig(required=True) if resource.spec.router.log.required else None,
        egress=egress_config(resource.spec.egress),
        usage=_usage(resource, context) if ledger is not None else None,
        ledger=_ledger(ledger),
        budgets=budgets_config(resource, context),
        forbidden_networks=settings.forbidden_networks or None,
        data_zones=tuple(
            ZoneRuleConfig(said_by=rule.said_by, zones=tuple(sorted(rule.zones)))
            for rule in rules_above(resource, settings)
        )
        or None,
        access=access_config(resource, context),
        tls=tls_config(resource),
        site_ca_file=_SITE_CA_FILE if settings.place.site.ca else None,
    )


def credential_files(resource: RoutePolicy, context: RoutePolicyContext) -> dict[str, bytes]:
    """Returns file name -> content of everything that `build` names: the data of the credentials Secret."""
    files: dict[str, bytes] = {}
    asked = reachable(resource, context.settings)
    wanted = [proxies.credential(resource)]
    for backend in (backend for backend in resource.spec.backends if backend.name in asked):
        wanted += _credentials(backend, resource, context)
    for credential in filter(None, wanted):
        content = credential.content(resource.metadata.namespace, context)
        if content is not None:
            files[credential.file] = content
    files |= access_files(resource, context) | tls_files(resource, context)
    return files | _site_files(context.settings.place.site, resource.metadata.namespace)


def _usage(resource: RoutePolicy, context: RoutePolicyContext) -> UsageConfig:
    classes = []
    for backend in resource.spec.backends:
        found = context.deployments.get(backend.deployment.name) if backend.deployment is not None else None
        known = _model_class(found, wanted=True) if found is not None else None
        if known is not None:
            classes.append(BackendClassConfig(backend=backend.name, size=known.size, speed=known.speed))
    return UsageConfig(spool_bytes=_USAGE_SPOOL_BYTES, classes=tuple(classes) or None)


def _ledger(ledger: Ledger | None) -> LedgerConfig | None:
    return LedgerConfig(url=ledger.url, token_file=_LEDGER_TOKEN_FILE) if ledger is not None else None


def _site_files(site: Site, namespace: str) -> dict[str, bytes]:
    ledger = ledger_token(site.ledger.key, namespace) if site.ledger is not None else ""
    found = {_SITE_CA_FILE: site.ca, proxies.SITE_PROXY_FILE: site.proxies.credentials if site.proxies else ""}
    found[_LEDGER_TOKEN_FILE] = ledger
    return {name: content.encode() for name, content in found.items() if content}


def _backend(resource: RoutePolicy, backend: Backend, context: RoutePolicyContext) -> BackendConfig | None:
    namespace = resource.metadata.namespace
    if any(item.content(namespace, context) is None for item in _credentials(backend, resource, context)):
        return None
    if any(backend_faults(backend, resource, context)):
        return None  # a condition says why
    if backend.cloud is not None:
        if backend.cloud.proxy is None and proxies.is_shut(cloud_url(backend.cloud), resource, context):
            return None
        return _cloud(backend, backend.cloud, resource, context)
    found = context.deployments.get(backend.deployment.name) if backend.deployment else None
    return _house(backend, found, context.settings) if found is not None else None


def _proxy(backend: Backend, cloud: Cloud, resource: RoutePolicy, context: RoutePolicyContext) -> proxies.Way:
    """Returns the proxy before a cloud, its own or the policy's or the site's, and the file with its credentials."""
    if (own := cloud.proxy) is not None:
        return own.url.rstrip("/"), _file(backend, PROXY, own.credentials_secret_ref, own.url)
    return proxies.way(cloud_url(cloud), resource, context)


def _cloud(backend: Backend, cloud: Cloud, resource: RoutePolicy, context: RoutePolicyContext) -> BackendConfig:
    proxy_url, proxy_file = _proxy(backend, cloud, resource, context)
    return BackendConfig(
        name=backend.name,
        kind="cloud",
        data_zone=backend.data_zone,
        model=cloud.model,
        context_tokens=backend.context_tokens,
        capabilities=_capabilities(backend),
        price=price_config(cloud, packaged=not context.before_this_release),
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
            identity=_identity(cloud),
            api="Responses" if cloud.api == CloudApi.RESPONSES else None,
            headers=_headers(backend, cloud),
            query=f"api-version={cloud.api_version}" if cloud.api_version is not None else None,
            body=added_fields(cloud) or None,
        ),
    )


def _identity(cloud: Cloud) -> IdentityConfig | None:
    said = cloud.workload_identity
    if said is None:
        return None
    return IdentityConfig(token_url=said.token_url, client_id=said.client_id, scope=said.scope or SCOPES[said.cloud])


def _headers(backend: Backend, cloud: Cloud) -> tuple[TargetHeader, ...] | None:
    made = [TargetHeader(name=name, value=value) for name, value in gateway_headers(cloud).items()]
    for header in cloud.headers:
        file = _file(backend, HEADER, header.secret_key_ref, cloud_url(cloud))
        made.append(TargetHeader(name=header.name, value=header.value, file=file))
    return tuple(sorted(made, key=lambda header: header.name)) or None


def _model_class(found: ModelDeployment, *, wanted: bool) -> ModelClassConfig | None:
    """Returns the classes of a deployment's model, if metrics are to have them and they are known."""
    known = found.status.size if found.status is not None else None
    if not wanted or known is None or not (known.model_class and known.speed):
        return None
    return ModelClassConfig.model_validate({"size": known.model_class, "speed": known.speed})


def _house(backend: Backend, found: ModelDeployment, settings: Settings) -> BackendConfig:
    engine = engine_of(found)
    task = engine.only_task(found)
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
            **adapters_of(found),
            model_class=_model_class(found, wanted=settings.model_class_labels),
            capabilities=_capabilities(backend, sees=found.spec.projector is not None),
            continuation=backend.continuation or engine.continuation,
            balancing=_balancing(backend.balancing),
            local=LocalTarget(
                dns=DnsEndpoints(host=host, port=names.ENGINE_PORT),
                health_path=engine.health_path(found),
                wakes=target.name if found.spec.autoscaling is not None else None,
            ),
        )
    url, credentials = engine.base_url(found), engine.credentials(found)
    proxy_url, proxy_file = proxies.site_way(url, settings)
    return BackendConfig(
        name=backend.name,
        kind="local",
        model=found.served_model,
        context_tokens=context_tokens,
        task=task,
        capabilities=_capabilities(backend),
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


def adapters_of(found: ModelDeployment) -> dict[str, Any]:
    """Returns the fields of a backend that tell of a deployment's adapters."""
    told, adapters = engine_of(found).adapter_list, tuple(one.name for one in found.spec.adapters)
    return {"adapters": adapters, "adapter_list": told} if adapters and told is not None else {}


def _capabilities(backend: Backend, *, sees: bool = False) -> CapabilitiesConfig | None:
    """Returns what a policy says of a backend, and what follows from its model; routers know the rest."""
    said = backend.capabilities.model_dump(exclude_none=True) if backend.capabilities is not None else {}
    if sees:
        said.setdefault("vision", True)
    return CapabilitiesConfig(**said) if said else None


def _balancing(balancing: Balancing) -> BalancingConfig:
    return BalancingConfig(
        strategy=balancing.strategy.value,
        prefix_tokens=PREFIX_TOKENS if balancing.prefix_tokens is None else balancing.prefix_tokens,
        max_in_flight_per_endpoint=balancing.max_in_flight_per_endpoint,
        max_queued=MAX_QUEUED if balancing.max_queued is None else balancing.max_queued,
        queue_seconds=QUEUE_SECONDS if balancing.queue_seconds is None else balancing.queue_seconds,
    )


def _telemetry(
    telemetry: TelemetrySpec | None, resource: RoutePolicy, context: RoutePolicyContext
) -> TelemetryConfig | None:
    if telemetry is None or proxies.is_shut(telemetry.otlp_endpoint, resource, context):
        return None
    proxy_url, proxy_file = proxies.way(telemetry.otlp_endpoint, resource, context)
    return TelemetryConfig(
        otlp_endpoint=telemetry.otlp_endpoint,
        sample_percent=telemetry.sample_percent,
        proxy_url=proxy_url,
        proxy_credentials_file=proxy_file,
    )


def _cors(cors: RouterCors | None) -> CorsConfig | None:
    return CorsConfig(allowed_origins=tuple(cors.allowed_origins)) if cors is not None else None


def _credentials(backend: Backend, resource: RoutePolicy, context: RoutePolicyContext) -> list[Credential]:
    """Returns everything secret that a backend needs."""
    wanted: list[tuple[str, SecretKeyRef | None, str]] = []
    own: list[Credential] = []
    if (cloud := backend.cloud) is not None:
        url = cloud_url(cloud)
        wanted = [(KEY, cloud.credentials_secret_ref, url), (CA, cloud.ca_secret_ref, url)]
        wanted += [(HEADER, header.secret_key_ref, url) for header in cloud.headers]
        if cloud.proxy is not None:
            wanted.append((PROXY, cloud.proxy.credentials_secret_ref, cloud.proxy.url))
        elif (shared := proxies.credential(resource)) is not None:
            behind = proxies.policy_proxy(url, resource, context.settings) is not None
            own = [shared] if behind else []
    found = context.deployments.get(backend.deployment.name) if backend.deployment else None
    if found is not None:
        url, credentials = engine_of(found).base_url(found), engine_of(found).credentials(found)
        wanted = [(KEY, credentials.api_key, url), (CA, credentials.ca, url)]
    return own + [
        Credential(file, use, ref, "" if use == CA else url)
        for use, ref, url in wanted
        if ref is not None and (file := _file(backend, use, ref, url)) is not None
    ]


def _file(backend: Backend, use: str, ref: SecretKeyRef | None, url: str) -> str | None:
    return file_name(backend.name, use, ref, url) if ref is not None else None
