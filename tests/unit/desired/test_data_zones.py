"""What of a policy reaches its routers under the data zones of cluster, namespace, policy and routes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from genset.api.backend import Backend
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import Reason, Route, RoutePolicy
from genset.desired import data_zones, network_policy, router_config
from genset.desired.context import Locality, RoutePolicyContext, Settings
from genset.desired.secrets import EVERY_HOST, UserSecret
from genset.status import refs

Object = dict[str, Any]
KEY = {"name": "keys", "key": "apiKey"}
HOUSE = {"name": "house", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "http://10.1.2.3:80/v1"}}
PARIS = {"name": "paris", "dataZone": "eu", "cloud": {"provider": "mistral", "model": "m", "credentialsSecretRef": KEY}}
FAR = {"name": "far", "cloud": {"provider": "openai", "model": "m", "credentialsSecretRef": KEY}}
BACKENDS = [{**HOUSE, "dataZone": "house"}, PARIS, FAR]


def policy(route: Object | None = None, **spec: Any) -> RoutePolicy:
    tiers = [{"backends": [{"name": name}]} for name in ("house", "paris", "far")]
    routes = [{"name": "all", "tiers": tiers, **(route or {})}]
    metadata = {"name": "p", "namespace": "law", "uid": "1"}
    return RoutePolicy.model_validate({"metadata": metadata, "spec": {"backends": BACKENDS, "routes": routes, **spec}})


def context(cluster: tuple[str, ...] = (), label: str | None = None) -> RoutePolicyContext:
    settings = Settings(image="i", data_zones=cluster, place=Locality(data_zones=label))
    return RoutePolicyContext(settings, secrets={"keys": UserSecret({"apiKey": b"k" * 24}, EVERY_HOST, "Opaque")})


@pytest.mark.parametrize(
    ("cluster", "label", "spec", "route", "asked"),
    [
        ((), None, None, None, {"house", "paris", "far"}),
        (("house", "eu"), None, None, None, {"house", "paris"}),
        ((), "house.eu", None, None, {"house", "paris"}),
        ((), None, ["house", "eu"], None, {"house", "paris"}),
        ((), None, None, ["house", "eu"], {"house", "paris"}),
        (("house", "world"), None, ["house", "eu"], None, {"house"}),
        (("house",), "house.eu.world", ["house", "eu", "world"], ["house", "world"], {"house"}),
        ((), "eu.house", ["house", "world"], None, {"house"}),
    ],
)
def test_everybody_tightens(
    cluster: tuple[str, ...], label: str | None, spec: list[str] | None, route: list[str] | None, asked: set[str]
) -> None:
    resource, given = policy({"dataZones": route}, dataZones=spec), context(cluster, label)
    built = router_config.build(resource, given)
    assert {backend.name for backend in built.backends} == asked, "routers look up, probe and dial nothing else"
    assert {weighted.backend for tier in built.routes[0].tiers for weighted in tier} == asked
    assert {file.partition("-")[0] for file in router_config.credential_files(resource, given)} == asked - {"house"}
    assert not refs.check_route_policy(resource, given)
    out = {item.backend for item in built.routes[0].left_out or ()}
    assert out == {"house", "paris", "far"} - asked, "errors name them"


def test_a_house_alone_has_no_way_out_of_the_cluster() -> None:
    """Its routers reach names, engines, and the address of their own other site."""
    made = network_policy.for_router(policy(dataZones=["house"]), context())
    wide = network_policy.for_router(policy(), context())
    assert made is not None and wide is not None
    own = [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 80, "protocol": "TCP"}]}]
    assert made["spec"]["egress"][2:] == own and len(wide["spec"]["egress"]) == 4


@pytest.mark.parametrize(
    ("given", "spec", "route", "kept"),
    [
        (context(("house",)), None, None, {"house"}),
        (context(label="house.eu"), None, None, {"house", "paris"}),
        (context(), ["house"], None, {"house"}),
        (context(), None, ["house"], {"house"}),
        (context(), None, ["eu", "house"], {"house", "paris"}),
        (context(), None, None, {"house", "paris", "far"}),
    ],
)
def test_a_cloud_that_no_route_names_is_kept_from_what_no_route_may_ask(
    given: RoutePolicyContext, spec: list[str] | None, route: list[str] | None, kept: set[str]
) -> None:
    """Its key, its probes and its way out would be there for nothing but a leak."""
    only = {"dataZones": route, "tiers": [{"backends": [{"name": "house"}]}]}
    resource = policy(only, dataZones=spec)
    assert {backend.name for backend in router_config.build(resource, given).backends} == kept
    assert {file.partition("-")[0] for file in router_config.credential_files(resource, given)} == kept - {"house"}
    made = network_policy.for_router(resource, given)
    assert made is not None
    outside = [rule for rule in made["spec"]["egress"] if {"port": 443, "protocol": "TCP"} in rule["ports"]]
    assert bool(outside) == (kept != {"house"}), made["spec"]["egress"]


ALICE = {"name": "alice", "keysSecretRef": {"name": "alice", "key": "k"}}
BOB = {"name": "bob", "keysSecretRef": {"name": "bob", "key": "k"}}
JWT = {"issuer": "https://id.corp", "audiences": ["genset"], "jwksURL": "https://id.corp/keys"}


@pytest.mark.parametrize(
    ("access", "kept"),
    [
        ({"consumers": [ALICE | {"dataZones": ["house"]}]}, {"house"}),
        ({"consumers": [ALICE | {"dataZones": ["house"]}, BOB | {"dataZones": ["eu", "house"]}]}, {"house", "paris"}),
        ({"consumers": [ALICE | {"dataZones": ["house"]}, BOB]}, {"house", "paris", "far"}),
        (
            {"consumers": [ALICE, BOB | {"dataZones": ["house"]}], "defaults": {"dataZones": ["house", "eu"]}},
            {"house", "paris"},
        ),
        ({"consumers": [ALICE | {"dataZones": ["house"]}], "jwt": JWT}, {"house", "paris", "far"}),
        (
            {"consumers": [ALICE | {"dataZones": ["house"]}], "jwt": JWT, "defaults": {"dataZones": ["eu"]}},
            {"house", "paris"},
        ),
        ({"consumerSelector": {"matchLabels": {"a": "b"}}, "defaults": {"dataZones": ["house"]}}, {"house"}),
        ({"mode": "Open", "consumers": [ALICE | {"dataZones": ["house"]}]}, {"house", "paris", "far"}),
        (
            {
                "mode": "Open",
                "consumers": [ALICE | {"dataZones": ["house"]}, {"name": "anonymous", "dataZones": ["house"]}],
            },
            {"house"},
        ),
        ({"mode": "Open", "defaults": {"dataZones": ["house"]}}, {"house"}),
    ],
)
def test_what_no_consumer_may_reach_is_not_there(access: Object, kept: set[str]) -> None:
    """Its key, its probes and its way out would be there for nothing but a leak."""
    resource, given = policy(access=access), context()
    assert {backend.name for backend in router_config.build(resource, given).backends} == kept
    files = {file.partition("-")[0] for file in router_config.credential_files(resource, given)}
    assert files & {"paris", "far"} == kept - {"house"}
    made = network_policy.for_router(resource, given)
    assert made is not None
    clouds = [rule for rule in made["spec"]["egress"] if {"port": 443, "protocol": "TCP"} in rule["ports"]]
    assert bool(clouds) == (kept != {"house"} or "jwt" in access), made["spec"]["egress"]
    assert data_zones.shown(resource, given.settings) == (
        "all" if "far" in kept else ", ".join(sorted({"house": "house", "paris": "eu"}[name] for name in kept))
    )


def test_a_route_that_no_consumer_may_use_is_told() -> None:
    resource = policy(access={"consumers": [ALICE | {"dataZones": ["us"]}]})
    faults = refs.check_route_policy(resource, context())
    (found,) = [fault for fault in faults if fault.reason == Reason.NO_BACKEND_IN_ZONE]
    assert "RoutePolicy law/p (spec.access: dataZones of all consumers together) allows us" in found.message


@pytest.mark.parametrize(
    ("given", "said_by"),
    [
        (context(("us",)), "the cluster (dataZones of genset's chart) allows us"),
        (context(label="us"), "namespace law (label genset.dev/data-zones) allows us"),
        (context(label=""), "namespace law (label genset.dev/data-zones) allows none"),
        (context(label="House.EU"), "namespace law (label genset.dev/data-zones) allows none"),
    ],
)
def test_a_route_without_a_backend_is_told_with_who_said_it(given: RoutePolicyContext, said_by: str) -> None:
    (found,) = refs.check_route_policy(policy(), given)
    assert found.reason == Reason.NO_BACKEND_IN_ZONE and found.field == "spec.routes[all]"
    assert said_by in found.message and "house (house), paris (eu), far (world)" in found.message
    built = router_config.build(policy(), given)
    assert not built.backends and not built.routes[0].tiers and len(built.routes[0].left_out or ()) == 3


OWN = "is not in data zone house, and rules say which zones may answer"
EXTERNAL = ModelDeployment.model_validate(
    {
        "metadata": {"name": "desk", "namespace": "law"},
        "spec": {"engine": "external", "external": {"url": "https://api.openai.com/v1"}},
    }
)


@pytest.mark.parametrize(
    "backend",
    [
        {
            "name": "house",
            "dataZone": "house",
            "cloud": {"provider": "openai", "model": "m", "credentialsSecretRef": KEY},
        },
        {
            "name": "house",
            "dataZone": "house",
            "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "https://eu.api.openai.com/v1"},
        },
        {"name": "house", "deployment": {"name": "desk"}},
    ],
)
def test_nobody_calls_a_providers_own_server_the_house(backend: Object) -> None:
    """Whoever rules over a namespace could not rely on it otherwise. Where nobody says anything of zones, a name harms nobody."""
    given = replace(context(label="house"), deployments={"desk": EXTERNAL})
    resource = policy()
    resource = resource.model_copy(
        update={
            "spec": resource.spec.model_copy(
                update={"backends": [Backend.model_validate(backend), *resource.spec.backends[1:]]}
            )
        }
    )
    assert not router_config.build(resource, given).backends
    (told,) = [found for found in refs.check_route_policy(resource, given) if OWN in found.message]
    assert told.field == "spec.backends[house]" and "api.openai.com is a server of openai" in told.message
    made = network_policy.for_router(resource, given)
    assert made is not None and len(made["spec"]["egress"]) == 2, "names and engines"
    free = replace(context(), deployments={"desk": EXTERNAL})
    assert "house" in {found.name for found in router_config.build(resource, free).backends}
    assert not any(OWN in found.message for found in refs.check_route_policy(resource, free))


def test_a_namespace_that_nobody_may_read_keeps_requests_in_the_house() -> None:
    """What its label forbids is not known; taking the right to read it away must not open what it has closed."""
    given = context()
    blind = replace(given, settings=replace(given.settings, place=Locality(is_known=False)))
    built = router_config.build(policy(), blind)
    assert {backend.name for backend in built.backends} == {"house"}
    assert not refs.check_route_policy(policy(), blind), "the house answers"
    assert data_zones.shown(policy(), blind.settings) == "house"
    (warned,) = refs.check_surroundings(policy(), blind)
    assert warned.reason == Reason.NAMESPACE_UNREAD and "let it get the namespace" in warned.message
    assert not refs.check_surroundings(policy(), given)
    alone = policy()
    spec = alone.spec.model_copy(update={"backends": alone.spec.backends[1:], "routes": [_route("paris", "far")]})
    cloudy = alone.model_copy(update={"spec": spec})
    (refused,) = refs.check_route_policy(cloudy, blind)
    assert (
        refused.reason == Reason.NO_BACKEND_IN_ZONE and "its label may not be read by the operator" in refused.message
    )


def _route(*names: str) -> Route:
    return Route.model_validate({"name": "all", "tiers": [{"backends": [{"name": name}]} for name in names]})


def test_a_policy_without_zones_is_written_as_before() -> None:
    built = router_config.build(policy(), context()).model_dump(mode="json", exclude_none=True)
    assert "dataZones" not in built and not {"dataZones", "leftOut"} & set(built["routes"][0])


def test_the_status_shows_what_holds_for_all_routes() -> None:
    assert data_zones.shown(policy(), context().settings) == "all"
    assert data_zones.shown(policy(dataZones=["house", "eu"]), context(label="eu.us.house").settings) == "eu, house"
    assert data_zones.shown(policy(), context(label="").settings) == "none"
