"""What the two resources accept and refuse: one table, checked against a real API server and against the types.

A case is the spec of a resource. `refused` is what a user reads when the API server says no (part of its message);
`types` is what `genset router -f` says for the same document, where the words differ. `old` makes it an update.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.crds.base_urls import BASE_URLS, BETTER_BASE_URLS, NO_SERVER

Spec = dict[str, Any]

MDEP = "ModelDeployment"
RP = "RoutePolicy"
SHA = "0" * 64
HTTP = {"url": "http://mirror.corp/m.gguf", "sha256": SHA}
SECRET = {"name": "keys", "key": "token"}


@dataclass(frozen=True)
class Case:
    """`name` is the metadata.name of the resource, `about` says what is tried."""

    about: str
    kind: str
    spec: Spec
    refused: str = ""
    types: str = ""
    old: Spec | None = None
    name: str = "case"

    @property
    def accepted(self) -> bool:
        return not self.refused

    def document(self, spec: Spec | None = None) -> dict[str, Any]:
        return {
            "apiVersion": "genset.dev/v1alpha1",
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": "default"},
            "spec": copy.deepcopy(self.spec if spec is None else spec),
        }


def house(**spec: Any) -> Spec:
    """A ModelDeployment that says no more than it must."""
    return {"source": {"http": HTTP}, **spec}


def external(**spec: Any) -> Spec:
    return {"engine": "external", "external": {"url": "http://10.0.0.7:1234"}, **spec}


def cloud(**fields: Any) -> Spec:
    return {"provider": "openai", "model": "m", "credentialsSecretRef": SECRET, **fields}


def policy(cloud_: Spec | None = None, **spec: Any) -> Spec:
    """A RoutePolicy with a backend of each side and one route over both."""
    return {
        "backends": [
            {"name": "house", "deployment": {"name": "house-small"}},
            {"name": "frontier", "cloud": cloud_ if cloud_ is not None else cloud()},
        ],
        "routes": [{"name": "all", "tiers": [tier("house"), tier("frontier")]}],
        **spec,
    }


def gateway(url: str, proxy: str | None = None) -> Spec:
    """A policy whose cloud is a gateway of the house's own, behind an egress proxy or not."""
    more = {"proxy": {"url": proxy}} if proxy is not None else {}
    return policy(cloud(provider="openAICompatible", baseURL=url, **more))


def tier(*backends: str) -> Spec:
    return {"backends": [{"name": name} for name in backends]}


def route(**fields: Any) -> Spec:
    return policy(routes=[{"name": "all", "tiers": [tier("house")], **fields}])


def balanced(when_full: str | None = None, cloud_: Spec | None = None, **balancing: Any) -> Spec:
    """A policy whose house (or, with `cloud_`, whose cloud) is balanced so, behind one route."""
    target = {"cloud": cloud_} if cloud_ is not None else {"deployment": {"name": "house-small"}}
    one = {"name": "all", "tiers": [tier("house")], **({"whenFull": when_full} if when_full else {})}
    return policy(backends=[{"name": "house", **target, "balancing": balancing}], routes=[one])


def cached(**fields: Any) -> Spec:
    return house(cache={"size": "20Gi", **fields})


_ONE_SOURCE = "source needs exactly one of huggingFace, http, pvc, hostPath"
_NO_SOURCE = "an engine that genset runs needs source"
_EXTERNAL = "engine external needs external.url, and neither source nor cache: its weights are not ours"
_CACHE_IS_FOR_DOWNLOADS = "cache is for downloads; a pvc or hostPath source is read where it lies: remove cache"
_CACHE_FIXED = "cache.storageClassName and cache.accessMode cannot change once set"
_ONE_TARGET = "a backend needs exactly one of deployment, cloud"
_BOUND_NEEDED = "balancing.maxQueued and queueSeconds need maxInFlightPerEndpoint: without a bound nothing ever waits"
_NOTHING_FULL = (
    "whenFull Wait needs balancing.maxInFlightPerEndpoint on a backend of the route: without a bound none is full"
)


