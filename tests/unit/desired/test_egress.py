"""Which ways out routers and downloads get, by how the servers are named that they go to."""

from __future__ import annotations

from typing import Any

import pytest

from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.desired import network_policy
from genset.desired.context import ModelDeploymentContext, RoutePolicyContext, Settings
from genset.off_limits import NETWORKS
from genset.status import refs

Object = dict[str, Any]
V4, V6 = (sorted(one for one in NETWORKS if (":" in one) is v6) for v6 in (False, True))
ANYWHERE = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": V4}},
    {"ipBlock": {"cidr": "::/0", "except": V6}},
]


def policy(*urls: str, collector: str | None = None, **router: Any) -> RoutePolicy:
    backends = [
        {"name": f"b{number}", "cloud": {"provider": "openAICompatible", "model": "m", "baseURL": url}}
        for number, url in enumerate(urls)
    ] or [{"name": "b0", "deployment": {"name": "d"}}]
    spec: Object = {
        "backends": backends,
        "routes": [{"name": "r", "tiers": [{"backends": [{"name": b["name"]} for b in backends]}]}],
        "router": {**router, **({"telemetry": {"otlpEndpoint": collector}} if collector else {})},
    }
    metadata = {"name": "p", "namespace": "models", "uid": "1"}
    return RoutePolicy.model_validate(
        {"apiVersion": "genset.dev/v1alpha1", "kind": "RoutePolicy", "metadata": metadata, "spec": spec}
    )


def ways(resource: RoutePolicy, **settings: Any) -> list[Object]:
    made = network_policy.for_router(resource, RoutePolicyContext(Settings(image="i", **settings)))
    assert made is not None
    found: list[Object] = made["spec"]["egress"]
    assert all(rule["to"] and rule["ports"] for rule in found), "no rule is open to everything"
    return found


INSIDE = ways(policy())


def test_names_are_asked_for_where_the_dns_servers_are() -> None:
    """Without it whoever listens at port 53 anywhere is a way out of the cluster."""
    (anywhere, *_), (near, *_) = ways(policy()), ways(policy(), dns_networks=("169.254.20.10/32", "fd00:53::1/64"))
    pods, *blocks = near["to"]
    assert pods == {"namespaceSelector": {}} == anywhere["to"][0] and near["ports"] == anywhere["ports"]
    assert [block["ipBlock"]["cidr"] for block in blocks] == ["169.254.20.10/32", "fd00:53::/64"]
    assert [block["ipBlock"]["cidr"] for block in anywhere["to"][1:]] == ["0.0.0.0/0", "::/0"]


def tcp(*ports: int) -> list[Object]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def at(cidr: str, *ports: int) -> Object:
    return {"to": [{"ipBlock": {"cidr": cidr}}], "ports": tcp(*ports)}


def service(namespace: str) -> Object:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    return {"to": [peer], "ports": [{"protocol": "TCP"}]}


OWN = {"to": [{"podSelector": {}}], "ports": [{"protocol": "TCP"}]}
NAMED = [
    ("http://collector:4318", [OWN]),
    ("http://c.observability.svc:4318", [service("observability")]),
    ("https://c.observability.svc.cluster.local/x", [service("observability")]),
    ("https://c.observability:4318", [{"to": ANYWHERE, "ports": tcp(4318)}]),
    ("http://c.observability:4318", [service("observability"), {"to": ANYWHERE, "ports": tcp(4318)}]),
    ("http://10.1.2.3:4318", [at("10.1.2.3/32", 4318)]),
    ("http://[2001:db8::7]:4318", [at("2001:db8::7/128", 4318)]),
    ("https://traces.example.com", [{"to": ANYWHERE, "ports": tcp(443)}]),
    ("http://traces.example.com/otlp", [{"to": ANYWHERE, "ports": tcp(80)}]),
    ("http://169.254.169.254", []),
    ("http://169.254.169.254:80/latest", []),
    ("http://[fe80::1]:80", []),
    ("http://[::ffff:a9fe:a9fe]", []),
    ("http://[::ffff:a01:203]:81", [at("10.1.2.3/32", 81)]),
    ("http://localhost:11434/v1", []),
    ("http://sub.localhost:11434/v1", []),
    ("http://2852039166/v1", [OWN]),
    ("https://GATEWAY.tools.SVC/v1", [service("tools")]),
    ("http://127.0.0.1:9/v1", []),
]


