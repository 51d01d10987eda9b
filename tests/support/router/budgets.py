"""Configurations of routers that may not spend everything, for tests.

A scripted cloud counts seven tokens for a prompt and one for each word: an answer of ten words costs 27 millionths.
"""

from __future__ import annotations

from typing import Any

from testbed.router import cloud

PRICE: dict[str, Any] = {
    "source": "policy",
    "currency": "USD",
    "rates": {"inputPerMillion": "1", "outputPerMillion": "2"},
}


def priced(base_url: str, name: str = "cloud", **more: Any) -> dict[str, Any]:
    return cloud(base_url, name, **{"price": PRICE, **more})


def budget(amount: str, name: str = "month", when_spent: str = "HouseOnly", **more: Any) -> dict[str, Any]:
    """Makes one budget of a configuration."""
    told = {"name": name, "amount": amount, "currency": "USD", "window": "Month", "timeZone": "UTC"}
    return {**told, "warnAtPercent": 80, "whenSpent": when_spent, **more}


def budgeted(document: dict[str, Any], *budgets: dict[str, Any], routers: int = 1, **more: Any) -> dict[str, Any]:
    """Returns a configuration with these budgets."""
    return {**document, "budgets": {"routers": routers, "budgets": list(budgets), **more}}
