"""Backends are the targets that the routes of a RoutePolicy name, models of the house and of providers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field, GetPydanticSchema
from pydantic_core import core_schema

from genset.addresses import PROXY_REMEDY, PROXY_URL, is_proxy_url
from genset.api.base import DNS_LABEL, ApiModel, CelRule, Name, SecretKeyRef, rules
from genset.api.base_url import base_url_rules
from genset.router.providers import PROVIDERS

#: The name of one of the providers, which implies a wire format and a base URL.
ProviderName: TypeAlias = Annotated[str, GetPydanticSchema(lambda *_: core_schema.literal_schema(list(PROVIDERS)))]
#: The provider that implies no base URL: Portkey, LiteLLM, any gateway, another site's genset.
COMPATIBLE = "openAICompatible"


class BalancingStrategy(StrEnum):
    """How an endpoint of a backend is chosen. Each is one file of `genset.router.backends.balance`."""

    LEAST_IN_FLIGHT = "LeastInFlight"
    PREFIX_AFFINITY = "PrefixAffinity"


class ForwardedHeaders(StrEnum):
    """Groups of client headers that a policy lets go to a provider."""

    TRACE = "Trace"
    IDEMPOTENCY = "Idempotency"
    ATTRIBUTION = "Attribution"


class Continuation(StrEnum):
    """How a backend writes on from another's partial answer. Each is one file of `genset.router.continuation`."""

    PREFILL = "Prefill"
    CONTINUE_FINAL_MESSAGE = "ContinueFinalMessage"
    PREFIX = "Prefix"
    ANCHOR = "Anchor"
    OFF = "Off"


class DeploymentRef(ApiModel):
    """A ModelDeployment in the namespace of the policy."""

    name: Name = Field(description="Name of the ModelDeployment.")


@rules(
    CelRule(
        f"self.url.matches(r'{PROXY_URL}')",
        f"proxy.url names no server: {PROXY_REMEDY}",
        lambda proxy: is_proxy_url(proxy.url),
    )
)
class Proxy(ApiModel):
    """An egress HTTP proxy; TLS to the provider is made through it by CONNECT."""

    url: str = Field(
        pattern=r"^http://[^\s/@]+:[0-9]{1,5}/?$",
        max_length=512,
        examples=["http://proxy.corp:3128"],
        description="http://HOST:PORT of the proxy.",
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Key of a Secret with user:password for the proxy (Basic)."
    )


