"""The metrics of consumers tell who asks how much, and who was refused for a limit."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from genset.router.access.consumers import Consumers


def families(consumers: Consumers | None) -> Iterator[Metric]:
    """Yields what is counted of each consumer; without samples if nobody asks who asks."""
    requests = CounterMetricFamily(
        "genset_router_consumer_requests",
        "Requests of a consumer that a route took; `others` are further consumers that only tokens name.",
        labels=["consumer", "team"],
    )
    tokens = CounterMetricFamily(
        "genset_router_consumer_tokens",
        "Tokens of a consumer's requests as backends counted them.",
        labels=["consumer", "direction"],
    )
    limited = CounterMetricFamily(
        "genset_router_consumer_limited",
        "Requests of a consumer that were refused (429 policy_rate_limited), by limit.",
        labels=["consumer", "limit"],
    )
    in_flight = GaugeMetricFamily(
        "genset_router_consumer_in_flight", "Requests of a consumer that run or wait.", labels=["consumer"]
    )
    for consumer in consumers.told() if consumers is not None else ():
        name, counts = consumer.name, consumer.counts
        requests.add_metric([name, consumer.team], counts.requests)
        tokens.add_metric([name, "input"], counts.prompt)
        tokens.add_metric([name, "output"], counts.completion)
        in_flight.add_metric([name], consumer.places.in_work)
        for limit, count in counts.limited.items():
            limited.add_metric([name, limit], count)
    yield from (requests, tokens, limited, in_flight)
