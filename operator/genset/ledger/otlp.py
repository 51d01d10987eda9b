"""Sums of usage go to a collector as OTLP metrics, if somebody wants that: the same numbers that /metrics has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

import genset
from genset.ledger.tally import BookedCounts, Group

_PATH = "/v1/metrics"
_FINISH_MILLISECONDS = 5000


class MetricsExport:
    """An export sends once a minute, or as OTEL_METRIC_EXPORT_INTERVAL (milliseconds) says, on a thread of its own."""

    def __init__(self, endpoint: str, tally: BookedCounts) -> None:
        """`endpoint`: base URL of a collector, e.g. http://collector:4318."""
        exporter = OTLPMetricExporter(endpoint=endpoint.rstrip("/") + _PATH)
        resource = Resource.create({"service.name": "genset-ledger", "service.version": genset.__version__})
        self._provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource=resource)
        meter = self._provider.get_meter("genset.ledger", genset.__version__)

        def counted(*names: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
            def observe(_: CallbackOptions) -> Iterator[Observation]:
                for group, counts in list(tally.usage.items()):
                    for name in names:
                        direction = {"direction": _DIRECTIONS[name]} if name in _DIRECTIONS else {}
                        yield Observation(counts[name], {**_attributes(group), **direction})

            return observe

        def paid(avoided: bool) -> Callable[[CallbackOptions], Iterator[Observation]]:
            def observe(_: CallbackOptions) -> Iterator[Observation]:
                held = tally.avoided if avoided else tally.cost
                for (group, currency), amount in list(held.items()):
                    yield Observation(float(amount), {**_attributes(group), "currency": currency})

            return observe

        meter.create_observable_counter("genset.usage.requests", [counted("requests")], "{request}", "Requests")
        meter.create_observable_counter("genset.usage.tokens", [counted("prompt", "completion")], "{token}", "Tokens")
        meter.create_observable_counter("genset.usage.cost", [paid(avoided=False)], "1", "Paid to clouds, by currency")
        meter.create_observable_counter(
            "genset.usage.avoided", [paid(avoided=True)], "1", "What answers of the house would have cost, by currency"
        )

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown(_FINISH_MILLISECONDS)


_DIRECTIONS = {"prompt": "input", "completion": "output"}


def _attributes(group: Group) -> dict[str, str]:
    return {f"genset.{name}": value for name, value in group._asdict().items()}
