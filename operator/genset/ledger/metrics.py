"""The ledger's metrics say what this process has booked, how its database is, and what it has passed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from genset.ledger.otari import OtariCounts
from genset.ledger.tally import BookedCounts
from genset.ledger.writer import Writer

_SENDINGS = ("booked", "known", "refused", "unavailable")
_KINDS = ("usage", "egress", "drill")


class LedgerCollector(Collector):
    """A collector renders the numbers of one ledger. `file`: of its SQLite database; None: it is elsewhere."""

    def __init__(self, tally: BookedCounts, writer: Writer, file: Path | None, otari: OtariCounts | None) -> None:
        self._tally = tally
        self._writer = writer
        self._file = file
        self._otari = otari

    def collect(self) -> Iterator[Metric]:
        tally = self._tally
        records = CounterMetricFamily(
            "genset_ledger_records", "Lines that were booked, by kind: usage, egress, drill.", labels=["kind"]
        )
        for kind in _KINDS:
            records.add_metric([kind], tally.records[kind])
        yield records
        sendings = CounterMetricFamily(
            "genset_ledger_sendings",
            "Pieces of segments that routers sent: booked, known (it was there, or did not follow on), refused, or unavailable "
            "(nothing could be booked then).",
            labels=["result"],
        )
        for result in _SENDINGS:
            sendings.add_metric([result], tally.sendings[result])
        yield sendings
        yield CounterMetricFamily("genset_ledger_taken_bytes", "Bytes of segments that were booked.", value=tally.bytes)
        yield GaugeMetricFamily(
            "genset_ledger_newest_record_timestamp_seconds",
            "When the newest request began that was booked since the start, by its router's clock; 0: none.",
            value=tally.latest,
        )
        yield GaugeMetricFamily(
            "genset_ledger_failing",
            "1 while nothing can be booked: the disk is full, or the database is away. Routers keep their records.",
            value=int(bool(self._writer.failing)),
        )
        yield GaugeMetricFamily(
            "genset_ledger_waiting_sendings", "Pieces that wait for a transaction.", value=self._writer.waiting
        )
        if self._file is not None:
            yield GaugeMetricFamily(
                "genset_ledger_database_bytes",
                "Size of the SQLite database, with what it wrote ahead.",
                value=self._size(),
            )
        yield from self._usage()
        if self._otari is not None:
            yield from _passed_on(self._otari)

    def _usage(self) -> Iterator[Metric]:
        tally, labels = self._tally, ["policy", "team", "zone"]
        requests = CounterMetricFamily(
            "genset_usage_requests", "Requests that were booked since the start.", labels=labels
        )
        tokens = CounterMetricFamily(
            "genset_usage_tokens", "Tokens of them, by direction.", labels=[*labels, "direction"]
        )
        for group, counts in list(tally.usage.items()):
            requests.add_metric([*group], counts["requests"])
            tokens.add_metric([*group, "input"], counts["prompt"])
            tokens.add_metric([*group, "output"], counts["completion"])
        yield requests
        yield tokens
        for name, text, held in (
            ("genset_usage_cost", "What clouds were paid for them.", tally.cost),
            ("genset_usage_avoided", "What answers of the house would have cost elsewhere.", tally.avoided),
        ):
            family = CounterMetricFamily(name, text, labels=[*labels, "currency"])
            for (group, currency), amount in list(held.items()):
                family.add_metric([*group, currency], float(amount))
            yield family

    def _size(self) -> int:
        found = 0
        for suffix in ("", "-wal"):
            try:
                found += Path(f"{self._file}{suffix}").stat().st_size
            except OSError:
                continue
        return found


def _passed_on(counts: OtariCounts) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "genset_ledger_otari_events",
        "Attempts that were passed on to Otari, by its answer: accepted, duplicate, rejected.",
        labels=["result"],
    )
    for result, count in counts.events.items():
        family.add_metric([result], count)
    yield family
    yield GaugeMetricFamily(
        "genset_ledger_otari_failing",
        "1 while Otari takes nothing: what is booked meanwhile follows later.",
        value=int(bool(counts.failing)),
    )


def exposition(collector: LedgerCollector) -> Callable[[], bytes]:
    """Returns a function that renders everything in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)
