"""Who may ask a policy's routers is said here: consumers, their keys, and what each may have."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from genset.api.base import DNS_LABEL, ApiModel, CelRule, SecretKeyRef, rules
from genset.api.children import LABEL_KEY, LABEL_VALUE
from genset.api.data_zones import DataZones
from genset.api.jwt import JwtIssuer
from genset.api.match import ModelPattern

#: Name of whoever asks without a key where that is allowed.
ANONYMOUS = "anonymous"
TEAM = r"^[A-Za-z0-9]([A-Za-z0-9 ._/@-]*[A-Za-z0-9])?$"


class AccessMode(StrEnum):
    """Whether a key is needed."""

    OPEN = "Open"
    REQUIRED = "Required"


class Priority(StrEnum):
    """How urgent a consumer's requests are where they have to wait."""

    HIGH = "High"
    NORMAL = "Normal"
    LOW = "Low"


class Allowance(ApiModel):
    """What a consumer may have of the routers of a policy, all of them together."""

    models: list[ModelPattern] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Models that it may name, and sees in /v1/models: exact names, or a beginning followed by *. Any other is "
        "answered as if it were not there. Default: every one.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    requests_per_minute: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Requests in any 60 seconds; more get 429. Default: no limit."
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="Tokens of prompts and answers in any 60 seconds; more get 429. A request takes what it is estimated to "
        "need, and when it has ended what it has used. Default: no limit.",
    )
    max_in_flight: int | None = Field(
        default=None, ge=1, le=100_000, description="Requests in work at once; more get 429. Default: no limit."
    )
    data_zones: DataZones = Field(
        default=None,
        description="Zones in which its requests may be answered, of those that the route allows. Default: all of these.",
    )
    priority: Priority | None = Field(
        default=None,
        strict=False,
        description="Whose request goes first where requests wait for a place, at a full backend or in a full router, and whose "
        "make way in a full line. Low leaves half of the router's places to others. Default: Normal.",
    )


class ConsumerSpec(Allowance):
    """One consumer: who it is, and what it may have."""

    name: str = Field(
        pattern=DNS_LABEL,
        min_length=1,
        max_length=63,
        examples=["invoices"],
        description=f"Name in logs, metrics and messages. {ANONYMOUS}: whoever asks without a key, under mode Open.",
    )
    team: str | None = Field(
        default=None,
        pattern=TEAM,
        max_length=63,
        examples=["accounting"],
        description="Team that it belongs to, in logs.",
    )
    keys_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Its keys, one a line, all valid; of at least 20 characters, and # begins a comment. The Secret needs the "
        'label genset.dev/consumer: "true". Routers get SHA-256 digests of them alone.',
    )


@rules(
    CelRule(
        f"self.matchLabels.all(k, k.matches(r'{LABEL_KEY}'))",
        "access.consumerSelector.matchLabels: a key is NAME or PREFIX/NAME, where NAME has at most 63 of A-Z, a-z, 0-9, -, _ "
        "and .",
        lambda selector: all(re.fullmatch(LABEL_KEY, key) for key in selector.match_labels),
    )
)
class ConsumerSelector(ApiModel):
    """Secrets of the namespace, each of which is a consumer."""

    match_labels: dict[str, Annotated[str, Field(pattern=LABEL_VALUE, max_length=63, examples=["search"])]] = Field(
        min_length=1,
        max_length=16,
        description='Labels that a Secret must have, beside genset.dev/consumer: "true", which every one of them needs.',
    )


_OPEN_CEL = "(has(self.mode) && self.mode == 'Open')"


def _keys_fit(access: Access) -> bool:
    return all(
        one.keys_secret_ref is not None
        or (one.name == ANONYMOUS and access.mode == AccessMode.OPEN)
        or (one.name != ANONYMOUS and access.jwt is not None)
        for one in access.consumers
    )


@rules(
    CelRule(
        f"!has(self.consumers) || self.consumers.all(c, has(c.keysSecretRef) || (c.name == 'anonymous' ? {_OPEN_CEL} : "
        "has(self.jwt)))",
        "access.consumers: each needs keysSecretRef; without it stand only anonymous, under mode Open, and those that tokens "
        "name, with jwt",
        _keys_fit,
    ),
    CelRule(
        "!has(self.consumers) || self.consumers.all(c, c.name != 'anonymous' || !has(c.keysSecretRef))",
        "access.consumers: anonymous is whoever shows no key, and cannot have keysSecretRef; choose another name",
        lambda access: not any(one.name == ANONYMOUS and one.keys_secret_ref for one in access.consumers),
    ),
    CelRule(
        f"{_OPEN_CEL} || (has(self.consumers) && self.consumers.size() > 0) || has(self.consumerSelector) || has(self.jwt)",
        "access.mode Required needs consumers, consumerSelector or jwt: without them nobody could ask",
        lambda access: (
            access.mode == AccessMode.OPEN or bool(access.consumers or access.consumer_selector or access.jwt)
        ),
    ),
)
class Access(ApiModel):
    """Who may ask, by which key, and what each may have."""

    mode: AccessMode = Field(
        default=AccessMode.REQUIRED,
        strict=False,
        description="Required: a request without a key that is known gets 401. Open: requests without a key are the consumer "
        "anonymous; a key that is given must be known all the same.",
    )
    consumers: list[ConsumerSpec] = Field(
        default_factory=list,
        max_length=256,
        description="Those who may ask.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    consumer_selector: ConsumerSelector | None = Field(
        default=None,
        description="Secrets that are consumers, too, so that teams bring their own: all their values are keys, one a line. A "
        "consumer is called as its Secret, or as the annotation genset.dev/consumer-name says, and belongs to the team of "
        "genset.dev/consumer-team; what it may have `defaults` say. The operator needs the right to list Secrets "
        "(rbac.listSecrets of the chart).",
    )
    jwt: JwtIssuer | None = Field(
        default=None, description="Tokens of an identity provider that say who asks. Default: keys alone."
    )
    defaults: Allowance | None = Field(
        default=None,
        description="What each consumer may have that says nothing of it itself: field by field. Default: everything.",
    )