@rules(
    CelRule(
        "self.provider != 'openAICompatible' || has(self.baseURL)",
        "provider openAICompatible needs baseURL, e.g. https://gateway.corp/v1",
        lambda cloud: cloud.provider != COMPATIBLE or cloud.base_url is not None,
    ),
    CelRule(
        "self.provider == 'openAICompatible' || has(self.credentialsSecretRef)",
        "this provider needs credentialsSecretRef; only an openAICompatible gateway may do without",
        lambda cloud: cloud.provider == COMPATIBLE or cloud.credentials_secret_ref is not None,
    ),
    *base_url_rules("cloud.baseURL", optional=True),
    CelRule(
        "!has(self.caSecretRef) || !has(self.baseURL) || self.baseURL.startsWith('https://')",
        "cloud.caSecretRef needs a baseURL with https://: over plain HTTP no certificate is looked at",
        lambda cloud: cloud.ca_secret_ref is None or (cloud.base_url or "https://").startswith("https://"),
    ),
)
class Cloud(ApiModel):
    """One model of one provider."""

    provider: ProviderName = Field(description="Whose API it is.")
    model: str = Field(
        pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$",
        min_length=1,
        max_length=256,
        examples=["gpt-5"],
        description="Name of the model at the provider.",
    )
    base_url: str | None = Field(
        default=None,
        alias="baseURL",
        max_length=1024,
        description="Base URL of the API, with its version, e.g. https://gateway.corp/v1. Default: the provider's own.",
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None, description="API key, sent as a bearer token. Only the router sees it."
    )
    allow_plain_http: bool = Field(
        default=False,
        alias="allowPlainHTTP",
        description="Send the key to a baseURL with http://, where everybody on the way can read it.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the server, if a private CA does."
    )
    proxy: Proxy | None = Field(default=None, description="Egress proxy on the way to the provider.")
    forward_headers: list[Annotated[ForwardedHeaders, Field(strict=False)]] = Field(
        default_factory=list,
        max_length=len(ForwardedHeaders),
        description="Headers of clients that go to the provider. Trace: traceparent and tracestate. Idempotency: "
        "idempotency-key. Attribution: http-referer and x-title, by which OpenRouter names the application. Default: none; "
        "servers of the house get Trace and Idempotency. No client chooses account, organization or project.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


# Defaults of what only means something together with another field, which has to be told from a value that was given.
PREFIX_TOKENS = 256


MAX_QUEUED = 64


QUEUE_SECONDS = 5


@rules(
    CelRule(
        "!has(self.prefixTokens) || (has(self.strategy) && self.strategy == 'PrefixAffinity')",
        "balancing.prefixTokens needs strategy PrefixAffinity: no other strategy reads the prompt",
        lambda b: b.prefix_tokens is None or b.strategy == BalancingStrategy.PREFIX_AFFINITY,
    ),
    CelRule(
        "has(self.maxInFlightPerEndpoint) || !(has(self.maxQueued) || has(self.queueSeconds))",
        "balancing.maxQueued and queueSeconds need maxInFlightPerEndpoint: without a bound nothing ever waits",
        lambda b: b.max_in_flight_per_endpoint is not None or (b.max_queued is None and b.queue_seconds is None),
    ),
)
class Balancing(ApiModel):
    """How requests are shared among the endpoints of a backend, and how many each takes."""

    strategy: BalancingStrategy = Field(
        default=BalancingStrategy.LEAST_IN_FLIGHT,
        strict=False,
        description="LeastInFlight: the endpoint with the fewest requests in work. PrefixAffinity: prompts that begin "
        "alike go to the same endpoint, whose prompt cache holds their beginning, unless it has more than its share.",
    )
    prefix_tokens: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Tokens at the beginning of the prompt that PrefixAffinity compares, four bytes of text a token. "
        f"Default: {PREFIX_TOKENS}.",
    )
    max_in_flight_per_endpoint: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Requests that one router gives one endpoint at once. Default: no bound.",
    )
    max_queued: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="Requests that may wait in one router for a place while all endpoints are full. "
        f"Default: {MAX_QUEUED}.",
    )
    queue_seconds: int | None = Field(
        default=None, ge=1, le=600, description=f"Longest wait for a place. Default: {QUEUE_SECONDS}."
    )


@rules(
    CelRule(
        "has(self.deployment) != has(self.cloud)",
        "a backend needs exactly one of deployment, cloud",
        lambda backend: (backend.deployment is None) != (backend.cloud is None),
    ),
    CelRule(
        "!has(self.cloud) || !has(self.balancing) || !has(self.balancing.strategy) || "
        "self.balancing.strategy != 'PrefixAffinity'",
        "balancing.strategy PrefixAffinity needs a deployment: a cloud has a single address to choose from",
        lambda backend: backend.cloud is None or backend.balancing.strategy != BalancingStrategy.PREFIX_AFFINITY,
    ),
)
class Backend(ApiModel):
    """One target that routes can name."""

    name: str = Field(
        pattern=DNS_LABEL,
        examples=["frontier"],
        min_length=1,
        max_length=63,
        description="Name of the backend; clients see it in x-genset-backend.",
    )
    deployment: DeploymentRef | None = Field(default=None, description="A model of the house.")
    cloud: Cloud | None = Field(default=None, description="A model of a provider.")
    context_tokens: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Tokens of prompt and answer that the backend can hold. Requests whose prompt and a small answer (their "
        "own max_tokens, at most 256) are larger pass it by. "
        "Default: context.tokens of the deployment; unlimited for a cloud.",
    )
    continuation: Continuation | None = Field(
        default=None,
        strict=False,
        description="How the backend writes on when another's stream has broken. Prefill: a last message of role "
        "assistant is continued by itself. ContinueFinalMessage: the switch of vLLM and llama.cpp. Prefix: `prefix: true` "
        "(Mistral, DeepSeek). Anchor: it is asked in words and repeats the last ones, by which the texts are joined. "
        '"Off", in quotes (bare, YAML reads it as false): it never writes on. Default: by the engine or provider; Anchor '
        "where that is unknown.",
    )
    balancing: Balancing = Field(
        default_factory=Balancing, description="How its endpoints share the requests, and how many each takes."
    )
