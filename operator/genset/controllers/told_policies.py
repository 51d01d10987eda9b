"""What is told of policies as metrics of the operator: what is down, local shares, coverage, drills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from genset.api.routepolicy_status import Outage, RoutePolicyStatus
from genset.controllers.coverages import Coverages
from genset.controllers.keys import Key
from genset.controllers.told_drills import ToldDrills
from genset.controllers.told_shares import ToldShares
from genset.kube.gauge_rows import GaugeRows
from genset.kube.metrics import Metrics


class ToldPolicies:
    """Told policies keep the rows of each policy. They begin empty, as the session does that they belong to."""

    def __init__(self, metrics: Metrics) -> None:
        self._outages = GaugeRows(metrics.outages)
        self._shares = ToldShares(metrics.local_share, metrics.local_share_target)
        self._coverages = Coverages(metrics.coverage)
        self._drills = ToldDrills(metrics.drill_seconds, metrics.drill_lost, metrics.drill_good)

    def tell(self, key: Key, new: RoutePolicyStatus) -> None:
        """Tells what the status of a policy says now."""
        self.tell_outages(key, new.outages)
        self._shares.tell(key, new.local_share)
        self._coverages.tell(key, new.coverage or ())
        self._drills.tell(key, new.drills)

    def tell_outages(self, key: Key, down: Iterable[Outage]) -> None:
        """Tells how many outages there are of each scope."""
        counts = Counter(outage.scope.value for outage in down)
        self._outages.tell(key, {(key.namespace, key.name, scope): count for scope, count in counts.items()})

    def drop(self, key: Key) -> None:
        """Tells of a policy no more."""
        self.tell(key, RoutePolicyStatus())