def _base_urls(shown: str, kind: str, made: Callable[[str], Spec]) -> list[Case]:
    """Cases of a field that holds a base URL."""
    return [
        Case(f"{shown} {about}", kind, made(url), f"{shown} {words}", _first_words(shown, url, words))
        for about, (url, words) in {**BASE_URLS, **BETTER_BASE_URLS}.items()
    ]


def _first_words(shown: str, url: str, words: str) -> str:
    """The types tell the first mistake; the API server tells them all."""
    return f"{shown} takes no user and no password" if "@" in url else f"{shown} {words}"


_NO_ORIGIN = (
    "cors.allowedOrigins: write SCHEME://HOST or SCHEME://HOST:PORT in small letters, without a path, or * alone"
)
_NO_PROXY = (
    "proxy.url names no server: write http://HOST:PORT, where HOST is a name, an IPv4 address or an IPv6 address in"
)
_KEY_NEEDED = "this provider needs credentialsSecretRef; only an openAICompatible gateway may do without"

_MODEL_NAME = (
    "metadata.name must be at most 52 characters of a-z, 0-9 and -, beginning with a letter: Services take it as their "
    "name (spec.model may hold any name)"
)
_POLICY_NAME = _MODEL_NAME.removesuffix(" (spec.model may hold any name)")
_OUR_NAMES = "metadata.name must not end with -router or -endpoints: genset's own Services are named so"

