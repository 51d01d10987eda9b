"""A diversion is what a live drill is to the reception: it takes a share of requests, and follows them to their end."""

from __future__ import annotations

from abc import ABC, abstractmethod

from genset.router.exchange.exchange import Exchange
from genset.router.exchange.record import Record
from genset.router.routing.plan import Plan


class Diversion(ABC):
    """A diversion decides of each request whether it takes the way of a drill. `line` is the header line that says so."""

    line: bytes

    @abstractmethod
    def takes(self, plan: Plan, record: Record) -> bool:
        """Returns whether it takes the request, whose plan and record say so from here on."""

    @abstractmethod
    def follows(self, exchange: Exchange) -> None:
        """Follows a request that it has taken."""
