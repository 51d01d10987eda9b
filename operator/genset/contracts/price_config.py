"""Says what a backend costs: by the policy, or by the data that the release brings. Nothing has a default here. Pure."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from genset.contracts.config_parts import ConfigPart

PerMillion = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$", examples=["2.50"])]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,9})?$", examples=["0.002"])]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["USD"])]


class RatesConfig(ConfigPart):
    """Rates are prices of a million tokens. A kind without its own costs what its whole costs: the input, the output."""

    input_per_million: PerMillion | None = None
    cached_input_per_million: PerMillion | None = None
    cache_write_per_million: PerMillion | None = None
    cache_write_hour_per_million: PerMillion | None = Field(default=None, description="To be kept for an hour.")
    output_per_million: PerMillion | None = None
    audio_input_per_million: PerMillion | None = None
    audio_output_per_million: PerMillion | None = None


class AboveConfig(ConfigPart):
    """These rates count for requests whose prompt has more tokens than that, for all of their tokens."""

    tokens: int = Field(ge=1)
    rates: RatesConfig


class PriceConfig(ConfigPart):
    """A price is in one currency. What has no price here and is used makes the cost of its request unknown."""

    source: Literal["policy", "packaged"]
    as_of: str | None = Field(default=None, pattern=r"^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$", examples=["2026-11"])
    currency: Currency
    rates: RatesConfig | None = Field(default=None, description="None: tokens cost nothing.")
    above: tuple[AboveConfig, ...] | None = Field(default=None, description="By rising tokens.")
    per_request: Amount | None = Field(default=None, description="Of each request that is answered.")
    per_image: Amount | None = Field(default=None, description="Of each picture that is not counted in tokens.")
    per_search: Amount | None = Field(default=None, description="Of each search that the provider counts.")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        tokens = [above.tokens for above in self.above or ()]
        if tokens != sorted(set(tokens)):
            raise ValueError("above: tokens have to rise")
        return self
