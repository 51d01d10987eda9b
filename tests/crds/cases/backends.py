"""RoutePolicies by their backends."""

from __future__ import annotations

from tests.crds.base_urls import NO_SERVER
from tests.crds.cases.case import RP, SECRET, Case, balanced, base_urls, cloud, gateway, policy

_ONE_TARGET = "a backend needs exactly one of deployment, cloud"
_BOUND_NEEDED = "balancing.maxQueued and queueSeconds need maxInFlightPerEndpoint: without a bound nothing ever waits"
_NO_PROXY = (
    "proxy.url names no server: write http://HOST:PORT, where HOST is a name, an IPv4 address or an IPv6 address in"
)
_KEY_NEEDED = "this provider needs credentialsSecretRef; only an openAICompatible gateway may do without"

BACKENDS = [
    Case("prompts that keep to their endpoints", RP, balanced(
        "Wait", strategy="PrefixAffinity", prefixTokens=512, maxInFlightPerEndpoint=4, maxQueued=0, queueSeconds=10,
    )),
    Case("a bounded cloud", RP, balanced("NextTier", cloud(), strategy="LeastInFlight", maxInFlightPerEndpoint=100)),
    Case("a balancing that says nothing", RP, balanced()),
    Case("a gateway without a key", RP, policy({"provider": "openAICompatible", "model": "m", "baseURL": "http://g/v1"})),
    Case("a key over plain HTTP, if it must be", RP, policy(cloud(
        provider="openAICompatible", baseURL="http://gateway.corp/v1", allowPlainHTTP=True,
    ))),
    Case("an unknown provider", RP, policy(cloud(provider="openAi")),
         'spec.backends[1].cloud.provider: Unsupported value: "openAi"', "Input should be 'openai'"),
    Case("no backends", RP, policy(backends=[]),
         "spec.backends in body should have at least 1 items", "at least 1 item"),
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
    *base_urls("cloud.baseURL", RP, gateway),
    Case("a CA without TLS", RP,
         policy(cloud(provider="openAICompatible", baseURL="http://gateway.corp/v1", caSecretRef=SECRET)),
         "cloud.caSecretRef needs a baseURL with https://"),
    Case("a proxy at no port", RP, gateway("http://g/v1", "http://proxy.corp:70000"), _NO_PROXY),
    Case("a proxy without a host", RP, gateway("http://g/v1", "http://:3128"),
         "spec.backends[1].cloud.proxy.url in body should match", "String should match pattern"),
    Case("a proxy by an IPv6 address without brackets", RP, gateway("http://g/v1", "http://::1:3128"), _NO_PROXY),
    Case("two backends of one name", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "a"}}, {"name": "house", "deployment": {"name": "b"}},
        {"name": "frontier", "deployment": {"name": "c"}},
    ]), 'spec.backends[1]: Duplicate value: {"name":"house"}', "backends holds 'house' twice"),
    Case("a backend that is both", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "a"}, "cloud": cloud()}, {"name": "frontier", "cloud": cloud()},
    ]), _ONE_TARGET),
    Case("a backend that is neither", RP, policy(backends=[{"name": "house"}, {"name": "frontier", "cloud": cloud()}]),
         _ONE_TARGET),
    Case("a gateway without an address", RP, policy(cloud(provider="openAICompatible")),
         "provider openAICompatible needs baseURL, e.g. https://gateway.corp/v1"),
    Case("a provider without a key", RP, policy({"provider": "mistral", "model": "m"}), _KEY_NEEDED),
    Case("a prefix that nobody reads", RP, balanced(prefixTokens=256),
         "balancing.prefixTokens needs strategy PrefixAffinity: no other strategy reads the prompt"),
    Case("a queue that nothing fills", RP, balanced(maxQueued=3), _BOUND_NEEDED),
    Case("a wait that nothing begins", RP, balanced(queueSeconds=3), _BOUND_NEEDED),
    Case("affinity to a cloud", RP, balanced(cloud_=cloud(), strategy="PrefixAffinity"),
         "balancing.strategy PrefixAffinity needs a deployment: a cloud has a single address to choose from"),
    Case("an unknown strategy", RP, balanced(strategy="RoundRobin"),
         'supported values: "LeastInFlight", "PrefixAffinity"', "Input should be 'LeastInFlight' or 'PrefixAffinity'"),
    Case("endpoints that take nothing", RP, balanced(maxInFlightPerEndpoint=0),
         "maxInFlightPerEndpoint in body should be greater than or equal to 1", "greater than or equal to 1"),
]  # fmt: skip
