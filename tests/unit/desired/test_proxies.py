"""A policy's proxy on the way out: what goes by it, what does not, and what the NetworkPolicy then leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import Reason, RoutePolicy
from genset.contracts.router_config import RouterConfig
from genset.desired import network_policy, router_config
from genset.desired.context import Locality, RoutePolicyContext, Settings
from genset.desired.secrets import EVERY_HOST, UserSecret
from genset.desired.site import Site, SiteProxies
from genset.status import refs

Object = dict[str, Any]
PROXY = "http://10.9.9.9:3128"
TO_PROXY: Object = {
    "to": [{"ipBlock": {"cidr": "10.9.9.9/32"}}],
    "ports": [{"port": 3128, "protocol": "TCP"}],
}
SITE = Site(SiteProxies("http://site.corp:8080", "http://site.corp:8080", ("far.example",)))


def policy(*urls: str, proxy: Object | None = None, **spec: Any) -> RoutePolicy:
    backends = [
        {"name": f"c{n}", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": url}}
        for n, url in enumerate(urls)
    ]
    spec.setdefault("backends", backends)
    tiers = [{"backends": [{"name": one["name"]}]} for one in spec["backends"]]
    spec = {"routes": [{"name": "all", "tiers": tiers}], "egress": {"proxy": proxy or {"url": PROXY}}, **spec}
    metadata = {"name": "p", "namespace": "law", "uid": "1"}
    return RoutePolicy.model_validate({"metadata": metadata, "spec": spec})


def context(site: Site | None = None, secrets: dict[str, UserSecret] | None = None, **more: Any) -> RoutePolicyContext:
    settings = Settings(image="i", cluster_cidrs=("10.96.0.0/12",), place=Locality(site=site or Site()))
    return RoutePolicyContext(settings, secrets=secrets or {}, **more)


def ways(resource: RoutePolicy, given: RoutePolicyContext) -> list[Object]:
    made = network_policy.for_router(resource, given)
    assert made is not None
    found: list[Object] = made["spec"]["egress"][2:]  # after names and engines
    return found


def proxies_of(built: RouterConfig) -> dict[str, str | None]:
    return {backend.name: backend.url.proxy_url for backend in built.backends if backend.url is not None}


@pytest.mark.parametrize(
    ("url", "behind"),
    [
        ("https://far.example/v1", True),
        ("https://far.example:8443/v1", True),
        ("http://far.example.org/v1", True),
        ("https://203.0.113.7/v1", True),
        ("https://[2001:db8::7]:8443/v1", True),
        ("http://gateway.tools.svc:4000/v1", False),
        ("http://gateway.tools.svc.cluster.local:4000/v1", False),
        ("http://gateway.tools:4000/v1", False),
        ("http://gateway:4000/v1", False),
        ("http://10.96.4.4:4000/v1", False),
    ],
)
@pytest.mark.parametrize("site", [None, SITE], ids=["no site's proxy", "the site has one, with exceptions"])
def test_everything_outside_the_cluster_goes_by_it(url: str, behind: bool, site: Site | None) -> None:
    resource, given = policy(url), context(site)
    assert proxies_of(router_config.build(resource, given)) == {"c0": PROXY if behind else None}
    if behind:
        assert ways(resource, given) == [TO_PROXY], "the proxy is the only way out"


def test_a_host_that_may_be_a_service_is_asked_directly_and_told_of() -> None:
    (warned, _) = sorted(
        refs.check_surroundings(policy("http://example.org/v1"), context()), key=lambda one: one.reason
    )
    assert warned.reason == Reason.WAY_OUT_OPEN and "example.org is not behind spec.egress.proxy" in warned.message


def test_a_cloud_keeps_the_proxy_of_its_own() -> None:
    own = {"provider": "openAICompatible", "model": "m", "baseURL": "https://far.example/v1"}
    resource = policy(backends=[{"name": "far", "cloud": {**own, "proxy": {"url": "http://10.8.8.8:80"}}}])
    assert proxies_of(router_config.build(resource, context())) == {"far": "http://10.8.8.8:80"}
    (warned,) = refs.check_surroundings(resource, context())
    assert warned.reason == Reason.WITHOUT_EFFECT and warned.field == "spec.egress.proxy"


def test_keys_of_tokens_and_traces_go_by_it_too() -> None:
    jwt = {"issuer": "https://idp.corp/x", "audiences": ["a"], "jwksURL": "https://idp.corp/x/certs"}
    traces = {"telemetry": {"otlpEndpoint": "https://collector.example:4318"}}
    resource = policy("https://far.example/v1", access={"mode": "Open", "jwt": jwt}, router=traces)
    built = router_config.build(resource, context())
    assert built.access is not None and built.access.jwt is not None and built.access.jwt.proxy_url == PROXY
    assert built.telemetry is not None and built.telemetry.proxy_url == PROXY
    assert ways(resource, context()) == [TO_PROXY]
    assert not refs.check_surroundings(resource, context())


def test_a_house_that_stays_in_it_has_no_way_to_the_proxy() -> None:
    resource = policy("https://far.example/v1", "http://gateway.tools.svc:4000/v1", dataZones=["world"])
    assert TO_PROXY in ways(resource, context())
    near = {"provider": "openAICompatible", "model": "m", "baseURL": "http://gateway.tools.svc:4000/v1"}
    far = {**near, "baseURL": "https://far.example/v1"}
    backends = [{"name": "near", "dataZone": "house", "cloud": near}, {"name": "far", "cloud": far}]
    closed = policy(backends=backends, dataZones=["house"])
    assert TO_PROXY not in ways(closed, context())
    assert not refs.check_surroundings(closed, context()), "it is there for whoever widens the zones"


def test_a_server_of_the_house_elsewhere_is_asked_directly_and_the_way_it_opens_is_told() -> None:
    external = {"engine": "external", "external": {"url": "https://llm.corp/v1"}}
    metadata = {"name": "llm", "namespace": "law", "uid": "2"}
    found = ModelDeployment.model_validate({"metadata": metadata, "spec": external})
    backends = [
        {"name": "llm", "deployment": {"name": "llm"}},
        {
            "name": "far",
            "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": "https://far.example/v1"},
        },
    ]
    resource, given = policy(backends=backends), context(deployments={"llm": found})
    assert proxies_of(router_config.build(resource, given)) == {"llm": None, "far": PROXY}
    (warned,) = refs.check_surroundings(resource, given)
    assert warned.reason == Reason.WAY_OUT_OPEN and "llm.corp" in warned.message and "port 443" in warned.message
    bound = policy(backends=backends, router={"egress": {"cidrs": ["10.0.0.0/8"]}})
    assert not refs.check_surroundings(bound, given)


# Its password


REF = {"name": "out", "key": "login"}
SECRET = {"out": UserSecret({"login": b"user:pw"}, EVERY_HOST, "Opaque")}


def test_its_password_is_copied_and_kept() -> None:
    resource = policy(
        "https://far.example/v1", "https://eu.example/v1", proxy={"url": PROXY, "credentialsSecretRef": REF}
    )
    given = context(secrets=SECRET)
    built, files = router_config.build(resource, given), router_config.credential_files(resource, given)
    named = {backend.url.proxy_credentials_file for backend in built.backends if backend.url is not None}
    assert [files[str(name)] for name in named] == [b"user:pw"]
    assert not refs.check_route_policy(resource, given)
    kept = router_config.credential_files(resource, context(applied_credentials=files))
    assert kept == files, "a Secret that is missing for a moment costs nobody anything"


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ({}, Reason.SECRET_NOT_FOUND),
        ({"out": UserSecret({"other": b"user:pw"}, EVERY_HOST, "Opaque")}, Reason.SECRET_KEY_NOT_FOUND),
        ({"out": UserSecret({"login": b"password"}, EVERY_HOST, "Opaque")}, Reason.SECRET_KEY_INVALID),
        ({"out": UserSecret({"login": b"user:pw"}, "proxy.corp", "Opaque")}, Reason.SECRET_NOT_ALLOWED),
    ],
)
def test_without_its_password_nothing_goes_out(secrets: dict[str, UserSecret], reason: str) -> None:
    resource = policy("https://far.example/v1", proxy={"url": PROXY, "credentialsSecretRef": REF})
    given = context(secrets=secrets)
    assert not router_config.build(resource, given).backends
    (told,) = refs.check_route_policy(resource, given)
    assert told.reason == reason and told.message.startswith("spec.egress.proxy.credentialsSecretRef")


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254:80", "http://127.0.0.1:3128", "http://kubernetes.default.svc:443"]
)
def test_a_proxy_that_no_router_may_dial_is_refused_and_nothing_goes_around_it(url: str) -> None:
    traces = {"telemetry": {"otlpEndpoint": "https://collector.example:4318"}}
    resource = policy("https://far.example/v1", proxy={"url": url}, router=traces)
    built = router_config.build(resource, context())
    assert not built.backends and built.telemetry is None
    told = refs.check_route_policy(resource, context())
    assert {one.field for one in told} == {"spec.egress.proxy.url"} and told[0].reason == Reason.INVALID_SPEC
