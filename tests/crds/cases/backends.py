"""RoutePolicies by their backends."""

from __future__ import annotations

from typing import Any

from tests.crds.base_urls import NO_SERVER
from tests.crds.cases.case import RP, SECRET, Case, balanced, base_urls, cloud, gateway, policy

_ONE_TARGET = "a backend needs exactly one of deployment, cloud"
_BOUND_NEEDED = "balancing.maxQueued and queueSeconds need maxInFlightPerEndpoint: without a bound nothing ever waits"
_NO_PROXY = (
    "proxy.url names no server: write http://HOST:PORT, where HOST is a name, an IPv4 address or an IPv6 address in"
)
_ONE_VALUE = "a header of a cloud needs exactly one of value, secretKeyRef"
_OUR_HEADER = "cloud.headers may not hold a header that the router writes itself: take it out"
_KEY_NEEDED = "this provider needs credentialsSecretRef: it answers nobody without a key"

_ENTRA = {"tenantID": "00000000-0000-0000-0000-000000000001", "clientID": "00000000-0000-0000-0000-000000000002"}
_NO_PRICE = "price needs inputPerMillion, perRequest, perImage or perSearch: it says nothing"
_AZURE = "https://res.openai.azure.com/openai/v1"


def azure(url: str, **more: Any) -> dict[str, Any]:
    return policy(cloud(provider="azureOpenAI", baseURL=url, **more))


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
    Case("zones of backends", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "house-small"}, "dataZone": "house"},
        {"name": "frontier", "dataZone": "azure-frankfurt", "cloud": cloud()},
    ])),
    Case("a deployment that is elsewhere", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "house-small"}, "dataZone": "eu"}, {"name": "frontier", "cloud": cloud()},
    ]), "dataZone needs a cloud: a deployment is always in zone house; take it out"),
    Case("a cloud with its price", RP, policy(cloud(price={
        "currency": "EUR", "inputPerMillion": "2.50", "cachedInputPerMillion": "0.25", "cacheWritePerMillion": "3.125",
        "cacheWriteHourPerMillion": "5", "outputPerMillion": "10", "audioInputPerMillion": "40", "audioOutputPerMillion": "80",
        "perRequest": "0.001", "perImage": "0.04", "perSearch": "0.000000001",
    }))),
    Case("a cloud that is paid by the picture", RP, policy(cloud(price={"currency": "USD", "perImage": "0.04"}))),
    Case("a price of nothing", RP, policy(cloud(price={"currency": "USD"})), _NO_PRICE),
    Case("a price of answers alone", RP, policy(cloud(price={"currency": "USD", "perRequest": "1", "outputPerMillion": "1"})),
         "price.inputPerMillion is missing: the other prices of tokens are beside it"),
    Case("a price without its currency", RP, policy(cloud(price={"inputPerMillion": "1"})),
         "spec.backends[1].cloud.price.currency: Required value", "Field required"),
    Case("a price of too many digits", RP, policy(cloud(price={"currency": "USD", "inputPerMillion": "0.0000001"})),
         "spec.backends[1].cloud.price.inputPerMillion in body should match", "String should match pattern"),
    Case("a price as a number", RP, policy(cloud(price={"currency": "USD", "inputPerMillion": 2.5})),
         "spec.backends[1].cloud.price.inputPerMillion in body must be of type string", "Input should be a valid string"),
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
         "this provider needs baseURL, e.g. https://gateway.corp/v1: it has no address of its own"),
    Case("a region that nobody knows", RP, policy(cloud(provider="bedrock")), "this provider needs baseURL"),
    *(Case(f"a key of {name}", RP, policy(cloud(provider=name)))
      for name in ("anthropic", "gemini", "groq", "xai", "together", "fireworks", "cohere", "portkey")),
    *(Case(f"{name} without a key", RP, policy({"provider": name, "model": "m", "baseURL": "https://g.corp/v1"}))
      for name in ("liteLLM", "anyLLM", "anyAPI", "lmStudio", "ollama", "portkey")),
    Case("Azure by its paths of v1", RP, azure("https://r.openai.azure.com/openai/v1")),
    Case("Azure by its older paths", RP, azure("https://r.openai.azure.com/openai", apiVersion="2024-10-21")),
    Case("Azure with a token of Entra", RP, azure("https://r.openai.azure.com/openai/v1", keyHeader="Authorization")),
    Case("Azure's paths of v1 with a version", RP, azure("https://r.openai.azure.com/openai/v1", apiVersion="2024-10-21"),
         "cloud.apiVersion needs a baseURL that ends in /openai"),
    Case("a version of nobody's", RP, policy(cloud(apiVersion="2024-10-21")), "cloud.apiVersion needs provider azureOpenAI"),
    Case("a version that is no date", RP, azure("https://r.openai.azure.com/openai", apiVersion="latest"),
         "apiVersion in body should match", "String should match pattern"),
    Case("a header for no key", RP,
         policy({"provider": "ollama", "model": "m", "baseURL": "https://g/v1", "keyHeader": "ApiKey"}),
         "cloud.keyHeader needs credentialsSecretRef"),
    Case("headers of a gateway", RP, policy(cloud(headers=[
        {"name": "x-team", "value": "gold"}, {"name": "x-tenant", "secretKeyRef": SECRET},
    ]))),
    Case("a header without a value", RP, policy(cloud(headers=[{"name": "x-team"}])), _ONE_VALUE),
    Case("a header with two values", RP, policy(cloud(headers=[{"name": "x", "value": "a", "secretKeyRef": SECRET}])),
         _ONE_VALUE),
    Case("a header twice", RP, policy(cloud(headers=[{"name": "x", "value": "a"}, {"name": "x", "value": "b"}])),
         "Duplicate value", "headers holds 'x' twice"),
    Case("a header in capitals", RP, policy(cloud(headers=[{"name": "X-Team", "value": "a"}])),
         "name in body should match", "String should match pattern"),
    Case("a header with a line break", RP, policy(cloud(headers=[{"name": "x", "value": "a\r\nb: c"}])),
         "value in body should match", "String should match pattern"),
    *(Case(f"the router's own header {name}", RP, policy(cloud(headers=[{"name": name, "value": "a"}])), _OUR_HEADER)
      for name in ("host", "content-length", "x-genset-hops", "x-request-id")),
    Case("two keys", RP, policy(cloud(headers=[{"name": "x-api-key", "secretKeyRef": SECRET}])),
         "cloud.headers holds a key (authorization, x-api-key, api-key) beside that of credentialsSecretRef"),
    Case("a key in a header alone", RP, policy(
        {"provider": "openAICompatible", "model": "m", "baseURL": "https://g/v1",
         "headers": [{"name": "authorization", "secretKeyRef": SECRET}]})),
    Case("what OpenRouter may do", RP, policy(cloud(provider="openRouter", openRouter={
        "dataCollection": "Deny", "zeroDataRetention": True, "order": ["deepinfra"], "allowFallbacks": False,
        "fallbackModels": ["qwen/qwen3-32b"],
    }))),
    Case("OpenRouter's settings for another", RP, policy(cloud(openRouter={"dataCollection": "Deny"})),
         "cloud.openRouter needs provider openRouter"),
    Case("nothing for OpenRouter", RP, policy(cloud(provider="openRouter", openRouter={})), "openRouter says nothing"),
    Case("an order within only", RP, policy(cloud(provider="openRouter", openRouter={"only": ["a", "b"], "order": ["b"]}))),
    Case("an order beyond only", RP, policy(cloud(provider="openRouter", openRouter={"only": ["a"], "order": ["a", "b"]})),
         "openRouter.order names a provider that only leaves out"),
    Case("an order of what is ignored", RP, policy(cloud(provider="openRouter", openRouter={"ignore": ["b"], "order": ["b"]})),
         "openRouter.order names a provider that only leaves out, or that ignore holds"),
    Case("only and ignore", RP, policy(cloud(provider="openRouter", openRouter={"only": ["a"], "ignore": ["b"]})),
         "openRouter.only and ignore exclude each other"),
    Case("where Portkey sends", RP, policy(cloud(provider="portkey", portkey={"configID": "pc-a", "provider": "@b"}))),
    Case("Portkey's settings for another", RP, policy(cloud(portkey={"configID": "pc-a"})),
         "cloud.portkey needs provider portkey"),
    Case("nothing for Portkey", RP, policy(cloud(provider="portkey", portkey={})), "portkey needs configID or provider"),
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
    Case("an identity in place of a key", RP, policy({
        "provider": "azureOpenAI", "model": "m", "baseURL": _AZURE, "workloadIdentity": _ENTRA,
    })),
    Case("an identity that another provider cannot read", RP, policy({
        "provider": "openai", "model": "m", "workloadIdentity": _ENTRA,
    }), "cloud.workloadIdentity needs provider azureOpenAI"),
    Case("an identity beside a key", RP, azure(_AZURE, workloadIdentity=_ENTRA),
         "cloud.workloadIdentity needs no credentialsSecretRef and no keyHeader"),
    Case("an identity for somebody else", RP, policy({
        "provider": "azureOpenAI", "model": "m", "baseURL": "https://gateway.corp/openai/v1", "workloadIdentity": _ENTRA,
    }), "cloud.workloadIdentity needs a baseURL of Azure's"),
    Case("an identity of no tenant", RP, policy({
        "provider": "azureOpenAI", "model": "m", "baseURL": _AZURE, "workloadIdentity": {**_ENTRA, "tenantID": "corp"},
    }), "should match", types="pattern"),
    Case("Responses where they are known", RP, policy(cloud(api="Responses"))),
    Case("Responses elsewhere", RP, policy(cloud(provider="mistral", api="Responses")),
         "cloud.api Responses needs provider openai or azureOpenAI"),
    Case("what a backend can do", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "house-small"}, "capabilities": {"vision": True, "tools": False}},
        {"name": "frontier", "cloud": cloud()},
    ])),
    Case("capabilities of nothing", RP, policy(backends=[
        {"name": "house", "deployment": {"name": "house-small"}, "capabilities": {}}, {"name": "frontier", "cloud": cloud()},
    ]), "capabilities says nothing: set one of its fields"),
]  # fmt: skip
