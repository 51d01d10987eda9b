"""Says of each backend what a router is told: where it is, how it wants to be asked, and what it can do.

Nothing has a default here. Pure.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from genset.contracts.config_parts import (
    BaseUrl,
    ConfigPart,
    FileName,
    ForwardedHeaders,
    Host,
    HttpPath,
    Label,
    ProxyUrl,
    Seconds,
    Zone,
    each_once,
    known_to_reader,
)
from genset.contracts.price_config import PriceConfig
from genset.data_zones import HOUSE, WORLD


class DnsEndpoints(ConfigPart):
    """These endpoints are found by name: every A/AAAA record of `host` is one.

    `host` is tried with the search domains.
    """

    host: Host
    port: int = Field(ge=1, le=65535)


class LocalTarget(ConfigPart):
    """A local target is a model of the house: many endpoints, plain HTTP, probed by the router."""

    dns: DnsEndpoints
    health_path: HttpPath
    wakes: str | None = Field(
        default=None,
        min_length=1,
        description="Deployment that a request wakes if it is at rest, as `/-/demand` names it; None: never.",
    )


class TargetHeader(ConfigPart):
    """A target's header goes with each request to it. Its value stands here, or in a file of the credentials folder."""

    name: str = Field(pattern=r"^[a-z0-9!#$%&'*+\-.^_`|~]+$", examples=["x-team"], description="In small letters.")
    value: str | None = Field(default=None, pattern=r"^[!-~]([ -~]*[!-~])?$", examples=["gold"])
    file: FileName | None = None

    @model_validator(mode="after")
    def _has_one_value(self) -> Self:
        if (self.value is None) == (self.file is None):
            raise ValueError(f"header {self.name} needs exactly one of value, file")
        return self


class IdentityConfig(ConfigPart):
    """An identity is exchanged for tokens, which go with each request: OAuth 2.0 with a client assertion (RFC 7523).

    The assertion is in the file that the environment of the router names (AZURE_FEDERATED_TOKEN_FILE).
    """

    token_url: BaseUrl
    client_id: str = Field(pattern=r"^[!-~]+$", examples=["00000000-0000-0000-0000-000000000000"])
    scope: str = Field(pattern=r"^[!-~]+$", examples=["https://cognitiveservices.azure.com/.default"])


class UrlTarget(ConfigPart):
    """A target by URL is a server at one base URL: a cloud provider, a gateway, or an external model server.

    `base_url` goes up to and with the version segment (https://api.example.com/v1); request paths are appended without
    theirs. The `*_file` names are files in the credentials folder.
    """

    base_url: BaseUrl
    provider: Annotated[str, known_to_reader("providers")]
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
    identity: IdentityConfig | None = Field(
        default=None, description="What is exchanged for a token; None: nothing is."
    )
    api: Literal["Responses"] | None = Field(
        default=None, description="API of the provider's that is asked for chat; None: that of its format."
    )
    query: str | None = Field(
        default=None, pattern=r"^[!-~]+$", examples=["api-version=2024-10-21"], description="Behind each path."
    )
    body: dict[str, JsonValue] | None = Field(
        default=None, description="Fields that each request there has, whatever the client says; objects are merged."
    )

    @model_validator(mode="after")
    def _files_are_used(self) -> Self:
        if self.headers is not None:
            each_once("headers", [header.name for header in self.headers])
        if self.ca_file is not None and not self.base_url.startswith("https://"):
            raise ValueError("caFile needs a baseUrl with https://: over plain HTTP no certificate is looked at")
        if self.proxy_credentials_file is not None and self.proxy_url is None:
            raise ValueError("proxyCredentialsFile needs proxyUrl: there is no proxy that it could be told to")
        return self


class BalancingConfig(ConfigPart):
    """Balancing is how a backend's endpoints share requests.

    `max_in_flight_per_endpoint` None: no bound, and nothing waits.
    """

    strategy: Literal["LeastInFlight", "PrefixAffinity"]
    prefix_tokens: int = Field(ge=1)
    max_in_flight_per_endpoint: int | None = Field(default=None, ge=1)
    max_queued: int = Field(ge=0)
    queue_seconds: Seconds


class ModelClassConfig(ConfigPart):
    """A model's classes, by its parameters in total and by those that a token uses, for the labels of metrics."""

    size: Literal["Small", "Medium", "Large"]
    speed: Literal["Fast", "Moderate", "Slow"]


class CapabilitiesConfig(ConfigPart):
    """This is what requests may need of a backend, and whether it has that; None: what routers know themselves."""

    vision: bool | None = None
    audio: bool | None = None
    files: bool | None = Field(default=None, description="Documents, such as PDF.")
    tools: bool | None = None
    parallel_tools: bool | None = None
    forced_tools: bool | None = None
    json_schema: bool | None = None
    logprobs: bool | None = None
    several_answers: bool | None = Field(default=None, description="n > 1")
    reasoning: bool | None = None

    def said(self) -> dict[str, bool]:
        """Returns what is said, by the words of errors and lists."""
        return {word: can for word, can in self.model_dump(by_alias=True).items() if can is not None}


#: All words for what a request may need of a backend.
CAPABILITIES: Final = tuple(to_camel(name) for name in CapabilitiesConfig.model_fields)


class BackendConfig(ConfigPart):
    """This is one backend. `kind` decides default deadlines and which outage switch it belongs to."""

    name: Label
    kind: Literal["local", "cloud"]
    model: str = Field(min_length=1, description="Name put into the upstream request's model field.")
    context_tokens: int | None = Field(default=None, ge=1)
    task: Literal["Embeddings", "Rerank"] | None = Field(
        default=None, description="The one thing that the backend is there for; None: it may be asked for anything."
    )
    capabilities: CapabilitiesConfig | None = Field(
        default=None,
        description="What it can do, and cannot: requests that need that pass it by; None: what routers know themselves.",
    )
    adapters: tuple[str, ...] | None = Field(
        default=None, description="Further models that it serves, which are asked for by their own names; None: none."
    )
    data_zone: Zone | None = Field(
        default=None, description="Where it answers; None: house for kind local, world for kind cloud."
    )
    model_class: ModelClassConfig | None = Field(
        default=None, description="For labels of metrics; None: not wanted, or not known."
    )
    adapter_list: Literal["Models", "Paths"] | None = Field(
        default=None,
        description="How an endpoint tells which adapters it has loaded: by its list of models, or by the paths in "
        "llama-server's list (ADAPTERS_FOLDER/NAME/…); None: it has all of them.",
    )
    price: PriceConfig | None = Field(default=None, description="What it costs; None: the house's, or nobody knows.")
    continuation: Annotated[str, known_to_reader("continuations")]
    balancing: BalancingConfig
    local: LocalTarget | None = None
    url: UrlTarget | None = None

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.local is None) == (self.url is None):
            raise ValueError("needs exactly one of local, url")
        if self.kind == "local" and self.price is not None:
            raise ValueError("price needs kind cloud: what the house costs does not go by requests")
        if self.kind == "cloud" and self.local is not None:
            raise ValueError("kind cloud needs url: endpoints found by name are those of the house")
        if self.adapter_list is not None and self.adapters is None:
            raise ValueError("adapterList needs adapters: there are none that an endpoint could tell of")
        if self.kind == "local" and self.url is not None and self.url.forward_headers is not None:
            raise ValueError(
                "url.forwardHeaders needs kind cloud: servers of the house get Trace and Idempotency anyway"
            )
        return self

    @property
    def zone(self) -> str:
        return self.data_zone or (HOUSE if self.kind == "local" else WORLD)
