"""The census counts ModelDeployments by engine, by the classes of their models and by whether they are Ready, for a metric."""

from __future__ import annotations

from collections.abc import Hashable

from prometheus_client import Gauge

from genset.api.modeldeployment import ModelDeployment
from genset.api.modeldeployment_status import ModelDeploymentStatus
from genset.status.conditions import is_ready

Row = tuple[str, str, str, str]  # as the gauge has its labels


def row_of(resource: ModelDeployment, told: ModelDeploymentStatus) -> Row:
    """Returns the labels under which a resource is counted; classes are empty while the model is not known."""
    size = told.size
    classes = (size.model_class, size.speed) if size is not None else ("", "")
    return resource.spec.engine, *classes, str(is_ready(told.conditions)).lower()


class Census:
    """The census keeps each resource in one row of the gauge. It begins empty, as the session does that it belongs to."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._rows: dict[Hashable, Row] = {}
        gauge.clear()

    def count(self, key: Hashable, row: Row) -> None:
        """Counts a resource in this row and in no other."""
        if self._rows.get(key) != row:
            self.drop(key)
            self._rows[key] = row
            self._gauge.labels(*row).inc()

    def drop(self, key: Hashable) -> None:
        """Counts a resource no more."""
        before = self._rows.pop(key, None)
        if before is not None:
            self._gauge.labels(*before).dec()
