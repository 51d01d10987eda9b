"""RoutePolicy: a router that speaks the OpenAI API, and where it sends each request."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from genset.api.base import (
    RESOURCE_NAME_CEL,
    ApiModel,
    Condition,
    Name,
    ObjectMeta,
    Quantity,
    Rule,
    SecretKeyRef,
    is_resource_name,
    rules,
)
from genset.api.quantity import parse_quantity


class ProviderName(StrEnum):
    """Cloud providers, by the wire format and the base URL that they imply."""

    OPENAI = "openai"
    OPENROUTER = "openRouter"
    MISTRAL = "mistral"
    DEEPSEEK = "deepSeek"
    OPENAI_COMPATIBLE = "openAICompatible"  # Portkey, LiteLLM, any gateway, another site's genset


class ConditionType(StrEnum):
    """Condition types of a RoutePolicy, in the order in which they become true."""

    ACCEPTED = "Accepted"  # the spec makes sense
    RESOLVED_REFS = "ResolvedRefs"  # every deployment, Secret and key that it names exists
    PROGRAMMED = "Programmed"  # every running router serves this generation
    READY = "Ready"  # programmed, and all wanted routers are available
    STALLED = "Stalled"  # only a person can help; absent otherwise


class Reason(StrEnum):
    """Reasons of the conditions, each with what it tells."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    APPLY_REJECTED = "ApplyRejected"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    RESOLVED_REFS = "ResolvedRefs"
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"
    SECRET_KEY_INVALID = "SecretKeyInvalid"  # the key's content cannot serve its use, e.g. a CA that is no PEM
    PROGRAMMED = "Programmed"
    PENDING = "Pending"  # routers have not all acknowledged yet
    ROUTER_UNREACHABLE = "RouterUnreachable"
    CONFIG_REJECTED = "ConfigRejected"  # a router kept the last good configuration
    NO_ROUTERS = "NoRouters"
    READY = "Ready"
    STARTING = "Starting"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CRASH_LOOP = "CrashLoop"
    REPLICAS_MISSING = "ReplicasMissing"
    ROLLING_OUT = "RollingOut"


class DeploymentRef(ApiModel):
    """A ModelDeployment in the namespace of the policy."""

    name: Name = Field(description="Name of the ModelDeployment.")


class Proxy(ApiModel):
    """An egress HTTP proxy; TLS to the provider is made through it by CONNECT."""

    url: str = Field(
        pattern=r"^http://[^\s/@]+:[0-9]{1,5}/?$", max_length=512, description="http://HOST:PORT of the proxy."
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Key of a Secret with user:password for the proxy (Basic)."
    )


@rules(
    Rule(
        "self.provider != 'openAICompatible' || has(self.baseURL)",
        "provider openAICompatible needs baseURL, e.g. https://gateway.corp/v1",
        lambda cloud: cloud.provider != ProviderName.OPENAI_COMPATIBLE or cloud.base_url is not None,
    ),
    Rule(
        "self.provider == 'openAICompatible' || has(self.credentialsSecretRef)",
        "this provider needs credentialsSecretRef; only an openAICompatible gateway may do without",
        lambda cloud: cloud.provider == ProviderName.OPENAI_COMPATIBLE or cloud.credentials_secret_ref is not None,
    ),
)
class Cloud(ApiModel):
    """One model of one provider."""

    provider: ProviderName = Field(strict=False, description="Whose API it is.")
    model: str = Field(min_length=1, max_length=256, description="Name of the model at the provider.")
    base_url: str | None = Field(
        default=None,
        alias="baseURL",
        pattern=r"^https?://[^\s/@]+(/[^\s?#]*)?$",
        max_length=2048,
        description="Base URL of the API, with its version, e.g. https://gateway.corp/v1. Default: the provider's own.",
    )
    credentials_secret_ref: SecretKeyRef | None = Field(
        default=None, description="API key, sent as a bearer token. Only the router sees it."
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Certificates (PEM) that sign the server, where a private CA does."
    )
    proxy: Proxy | None = Field(default=None, description="Egress proxy on the way to the provider.")


