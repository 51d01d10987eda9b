"""Balancing strategies choose one endpoint of a backend. A new strategy is one file here and one line below."""

from __future__ import annotations

from genset.router.backends.balance import least_in_flight, prefix_affinity
from genset.router.backends.balance.base import Strategy

STRATEGIES: dict[str, Strategy] = {
    "LeastInFlight": least_in_flight.STRATEGY,
    "PrefixAffinity": prefix_affinity.STRATEGY,
}
