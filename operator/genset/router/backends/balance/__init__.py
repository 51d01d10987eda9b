"""Strategies that choose an endpoint inside a backend. Adding one is one file and one line here."""

from __future__ import annotations

from genset.router.backends.balance import least_in_flight, prefix_affinity
from genset.router.backends.balance.base import Strategy

STRATEGIES: dict[str, Strategy] = {
    "LeastInFlight": least_in_flight.STRATEGY,
    "PrefixAffinity": prefix_affinity.STRATEGY,
}
