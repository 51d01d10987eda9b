"""RouterConfig is the document that says everything a router serves: `router.json`.

The operator, or `genset router -f`, builds it from a RoutePolicy; `desired.router_config` is the only builder. The router
validates it and swaps its table. It holds no secret: credentials are files, named here, in a folder of their own.

Nothing has a default here: those of a policy stand in `api`, and the builder writes them out. A field that may be absent
is None then. How the document may change is decided in docs/adr/0012.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticKnownError

from genset.addresses import (
    HOST_AND_PORT,
    PROXY_REMEDY,
    URL_REMEDY,
    base_url_mistake,
    is_collector,
    is_host,
    is_network,
    is_proxy_url,
    origin_mistake,
)

VERSION: Final = 1
LONGEST_SECONDS: Final = 604_800  # of any time in a configuration: what no timer can be set to is no time
ForwardedHeaders = Literal["Trace", "Idempotency", "Attribution"]  # groups of headers


def _good(mistake: Callable[[str], str]) -> AfterValidator:
    """Refuses text for which `mistake` finds words: what is wrong with it and what to write, never the text itself."""

    def check(value: str) -> str:
        if words := mistake(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def _known_to_reader(registry: str) -> AfterValidator:
    """Refuses a name that the reading program has nothing for, in the words of a Literal. See `RouterConfig.from_json`."""

    def check(value: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get(registry)
        if known is not None and value not in known:
            expected = ", ".join(f"'{name}'" for name in known)
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value

    return AfterValidator(check)


def _each_once(field: str, values: Collection[str]) -> None:
    if twice := sorted({value for value in values if list(values).count(value) > 1}):
        raise ValueError(f"{field}: {', '.join(twice)} twice; each may stand there once")


Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Label = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63, examples=["frontier"])
]
FileName = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253, examples=["frontier.key"])]
HttpPath = Annotated[str, Field(pattern=r"^/[!-~]*$", examples=["/health"])]
ModelPattern = Annotated[str, Field(pattern=r"^[^*]*\*?$", min_length=1, examples=["team-*"])]
Host = Annotated[str, _good(lambda value: "" if is_host(value) else f"names no host: {HOST_AND_PORT}")]
BaseUrl = Annotated[str, _good(base_url_mistake)]
ProxyUrl = Annotated[str, _good(lambda value: "" if is_proxy_url(value) else f"names no server: {PROXY_REMEDY}")]
Collector = Annotated[str, _good(lambda value: "" if is_collector(value) else f"names no server: {URL_REMEDY}")]
Origin = Annotated[str, _good(origin_mistake)]
Network = Annotated[
    str, _good(lambda value: "" if is_network(value) else "is no network; write ADDRESS/BITS, e.g. 10.0.0.0/8")
]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        validate_by_name=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


class PolicyRef(_Part):
    """This is the RoutePolicy that the configuration was built from, for logs and for `/-/config`."""

    namespace: str
    name: str
    generation: int = Field(ge=0)


class DnsEndpoints(_Part):
    """These endpoints are found by name: every A/AAAA record of `host` is one.

    `host` is tried with the search domains.
    """

    host: Host
    port: int = Field(ge=1, le=65535)


class LocalTarget(_Part):
    """A local target is a model of the house: many endpoints, plain HTTP, probed by the router."""

    dns: DnsEndpoints
    health_path: HttpPath
    wakes: str | None = Field(
        default=None,
        min_length=1,
        description="Deployment that a request wakes if it is at rest, as `/-/demand` names it; None: never.",
    )


class TargetHeader(_Part):
    """A target's header goes with each request to it. Its value stands here, or in a file of the credentials folder."""

    name: str = Field(pattern=r"^[a-z0-9!#$%&'*+\-.^_`|~]+$", examples=["x-team"], description="In small letters.")
    value: str | None = Field(default=None, pattern=r"^[!-~]([ -~]*[!-~])?$", examples=["gold"])
    file: FileName | None = None

    @model_validator(mode="after")
    def _has_one_value(self) -> Self:
        if (self.value is None) == (self.file is None):
            raise ValueError(f"header {self.name} needs exactly one of value, file")
        return self


