"""Tokens of an identity provider (OpenID Connect) may say who asks; which are believed is said here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genset.addresses import URL, URL_REMEDY, is_url
from genset.api.base import ApiModel, CelRule, SecretKeyRef, rules

CLAIM = r"^[A-Za-z0-9_.:/~@-]+$"
Claim = Annotated[str, Field(pattern=CLAIM, min_length=1, max_length=128, examples=["azp"])]


@rules(
    CelRule(
        "has(self.jwksURL) != has(self.jwksSecretRef)",
        "access.jwt needs exactly one of jwksURL, jwksSecretRef: where the keys are that tokens are signed with",
        lambda jwt: (jwt.jwks_url is None) != (jwt.jwks_secret_ref is None),
    ),
    CelRule(
        f"!has(self.jwksURL) || self.jwksURL.matches(r'{URL}')",
        f"access.jwt.jwksURL names no server: {URL_REMEDY}",
        lambda jwt: jwt.jwks_url is None or is_url(jwt.jwks_url),
    ),
    CelRule(
        "!has(self.caSecretRef) || (has(self.jwksURL) && self.jwksURL.startsWith('https://'))",
        "access.jwt.caSecretRef needs a jwksURL with https://: only there a certificate is looked at",
        lambda jwt: jwt.ca_secret_ref is None or (jwt.jwks_url or "").startswith("https://"),
    ),
    CelRule(
        "!('*' in self.audiences)",
        "access.jwt.audiences are compared character by character, and * stands for itself: name what tokens say in aud",
        lambda jwt: "*" not in jwt.audiences,
    ),
    CelRule(
        "!has(self.allowedTeams) || self.allowedTeams.size() == 0 || has(self.teamClaim)",
        "access.jwt.allowedTeams needs teamClaim: without it no token says a team",
        lambda jwt: not jwt.allowed_teams or jwt.team_claim is not None,
    ),
)
class JwtIssuer(ApiModel):
    """An identity provider, and which of its tokens are believed."""

    issuer: str = Field(
        min_length=1,
        max_length=512,
        pattern=r"^[!-~]+$",
        examples=["https://idp.corp/realms/x"],
        description="What tokens must say in `iss`, character by character.",
    )
    audiences: list[Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[!-~]+$", examples=["genset"])]] = (
        Field(
            min_length=1,
            max_length=16,
            description="Of these a token must name one in `aud`: it is meant for this router.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        )
    )
    jwks_url: str | None = Field(
        default=None,
        alias="jwksURL",
        min_length=1,
        max_length=512,
        pattern=r"^https?://[^\s?#]+(\?[^\s#]*)?$",
        examples=["https://idp.corp/realms/x/certs"],
        description="Where the provider publishes its keys. They are fetched anew every few minutes, and kept while it is away. "
        "http:// only for a Service of the cluster, NAME.NAMESPACE.svc.",
    )
    jwks_secret_ref: SecretKeyRef | None = Field(
        default=None, description="A key set (JWKS) in a Secret, for providers that routers do not reach."
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Certificates of the CA that signed the provider's. Default: the system's and the site's.",
    )
    consumer_claim: Claim = Field(
        default="sub", description="Claim that names the consumer; a.b is b inside a. A token without it is refused."
    )
    team_claim: Claim | None = Field(
        default=None,
        description="Claim that names its team, or a list of them. Default: consumers of tokens have no team.",
    )
    allowed_teams: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default_factory=list,
        max_length=64,
        description="Only tokens that name one of these teams are believed. Empty: all.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
