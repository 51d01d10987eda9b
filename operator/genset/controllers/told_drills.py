"""What drills have shown is told as metrics of the operator: of the last run, and when the last one was passed."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Gauge

from genset.api.drills import DrillResult, DrillStatus
from genset.controllers.keys import Key
from genset.times import seconds


class ToldDrills:
    """Told drills keep the rows of each policy's drills. They begin empty, as the session does that they belong to."""

    def __init__(self, last: Gauge, lost: Gauge, good: Gauge) -> None:
        self._last = last
        self._lost = lost
        self._good = good
        self._rows: dict[Key, list[tuple[Gauge, tuple[str, ...]]]] = {}
        for gauge in (last, lost, good):
            gauge.clear()

    def tell(self, key: Key, drills: Iterable[DrillStatus]) -> None:
        """Tells what the drills of a policy have shown. What a run did not come to has no row."""
        self.drop(key)
        rows = self._rows[key] = []
        for drill in drills:
            names = (key.namespace, key.name, drill.name)
            told: list[tuple[Gauge, tuple[str, ...], float]] = []
            if drill.last_good is not None:
                told.append((self._good, names, seconds(drill.last_good)))
            if drill.last is not None and drill.last.requests is not None:
                told.append((self._lost, names, drill.last.requests.lost + drill.last.requests.cut))
                told += [(self._last, (*names, what), value) for what, value in _times(drill.last) if value is not None]
            for gauge, row, value in told:
                gauge.labels(*row).set(value)
                rows.append((gauge, row))

    def drop(self, key: Key) -> None:
        """Tells of a policy no more."""
        for gauge, row in self._rows.pop(key, ()):
            gauge.remove(*row)


def _times(last: DrillResult) -> Iterable[tuple[str, float | None]]:
    return (
        ("detection", last.detection_seconds),
        ("first_byte_p50", last.first_byte_p50_seconds),
        ("first_byte_p99", last.first_byte_p99_seconds),
        ("rto", last.rto_seconds),
        ("give_back", last.give_back_seconds),
    )
