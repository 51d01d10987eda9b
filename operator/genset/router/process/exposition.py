"""The exposition renders the router's numbers for Prometheus at each scrape, and says what each of them means.

docs/observability.md is generated from the same families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from genset.pricing.money import UNIT
from genset.router.backends.breaker import State
from genset.router.backends.histograms import BackendNumbers, Histogram
from genset.router.process import budget_metrics, consumer_metrics
from genset.router.process.parts import Parts
from genset.router.telemetry import families as genai

_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class RouterCollector(Collector):
    """The collector renders the numbers of one router."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        parts = self._parts
        yield from genai.families(parts.telemetry.metrics.uses)
        yield from self._requests()
        yield from self._added()
        yield from self._attempts()
        yield from self._money()
        yield from self._waits()
        yield from self._state()
        yield from consumer_metrics.families(parts.shared.configured.consumers)
        yield from budget_metrics.families(parts.shared.budgets)
        yield from parts.outages.metrics(ledger=parts.ledger.outage(0.0) is not None)
        yield from self._spans()

    def _requests(self) -> Iterator[Metric]:
        metrics = self._parts.telemetry.metrics
        requests = CounterMetricFamily(
            "genset_router_requests",
            "Requests by route, HTTP status and word of the error vocabulary (empty: a whole answer).",
            labels=["route", "status", "error"],
        )
        for (route, status, word), count in metrics.answers().items():
            requests.add_metric([route, str(status), word], count)
        yield requests
        failovers = CounterMetricFamily(
            "genset_router_failovers",
            "Answers that a lower tier gave, by route, backend and why the first tier did not.",
            labels=["route", "backend", "reason"],
        )
        for labels, count in metrics.failovers.items():
            failovers.add_metric(list(labels), count)
        yield failovers
        yield _counter(
            "genset_router_continuations",
            "Streams that broke after their first token, by outcome: completed by another backend, failed, or the word of "
            "why nobody could continue them.",
            "outcome",
            metrics.continuations,
        )
        yield _counter(
            "genset_router_refused", "Requests refused before they were complete, by error.", "error", metrics.refused
        )
        yield _counter(
            "genset_router_made_way",
            "What made way for another client, by what was scarce: memory (body), descriptors (connection), a place in the "
            "line (line).",
            "for",
            metrics.made_way,
        )
        yield _counter(
            "genset_router_sensitive",
            "Requests that were kept in the house or refused, by what was found in them: a kind or pattern of the route's "
            "sensitive, tooMuch, unreadable.",
            "found",
            metrics.sensitive,
        )
        egress = self._parts.egress.view()
        yield CounterMetricFamily(
            "genset_router_egress_unrecorded",
            "Attempts outside the house that could not be written down, and were made all the same (egress.record BestEffort).",
            value=egress["unkept"],
        )
        yield GaugeMetricFamily(
            "genset_router_egress_failing",
            "1 while what leaves the house cannot be written down; with egress.record Required nothing leaves it then.",
            value=int(bool(egress["failing"])),
        )
        ledger = self._parts.ledger.view()
        yield CounterMetricFamily(
            "genset_router_ledger_sent_bytes", "Bytes of records that the ledger has taken.", value=ledger["sentBytes"]
        )
        yield GaugeMetricFamily(
            "genset_router_ledger_waiting_segments",
            "Segments of records, of 1 MiB at most, of which something waits to be sent to the ledger.",
            value=ledger["waitingSegments"],
        )
        yield GaugeMetricFamily(
            "genset_router_ledger_failing",
            "1 while the ledger takes no records: they stay on the router's own disk as long as there is room.",
            value=int(bool(ledger["failing"])),
        )
        yield CounterMetricFamily("genset_router_config_reloads", "Configurations taken.", value=metrics.reloads)
        yield CounterMetricFamily(
            "genset_router_config_rejections", "Configurations refused.", value=metrics.reload_failures
        )
        yield CounterMetricFamily(
            "genset_router_log_lines_dropped",
            "Access log lines dropped: their reader was too slow, or they could not be written.",
            value=metrics.log_lines_dropped,
        )
        yield GaugeMetricFamily(
            "genset_router_log_failing",
            "1 while the access log cannot be written.",
            value=int(bool(self._parts.telemetry.journal.view()["failing"])),
        )

    def _attempts(self) -> Iterator[Metric]:
        backends = self._parts.telemetry.metrics.backends
        attempts = CounterMetricFamily(
            "genset_router_attempts", "Upstream calls by backend and outcome.", labels=["backend", "outcome"]
        )
        tokens = CounterMetricFamily(
            "genset_router_tokens", "Tokens as the upstream counted them.", labels=["backend", "direction"]
        )
        for name, numbers in backends.items():
            attempts.add_metric([name, "ok"], numbers.requests)
            for outcome, count in numbers.failures.items():
                attempts.add_metric([name, outcome], count)
            tokens.add_metric([name, "input"], numbers.prompt_tokens)
            tokens.add_metric([name, "output"], numbers.tokens)
        yield attempts
        yield tokens
        yield _histogram(
            "genset_router_first_token_seconds",
            "From the arrival of a request to its first token at the client.",
            backends,
            lambda numbers: numbers.first_token,
        )
        yield _histogram(
            "genset_router_duration_seconds",
            "From the arrival of a request to the end of its answer.",
            backends,
            lambda numbers: numbers.duration,
        )

    def _money(self) -> Iterator[Metric]:
        metrics, usage = self._parts.telemetry.metrics, self._parts.usage.view()
        cost = CounterMetricFamily(
            "genset_cost",
            "What clouds were paid, by route, backend and currency, and whose word the price is: policy, packaged, provider.",
            labels=["route", "backend", "currency", "price"],
        )
        for labels, amount in metrics.cost.items():
            cost.add_metric(list(labels), amount / UNIT)
        yield cost
        avoided = CounterMetricFamily(
            "genset_avoided",
            "What answers of the house would have cost at the first cloud tier of their route.",
            labels=["route", "currency"],
        )
        for of, amount in metrics.avoided.items():
            avoided.add_metric(list(of), amount / UNIT)
        yield avoided
        answers = CounterMetricFamily(
            "genset_route_answers",
            "Whole answers of routes that have a localShare, by the side that gave them: house, or elsewhere.",
            labels=["route", "by"],
        )
        for route, share in metrics.shares.items():
            answers.add_metric([route, "house"], share.house)
            answers.add_metric([route, "elsewhere"], share.answers - share.house)
        yield answers
        unpriced = CounterMetricFamily(
            "genset_cost_unknown",
            "Attempts at clouds whose cost nobody knows; genset_cost_total leaves them out.",
            labels=["route", "backend"],
        )
        for which, count in metrics.unpriced.items():
            if count:
                unpriced.add_metric(list(which), count)
        yield unpriced
        yield CounterMetricFamily(
            "genset_router_usage_unrecorded", "Usage records that could not be written down.", value=usage["unkept"]
        )
        yield CounterMetricFamily(
            "genset_router_usage_lost_segments",
            "Segments of usage records that made way for newer ones before anybody had fetched them.",
            value=usage["lostSegments"],
        )

    def _added(self) -> Iterator[Metric]:
        metrics = self._parts.telemetry.metrics
        added = HistogramMetricFamily(
            "genset_router_added_seconds",
            "Time in the router itself. request: from a complete request to the first byte of its first attempt, waiting for "
            "a place and connecting included. answer: from the first byte of a stream's body to the first byte of it that the "
            "client gets.",
            labels=["stage"],
        )
        for stage, histogram in (("request", metrics.added_request), ("answer", metrics.added_answer)):
            added.add_metric([stage], histogram.buckets(), histogram.sum)
        yield added
        lag = HistogramMetricFamily(
            "genset_router_loop_lag_seconds",
            "How late the event loop was, ten times a second: what every byte had to wait, either way.",
            labels=[],
        )
        lag.add_metric([], metrics.loop_lag.buckets(), metrics.loop_lag.sum)
        yield lag

    def _waits(self) -> Iterator[Metric]:
        full = CounterMetricFamily(
            "genset_router_backend_full", "Requests that found every endpoint at its bound.", labels=["backend"]
        )
        queued = CounterMetricFamily(
            "genset_router_backend_queued", "Requests that stood in line for an endpoint.", labels=["backend"]
        )
        affinity = CounterMetricFamily(
            "genset_router_affinity",
            "Prompts under PrefixAffinity, by result: hit (the endpoint that holds their beginning) or miss (it had more "
            "than its share).",
            labels=["backend", "result"],
        )
        for name, numbers in self._parts.telemetry.metrics.backends.items():
            full.add_metric([name], numbers.full)
            queued.add_metric([name], numbers.queued)
            affinity.add_metric([name, "hit"], numbers.affinity_hits)
            affinity.add_metric([name, "miss"], numbers.affinity_misses)
        yield from (full, queued, affinity)

    def _spans(self) -> Iterator[Metric]:
        yield _counter(
            "genset_router_spans",
            "Spans by what became of them: exported, or lost (the collector was away, or too slow).",
            "result",
            self._parts.telemetry.metrics.spans,
        )

    def _state(self) -> Iterator[Metric]:
        shared, reception = self._parts.shared, self._parts.reception
        gate, table = reception.gate, reception.table
        yield GaugeMetricFamily("genset_router_in_flight", "Requests that run.", value=gate.in_flight)
        yield GaugeMetricFamily("genset_router_queued", "Requests that wait for a place.", value=gate.queued)
        yield GaugeMetricFamily("genset_router_connections", "Client connections.", value=len(shared.connections))
        yield GaugeMetricFamily(
            "genset_router_buffered_bytes",
            "Bytes held for clients: bodies and large heads of requests that arrive or run, bytes not parsed or not read yet, "
            "whole answers.",
            value=shared.budget.taken,
        )
        breaker = GaugeMetricFamily("genset_router_breaker_state", "0 closed, 1 half-open, 2 open.", labels=["backend"])
        endpoints = GaugeMetricFamily(
            "genset_router_endpoints", "Endpoints by what their probes say.", labels=["backend", "state"]
        )
        waiting = GaugeMetricFamily(
            "genset_router_backend_waiting", "Requests that stand in line for an endpoint, now.", labels=["backend"]
        )
        now = shared.now()
        for name, backend in (table.backends if table is not None else {}).items():
            breaker.add_metric([name], _STATES[backend.breaker.view(now)])
            waiting.add_metric([name], len(backend.line))
            for state, wanted in (("healthy", True), ("unhealthy", False), ("unknown", None)):
                endpoints.add_metric([name, state], sum(e.healthy is wanted for e in backend.endpoints))
        yield breaker
        yield endpoints
        yield waiting


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _histogram(
    name: str, text: str, backends: dict[str, BackendNumbers], pick: Callable[[BackendNumbers], Histogram]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=["backend"])
    for backend, numbers in backends.items():
        histogram = pick(numbers)
        family.add_metric([backend], histogram.buckets(), histogram.sum)
    return family


def exposition(parts: Parts) -> Callable[[], bytes]:
    """Returns a function that renders everything in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RouterCollector(parts))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return lambda: generate_latest(registry)
