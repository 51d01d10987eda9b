"""What routers are told of a policy, and what is known of its models, becomes the world of `continuity.coverage`. Pure.

By the configuration that routers get: what it leaves out (another data zone, a missing key) stands in for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genset.addresses import server_of, shown_server
from genset.api.backend import Backend
from genset.api.modeldeployment import ConditionType, ModelDeployment, Reason
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.api.routepolicy import RoutePolicy, zone_of
from genset.continuity.account import account_name
from genset.continuity.coverage import Answerer, AnswererState, ReplicaPlace, RouteView, World
from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.contracts.route_config import RouteConfig
from genset.contracts.router_config import RouterConfig
from genset.engines import managed_engine_of
from genset.router.backends.abilities import lacks_of

_Identity = tuple[object, ...]


def world(
    resource: RoutePolicy,
    config: RouterConfig,
    files: Mapping[str, bytes],
    deployments: Mapping[str, ModelDeployment],
    *,
    loads: Mapping[str, float] | None = None,
    router_nodes: Iterable[str] = (),
) -> World:
    """Returns what a policy can lose. `files`: what its credential files hold. `loads`: tokens a second, by route."""
    said = {backend.name: backend for backend in resource.spec.backends}
    accounts = _accounts(resource, config, files)
    answerers = {
        one.name: _answerer(one, said[one.name], accounts.get(one.name, ""), deployments) for one in config.backends
    }
    known = loads or {}
    routes = tuple(_route(route, known.get(route.name)) for route in config.routes)
    return World(answerers, routes, tuple(sorted({node for node in router_nodes if node})))


def _answerer(
    config: BackendConfig, backend: Backend, account: str, deployments: Mapping[str, ModelDeployment]
) -> Answerer:
    found = deployments.get(backend.deployment.name) if backend.deployment is not None else None
    told = found.status if found is not None else None
    return Answerer(
        name=config.name,
        house=config.kind == "local",
        zone=zone_of(backend),
        account=account,
        state=_state(found) if found is not None else AnswererState.UP,
        lacks=lacks_of(config),
        context_tokens=config.context_tokens,
        places=_places(told) if told is not None else (),
    )


def _route(config: RouteConfig, load: float | None) -> RouteView:
    return RouteView(
        name=config.name,
        tiers=tuple(tuple(one.backend for one in tier) for tier in config.tiers),
        to_cloud_on=frozenset(config.failover.to_cloud_on),
        load=load,
        keeps_in_house=config.sensitive is not None and config.sensitive.then == "House",
    )


def _state(found: ModelDeployment) -> AnswererState:
    told = found.status or ModelDeploymentStatus()
    ready = next((item for item in told.conditions if item.type == ConditionType.READY), None)
    if ready is not None and ready.reason == Reason.AT_REST:
        return AnswererState.RESTS
    if managed_engine_of(found) is None:
        return AnswererState.DOWN if ready is not None and ready.status == "False" else AnswererState.UP
    if told.capacity:
        return AnswererState.UP
    return (
        AnswererState.RESTS if found.spec.autoscaling is not None and not told.desired_replicas else AnswererState.DOWN
    )


def _places(told: ModelDeploymentStatus) -> tuple[ReplicaPlace, ...]:
    return tuple(
        ReplicaPlace(one.node, float(one.slots * one.tokens_per_second) if one.tokens_per_second is not None else None)
        for one in told.capacity or ()
    )


def _accounts(resource: RoutePolicy, config: RouterConfig, files: Mapping[str, bytes]) -> dict[str, str]:
    """Returns the account of each cloud, by name: clouds at one host that show the same keys are of one account."""
    said = {backend.name: backend for backend in resource.spec.backends}
    names: dict[_Identity, str] = {}
    found = {}
    for one in config.backends:
        if one.kind == "cloud" and one.url is not None:
            identity = _identity(one.url, files)
            found[one.name] = names.setdefault(identity, _name(said[one.name]))
    return found


def _identity(url: UrlTarget, files: Mapping[str, bytes]) -> _Identity:
    server = server_of(url.base_url)
    headers = [(header.name, header.value, files.get(header.file or "")) for header in url.headers or ()]
    key = files.get(url.key_file) if url.key_file is not None else None
    identity = url.identity.model_dump_json() if url.identity is not None else ""
    return (url.provider, server.host, server.port, key, identity, *headers)


def _name(backend: Backend) -> str:
    """Returns what people call the account, by the first backend that uses it."""
    cloud = backend.cloud
    if cloud is None:
        return ""
    ref, host = cloud.credentials_secret_ref, shown_server(cloud.base_url) if cloud.base_url else ""
    return account_name(cloud.provider, host, f"{ref.name}/{ref.key}" if ref is not None else "")
