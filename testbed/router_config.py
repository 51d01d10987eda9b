"""Configurations of a router say here only what matters for a test; the rest is as the operator writes it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from genset.api.routepolicy import RoutePolicy
from genset.contracts.backend_config import BackendConfig, BalancingConfig, LocalTarget
from genset.contracts.route_config import ColdStartConfig, FailoverConfig, MatchConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import LimitsConfig, PolicyRef, RouterConfig, TelemetryConfig
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings

M = TypeVar("M", bound=BaseModel)
Document = dict[str, Any]


def _built() -> Document:
    """Returns what the operator writes for the shortest policy."""
    cloud = {"provider": "openAICompatible", "baseURL": "http://b/v1", "model": "m"}
    telemetry = {"otlpEndpoint": "http://c"}
    policy = {
        "metadata": {"namespace": "n", "name": "p"},
        "spec": {
            "backends": [{"name": "b", "cloud": cloud}],
            "routes": [{"name": "r", "tiers": [{"backends": [{"name": "b"}]}]}],
            "router": {"telemetry": telemetry},
        },
    }
    built = router_config.build(RoutePolicy.model_validate(policy), RoutePolicyContext(Settings(image="none")))
    return built.model_dump(mode="json", exclude_none=True)


_POLICY = _built()
_BACKEND, _ROUTE = _POLICY["backends"][0], _POLICY["routes"][0]
_DEFAULTS: dict[type[BaseModel], Document] = {
    RouterConfig: {"version": _POLICY["version"], "limits": _POLICY["limits"]},
    PolicyRef: {"generation": 0},
    TelemetryConfig: {"samplePercent": _POLICY["telemetry"]["samplePercent"]},
    LimitsConfig: _POLICY["limits"],
    BackendConfig: {name: _BACKEND[name] for name in ("continuation", "balancing")},
    BalancingConfig: _BACKEND["balancing"],
    LocalTarget: {"healthPath": "/health"},
    RouteConfig: {name: _ROUTE[name] for name in ("match", "failover", "coldStart", "whenFull")},
    MatchConfig: _ROUTE["match"],
    FailoverConfig: _ROUTE["failover"],
    ColdStartConfig: _ROUTE["coldStart"],
    WeightedBackend: {"weight": _ROUTE["tiers"][0][0]["weight"]},
}


def made(kind: type[M], /, **values: Any) -> M:
    """Makes a part of a configuration with these values, in either spelling of their names."""
    return kind.model_validate({**_DEFAULTS[kind], **{to_camel(name): value for name, value in values.items()}})


def complete(document: Document) -> Document:
    """Returns a complete `router.json` for one that leaves things out."""
    filled = _filled(RouterConfig, document)
    filled["policy"] = _filled(PolicyRef, document["policy"])
    filled["limits"] = _filled(LimitsConfig, document.get("limits"))
    if document.get("telemetry"):
        filled["telemetry"] = _filled(TelemetryConfig, document["telemetry"])
    filled["backends"] = [_backend(backend) for backend in document["backends"]]
    filled["routes"] = [_route(route) for route in document["routes"]]
    return filled


def _backend(document: Document) -> Document:
    filled = _filled(BackendConfig, document)
    filled["balancing"] = _filled(BalancingConfig, document.get("balancing"))
    if "local" in document:
        filled["local"] = _filled(LocalTarget, document["local"])
    return filled


def _route(document: Document) -> Document:
    filled = _filled(RouteConfig, document)
    parts = (("match", MatchConfig), ("failover", FailoverConfig), ("coldStart", ColdStartConfig))
    filled.update({name: _filled(kind, document.get(name)) for name, kind in parts})
    filled["tiers"] = [[_filled(WeightedBackend, backend) for backend in tier] for tier in document["tiers"]]
    return filled


def _filled(kind: type[BaseModel], document: Document | None) -> Document:
    return {**_DEFAULTS[kind], **(document or {})}
