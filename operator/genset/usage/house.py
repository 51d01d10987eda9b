"""What the house costs by the hour is said by whoever asks, or by the cluster's ModelDeployments as they are now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from genset.usage.breakeven import HourPrice, HourPrices
from genset.usage.sources import UsageError, asked_kubectl

_MISSING: Final = "a cluster is asked with kubectl: install it, or say what the house costs with --per-hour"


def from_options(given: Iterable[tuple[str, Decimal, str]]) -> HourPrices:
    """Returns what was given on a command line."""
    return HourPrices({model: HourPrice(amount, currency) for model, amount, currency in given})


def from_cluster(context: str | None) -> HourPrices:
    """Returns the prices of the cluster's ModelDeployments, summed up by model. Raises UsageError."""
    found = json.loads(asked_kubectl(context, "get", "modeldeployments", "-A", "-o", "json", missing=_MISSING))
    return of_resources(found.get("items", []))


def of_resources(items: Iterable[Mapping[str, Any]]) -> HourPrices:
    """Adds up what ModelDeployments say in `status.price`, by model. Of a model with one that has none, nothing is known."""
    prices: dict[str, HourPrice] = {}
    unknown: set[str] = set()
    for item in items:
        status = item.get("status") or {}
        model, price = str(status.get("model") or item["metadata"]["name"]), status.get("price") or {}
        try:
            amount, currency = Decimal(price["reservedPerHour"]), str(price["currency"])
        except (KeyError, InvalidOperation):
            unknown.add(model)
            continue
        known = prices.get(model)
        if known is not None and known.currency != currency:
            raise UsageError(f"model {model} has prices in {known.currency} and {currency}: give one with --per-hour")
        prices[model] = HourPrice(amount + (known.per_hour if known is not None else 0), currency)
    return HourPrices({model: price for model, price in prices.items() if model not in unknown})
