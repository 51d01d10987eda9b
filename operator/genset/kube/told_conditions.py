"""What conditions say is a metric of the operator: alerts need no second program that reads resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Gauge

from genset.kube.gauge_rows import GaugeRows

Resource = tuple[str, str, str]  # namespace, kind, name


class ToldConditions:
    """Told conditions keep a row of the gauge for each condition. They begin empty, as the session does that they belong to."""

    def __init__(self, gauge: Gauge) -> None:
        self._rows = GaugeRows(gauge)

    def tell(self, resource: Resource, conditions: Iterable[Mapping[str, str]]) -> None:
        """Tells the conditions of a resource, and no longer what they were before. Without any it is told of no more."""
        self._rows.tell(resource, {(*resource, one["type"], one["status"], one["reason"]): 1 for one in conditions})
