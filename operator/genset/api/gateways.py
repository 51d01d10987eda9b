"""Gateways stand between the router and providers; these are the settings that each understands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from genset.api.base import ApiModel, CelRule, rules

_MOST = 16
ProviderSlug = Annotated[str, Field(pattern=r"^[a-z0-9][-a-z0-9./]*$", max_length=64, examples=["deepinfra"])]
ModelId = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=256, examples=["qwen/qwen3-32b"])]


class DataCollection(StrEnum):
    """Whether providers that keep prompts may be asked."""

    ALLOW = "Allow"
    DENY = "Deny"


@rules(
    CelRule(
        "has(self.dataCollection) || has(self.zeroDataRetention) || has(self.order) || has(self.only) || has(self.ignore) || "
        "has(self.allowFallbacks) || has(self.fallbackModels)",
        "openRouter says nothing: set one of its fields, or leave it out",
        lambda gateway: bool(gateway.model_fields_set),
    ),
    CelRule(
        "!has(self.only) || !has(self.ignore)",
        "openRouter.only and ignore exclude each other: whoever is not in only is never asked",
        lambda gateway: not (gateway.only and gateway.ignore),
    ),
    CelRule(
        "!has(self.order) || self.order.all(o, (!has(self.only) || o in self.only) && !(has(self.ignore) && o in self.ignore))",
        "openRouter.order names a provider that only leaves out, or that ignore holds, so that it is never asked: take it out",
        lambda gateway: all(
            (gateway.only is None or one in gateway.only) and one not in (gateway.ignore or ())
            for one in gateway.order or ()
        ),
    ),
)
class OpenRouter(ApiModel):
    """OpenRouter's provider routing, as its page of that name has it."""

    data_collection: DataCollection | None = Field(
        default=None,
        strict=False,
        description="Deny: only providers that neither keep prompts nor train on them. Default: as the account says.",
    )
    zero_data_retention: bool | None = Field(
        default=None, description="Only endpoints that keep nothing at all. Default: as the account says."
    )
    order: list[ProviderSlug] | None = Field(
        default=None,
        min_length=1,
        max_length=_MOST,
        description="Providers in the order in which they are tried.",
    )
    only: list[ProviderSlug] | None = Field(
        default=None, min_length=1, max_length=_MOST, description="The only providers that may be asked."
    )
    ignore: list[ProviderSlug] | None = Field(
        default=None, min_length=1, max_length=_MOST, description="Providers that are never asked."
    )
    allow_fallbacks: bool | None = Field(
        default=None, description="Whether providers beyond order may be asked. Default: OpenRouter's, true."
    )
    fallback_models: list[ModelId] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="Models that OpenRouter answers with if the model cannot be had; the answer names the one that did.",
    )


@rules(
    CelRule(
        "has(self.configID) || has(self.provider)",
        "portkey needs configID or provider: it is what says where a request goes",
        lambda gateway: gateway.config_id is not None or gateway.provider is not None,
    ),
)
class Portkey(ApiModel):
    """What Portkey's headers say."""

    config_id: str | None = Field(
        default=None,
        alias="configID",
        pattern=r"^pc-[-A-Za-z0-9_]+$",
        max_length=128,
        examples=["pc-house-1a2b3c"],
        description="Saved config. Leave retries and fallbacks out of it: they multiply the router's.",
    )
    provider: str | None = Field(
        default=None,
        pattern=r"^@?[-A-Za-z0-9_.]+$",
        max_length=128,
        examples=["@anthropic-prod"],
        description="Provider of Portkey's model catalogue, or with a self-hosted gateway the provider's name.",
    )
