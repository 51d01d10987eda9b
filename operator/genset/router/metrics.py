"""Counters and histograms of the router.

Plain integers on the hot path; prometheus-client only renders them when someone scrapes. Labels are names from the
configuration and words of closed vocabularies, never a client's input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from genset.router.breaker import State
from genset.router.numbers import BackendNumbers, Histogram

if TYPE_CHECKING:
    from genset.router.server import Router

_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


class Metrics:
    """All numbers of this process."""

    def __init__(self) -> None:
        self._backends: dict[str, BackendNumbers] = {}
        self.answers: defaultdict[tuple[str, int, str], int] = defaultdict(int)  # route, status, error word
        self.failovers: defaultdict[tuple[str, str, str], int] = defaultdict(int)  # route, backend that answered, why
        self.interrupted = 0
        self.refused: defaultdict[str, int] = defaultdict(int)  # before a request was whole, by error word
        self.reloads = 0
        self.reload_failures = 0
        self.log_lines_dropped = 0

    def backend(self, name: str) -> BackendNumbers:
        found = self._backends.get(name)
        if found is None:
            found = self._backends[name] = BackendNumbers()
        return found

    @property
    def backends(self) -> dict[str, BackendNumbers]:
        return self._backends


class RouterCollector(Collector):
    """Renders the numbers of one router."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._attempts()
        yield from self._state()

    def _requests(self) -> Iterator[Metric]:
        metrics = self._router.metrics
        requests = CounterMetricFamily(
            "genset_router_requests",
            "Requests by route, HTTP status and word of the error vocabulary (empty: a whole answer).",
            labels=["route", "status", "error"],
        )
        for (route, status, word), count in metrics.answers.items():
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
        refused = CounterMetricFamily(
            "genset_router_refused", "Requests refused before they were whole, by error.", labels=["error"]
        )
        for word, count in metrics.refused.items():
            refused.add_metric([word], count)
        yield refused
        yield CounterMetricFamily("genset_router_config_reloads", "Configurations taken.", value=metrics.reloads)
        yield CounterMetricFamily(
            "genset_router_config_rejections", "Configurations refused.", value=metrics.reload_failures
        )
        yield CounterMetricFamily(
            "genset_router_log_lines_dropped",
            "Access log lines dropped because their reader was too slow.",
            value=metrics.log_lines_dropped,
        )

    def _attempts(self) -> Iterator[Metric]:
        backends = self._router.metrics.backends
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

    def _state(self) -> Iterator[Metric]:
        router = self._router
        yield GaugeMetricFamily("genset_router_in_flight", "Requests in work.", value=router.gate.in_flight)
        yield GaugeMetricFamily("genset_router_queued", "Requests that wait for a place.", value=router.gate.queued)
        yield GaugeMetricFamily("genset_router_connections", "Client connections.", value=len(router.connections))
        yield GaugeMetricFamily(
            "genset_router_buffered_bytes", "Request bodies in arrival.", value=router.buffered_bytes
        )
        breaker = GaugeMetricFamily("genset_router_breaker_state", "0 closed, 1 half-open, 2 open.", labels=["backend"])
        endpoints = GaugeMetricFamily(
            "genset_router_endpoints", "Endpoints by what their probes say.", labels=["backend", "state"]
        )
        now = router.now()
        for name, backend in (router.table.backends if router.table else {}).items():
            breaker.add_metric([name], _STATES[backend.breaker.view(now)])
            for state, wanted in (("healthy", True), ("unhealthy", False), ("unknown", None)):
                endpoints.add_metric([name, state], sum(e.healthy is wanted for e in backend.endpoints))
        yield breaker
        yield endpoints


def _histogram(
    name: str, text: str, backends: dict[str, BackendNumbers], pick: Callable[[BackendNumbers], Histogram]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=["backend"])
    for backend, numbers in backends.items():
        histogram = pick(numbers)
        family.add_metric([backend], histogram.buckets(), histogram.sum)
    return family


def exposition(router: Router) -> Callable[[], bytes]:
    """A function that renders everything in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RouterCollector(router))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return lambda: generate_latest(registry)
