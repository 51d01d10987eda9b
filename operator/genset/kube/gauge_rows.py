"""What a gauge says of resources has rows that come, change and go with them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from prometheus_client import Gauge

Row = tuple[str, ...]  # values of a gauge's labels, in their order


class GaugeRows:
    """Gauge rows belong to one gauge and to a session of the process that leads, with which they begin empty."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._rows: dict[Hashable, frozenset[Row]] = {}  # by resource
        gauge.clear()

    def tell(self, resource: Hashable, rows: Mapping[Row, float]) -> None:
        """Tells this of a resource, and no longer what was told before. No rows: it is told of no more."""
        for row in self._rows.pop(resource, frozenset()) - rows.keys():
            self._gauge.remove(*row)
        for row, value in rows.items():
            self._gauge.labels(*row).set(value)
        if rows:
            self._rows[resource] = frozenset(rows)
