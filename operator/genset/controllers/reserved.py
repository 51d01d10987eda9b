"""What the house's models cost by the hour is a metric, whose sum over time is what the house has paid."""

from __future__ import annotations

from prometheus_client import Gauge

from genset.api.modeldeployment_status import PriceStatus
from genset.controllers.keys import Key

Row = tuple[str, str, str]  # as the gauge has its labels


class Reserved:
    """Reserved keeps a row for each resource that has a price. It begins empty, as the session does that it belongs to."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._rows: dict[Key, Row] = {}
        gauge.clear()

    def tell(self, key: Key, price: PriceStatus | None) -> None:
        """Tells what a resource costs now; None: it has no price."""
        row = (key.namespace, key.name, price.currency) if price is not None else None
        if self._rows.get(key) != row:
            self.drop(key)
        if row is not None and price is not None:
            self._rows[key] = row
            self._gauge.labels(*row).set(float(price.reserved_per_hour))

    def drop(self, key: Key) -> None:
        """Tells of a resource no more."""
        before = self._rows.pop(key, None)
        if before is not None:
            self._gauge.remove(*before)