@rules(
    Rule(
        "has(self.deployment) != has(self.cloud)",
        "a backend needs exactly one of deployment, cloud",
        lambda backend: (backend.deployment is None) != (backend.cloud is None),
    )
)
class Backend(ApiModel):
    """One target that routes can name."""

    name: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
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
        description="Tokens of prompt and answer that the backend can hold. Requests that are larger pass it by. "
        "Default: context.tokens of the deployment; unlimited for a cloud.",
    )


ModelPattern = Annotated[str, Field(pattern=r"^[^\s*]*\*?$", min_length=1, max_length=128)]


class HeaderMatch(ApiModel):
    """A header that the request must carry."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$", min_length=1, max_length=128, description="Name, in any case."
    )
    value: str = Field(max_length=512, description="Exact value.")


class Match(ApiModel):
    """Which requests a route takes. All given conditions must hold; an empty match takes everything."""

    models: list[ModelPattern] = Field(
        default_factory=list,
        max_length=64,
        description="Names in the request's model field, exact, or with a * at the end. Empty: any.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    max_input_tokens: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Largest prompt, in tokens as the router estimates them (four bytes of text a token).",
    )
    headers: list[HeaderMatch] = Field(
        default_factory=list,
        max_length=16,
        description="Headers that the request must carry, all of them.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class TierBackend(ApiModel):
    """A backend's share in its tier."""

    name: str = Field(min_length=1, max_length=63, description="Name of a backend of this policy.")
    weight: int = Field(
        default=1, ge=0, le=1000, description="Share of the tier's requests. 0: only when the others cannot."
    )


class Tier(ApiModel):
    """Backends of equal preference."""

    backends: list[TierBackend] = Field(
        min_length=1,
        max_length=8,
        description="Backends of the tier.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


TOTAL_SECONDS = 600  # longest time of a request, unless its route says otherwise
_TOTAL_CEL = f"(has(self.totalSeconds) ? self.totalSeconds : {TOTAL_SECONDS})"  # items of lists have no defaults in CEL


@rules(
    Rule(
        f"!has(self.firstTokenSeconds) || self.firstTokenSeconds <= {_TOTAL_CEL}",
        "failover.firstTokenSeconds cannot exceed totalSeconds",
        lambda f: f.first_token_seconds is None or f.first_token_seconds <= f.total_seconds,
    ),
    Rule(
        f"!has(self.stallSeconds) || self.stallSeconds <= {_TOTAL_CEL}",
        "failover.stallSeconds cannot exceed totalSeconds",
        lambda f: f.stall_seconds is None or f.stall_seconds <= f.total_seconds,
    ),
)
class Failover(ApiModel):
    """When an attempt is given up, and how many there may be."""

    first_token_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Longest wait for the first token of an attempt. Default: 15 for a cloud; 15 plus the time to read "
        "the prompt (500 tokens/s) for the house.",
    )
    stall_seconds: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Longest silence inside a stream. Default: 15 for a cloud, 10 for the house.",
    )
    total_seconds: int = Field(
        default=TOTAL_SECONDS, ge=1, le=86_400, description="Longest time of a request, over all its attempts."
    )
    max_attempts: int = Field(default=4, ge=1, le=16, description="Attempts of a request, over all backends.")