@pytest.mark.parametrize(("url", "rules"), [row for row in NAMED if "[" not in row[0]])
def test_the_collector_can_be_reached_and_nothing_else(url: str, rules: list[Object]) -> None:
    assert ways(policy(collector=url)) == [*INSIDE, *rules]


@pytest.mark.parametrize(("url", "rules"), NAMED)
def test_a_cloud_can_be_reached_and_nothing_else(url: str, rules: list[Object]) -> None:
    assert ways(policy(url)) == [*INSIDE, *rules]


def test_ways_add_up_and_come_once_in_whatever_order() -> None:
    urls = (
        "https://a.example.com/v1",
        "http://b.example.com:8000/v1",
        "https://c.example.com/v1",
        "http://10.0.0.9/v1",
    )
    rules = [*INSIDE, at("10.0.0.9/32", 80), {"to": ANYWHERE, "ports": tcp(443, 8000)}]
    assert ways(policy(*urls)) == ways(policy(*reversed(urls))) == rules


def test_the_clusters_own_networks_are_left_out() -> None:
    found = ways(policy("https://a.example.com/v1"), cluster_cidrs=("10.0.0.0/8", "fd00::/8"))
    assert found[-1]["to"] == [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": sorted(["10.0.0.0/8", *V4])}},
        {"ipBlock": {"cidr": "::/0", "except": sorted(["fd00::/8", *V6])}},
    ]


