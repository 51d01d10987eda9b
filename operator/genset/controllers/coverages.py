"""What routes survive is a metric: how many single losses each of them survives, survives degraded, and does not survive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import Gauge

from genset.api.continuity import RouteCoverage
from genset.continuity.coverage import Survival
from genset.controllers.keys import Key
from genset.kube.gauge_rows import GaugeRows


class Coverages:
    """Coverages keeps the rows of each policy's routes. It begins empty, as the session does that it belongs to."""

    def __init__(self, gauge: Gauge) -> None:
        self._rows = GaugeRows(gauge)

    def tell(self, key: Key, found: Iterable[RouteCoverage]) -> None:
        """Tells what the routes of a policy survive now."""
        counts = {route.route: Counter(loss.outcome for loss in route.losses) for route in found}
        at = (key.namespace, key.name)
        self._rows.tell(
            key, {(*at, route, one.value): count[one] for route, count in counts.items() for one in Survival}
        )

    def drop(self, key: Key) -> None:
        """Tells of a policy no more."""
        self.tell(key, ())
