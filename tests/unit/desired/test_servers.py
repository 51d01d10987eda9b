"""Which servers a policy's routers may dial, and which ones they may send a key to."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import router_config
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret
from genset.status.refs import check_model_deployment, check_route_policy

SETTINGS = Settings(image="genset:test", api_server=("10.96.0.1", "fd00:10::1"), forbidden_networks=("192.0.2.0/24",))
KEY = {"name": "s", "key": "k"}
SECRETS = {"s": UserSecret({"k": b"key"}, "*")}


def external(url: str, **more: Any) -> ModelDeployment:
    spec = {"engine": "external", "external": {"url": url, **more}}
    return ModelDeployment.model_validate({"metadata": {"name": "desk", "namespace": "models"}, "spec": spec})


def policy(url: str = "https://a.example/v1", telemetry: str | None = None, **cloud: Any) -> RoutePolicy:
    backends = [
        {"name": "cloud", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": url, **cloud}},
        {"name": "desk", "deployment": {"name": "desk"}},
    ]
    router = {"telemetry": {"otlpEndpoint": telemetry}} if telemetry else {}
    routes = [{"name": "r", "tiers": [{"backends": [{"name": "cloud"}]}]}]
    return RoutePolicy.model_validate(
        {
            "metadata": {"name": "assistant", "namespace": "models"},
            "spec": {"backends": backends, "routes": routes, "router": router},
        }
    )


def context(desk: ModelDeployment | None = None, **more: Any) -> RoutePolicyContext:
    return RoutePolicyContext(SETTINGS, {"desk": desk or external("https://desk.example")}, SECRETS, **more)


def served(resource: RoutePolicy, known: RoutePolicyContext) -> list[str]:
    return [backend.name for backend in router_config.build(resource, known).backends]


HOSTS = [
    ("127.0.0.1:9", True), ("localhost", True), ("2130706433", True), ("[::1]:11434", True), ("169.254.169.254", True),
    ("[fd00:ec2::254]", True), ("[::ffff:7f00:1]", True), ("0.0.0.0:8080", True), ("10.96.0.1", True),
    ("[fd00:10::1]", True), ("192.0.2.7", True), ("kubernetes.default", True), ("kubernetes.default.svc", True),
    ("Kubernetes.default.svc.cluster.local.", True), ("10.0.0.7:1234", False), ("gateway.corp", False),
    ("kubernetes", False), ("kubernetes.models.svc", False), ("[fd00::7]", False),
]  # fmt: skip


@pytest.mark.parametrize(("host", "refused"), HOSTS)
def test_where_no_router_may_dial(host: str, refused: bool) -> None:
    """In a condition, early, where the address stands in the resource; the router looks again at what DNS gives."""
    desk, expected = external(f"https://{host}"), ["InvalidSpec"] if refused else []
    found = check_model_deployment(desk, ModelDeploymentContext(SETTINGS))
    assert [(p.reason, p.field) for p in found] == [(reason, "spec.external.url") for reason in expected]
    resource = policy(f"https://{host}/v1")
    problems = check_route_policy(resource, context(desk))
    assert [p.reason for p in problems] == expected * 2
    assert served(resource, context(desk)) == ([] if refused else ["cloud", "desk"])
    for problem in (*found, *problems):
        assert "is no address that routers may dial" in problem.message and ": name a server" in problem.message


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f000001", "localhost", "169.254.169.254", "kubernetes.default.svc"])
def test_proxies_and_collectors_are_servers_like_all_others(host: str) -> None:
    proxied = policy(proxy={"url": f"http://{host}:3128"})
    assert [p.field for p in check_route_policy(proxied, context())] == ["spec.backends[cloud].cloud.proxy.url"]
    assert served(proxied, context()) == ["desk"]
    traced = policy(telemetry=f"http://{host}:4318")
    assert [p.field for p in check_route_policy(traced, context())] == ["spec.router.telemetry.otlpEndpoint"]
    assert router_config.build(traced, context()).telemetry is None


def test_the_policys_own_routers_are_no_collector_and_no_proxy() -> None:
    """Each span of theirs would make another one."""
    own = "http://assistant-router.models.svc"
    traced, proxied = policy(telemetry=own), policy(proxy={"url": f"{own}:80"})
    for resource, field in (
        (traced, "spec.router.telemetry.otlpEndpoint"),
        (proxied, "spec.backends[cloud].cloud.proxy.url"),
    ):
        (problem,) = check_route_policy(resource, context())
        assert problem.field == field and "is the Service of this policy's own routers" in problem.message
    assert router_config.build(traced, context()).telemetry is None
    assert served(proxied, context()) == ["desk"]


def test_one_person_with_files_may_dial_whatever_he_likes() -> None:
    resource, desk = policy("http://127.0.0.1:4000/v1"), external("http://localhost:1234")
    assert check_route_policy(resource, context(desk, from_files=True)) == []
    assert served(resource, context(desk, from_files=True)) == ["cloud", "desk"]


@pytest.mark.parametrize(
    ("url", "allowed", "from_files", "refused"),
    [
        ("https://a.example/v1", False, False, False),
        ("http://a.example/v1", False, False, True),
        ("http://a.example/v1", True, False, False),
        ("http://a.example/v1", False, True, True),
        ("http://127.0.0.1:4000/v1", False, True, False),
        ("http://[::1]:4000/v1", False, True, False),
        ("http://localhost:4000/v1", False, True, False),
    ],
)
def test_a_key_goes_over_plain_http_only_if_the_policy_says_so(
    url: str, allowed: bool, from_files: bool, refused: bool
) -> None:
    given = {"allowPlainHTTP": allowed} if allowed else {}
    resource, desk = policy(url, credentialsSecretRef=KEY, **given), external(url, apiKeySecretRef=KEY, **given)
    known = context(desk, from_files=from_files)
    problems = check_route_policy(resource, known)
    assert [p.reason for p in problems] == (["InvalidSpec"] * 2 if refused else [])
    assert served(resource, known) == ([] if refused else ["cloud", "desk"])
    if refused:
        assert "set spec.backends[cloud].cloud.allowPlainHTTP: true" in problems[0].message
        assert "set spec.external.allowPlainHTTP: true" in problems[1].message
    if not from_files:
        own = check_model_deployment(desk, ModelDeploymentContext(SETTINGS, SECRETS))
        assert [p.field for p in own] == (["spec.external.url"] if refused else [])


def test_without_a_key_plain_http_needs_no_consent() -> None:
    assert check_route_policy(policy("http://a.example/v1"), context(external("http://desk.example"))) == []


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://10.96.7.7/v1", True),
        ("http://10.96.7.7:8080/v1", True),
        ("https://[fd00:10:0::7]/v1", True),
        ("http://lb.corp.example./v1", True),
        ("http://10.96.7.8/v1", False),
        ("http://assistant-router.models.svc:80/v1", True),
    ],
)
def test_a_server_elsewhere_that_is_the_policys_own_router(url: str, own: bool) -> None:
    desk = external(url)
    known = context(desk, router_addresses=("10.96.7.7", "fd00:10::7", "lb.corp.example"))
    problems = check_route_policy(policy(), known)
    assert [(p.reason, p.field) for p in problems] == (
        [("InvalidSpec", "spec.backends[desk].deployment.name")] if own else []
    )
    assert served(policy(), known) == (["cloud"] if own else ["cloud", "desk"])
    if own:
        assert "own routers" in problems[0].message and "correct spec.external.url" in problems[0].message
