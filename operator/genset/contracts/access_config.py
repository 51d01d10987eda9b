"""Says who may ask a router, and what each may have.

Nothing has a default here. Pure.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from genset.contracts.backend_config import DnsEndpoints
from genset.contracts.config_parts import ConfigPart, FileName, KeySetUrl, ModelPattern, ProxyUrl, Zone, each_once


class AllowanceConfig(ConfigPart):
    """An allowance is what a consumer may have of all routers together; None: as much as it wants."""

    models: tuple[ModelPattern, ...] | None = Field(default=None, min_length=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    max_in_flight: int | None = Field(default=None, ge=1)
    data_zones: tuple[Zone, ...] | None = None
    priority: Literal["High", "Normal", "Low"] | None = Field(default=None, description="In lines; None: Normal.")


class ConsumerConfig(ConfigPart):
    """A consumer is somebody who may ask. `team` is None if none is said."""

    name: str = Field(min_length=1, max_length=253, examples=["invoices"])
    team: str | None = Field(default=None, min_length=1, max_length=128)
    by_token: bool | None = Field(default=None, description="Tokens name it, and no key is its own; None: keys are.")
    allowance: AllowanceConfig


class JwtConfig(ConfigPart):
    """These tokens are believed. `jwks_url` or `jwks_file` is where the keys are that they are signed with."""

    issuer: str = Field(min_length=1)
    audiences: tuple[str, ...] = Field(min_length=1)
    jwks_url: KeySetUrl | None = None
    jwks_file: FileName | None = None
    ca_file: FileName | None = None
    proxy_url: ProxyUrl | None = None
    proxy_credentials_file: FileName | None = None
    consumer_claim: str = Field(min_length=1)
    team_claim: str | None = Field(default=None, min_length=1)
    allowed_teams: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("needs exactly one of jwksUrl, jwksFile")
        return self


class PeersConfig(ConfigPart):
    """The other routers of the policy are every address of `dns`, at their admin port. The token proves what they tell."""

    dns: DnsEndpoints
    token_file: FileName


class AccessConfig(ConfigPart):
    """Access says who may ask. `keys_file` is in the credentials folder: see `contracts.access_keys`.

    `required`: a request without a key is refused. `defaults` are those of consumers that nothing here names. `routers`: how
    many share what each may have.
    """

    required: bool
    routers: int = Field(ge=1)
    keys_file: FileName | None = None
    consumers: tuple[ConsumerConfig, ...]
    defaults: AllowanceConfig
    jwt: JwtConfig | None = None
    peers: PeersConfig | None = Field(default=None, description="Who shares the limits; None: each keeps to its part.")

    @model_validator(mode="after")
    def _consumers_once(self) -> Self:
        each_once("consumers", [consumer.name for consumer in self.consumers])
        return self
