"""What the house gives of a route's answers, and should give, are metrics of the operator."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Gauge

from genset.api.routepolicy_status import RouteShare
from genset.controllers.keys import Key


class ToldShares:
    """Told shares keep a row of each gauge for each route. They begin empty, as the session does that they belong to."""

    def __init__(self, share: Gauge, target: Gauge) -> None:
        self._share = share
        self._target = target
        self._routes: dict[Key, tuple[str, ...]] = {}
        share.clear()
        target.clear()

    def tell(self, key: Key, shares: Iterable[RouteShare]) -> None:
        """Tells the shares of a policy's routes. One that nobody can tell yet has a target alone."""
        self.drop(key)
        told = list(shares)
        for one in told:
            row = (key.namespace, key.name, one.route)
            self._target.labels(*row).set(one.target / 100)
            if one.percent is not None:
                self._share.labels(*row).set(one.percent / 100)
        if told:
            self._routes[key] = tuple(one.route for one in told)

    def drop(self, key: Key) -> None:
        """Tells of a policy no more."""
        for route in self._routes.pop(key, ()):
            self._target.remove(key.namespace, key.name, route)
            self._share.remove(key.namespace, key.name, route)