class UrlTarget(_Part):
    """A target by URL is a server at one base URL: a cloud provider, a gateway, or an external model server.

    `base_url` goes up to and with the version segment (https://api.example.com/v1); request paths are appended without
    theirs. The `*_file` names are files in the credentials folder.
    """

    base_url: BaseUrl
    provider: Annotated[str, _known_to_reader("providers")]
    key_file: FileName | None = None
    ca_file: FileName | None = None
    proxy_url: ProxyUrl | None = None
    proxy_credentials_file: FileName | None = None
    health_path: HttpPath | None = Field(
        default=None, description="Path to probe, absolute on the host; None: no probe."
    )
    forward_headers: tuple[ForwardedHeaders, ...] | None = Field(
        default=None, description="Headers of clients that go there; to servers of the house Trace and Idempotency do."
    )

    key_header: Literal["Authorization", "XApiKey", "ApiKey"] | None = Field(
        default=None, description="Header that holds the key; None: the provider's own."
    )
    headers: tuple[TargetHeader, ...] | None = Field(default=None, description="Headers that each request there has.")
    query: str | None = Field(
        default=None, pattern=r"^[!-~]+$", examples=["api-version=2024-10-21"], description="Behind each path."
    )
    body: dict[str, JsonValue] | None = Field(
        default=None, description="Fields that each request there has, whatever the client says; objects are merged."
    )

    @model_validator(mode="after")
    def _files_are_used(self) -> Self:
        if self.headers is not None:
            _each_once("headers", [header.name for header in self.headers])
        if self.ca_file is not None and not self.base_url.startswith("https://"):
            raise ValueError("caFile needs a baseUrl with https://: over plain HTTP no certificate is looked at")
        if self.proxy_credentials_file is not None and self.proxy_url is None:
            raise ValueError("proxyCredentialsFile needs proxyUrl: there is no proxy that it could be told to")
        return self


class BalancingConfig(_Part):
    """Balancing is how a backend's endpoints share requests.

    `max_in_flight_per_endpoint` None: no bound, and nothing waits.
    """

    strategy: Literal["LeastInFlight", "PrefixAffinity"]
    prefix_tokens: int = Field(ge=1)
    max_in_flight_per_endpoint: int | None = Field(default=None, ge=1)
    max_queued: int = Field(ge=0)
    queue_seconds: Seconds


class BackendConfig(_Part):
    """This is one backend. `kind` decides default deadlines and which outage switch it belongs to."""

    name: Label
    kind: Literal["local", "cloud"]
    model: str = Field(min_length=1, description="Name put into the upstream request's model field.")
    context_tokens: int | None = Field(default=None, ge=1)
    task: Literal["Embeddings", "Rerank"] | None = Field(
        default=None, description="The one thing that the backend is there for; None: it may be asked for anything."
    )
    adapters: tuple[str, ...] | None = Field(
        default=None, description="Further models that it serves, which are asked for by their own names; None: none."
    )
    continuation: Annotated[str, _known_to_reader("continuations")]
    balancing: BalancingConfig
    local: LocalTarget | None = None
    url: UrlTarget | None = None

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.local is None) == (self.url is None):
            raise ValueError("needs exactly one of local, url")
        if self.kind == "cloud" and self.local is not None:
            raise ValueError("kind cloud needs url: endpoints found by name are those of the house")
        if self.kind == "local" and self.url is not None and self.url.forward_headers is not None:
            raise ValueError(
                "url.forwardHeaders needs kind cloud: servers of the house get Trace and Idempotency anyway"
            )
        return self


class HeaderMatchConfig(_Part):
    name: str = Field(pattern=r"^[a-z0-9!#$%&'*+\-.^_`|~]+$", examples=["x-team"], description="In small letters.")
    value: str = Field(pattern=r"^([^ \t\r\n]([^\r\n]*[^ \t\r\n])?)?$", examples=["gold"])


class MatchConfig(_Part):
    models: tuple[ModelPattern, ...]
    max_input_tokens: int | None = Field(default=None, ge=1)
    headers: tuple[HeaderMatchConfig, ...]

    @model_validator(mode="after")
    def _headers_once(self) -> Self:
        _each_once("headers", [header.name for header in self.headers])
        return self


class WeightedBackend(_Part):
    backend: str
    weight: int = Field(ge=0)


ToCloudOn = Literal["Unreachable", "Cold", "Full", "TooLate", "ServerError", "TooLong", "Unsupported"]


