"""What drills have shown is told as metrics of the operator: of the last run, and when the last one was passed."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Gauge

from genset.api.drills import DrillResult, DrillStatus
from genset.controllers.keys import Key
from genset.kube.gauge_rows import GaugeRows, Row
from genset.times import seconds


class ToldDrills:
    """Told drills keep the rows of each policy's drills. They begin empty, as the session does that they belong to."""

    def __init__(self, last: Gauge, lost: Gauge, good: Gauge) -> None:
        self._last = GaugeRows(last)
        self._lost = GaugeRows(lost)
        self._good = GaugeRows(good)

    def tell(self, key: Key, drills: Iterable[DrillStatus]) -> None:
        """Tells what the drills of a policy have shown. What a run did not come to has no row."""
        last: dict[Row, float] = {}
        lost: dict[Row, float] = {}
        good: dict[Row, float] = {}
        for drill in drills:
            names = (key.namespace, key.name, drill.name)
            if drill.last_good is not None:
                good[names] = seconds(drill.last_good)
            if drill.last is not None and drill.last.requests is not None:
                lost[names] = drill.last.requests.lost + drill.last.requests.cut
                last.update({(*names, what): value for what, value in _times(drill.last) if value is not None})
        self._last.tell(key, last)
        self._lost.tell(key, lost)
        self._good.tell(key, good)

    def drop(self, key: Key) -> None:
        """Tells of a policy no more."""
        self.tell(key, ())


def _times(last: DrillResult) -> Iterable[tuple[str, float | None]]:
    return (
        ("detection", last.detection_seconds),
        ("first_byte_p50", last.first_byte_p50_seconds),
        ("first_byte_p99", last.first_byte_p99_seconds),
        ("rto", last.rto_seconds),
        ("give_back", last.give_back_seconds),
    )