MODEL_DEPLOYMENTS = [
    Case("the least that serves", MDEP, house()),
    Case("everything from the hub", MDEP, {
        "model": "qwen3.5-9b", "engine": "llama.cpp",
        "source": {"huggingFace": {
            "repo": "org/Name-9B_GGUF", "revision": "main", "file": "*Q4_K_M*.gguf", "tokenSecretRef": SECRET,
            "endpoint": "https://hub.corp/hf",
        }},
        "cache": {"size": "20Gi", "storageClassName": "local-path", "accessMode": "ReadWriteMany"},
        "context": {"tokens": 8192, "parallel": 4},
        "resources": {"cpu": "8", "memory": "12Gi", "accelerator": {"vendor": "amd", "count": 2}},
        "replicas": 2,
        "llamaCpp": {"image": "registry.corp/llama:1", "cacheRAM": "512Mi", "extraArgs": ["--no-warmup"]},
        "rollout": {"drainSeconds": 120, "startupSeconds": 600},
        "podTemplate": {
            "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
            "spec": {"nodeSelector": {"pool": "models"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
        },
    }),
    Case("a file on a volume", MDEP, {"source": {"pvc": {"claimName": "weights", "path": "a/b.gguf"}}}),
    Case("a file on the node", MDEP, {"source": {"hostPath": {"path": "/var/lib/genset/models/a.gguf"}}}),
    Case("quantities as numbers", MDEP, house(resources={"cpu": 2, "memory": 4294967296})),
    Case("a null is absent", MDEP, house(cache=None, model=None)),
    Case("at rest", MDEP, house(replicas=0)),
    Case("by demand", MDEP, house(autoscaling={"min": 0, "max": 2, "idleSeconds": 60})),
    Case("by demand, as it comes", MDEP, house(autoscaling={})),
    Case("an external server", MDEP, external(model="lm-studio/gemma")),
    Case("an external server with key and CA", MDEP, external(external={
        "url": "https://site-b.corp/genset", "apiKeySecretRef": SECRET, "caSecretRef": SECRET,
    })),
    # Names
    Case("the longest name", MDEP, house(), name="m" * 52),
    Case("a name that is too long", MDEP, house(), _MODEL_NAME, name="m" * 53),
    Case("a name with a dot", MDEP, house(), _MODEL_NAME, name="qwen3.5-9b"),
    Case("a name that begins with a digit", MDEP, house(), _MODEL_NAME, name="9b"),
    Case("the name of a router's Service", MDEP, house(), _OUR_NAMES, name="assistant-router"),
    Case("the name of a headless Service", MDEP, house(), _OUR_NAMES, name="house-endpoints"),
    # Unknown fields and wrong values
    Case("a misspelt field", MDEP, house(replica=2), 'unknown field "spec.replica"', "Extra inputs are not permitted"),
    Case("a field of a later version", MDEP, house(adapters=[]),
         'unknown field "spec.adapters"', "Extra inputs are not permitted"),
    Case("a misspelt field, deep", MDEP, house(resources={"accelerator": {"vendors": "amd"}}),
         'unknown field "spec.resources.accelerator.vendors"', "Extra inputs are not permitted"),
    Case("an unknown engine", MDEP, house(engine="llamacpp"),
         'spec.engine: Unsupported value: "llamacpp": supported values: "llama.cpp", "external"',
         "Input should be 'llama.cpp' or 'external'"),
    Case("an unknown vendor", MDEP, house(resources={"accelerator": {"vendor": "apple"}}),
         'supported values: "nvidia", "amd", "intel"', "Input should be 'nvidia', 'amd' or 'intel'"),
    Case("replicas as text", MDEP, house(replicas="2"),
         "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer",
         "Input should be a valid integer"),
    Case("one after the other", MDEP, house(rollout={"strategy": "Replace"})),
    Case("new before old, on GPUs that are spare", MDEP, house(
        rollout={"strategy": "Surge"}, resources={"accelerator": {"vendor": "nvidia"}})),
    Case("new before old, both on a volume for one", MDEP, house(
        rollout={"strategy": "Surge"}, cache={"size": "20Gi", "accessMode": "ReadWriteOncePod"}),
        "rollout.strategy Surge needs a cache that two pods can mount"),
    Case("a roll-out of another kind", MDEP, house(rollout={"strategy": "Recreate"}),
         'Unsupported value: "Recreate"', "Input should be"),
    Case("by demand, with a fixed number", MDEP, house(replicas=1, autoscaling={"max": 2}),
         "replicas and autoscaling exclude each other"),
    Case("by demand, with one number", MDEP, house(autoscaling={"min": 1}), "autoscaling.min must be below"),
    Case("by demand, and never silent for long enough", MDEP, house(autoscaling={"idleSeconds": 1}),
         "spec.autoscaling.idleSeconds in body should be greater than or equal to 5", "greater than or equal to 5"),
    Case("by demand, by a target that does not exist yet", MDEP, house(autoscaling={"targetInFlight": 8}),
         'unknown field "spec.autoscaling.targetInFlight"', "Extra inputs are not permitted"),
    Case("by demand, elsewhere", MDEP, external(autoscaling={}), "autoscaling needs an engine that genset runs"),
    Case("from replicas to demand", MDEP, house(autoscaling={}), old=house(replicas=3)),
    Case("replicas below zero", MDEP, house(replicas=-1),
         "spec.replicas in body should be greater than or equal to 0", "greater than or equal to 0"),
    Case("a quantity that is none", MDEP, house(resources={"memory": "4 GB"}),
         'spec.resources.memory: Invalid value: "4 GB"', "'4 GB' is no quantity"),
    Case("a quantity with a fraction as a number", MDEP, house(resources={"cpu": 1.5}),
         "spec.resources.cpu: Invalid value", "1.5 is a fraction: write it in quotes"),
    Case("a quantity below zero", MDEP, house(resources={"memory": -1}),
         "spec.resources.memory in body should be greater than or equal to 0", "'-1' is no quantity"),
    Case("no CPU", MDEP, house(resources={"cpu": "0"}),
         "resources.cpu must be above zero: it decides the engine's threads"),
    Case("no memory", MDEP, house(resources={"memory": 0}),
         "resources.memory must be above zero: weights and context live there"),
    Case("a checksum in capitals", MDEP, {"source": {"http": {**HTTP, "sha256": "A" * 64}}},
         "spec.source.http.sha256 in body should match", "String should match pattern"),
    Case("no checksum", MDEP, {"source": {"http": {"url": "http://mirror.corp/m.gguf"}}},
         "spec.source.http.sha256: Required value", "Field required"),
    Case("a password in a URL", MDEP, {"source": {"http": {**HTTP, "url": "https://me:secret@mirror.corp/m.gguf"}}},
         "spec.source.http.url in body should match", "String should match pattern"),
    Case("a file at no port", MDEP, {"source": {"http": {**HTTP, "url": "http://mirror.corp:70000/m.gguf"}}},
         "http.url names no server: write https://HOST:PORT/FILE, where HOST is a name"),
    Case("a signed link", MDEP, {"source": {"http": {**HTTP, "url": "https://[fd00::7]:9000/w/m.gguf?X-Amz-Expires=9&b=%2F"}}}),
    Case("a mirror that is no host", MDEP, {"source": {"huggingFace": {"repo": "o/n", "endpoint": "https://hub..corp"}}},
         f"huggingFace.endpoint {NO_SERVER}"),
    Case("a repository without owner", MDEP, {"source": {"huggingFace": {"repo": "qwen"}}},
         "spec.source.huggingFace.repo in body should match", "String should match pattern"),
    Case("a relative path on the node", MDEP, {"source": {"hostPath": {"path": "models/a.gguf"}}},
         "spec.source.hostPath.path in body should match", "String should match pattern"),
    Case("an absolute path in a volume", MDEP, {"source": {"pvc": {"claimName": "w", "path": "/a.gguf"}}},
         "spec.source.pvc.path in body should match", "String should match pattern"),
    Case("an external server by its IPv6 address", MDEP, external(external={"url": "http://[fd00::7]:1234/v1/"})),
    Case("an external server at no port", MDEP, external(external={"url": "http://10.0.0.7:65536"}),
         f"external.url {NO_SERVER}"),
    Case("an external server at no IPv6 address", MDEP, external(external={"url": "http://[fd00::7::1]:1234"}),
         f"external.url {NO_SERVER}"),
    Case("a CA without TLS", MDEP, external(external={"url": "http://10.0.0.7:1234", "caSecretRef": SECRET}),
         "external.caSecretRef needs a url with https://"),
    *_base_urls("external.url", MDEP, lambda url: external(external={"url": url})),
    # Rules over several fields
    Case("two sources", MDEP, {"source": {"http": HTTP, "hostPath": {"path": "/a.gguf"}}}, _ONE_SOURCE),
    Case("an empty source", MDEP, {"source": {}}, _ONE_SOURCE),
    Case("no source", MDEP, {}, _NO_SOURCE),
    Case("a source and an external server", MDEP, house(external={"url": "http://10.0.0.7:1234"}),
         "external settings need engine external"),
    Case("engine external without a server", MDEP, {"engine": "external"}, _EXTERNAL),
    Case("engine external with a source", MDEP, external(source={"http": HTTP}), _EXTERNAL),
    Case("engine external with a cache", MDEP, external(cache={"size": "1Gi"}), _EXTERNAL),
    Case("llama.cpp settings for another engine", MDEP, external(llamaCpp={"extraArgs": []}),
         "llamaCpp settings need engine llama.cpp"),
    Case("a cache for a volume", MDEP, {"source": {"pvc": {"claimName": "w", "path": "a"}}, "cache": {"size": "1Gi"}},
         _CACHE_IS_FOR_DOWNLOADS),
    Case("a cache without room", MDEP, cached(size="0"), "cache.size must be above zero"),
    # Changes
    Case("a cache that grows", MDEP, cached(size="21Gi"), old=cached(size="20Gi")),
    Case("a cache of the same size in another unit", MDEP, cached(size="20480Mi"), old=cached(size="20Gi")),
    Case("a cache that grows, as a number", MDEP, cached(size=30 * 2**30), old=cached(size="20Gi")),
    Case("a cache that goes", MDEP, house(), old=cached()),
    Case("a cache that comes", MDEP, cached(), old=house()),
    Case("a cache that shrinks", MDEP, cached(size="19Gi"),
         "cache.size cannot shrink: volumes only grow; remove cache first and add it again", old=cached(size="20Gi")),
    Case("a cache of another storage class", MDEP, cached(storageClassName="b"), _CACHE_FIXED,
         old=cached(storageClassName="a")),
    Case("a cache that gets a storage class", MDEP, cached(storageClassName="b"), _CACHE_FIXED, old=cached()),
    Case("a cache of another access mode", MDEP, cached(accessMode="ReadWriteMany"), _CACHE_FIXED, old=cached()),
]  # fmt: skip

ROUTE_POLICIES = [
    Case("house first", RP, policy()),
    Case("everything", RP, policy(
        cloud(provider="openAICompatible", baseURL="https://gateway.corp/v1", caSecretRef=SECRET,
              proxy={"url": "http://proxy.corp:3128", "credentialsSecretRef": SECRET}),
        routes=[{
            "name": "hard",
            "match": {"models": ["a", "team-*"], "maxInputTokens": 6000, "headers": [{"name": "x-a", "value": ""}]},
            "tiers": [{"backends": [{"name": "frontier", "weight": 3}, {"name": "house", "weight": 0}]}],
            "failover": {"firstTokenSeconds": 15, "stallSeconds": 10, "totalSeconds": 600, "maxAttempts": 4},
        }],
        router={
            "replicas": 3, "image": "registry.corp/genset:1", "resources": {"cpu": 1, "memory": "512Mi"},
            "limits": {"maxBody": "64Mi", "maxInFlight": 10, "maxQueued": 0, "queueSeconds": 5},
            "service": {"type": "LoadBalancer", "annotations": {"lb": "internal"}}, "drainSeconds": 30,
            "allowedClients": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}],
            "telemetry": {"otlpEndpoint": "https://collector.observability.svc:4318/otlp", "samplePercent": 0},
            "cors": {"allowedOrigins": ["https://chat.example.org", "http://localhost:3000", "app://obsidian.md"]},
            "trustedProxies": ["10.0.0.0/8", "fd00::/8", "192.0.2.7/32"], "log": {"required": True},
        },
    )),
    Case("prompts that keep to their endpoints", RP, balanced(
        "Wait", strategy="PrefixAffinity", prefixTokens=512, maxInFlightPerEndpoint=4, maxQueued=0, queueSeconds=10,
    )),
    Case("a bounded cloud", RP, balanced("NextTier", cloud(), strategy="LeastInFlight", maxInFlightPerEndpoint=100)),
    Case("a balancing that says nothing", RP, balanced()),
    Case("bodies of a quarter of the pod", RP,
         policy(router={"resources": {"memory": "1Gi"}, "limits": {"maxBody": "256Mi"}})),
    Case("a route that holds", RP, route(coldStart={"mode": "Hold", "seconds": 120})),
    Case("a route that bridges, as it comes", RP, route(coldStart={})),
    Case("a cold start of no known kind", RP, route(coldStart={"mode": "Wait"}),
         'Unsupported value: "Wait": supported values: "Bridge", "Hold"', "Input should be 'Bridge' or 'Hold'"),
    Case("a cold start without time", RP, route(coldStart={"seconds": 0}),
         "coldStart.seconds in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("a gateway without a key", RP, policy({"provider": "openAICompatible", "model": "m", "baseURL": "http://g/v1"})),
    Case("a route for the rest", RP, policy(routes=[
        {"name": "a", "match": {"models": ["a"]}, "tiers": [tier("house")]}, {"name": "b", "tiers": [tier("frontier")]},
    ])),
    # Names
    Case("the longest name", RP, policy(), name="p" * 52),
    Case("a name that is too long", RP, policy(), _POLICY_NAME, name="p" * 53),
    Case("a name with a dot", RP, policy(), _POLICY_NAME, name="v1.assistant"),
    # Unknown fields and wrong values
    Case("a misspelt field", RP, policy(router={"replica": 1}),
         'unknown field "spec.router.replica"', "Extra inputs are not permitted"),
    Case("an unknown provider", RP, policy(cloud(provider="openAi")),
         'spec.backends[1].cloud.provider: Unsupported value: "openAi"', "Input should be 'openai'"),
    Case("no backends", RP, policy(backends=[]),
         "spec.backends in body should have at least 1 items", "at least 1 item"),
    Case("no routes", RP, policy(routes=[]), "spec.routes in body should have at least 1 items", "at least 1 item"),
    Case("no tiers", RP, route(tiers=[]),
         "spec.routes[0].tiers in body should have at least 1 items", "at least 1 item"),
    Case("a star in the middle of a name", RP, route(match={"models": ["a*b"]}),
         "spec.routes[0].match.models[0] in body should match", "String should match pattern"),
    Case("headers for a cloud", RP, policy(cloud(forwardHeaders=["Idempotency", "Trace", "Attribution"]))),
    Case("headers of no known kind", RP, policy(cloud(forwardHeaders=["Organization"])),
         'Unsupported value: "Organization": supported values: "Trace", "Idempotency", "Attribution"',
         "Input should be 'Trace', 'Idempotency' or 'Attribution'"),
    Case("headers named twice", RP, policy(cloud(forwardHeaders=["Trace", "Trace"])),
         'spec.backends[1].cloud.forwardHeaders[1]: Duplicate value: "Trace"', "twice: each may stand there once"),
    Case("a proxy with https", RP, policy(cloud(proxy={"url": "https://proxy.corp:3128"})),
         "spec.backends[1].cloud.proxy.url in body should match", "String should match pattern"),
    Case("a gateway at its last port", RP, gateway("http://gateway.corp:65535")),
    Case("a gateway by its IPv6 address", RP, gateway("https://[2001:db8::1]:8443/v1", "http://[::1]:3128/")),
    Case("a gateway at no port", RP, gateway("http://gateway.corp:65536/v1"), f"cloud.baseURL {NO_SERVER}"),
    Case("a gateway at port zero", RP, gateway("http://gateway.corp:0/v1"), f"cloud.baseURL {NO_SERVER}"),
    Case("a gateway at a port of letters", RP, gateway("http://h:abc/"), f"cloud.baseURL {NO_SERVER}"),
    Case("a gateway without a host", RP, gateway("http://:8080/v1"), f"cloud.baseURL {NO_SERVER}"),
    Case("a gateway with nothing at all", RP, gateway("http:///v1"), f"cloud.baseURL {NO_SERVER}"),
    Case("a gateway by an IPv6 address without brackets", RP, gateway("http://2001:db8::1/v1"), f"cloud.baseURL {NO_SERVER}"),
    *_base_urls("cloud.baseURL", RP, gateway),
    Case("a CA without TLS", RP,
         policy(cloud(provider="openAICompatible", baseURL="http://gateway.corp/v1", caSecretRef=SECRET)),
         "cloud.caSecretRef needs a baseURL with https://"),
    Case("a proxy at no port", RP, gateway("http://g/v1", "http://proxy.corp:70000"), _NO_PROXY),
    Case("a proxy without a host", RP, gateway("http://g/v1", "http://:3128"),
         "spec.backends[1].cloud.proxy.url in body should match", "String should match pattern"),
    Case("a proxy by an IPv6 address without brackets", RP, gateway("http://g/v1", "http://::1:3128"), _NO_PROXY),
    Case("a service of a wrong type", RP, policy(router={"service": {"type": "Ingress"}}),
         'supported values: "ClusterIP", "NodePort", "LoadBalancer"', "Input should be 'ClusterIP'"),
    Case("no attempts", RP, route(failover={"maxAttempts": 0}),
         "maxAttempts in body should be greater than or equal to 1", "greater than or equal to 1"),
    # Lists with keys
    Case("two backends of one name", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "a"}}, {"name": "house", "deployment": {"name": "b"}},
        {"name": "frontier", "deployment": {"name": "c"}},
    ]), 'spec.backends[1]: Duplicate value: {"name":"house"}', "backends holds 'house' twice"),
    Case("two routes of one name", RP, policy(routes=[
        {"name": "a", "tiers": [tier("house")]}, {"name": "a", "tiers": [tier("frontier")]},
    ]), 'spec.routes[1]: Duplicate value: {"name":"a"}', "routes holds 'a' twice"),
    Case("a backend twice in a tier", RP, route(tiers=[tier("house", "house")]),
         'spec.routes[0].tiers[0].backends[1]: Duplicate value: {"name":"house"}', "backends holds 'house' twice"),
    Case("a header twice in letters of another size", RP,
         route(match={"headers": [{"name": "x-a", "value": "1"}, {"name": "X-A", "value": "2"}]}),
         "match.headers: a name stands there twice"),
    Case("a header with a blank behind it", RP, route(match={"headers": [{"name": "a", "value": "gold "}]}),
         "spec.routes[0].match.headers[0].value in body should match", "String should match pattern"),
    Case("a header twice", RP, route(match={"headers": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}),
         'spec.routes[0].match.headers[1]: Duplicate value: {"name":"a"}', "headers holds 'a' twice"),
    Case("a model twice", RP, route(match={"models": ["a", "a"]}),
         'spec.routes[0].match.models[1]: Duplicate value: "a"', "models holds 'a' twice"),
    # Rules over several fields
    Case("a backend that is both", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "a"}, "cloud": cloud()}, {"name": "frontier", "cloud": cloud()},
    ]), _ONE_TARGET),
    Case("a backend that is neither", RP, policy(backends=[{"name": "house"}, {"name": "frontier", "cloud": cloud()}]),
         _ONE_TARGET),
    Case("a tier that names an unknown backend", RP, route(tiers=[tier("hose")]),
         "every backend of a tier must be one of spec.backends: correct the name, or add the backend"),
    Case("a gateway without an address", RP, policy(cloud(provider="openAICompatible")),
         "provider openAICompatible needs baseURL, e.g. https://gateway.corp/v1"),
    Case("a provider without a key", RP, policy({"provider": "mistral", "model": "m"}), _KEY_NEEDED),
    Case("a first token after the end", RP, route(failover={"firstTokenSeconds": 20, "totalSeconds": 10}),
         "failover.firstTokenSeconds cannot exceed totalSeconds"),
    Case("a first token after the end by default", RP, route(failover={"firstTokenSeconds": 601}),
         "failover.firstTokenSeconds cannot exceed totalSeconds"),
    Case("a stall after the end", RP, route(failover={"stallSeconds": 20, "totalSeconds": 10}),
         "failover.stallSeconds cannot exceed totalSeconds"),
    Case("a prefix that nobody reads", RP, balanced(prefixTokens=256),
         "balancing.prefixTokens needs strategy PrefixAffinity: no other strategy reads the prompt"),
    Case("a queue that nothing fills", RP, balanced(maxQueued=3), _BOUND_NEEDED),
    Case("a wait that nothing begins", RP, balanced(queueSeconds=3), _BOUND_NEEDED),
    Case("affinity to a cloud", RP, balanced(cloud_=cloud(), strategy="PrefixAffinity"),
         "balancing.strategy PrefixAffinity needs a deployment: a cloud has a single address to choose from"),
    Case("a route that waits for what is never full", RP, balanced("Wait"), _NOTHING_FULL),
    Case("an unknown strategy", RP, balanced(strategy="RoundRobin"),
         'supported values: "LeastInFlight", "PrefixAffinity"', "Input should be 'LeastInFlight' or 'PrefixAffinity'"),
    Case("an unknown word for full", RP, balanced("Refuse", maxInFlightPerEndpoint=1),
         'supported values: "NextTier", "Wait"', "Input should be 'NextTier' or 'Wait'"),
    Case("endpoints that take nothing", RP, balanced(maxInFlightPerEndpoint=0),
         "maxInFlightPerEndpoint in body should be greater than or equal to 1", "greater than or equal to 1"),
    Case("traces to nowhere", RP, policy(router={"telemetry": {}}),
         "spec.router.telemetry.otlpEndpoint: Required value", "otlpEndpoint"),
    Case("traces to no URL", RP, policy(router={"telemetry": {"otlpEndpoint": "collector:4318"}}),
         "spec.router.telemetry.otlpEndpoint in body should match", "should match pattern"),
    Case("traces to no host", RP, policy(router={"telemetry": {"otlpEndpoint": "http://collector..corp"}}),
         f"telemetry.otlpEndpoint {NO_SERVER}"),
    Case("traces to no port", RP, policy(router={"telemetry": {"otlpEndpoint": "http://collector:70000"}}),
         "spec.router.telemetry.otlpEndpoint in body should match", "should match pattern"),
    Case("more traces than requests", RP,
         policy(router={"telemetry": {"otlpEndpoint": "http://collector:4318", "samplePercent": 101}}),
         "spec.router.telemetry.samplePercent in body should be less than or equal to 100", "less than or equal to 100"),
    Case("a router for every page", RP, policy(router={"cors": {"allowedOrigins": ["*"]}})),
    Case("a router for no page", RP, policy(router={"cors": {"allowedOrigins": []}}),
         "spec.router.cors.allowedOrigins in body should have at least 1 items", "at least 1 item"),
    Case("a router for every page and one more", RP, policy(router={"cors": {"allowedOrigins": ["*", "https://a.org"]}}),
         "cors.allowedOrigins: * means every origin and stands alone"),
    Case("an origin with a path", RP, policy(router={"cors": {"allowedOrigins": ["https://a.org/"]}}),
         _NO_ORIGIN, "no browser sends this: write https://a.org"),
    Case("an origin in capitals", RP, policy(router={"cors": {"allowedOrigins": ["https://A.org"]}}),
         _NO_ORIGIN, "no browser sends this: write https://a.org"),
    Case("an origin without a scheme", RP, policy(router={"cors": {"allowedOrigins": ["*", "a.org"]}}),
         _NO_ORIGIN, "no browser sends this: write https://a.org"),
    Case("an origin with a password", RP, policy(router={"cors": {"allowedOrigins": ["https://me:1@a.org"]}}), _NO_ORIGIN,
         "write SCHEME://HOST or SCHEME://HOST:PORT in small letters"),
    Case("an origin with the usual port", RP, policy(router={"cors": {"allowedOrigins": ["https://a.org:443"]}}),
         "cors.allowedOrigins: browsers leave out the port that the scheme implies"),
    Case("a proxy that is no network", RP, policy(router={"trustedProxies": ["10.0.0.7"]}),
         "spec.router.trustedProxies[0] in body should match", "String should match pattern"),
    Case("a proxy of too many bits", RP, policy(router={"trustedProxies": ["10.0.0.0/33"]}),
         "router.trustedProxies must hold networks, e.g. 10.0.0.0/8"),
    Case("a proxy that is no address", RP, policy(router={"trustedProxies": ["10.0.0.256/8"]}),
         "router.trustedProxies must hold networks, e.g. 10.0.0.0/8"),
    Case("a router without memory", RP, policy(router={"resources": {"memory": "0"}}),
         "router.resources.memory must be above zero: it is the pod's limit"),
    Case("a router that takes no bodies", RP, policy(router={"limits": {"maxBody": 0}}),
         "router.limits.maxBody must be above zero"),
    Case("bodies too large for the pod", RP, policy(router={"limits": {"maxBody": "65Mi"}}),
         "router.limits.maxBody must be at most a quarter of router.resources.memory"),
    Case("a pod too small for its bodies", RP, policy(router={"resources": {"memory": "100Mi"}}),
         "router.limits.maxBody must be at most a quarter of router.resources.memory"),
]  # fmt: skip

CASES = MODEL_DEPLOYMENTS + ROUTE_POLICIES


def identify(case: Case) -> str:
    return f"{case.kind}: {case.about}"