class FailoverConfig(_Part):
    """The times of failover are seconds; None means the router's own default for the kind of backend."""

    first_token_seconds: Seconds | None = None
    stall_seconds: Seconds | None = None
    total_seconds: Seconds
    max_attempts: int = Field(ge=1)
    continue_streams: bool
    rebuild_answers: bool
    to_cloud_on: tuple[ToCloudOn, ...]


class ColdStartConfig(_Part):
    """A cold start is what a request does while a backend is at rest. Times are seconds."""

    mode: Literal["Hold", "Bridge"]
    seconds: Seconds


class RouteConfig(_Part):
    name: Label
    match: MatchConfig
    tiers: tuple[Annotated[tuple[WeightedBackend, ...], Field(min_length=1)], ...]
    failover: FailoverConfig
    cold_start: ColdStartConfig
    when_full: Literal["NextTier", "Wait"]

    @model_validator(mode="after")
    def _backends_once(self) -> Self:
        for tier in self.tiers:
            _each_once("tiers", [weighted.backend for weighted in tier])
        return self


class LimitsConfig(_Part):
    """The limits are bytes, counts and seconds."""

    max_body_bytes: int = Field(ge=1)
    max_in_flight: int = Field(ge=1)
    max_queued: int = Field(ge=0)
    queue_seconds: Seconds
    drain_seconds: float = Field(ge=0, le=LONGEST_SECONDS)
    memory_bytes: int = Field(ge=1, description="Of the pod: what bodies may take together is a share of it.")


class TelemetryConfig(_Part):
    """Telemetry says where spans go (the base URL of an OTLP/HTTP collector), and how many of those that no caller has
    decided on."""

    otlp_endpoint: Collector
    sample_percent: float = Field(ge=0, le=100)


class CorsConfig(_Part):
    """These are the origins of web pages that may use the router from a browser; "*" alone means every one."""

    allowed_origins: tuple[Origin, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _any_stands_alone(self) -> Self:
        if "*" in self.allowed_origins and len(self.allowed_origins) > 1:
            raise ValueError("allowedOrigins: * means every origin and stands alone; take the others out")
        return self


class LogConfig(_Part):
    """The log may be `required`: then requests are refused while their lines cannot be written."""

    required: bool


class RouterConfig(_Part):
    """A router's configuration is everything that it serves."""

    version: Literal[1]
    policy: PolicyRef
    site: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Za-z_-]{1,32}$",
        examples=["house-1"],
        description="What all routers of the policy are called in x-genset-hops; None: each a name of its own.",
    )
    backends: tuple[BackendConfig, ...]
    routes: tuple[RouteConfig, ...] = Field(min_length=1)
    limits: LimitsConfig
    telemetry: TelemetryConfig | None = None
    cors: CorsConfig | None = None
    trusted_proxies: tuple[Network, ...] | None = None
    log: LogConfig | None = None
    forbidden_networks: tuple[Network, ...] | None = Field(
        default=None,
        description="Networks in which no server at a URL may be, beside those that a router in a cluster never dials.",
    )

    site_ca_file: FileName | None = Field(
        default=None,
        description="File in the credentials folder: certificates trusted beside the system's, for targets without a "
        "caFile of their own.",
    )

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        known = [backend.name for backend in self.backends]
        _each_once("backends", known)
        _each_once("routes", [route.name for route in self.routes])
        for route in self.routes:
            for name in (weighted.backend for tier in route.tiers for weighted in tier):
                if name not in known:
                    raise ValueError(f"routes[{route.name}]: backend {name} is unknown; add it, or correct the name")
        return self

    @classmethod
    def from_json(cls, text: bytes, *, providers: Collection[str], continuations: Collection[str]) -> Self:
        """Reads a document strictly: what is unknown is refused, names of providers and rules of continuation, too, that
        are not among those given. Raises ValidationError."""
        known = {"providers": providers, "continuations": continuations}
        return cls.model_validate_json(text, by_alias=True, by_name=False, context=known)

    def canonical_json(self) -> str:
        """Writes the document so that the same content has the same bytes: sorted keys, no white space, no nulls."""
        body = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def config_hash(canonical_json: str) -> str:
    """Returns the first 16 hexadecimal digits of the SHA-256: what `/-/config` reports and RoutePolicy status compares."""
    return hashlib.sha256(canonical_json.encode()).hexdigest()[:16]


def credentials_hash(files: Mapping[str, bytes]) -> str:
    """Returns a hash over names and contents of the credential files; "" if there are none. `/-/config` reports it."""
    if not files:
        return ""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:16]
