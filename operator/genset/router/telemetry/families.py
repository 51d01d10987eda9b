"""This module renders the metrics of OpenTelemetry's conventions for generative AI, as Prometheus spells them.

A name's dots become underscores and its unit a suffix (OpenTelemetry specification, Prometheus and OpenMetrics
compatibility): gen_ai.server.time_to_first_token, s -> gen_ai_server_time_to_first_token_seconds. Attributes become
labels in the same way; `backend`, `size_class` and `speed_class` are the router's own. Bucket boundaries are those that
the conventions recommend.
Source: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md (November 2026;
"Development").

Times are what a client of the router sees, failovers and waits included: for the client, the router is the model
server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import HistogramMetricFamily, Metric

from genset.router.backends.use import Use, UseKey

LABELS: Final = (
    "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model", "backend",
    "size_class", "speed_class",
)  # fmt: skip


def families(uses: Mapping[UseKey, Use]) -> Iterator[Metric]:
    """Yields the families of all numbers that were folded."""
    durations = HistogramMetricFamily(
        "gen_ai_server_request_duration_seconds",
        "From the arrival of a request to the end of its answer; error_type is empty for a whole answer.",
        labels=[*LABELS, "error_type"],
    )
    first_token = HistogramMetricFamily(
        "gen_ai_server_time_to_first_token_seconds",
        "From the arrival of a request to its first token; whole answers that came as a stream.",
        labels=LABELS,
    )
    per_token = HistogramMetricFamily(
        "gen_ai_server_time_per_output_token_seconds",
        "Time per output token after the first one; whole answers that came as a stream.",
        labels=LABELS,
    )
    tokens = HistogramMetricFamily(
        "gen_ai_client_token_usage",
        "Tokens of a whole answer as the backend counted them.",
        labels=[*LABELS, "gen_ai_token_type"],
    )
    for key, use in uses.items():
        operation, model, asked = key
        classes = [asked.size_class, asked.speed_class]
        labels = [operation, asked.provider, model, asked.model, asked.backend, *classes]
        for word, histogram in use.durations.items():
            durations.add_metric([*labels, word], histogram.buckets(), histogram.sum)
        for family, told in ((first_token, use.first_token), (per_token, use.per_token)):
            if told.sum:
                family.add_metric(labels, told.buckets(), told.sum)
        for kind, counted in (("input", use.input_tokens), ("output", use.output_tokens)):
            if counted.sum:
                tokens.add_metric([*labels, kind], counted.buckets(), counted.sum)
    yield from (durations, first_token, per_token, tokens)
