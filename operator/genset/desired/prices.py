"""What a cloud costs is the policy's word, else that of the packaged data, else unknown. Pure.

Packaged prices are those that a provider asks at its own address: another one may be a gateway with a margin, a region with its
own price, or somebody else who speaks the same API.
"""

from __future__ import annotations

from genset.api.cloud import Cloud
from genset.api.price import CloudPrice
from genset.contracts.price_config import PriceConfig, RatesConfig
from genset.pricing.packaged import packaged_price
from genset.router.providers import PROVIDERS


def price_config(cloud: Cloud, *, packaged: bool = True) -> PriceConfig | None:
    """Returns what routers are told of a cloud's price; None if it is not known. `packaged`: they know packaged prices."""
    if cloud.price is not None:
        return _said(cloud.price)
    own = PROVIDERS[cloud.provider].base_url
    at_home = own is not None and (cloud.base_url is None or cloud.base_url.rstrip("/") == own)
    return packaged_price(cloud.provider, cloud.model) if packaged and at_home else None


def is_known(cloud: Cloud) -> bool:
    """Returns whether what this cloud costs will be known: by a price, or because its answers tell it."""
    return PROVIDERS[cloud.provider].tells_cost or price_config(cloud) is not None


def _said(price: CloudPrice) -> PriceConfig:
    rates = RatesConfig(**{name: getattr(price, name) for name in RatesConfig.model_fields})
    return PriceConfig(
        source="policy",
        currency=price.currency,
        rates=rates if price.input_per_million is not None else None,
        per_request=price.per_request,
        per_image=price.per_image,
        per_search=price.per_search,
    )
