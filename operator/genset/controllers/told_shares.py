"""What the house gives of a route's answers, and should give, are metrics of the operator."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Gauge

from genset.api.routepolicy_status import RouteShare
from genset.controllers.keys import Key
from genset.kube.gauge_rows import GaugeRows


class ToldShares:
    """Told shares keep a row of each gauge for each route. They begin empty, as the session does that they belong to."""

    def __init__(self, share: Gauge, target: Gauge) -> None:
        self._share = GaugeRows(share)
        self._target = GaugeRows(target)

    def tell(self, key: Key, shares: Sequence[RouteShare]) -> None:
        """Tells the shares of a policy's routes. One that nobody can tell yet has a target alone."""
        at = (key.namespace, key.name)
        self._target.tell(key, {(*at, one.route): one.target / 100 for one in shares})
        self._share.tell(key, {(*at, one.route): one.percent / 100 for one in shares if one.percent is not None})

    def drop(self, key: Key) -> None:
        """Tells of a policy no more."""
        self.tell(key, ())
