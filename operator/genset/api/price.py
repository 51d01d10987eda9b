"""What a model costs is said here: of a provider by what is used, of the house by the hour, whether it is used or not."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from genset.api.base import ApiModel, CelRule, rules
from genset.pricing.house import HOURS_A_MONTH

PerMillion = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$", max_length=13, examples=["2.50"])]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,9})?$", max_length=16, examples=["0.40"])]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3, examples=["USD"])]

_PARTS = ("cachedInput", "cacheWrite", "cacheWriteHour", "output", "audioInput", "audioOutput")
_FLAT = ("perRequest", "perImage", "perSearch")


def _has_any(names: tuple[str, ...]) -> str:
    return " || ".join(f"has(self.{name})" for name in names)


def _said(price: Any, *names: str) -> list[bool]:
    return [getattr(price, name) is not None for name in names]


@rules(
    CelRule(
        _has_any(("inputPerMillion", *_FLAT)),
        "price needs inputPerMillion, perRequest, perImage or perSearch: it says nothing",
        lambda price: any(_said(price, "input_per_million", "per_request", "per_image", "per_search")),
    ),
    CelRule(
        f"has(self.inputPerMillion) || !({_has_any(tuple(f'{part}PerMillion' for part in _PARTS))})",
        "price.inputPerMillion is missing: the other prices of tokens are beside it",
        lambda price: (
            price.input_per_million is not None
            or not any(
                _said(
                    price, "cached_input_per_million", "cache_write_per_million", "cache_write_hour_per_million",
                    "output_per_million", "audio_input_per_million", "audio_output_per_million",
                )
            )
        ),
    ),
)  # fmt: skip
class CloudPrice(ApiModel):
    """What the provider asks for this model. What is used and has no price here makes the cost of its request unknown."""

    currency: Currency = Field(description="Currency of all of them (ISO 4217).")
    input_per_million: PerMillion | None = Field(
        default=None,
        description='For a million tokens of prompts, as text in quotes: "2.50". Default: tokens cost nothing, if there is '
        "another price.",
    )
    cached_input_per_million: PerMillion | None = Field(
        default=None, description="Those of them that the provider read from its cache. Default: inputPerMillion."
    )
    cache_write_per_million: PerMillion | None = Field(
        default=None, description="Those of them that it wrote to its cache. Default: inputPerMillion."
    )
    cache_write_hour_per_million: PerMillion | None = Field(
        default=None, description="Those that it keeps there for an hour. Default: cacheWritePerMillion."
    )
    output_per_million: PerMillion | None = Field(
        default=None,
        description="For a million tokens of answers, thoughts among them. Default: none, as of embeddings.",
    )
    audio_input_per_million: PerMillion | None = Field(
        default=None, description="For a million tokens of sound in prompts. Default: inputPerMillion."
    )
    audio_output_per_million: PerMillion | None = Field(
        default=None, description="For a million tokens of sound in answers. Default: outputPerMillion."
    )
    per_request: Amount | None = Field(
        default=None, description="For each request that is answered, beside its tokens."
    )
    per_image: Amount | None = Field(default=None, description="For each picture that is made, if tokens cost nothing.")
    per_search: Amount | None = Field(
        default=None, description="For each search that the provider counts: of the web, or a unit of reranking."
    )


@rules(
    CelRule(
        "has(self.perHour) != (has(self.watts) || has(self.perKWh) || has(self.hardwarePerMonth))",
        "price needs either perHour, or watts with perKWh and hardwarePerMonth",
        lambda price: (
            (price.per_hour is not None)
            != (price.watts is not None or price.per_kwh is not None or price.hardware_per_month is not None)
        ),
    ),
    CelRule(
        "has(self.watts) == has(self.perKWh)",
        "price.watts and price.perKWh go together: neither is a price alone",
        lambda price: (price.watts is None) == (price.per_kwh is None),
    ),
)
class HousePrice(ApiModel):
    """What one replica costs the house for as long as it is there, asked or not."""

    currency: Currency = Field(description="Currency (ISO 4217).")
    per_hour: Amount | None = Field(default=None, description='All of it for an hour, as text in quotes: "0.40".')
    watts: int | None = Field(default=None, ge=1, le=1_000_000, description="Power that it draws, at the wall.")
    per_kwh: Amount | None = Field(default=None, alias="perKWh", description="Price of a kilowatt-hour.")
    hardware_per_month: Amount | None = Field(
        default=None,
        description=f"What its hardware, its place and its care cost in a month of {HOURS_A_MONTH} hours.",
    )
