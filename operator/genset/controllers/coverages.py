"""What routes survive is a metric: how many single losses each of them survives, survives degraded, and does not survive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import Gauge

from genset.api.continuity import RouteCoverage
from genset.continuity.coverage import Survival
from genset.controllers.keys import Key


class Coverages:
    """Coverages keeps the rows of each policy's routes. It begins empty, as the session does that it belongs to."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._routes: dict[Key, frozenset[str]] = {}
        gauge.clear()

    def tell(self, key: Key, found: Iterable[RouteCoverage]) -> None:
        """Tells what the routes of a policy survive now."""
        counts = {route.route: Counter(loss.outcome for loss in route.losses) for route in found}
        self._forget(key, self._routes.get(key, frozenset()) - counts.keys())
        self._routes[key] = frozenset(counts)
        for route, count in counts.items():
            for outcome in Survival:
                self._gauge.labels(key.namespace, key.name, route, outcome.value).set(count[outcome])

    def drop(self, key: Key) -> None:
        """Tells of a policy no more."""
        self._forget(key, self._routes.pop(key, frozenset()))

    def _forget(self, key: Key, routes: Iterable[str]) -> None:
        for route in routes:
            for outcome in Survival:
                self._gauge.remove(key.namespace, key.name, route, outcome.value)
