"""What the house's models cost by the hour is a metric, whose sum over time is what the house has paid."""

from __future__ import annotations

from prometheus_client import Gauge

from genset.api.modeldeployment_status import PriceStatus
from genset.controllers.keys import Key
from genset.kube.gauge_rows import GaugeRows, Row


class Reserved:
    """Reserved keeps a row for each resource that has a price. It begins empty, as the session does that it belongs to."""

    def __init__(self, gauge: Gauge) -> None:
        self._rows = GaugeRows(gauge)

    def tell(self, key: Key, price: PriceStatus | None) -> None:
        """Tells what a resource costs now; None: it has no price."""
        told: dict[Row, float] = {}
        if price is not None:
            told[key.namespace, key.name, price.currency] = float(price.reserved_per_hour)
        self._rows.tell(key, told)

    def drop(self, key: Key) -> None:
        """Tells of a resource no more."""
        self.tell(key, None)