class Route(ApiModel):
    """One rule: which requests, and in which order of preference they are answered."""

    name: str = Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63, description="Name of the route."
    )
    match: Match = Field(default_factory=Match, description="Which requests. Default: all.")
    tiers: list[Tier] = Field(
        min_length=1,
        max_length=8,
        description="Order of preference: a later tier answers when no earlier one can.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    failover: Failover = Field(default_factory=Failover, description="Deadlines and attempts.")


@rules(
    Rule(
        "quantity(string(self.memory)).isGreaterThan(quantity('0'))",
        "router.resources.memory must be above zero: it is the pod's limit",
        lambda resources: parse_quantity(resources.memory) > 0,
    ),
)
class RouterResources(ApiModel):
    """What one router pod may use."""

    cpu: Quantity = Field(default="500m", description="CPU request. No limit: a throttled router adds latency.")
    memory: Quantity = Field(default="256Mi", description="Memory request and limit.")


@rules(
    Rule(
        "quantity(string(self.maxBody)).isGreaterThan(quantity('0'))",
        "router.limits.maxBody must be above zero",
        lambda limits: parse_quantity(limits.max_body) > 0,
    ),
)
class RouterLimits(ApiModel):
    """What one router pod takes on before it says 413 or 429."""

    max_body: Quantity = Field(default="32Mi", description="Largest request body; larger ones get 413.")
    max_in_flight: int = Field(
        default=2000, ge=1, le=100_000, description="Requests in work at once; more wait in the queue."
    )
    max_queued: int = Field(
        default=1000, ge=0, le=100_000, description="Requests that may wait; more get 429 with Retry-After."
    )
    queue_seconds: int = Field(default=30, ge=1, le=600, description="Longest wait in the queue, then 429.")


class RouterService(ApiModel):
    """The Service that clients dial."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="How the router is reached."
    )
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations, e.g. for a load balancer.")


class Router(ApiModel):
    """The router's pods."""

    replicas: int = Field(default=2, ge=0, le=100, description="Router pods.")
    image: str | None = Field(
        default=None, min_length=1, max_length=512, description="Image of the router. Default: the operator's own."
    )
    resources: RouterResources = Field(default_factory=RouterResources, description="CPU and memory of one pod.")
    limits: RouterLimits = Field(default_factory=RouterLimits, description="Bounds of one pod.")
    service: RouterService = Field(default_factory=RouterService, description="The Service that clients dial.")
    drain_seconds: int = Field(
        default=120, ge=0, le=3600, description="How long a router that is going away may finish running answers."
    )
    allowed_clients: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=32,
        description="NetworkPolicy peers that may reach the router. Empty: anyone who can reach the cluster's pods.",
        json_schema_extra={
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "x-kubernetes-list-type": "atomic",
        },
    )


def _backends_known(spec: RoutePolicySpec) -> bool:
    known = {backend.name for backend in spec.backends}
    return all(b.name in known for route in spec.routes for tier in route.tiers for b in tier.backends)


@rules(
    Rule(
        "self.routes.all(r, r.tiers.all(t, t.backends.all(b, self.backends.exists(x, x.name == b.name))))",
        "every backend of a tier must be one of spec.backends: correct the name, or add the backend",
        _backends_known,
    )
)
class RoutePolicySpec(ApiModel):
    """Where requests go."""

    backends: list[Backend] = Field(
        min_length=1,
        max_length=32,
        description="Targets that the routes name.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    routes: list[Route] = Field(
        min_length=1,
        max_length=64,
        description="Rules, in order: the first that matches a request wins.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    router: Router = Field(default_factory=Router, description="The router's pods.")


class RoutePolicyStatus(ApiModel):
    """What the routers serve."""

    observed_generation: int = Field(default=0, ge=0, description="Generation of the spec that this status speaks of.")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="Accepted, ResolvedRefs, Programmed, Ready; Stalled when only a person can help.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    url: str = Field(default="", description="Base URL of the router inside the cluster, up to and with /v1.")
    config_hash: str = Field(default="", description="Hash of the configuration that routers should serve.")
    programmed_routers: int = Field(default=0, ge=0, description="Routers that serve it.")
    replicas: int = Field(default=0, ge=0, description="Router pods that exist.")
    ready_replicas: int = Field(default=0, ge=0, description="Router pods that are ready.")


@rules(
    Rule(
        RESOURCE_NAME_CEL,
        "metadata.name must be at most 52 characters of a-z, 0-9 and -, beginning with a letter: Services take it as "
        "their name",
        lambda resource: is_resource_name(resource.metadata.name),
    )
)
class RoutePolicy(ApiModel):
    """A router and its rules."""

    api_version: Literal["genset.dev/v1alpha1"] = "genset.dev/v1alpha1"
    kind: Literal["RoutePolicy"] = "RoutePolicy"
    metadata: ObjectMeta
    spec: RoutePolicySpec
    status: RoutePolicyStatus | None = None