def test_a_policy_may_say_less() -> None:
    egress = {"cidrs": ["203.0.113.7/24", "10.0.0.0/8", "10.244.3.0/24"], "ports": [443]}
    resource = policy("https://a.example.com/v1", "http://b.example.com/v1", "https://10.1.1.1/v1", egress=egress)
    found = ways(resource, cluster_cidrs=("10.244.0.0/16",))
    peers = [{"ipBlock": {"cidr": "203.0.113.0/24"}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.0.0/16"]}}]
    assert found == [*INSIDE, at("10.1.1.1/32", 443), {"to": peers, "ports": tcp(443)}]


@pytest.mark.parametrize(
    ("url", "egress", "said"),
    [
        ("http://a.example.com/v1", {"ports": [443]}, "port 80 is none of spec.router.egress.ports: add it"),
        ("https://10.1.1.1/v1", {"cidrs": ["10.2.0.0/16"]}, "10.1.1.1 is in none of spec.router.egress.cidrs: add its"),
        ("https://10.244.0.9/v1", None, "10.244.0.9 is one of the cluster's own addresses"),
        ("https://[2001:db8::1]/v1", {"cidrs": ["10.0.0.0/8"]}, "2001:db8::1 is in none of spec.router.egress.cidrs"),
    ],
)
def test_what_the_policy_keeps_from_its_routers_is_told(url: str, egress: Object | None, said: str) -> None:
    context = RoutePolicyContext(Settings(image="i", cluster_cidrs=("10.244.0.0/16",)))
    told = [problem.message for problem in refs.check_route_policy(policy(url, egress=egress), context)]
    assert len(told) == 1 and told[0].startswith(f"spec.backends[b0].cloud.baseURL: {said}"), told


@pytest.mark.parametrize(
    ("router", "fields"),
    [
        ({}, []),
        ({"egress": {"ports": [443]}}, ["spec.router.egress"]),
        ({"allowedClients": [{"podSelector": {}}]}, ["spec.router.allowedClients"]),
    ],
)
def test_bounds_that_nobody_keeps_are_told(router: Object, fields: list[str]) -> None:
    context = RoutePolicyContext(Settings(image="i", network_policies=False))
    told = refs.check_route_policy(policy("http://10.244.0.9/v1", **router), context)
    assert [problem.field for problem in told] == fields
    assert all("has no effect" in problem.message and "networkPolicies.enabled" in problem.message for problem in told)


def test_a_cloud_behind_a_proxy_needs_no_other_way() -> None:
    resource = policy("https://a.example.com/v1").model_dump(by_alias=True, exclude_none=True)
    resource["spec"]["backends"][0]["cloud"]["proxy"] = {"url": "http://10.9.9.9:3128"}
    assert ways(RoutePolicy.model_validate(resource)) == [*INSIDE, at("10.9.9.9/32", 3128)]


def download(source: Object, env: list[Object] | None = None, **settings: Any) -> list[Object] | None:
    spec: Object = {"engine": "llama.cpp", "source": source}
    if env is not None:
        spec["podTemplate"] = {"spec": {"initContainers": [{"name": "weights", "env": env}]}}
    metadata = {"name": "m", "namespace": "models", "uid": "1"}
    resource = ModelDeployment.model_validate(
        {"apiVersion": "genset.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
    )
    context = ModelDeploymentContext(Settings(image="i", **settings))
    closed = network_policy.for_engine(resource, context)
    assert closed is not None and closed["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in closed["spec"], "an engine that serves talks to nobody"
    made = network_policy.for_download(resource, context)
    if made is None:
        return None
    assert made["spec"]["podSelector"]["matchLabels"]["genset.dev/downloading"] == "true"
    found: list[Object] = made["spec"]["egress"]
    assert all(rule["to"] and rule["ports"] for rule in found)
    return found


HUB = {"huggingFace": {"repo": "a/b"}}
SHA = "0" * 64


@pytest.mark.parametrize(
    ("source", "settings", "rules"),
    [
        (HUB, {}, [{"to": ANYWHERE, "ports": tcp(443)}]),
        (
            HUB,
            {"hugging_face_endpoint": "http://hub.corp.example:8080/hf"},
            [{"to": ANYWHERE, "ports": tcp(443, 8080)}],
        ),
        ({"huggingFace": {"repo": "a/b", "endpoint": "http://mirror.tools.svc"}}, {}, [service("tools")]),
        ({"http": {"url": "http://10.1.2.3:81/m.gguf", "sha256": SHA}}, {}, [at("10.1.2.3/32", 81)]),
        (
            {"http": {"url": "https://files.corp.example/m.gguf", "sha256": SHA}},
            {},
            [{"to": ANYWHERE, "ports": tcp(443)}],
        ),
    ],
)
def test_a_download_reaches_its_source(source: Object, settings: Object, rules: list[Object]) -> None:
    assert download(source, **settings) == [INSIDE[0], *rules]


@pytest.mark.parametrize("source", [{"pvc": {"claimName": "c", "path": "m.gguf"}}])
def test_what_is_in_place_needs_no_way_out(source: Object) -> None:
    assert download(source) is None


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("http://10.1.1.1:3128", at("10.1.1.1/32", 3128)),
        ("http://user:se@cret@10.1.1.1:3128/", at("10.1.1.1/32", 3128)),
        ("10.1.1.1:3128", at("10.1.1.1/32", 3128)),
        ("http://proxy.tools.svc:3128", service("tools")),
        ("http://:99999", None),
    ],
)
def test_a_download_reaches_its_proxy(value: str, rule: Object | None) -> None:
    source = {"http": {"url": "http://10.1.2.3:81/m.gguf", "sha256": SHA}}
    found = download(source, env=[{"name": "HTTPS_PROXY", "value": value}, {"name": "X"}])
    rest = [at("10.1.2.3/32", 81)] if rule is None else [at("10.1.2.3/32", 81), rule]
    assert found is not None and sorted(found[1:], key=str) == sorted(rest, key=str)
