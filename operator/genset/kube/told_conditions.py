"""What conditions say is a metric of the operator: alerts need no second program that reads resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Gauge

Resource = tuple[str, str, str]  # namespace, kind, name


class ToldConditions:
    """Told conditions keep a row of the gauge for each condition. They begin empty, as the session does that they belong to."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._rows: dict[Resource, set[tuple[str, ...]]] = {}
        gauge.clear()

    def tell(self, resource: Resource, conditions: Iterable[Mapping[str, str]]) -> None:
        """Tells the conditions of a resource, and no longer what they were before. Without any it is told of no more."""
        rows: set[tuple[str, ...]] = {(*resource, one["type"], one["status"], one["reason"]) for one in conditions}
        for row in self._rows.pop(resource, set()) - rows:
            self._gauge.remove(*row)
        for row in rows:
            self._gauge.labels(*row).set(1)
        if rows:
            self._rows[resource] = rows
