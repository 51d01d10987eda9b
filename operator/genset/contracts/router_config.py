"""RouterConfig is the document that says everything a router serves: `router.json`.

The operator, or `genset router -f`, builds it from a RoutePolicy; `desired.router_config` is the only builder. The router
validates it and swaps its table. It holds no secret: credentials are files, named here, in a folder of their own.

Nothing has a default here: those of a policy stand in `api`, and the builder writes them out. A field that may be absent
is None then. How the document may change is decided in docs/adr/0012.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from genset.contracts.access_config import AccessConfig
from genset.contracts.backend_config import BackendConfig, ModelClassConfig
from genset.contracts.budget_config import BudgetsConfig
from genset.contracts.config_parts import (
    LONGEST_SECONDS,
    Collector,
    ConfigPart,
    FileName,
    Label,
    LedgerUrl,
    Network,
    Origin,
    ProxyUrl,
    Seconds,
    Zone,
    each_once,
)
from genset.contracts.route_config import RouteConfig
from genset.data_zones import ZoneRule

VERSION: Final = 1


class PolicyRef(ConfigPart):
    """This is the RoutePolicy that the configuration was built from, for logs and for `/-/config`."""

    namespace: str
    name: str
    generation: int = Field(ge=0)


class ZoneRuleConfig(ConfigPart):
    """A zone rule is what one object says of data zones, for all routes. `said_by` names it in errors that clients read."""

    said_by: str = Field(min_length=1, max_length=512, examples=["namespace law (label genset.dev/data-zones)"])
    zones: tuple[Zone, ...] = Field(description="Zones that it allows; none of them: no request is answered.")

    @property
    def rule(self) -> ZoneRule:
        return ZoneRule(self.said_by, frozenset(self.zones))


class LimitsConfig(ConfigPart):
    """The limits are bytes, counts and seconds."""

    max_body_bytes: int = Field(ge=1)
    max_in_flight: int = Field(ge=1)
    max_queued: int = Field(ge=0)
    queue_seconds: Seconds
    drain_seconds: float = Field(ge=0, le=LONGEST_SECONDS)
    memory_bytes: int = Field(ge=1, description="Of the pod: what bodies may take together is a share of it.")


class TelemetryConfig(ConfigPart):
    """Telemetry says where spans go (the base URL of an OTLP/HTTP collector), and how many of those that no caller has
    decided on."""

    otlp_endpoint: Collector
    sample_percent: float = Field(ge=0, le=100)
    proxy_url: ProxyUrl | None = None
    proxy_credentials_file: FileName | None = None


class CorsConfig(ConfigPart):
    """These are the origins of web pages that may use the router from a browser; "*" alone means every one."""

    allowed_origins: tuple[Origin, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _any_stands_alone(self) -> Self:
        if "*" in self.allowed_origins and len(self.allowed_origins) > 1:
            raise ValueError("allowedOrigins: * means every origin and stands alone; take the others out")
        return self


class LogConfig(ConfigPart):
    """The log may be `required`: then requests are refused while their lines cannot be written."""

    required: bool


class EgressConfig(ConfigPart):
    """What leaves the house is written down; `required`: nothing leaves while that cannot be done."""

    required: bool


class BackendClassConfig(ModelClassConfig):
    """These are the classes of a backend's model, for records alone."""

    backend: Label


class UsageConfig(ConfigPart):
    """What requests use is written down. `spool_bytes`: most that is kept on the router's own disk for whoever fetches it."""

    spool_bytes: int = Field(ge=1024 * 1024)
    classes: tuple[BackendClassConfig, ...] | None = Field(default=None, description="Of models that are known.")


class LedgerConfig(ConfigPart):
    """The ledger is where routers send what they have written down. `token_file` is in the credentials folder."""

    url: LedgerUrl
    token_file: FileName


class TlsConfig(ConfigPart):
    """TLS of the port where clients connect. With `client_ca_file` only clients with a certificate of that CA may."""

    certificate_file: FileName
    key_file: FileName
    client_ca_file: FileName | None = None


class RouterConfig(ConfigPart):
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
    egress: EgressConfig | None = Field(default=None, description="None: nothing is written down.")
    usage: UsageConfig | None = Field(default=None, description="None: no usage records are kept.")
    ledger: LedgerConfig | None = Field(default=None, description="None: what is written down is sent to nobody.")
    budgets: BudgetsConfig | None = Field(default=None, description="What may be spent; None: anything.")
    forbidden_networks: tuple[Network, ...] | None = Field(
        default=None,
        description="Networks in which no server at a URL may be, beside those that a router in a cluster never dials.",
    )

    tls: TlsConfig | None = Field(default=None, description="TLS where clients connect; None: plain HTTP.")
    data_zones: tuple[ZoneRuleConfig, ...] | None = Field(
        default=None,
        description="What cluster, namespace and policy say of data zones; None: nothing, so all are allowed.",
    )
    access: AccessConfig | None = Field(default=None, description="Who may ask; None: anybody, everything.")
    site_ca_file: FileName | None = Field(
        default=None,
        description="File in the credentials folder: certificates trusted beside the system's, for targets without a "
        "caFile of their own.",
    )

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        known = [backend.name for backend in self.backends]
        each_once("backends", known)
        each_once("routes", [route.name for route in self.routes])
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
