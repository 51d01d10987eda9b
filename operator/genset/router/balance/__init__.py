"""Strategies that choose an endpoint inside a backend. Adding one is one file and one line here."""

from __future__ import annotations

from genset.router.balance import least_in_flight

STRATEGIES = {"leastInFlight": least_in_flight.choose}
DEFAULT = "leastInFlight"
