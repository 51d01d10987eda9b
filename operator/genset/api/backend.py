"""Backends are the targets that the routes of a RoutePolicy name, models of the house and of providers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from genset.api.base import DNS_LABEL, ApiModel, CelRule, Name, rules
from genset.api.capabilities import Capabilities
from genset.api.cloud import Cloud
from genset.api.data_zones import DataZone
from genset.data_zones import HOUSE


class BalancingStrategy(StrEnum):
    """How an endpoint of a backend is chosen. Each is one file of `genset.router.backends.balance`."""

    LEAST_IN_FLIGHT = "LeastInFlight"
    PREFIX_AFFINITY = "PrefixAffinity"


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
    CelRule(
        f"!has(self.deployment) || !has(self.dataZone) || self.dataZone == '{HOUSE}'",
        f"dataZone needs a cloud: a deployment is always in zone {HOUSE}; take it out",
        lambda backend: backend.deployment is None or backend.data_zone in (None, HOUSE),
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
    data_zone: DataZone | None = Field(
        default=None,
        description="Where requests to it are answered, in the words of `dataZones`: a name that you choose, such as eu or "
        "azure-frankfurt, or house for another site of yours. Default: house for a deployment, world for a cloud.",
    )
    context_tokens: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Tokens of prompt and answer that the backend can hold. Requests whose prompt and a small answer (their "
        "own max_tokens, at most 256) are larger pass it by. "
        "Default: context.tokens of the deployment; unlimited for a cloud.",
    )
    capabilities: Capabilities | None = Field(
        default=None,
        description="What it can do, where that is not known or known wrongly. Default: by engine and model, by provider and "
        "model.",
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
