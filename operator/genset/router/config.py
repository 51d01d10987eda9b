"""RouterConfig: the wire contract between whoever writes a configuration and the router that serves it.

The operator (or `genset router -f`) builds it from a RoutePolicy, `desired.router_config` being the only builder; the
router validates it and swaps its table. It holds no secret: credentials are files, named here, in a folder of their
own.
Pure: both sides import this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from genset.addresses import PROXY_REMEDY, URL_REMEDY, is_network, is_proxy_url, is_url

CONFIG_VERSION: Final = 1
ForwardedHeaders = Literal["Trace", "Idempotency", "Attribution"]  # as `evidence.REQUEST_HEADERS` has them


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, validate_by_name=True, serialize_by_alias=True
    )


class PolicyRef(_Model):
    """The RoutePolicy that the configuration was built from, for logs and for `/-/config`."""

    namespace: str
    name: str
    generation: int = 0


class DnsEndpoints(_Model):
    """Endpoints found by name: every A/AAAA record of `host` is one. `host` is tried with the search domains."""

    host: str
    port: int = Field(ge=1, le=65535)


class LocalTarget(_Model):
    """A model of the house: many endpoints, plain HTTP, probed by the router."""

    dns: DnsEndpoints
    health_path: str = "/health"
    wakes: str | None = Field(
        default=None,
        description="Deployment that a request wakes where it is at rest, as `/-/demand` names it; None: never.",
    )


class UrlTarget(_Model):
    """A server at one base URL: a cloud provider, a gateway, or an external model server.

    `base_url` goes up to and with the version segment (https://api.example.com/v1); request paths are appended without
    theirs. The `*_file` names are files in the credentials folder.
    """

    base_url: str
    provider: str
    key_file: str | None = None
    ca_file: str | None = None
    proxy_url: str | None = None
    proxy_credentials_file: str | None = None
    health_path: str | None = Field(default=None, description="Path to probe, absolute on the host; None: no probe.")
    forward_headers: tuple[ForwardedHeaders, ...] | None = Field(
        default=None, description="Headers of clients that go there; to servers of the house Trace and Idempotency do."
    )


class BalancingConfig(_Model):
    """How a backend's endpoints share requests. `max_in_flight_per_endpoint` None: no bound, and nothing waits."""

    strategy: Literal["LeastInFlight", "PrefixAffinity"] = "LeastInFlight"
    prefix_tokens: int = 256
    max_in_flight_per_endpoint: int | None = None
    max_queued: int = 64
    queue_seconds: float = 5


class BackendConfig(_Model):
    """One backend. `kind` decides default deadlines and which outage switch it belongs to."""

    name: str
    kind: Literal["local", "cloud"]
    model: str  # name put into the upstream request's model field
    context_tokens: int | None = None
    continuation: str = "Anchor"  # a rule of genset.router.continuation, or "Off"
    balancing: BalancingConfig = BalancingConfig()
    local: LocalTarget | None = None
    url: UrlTarget | None = None

    @model_validator(mode="after")
    def _names_servers(self) -> Self:
        """The values stay out of the messages: somebody may have written a password into one."""
        if self.url is not None and not is_url(self.url.base_url):
            raise ValueError(f"backend {self.name}: url.baseUrl names no server: {URL_REMEDY}")
        if self.url is not None and self.url.proxy_url is not None and not is_proxy_url(self.url.proxy_url):
            raise ValueError(f"backend {self.name}: url.proxyUrl names no server: {PROXY_REMEDY}")
        return self


class HeaderMatchConfig(_Model):
    name: str  # lower case
    value: str


class MatchConfig(_Model):
    models: tuple[str, ...] = ()
    max_input_tokens: int | None = None
    headers: tuple[HeaderMatchConfig, ...] = ()


class WeightedBackend(_Model):
    backend: str
    weight: int = 1


#: Outcomes of the house that send a request on to a cloud unless a route says otherwise. TooLong is no outcome but a size:
#: what the house cannot hold was never its to answer.
TO_CLOUD_ON: Final = ("Unreachable", "Cold", "Full", "TooLate", "ServerError", "TooLong")


class FailoverConfig(_Model):
    """Seconds; None means the router's own default for the kind of backend."""

    first_token_seconds: float | None = None
    stall_seconds: float | None = None
    total_seconds: float = 600
    max_attempts: int = 4
    continue_streams: bool = True
    rebuild_answers: bool = True
    to_cloud_on: tuple[str, ...] = TO_CLOUD_ON


class ColdStartConfig(_Model):
    """What a request does while a backend is at rest. Seconds."""

    mode: Literal["Hold", "Bridge"] = "Bridge"
    seconds: float = 300


class RouteConfig(_Model):
    name: str
    match: MatchConfig = MatchConfig()
    tiers: tuple[tuple[WeightedBackend, ...], ...]
    failover: FailoverConfig = FailoverConfig()
    cold_start: ColdStartConfig = ColdStartConfig()
    when_full: Literal["NextTier", "Wait"] = "NextTier"


class LimitsConfig(_Model):
    """Bytes, counts, seconds."""

    max_body_bytes: int = 32 * 1024 * 1024
    max_in_flight: int = 2000
    max_queued: int = 1000
    queue_seconds: float = 30
    drain_seconds: float = 120
    memory_bytes: int = Field(
        default=256 * 1024 * 1024, description="Of the pod: what bodies may take together is a share of it."
    )


class TelemetryConfig(_Model):
    """Where spans go (the base URL of an OTLP/HTTP collector), and how many of those that no caller has decided on."""

    otlp_endpoint: str
    sample_percent: float = 100


class CorsConfig(_Model):
    """Origins of web pages that may use the router from a browser; "*" alone means every one."""

    allowed_origins: tuple[str, ...]


class LogConfig(_Model):
    """`required`: requests are refused while their lines cannot be written."""

    required: bool


class RouterConfig(_Model):
    """Everything that a router serves."""

    version: Literal[1] = CONFIG_VERSION
    policy: PolicyRef
    site: str | None = Field(
        default=None,
        pattern=r"^[0-9A-Za-z_-]{1,32}$",
        description="What all routers of the policy are called in x-genset-hops; None: each a name of its own.",
    )
    backends: tuple[BackendConfig, ...]
    routes: tuple[RouteConfig, ...]
    limits: LimitsConfig = LimitsConfig()
    telemetry: TelemetryConfig | None = None
    cors: CorsConfig | None = None
    trusted_proxies: tuple[str, ...] | None = None  # networks
    log: LogConfig | None = None

    @model_validator(mode="after")
    def _trusts_networks(self) -> Self:
        for network in self.trusted_proxies or ():
            if not is_network(network):
                raise ValueError(f"trustedProxies: {network!r} is no network; write ADDRESS/BITS, e.g. 10.0.0.0/8")
        return self

    def canonical_json(self) -> str:
        """Same content, same bytes: sorted keys, no white space, no nulls."""
        body = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def config_hash(canonical_json: str) -> str:
    """First 16 hexadecimal digits of the SHA-256: what `/-/config` reports and RoutePolicy status compares."""
    return hashlib.sha256(canonical_json.encode()).hexdigest()[:16]


def credentials_hash(files: Mapping[str, bytes]) -> str:
    """Hash over names and contents of the credential files; "" when there are none. Reported by `/-/config`."""
    if not files:
        return ""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:16]
