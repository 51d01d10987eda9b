"""Tracing records one span per request, which the OpenTelemetry SDK (the extra `otel`) exports on a thread of its own.

This module is imported only if traces are wanted: without them a request costs one comparison. A span begins when the
request is complete and ends with its answer; each attempt is an event in it, at the time when the attempt ended. The
span becomes the parent of what the backends record. Attributes follow OpenTelemetry's conventions for generative AI;
those under `genset.` are the router's own. No prompt, no answer and no word of a backend ever enters a span. Its kind
is SERVER, because it covers the caller's request, however many calls that took.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from genset import __version__
from genset.contracts.router_config import PolicyRef, TelemetryConfig
from genset.router.backends.mask import Mask
from genset.router.exchange.record import Record
from genset.router.http.trace_context import TRACEPARENT, TRACESTATE
from genset.router.telemetry.collector_way import session_of
from genset.router.telemetry.wanted import DEFAULT, DIRECT, TraceBounds, Way

log = logging.getLogger(__name__)

TRACES_PATH = "/v1/traces"  # OTLP over HTTP, appended to the base URL
BATCH_SPANS = 512  # spans that the SDK sends at once; it wants its queue to hold as many
NANOSECONDS = 1_000_000_000


class RequestSpan:
    """A request span records one request, and is ended by its record."""

    __slots__ = ("span", "tracing")

    def __init__(self, tracing: Tracing, span: Span) -> None:
        self.tracing = tracing
        self.span = span

    def end(self, record: Record, now: float) -> None:
        """Ends the span of a request that has ended at `now`, by the router's clock."""
        self.tracing.end(self.span, record, now)


class Tracing:
    """A tracing is where spans go. `counts` are the "exported" and "lost" ones; the exporting thread adds to it, too."""

    def __init__(
        self,
        config: TelemetryConfig | None,
        policy: PolicyRef,
        counts: dict[str, int],
        *,
        instance: str,
        environment: Mapping[str, str],
        wall: Callable[[], float],
        bounds: TraceBounds = DEFAULT,
        way: Way = DIRECT,
    ) -> None:
        """Takes everything from the standard OTEL_* variables, which the SDK reads itself, if `config` is None."""
        self._counts = counts
        self._wall = wall
        self._bounds = bounds
        self._open = 0
        self._ended = 0
        self._retired = False
        self._closing: threading.Thread | None = None
        exporter = OTLPSpanExporter(
            endpoint=config.otlp_endpoint.rstrip("/") + TRACES_PATH if config else None,
            timeout=None if _named(environment, "TIMEOUT") else bounds.export,
            session=session_of(way) if way != DIRECT else None,
        )
        self._exporter = _Counting(exporter, counts)
        self._most = int(environment.get("OTEL_BSP_MAX_QUEUE_SIZE") or bounds.waiting)
        self._processor = BatchSpanProcessor(self._exporter, max_queue_size=self._most + BATCH_SPANS)
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(config.sample_percent / 100) if config else None,
            resource=Resource.create(_resource(policy, instance, environment)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("genset.router", __version__)

    def begin(self, record: Record, mask: Mask) -> None:
        """Begins the span of a request, and puts it into the headers for the backend.

        `record.trace` is the caller's until then.
        """
        headers = record.headers
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": record.operation,
            "gen_ai.request.model": mask.hide_in(record.model[:128]),
            "genset.request.id": record.identity.decode(),
        }
        if record.stream:
            attributes["gen_ai.request.stream"] = True
        span = self._tracer.start_span(
            f"{record.operation} {record.named}".rstrip(),  # a name must not be invented by the caller
            context=_parent(headers) if record.trace else None,
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=self._now(),
        )
        own = span.get_span_context()
        if span.is_recording() or not record.trace:
            headers[TRACEPARENT] = b"00-%032x-%016x-%02x" % (own.trace_id, own.span_id, own.trace_flags)
        recorded = None
        if span.is_recording():
            self._open += 1
            recorded = RequestSpan(self, span)
        record.traced(b"%032x" % own.trace_id, recorded)

    def end(self, span: Span, record: Record, now: float) -> None:
        """Ends the span of a request that has ended at `now`, by the router's clock."""
        self._open -= 1
        status, word = record.status, record.word
        machine = record.routed
        ended = self._now()
        for step in machine.trail if machine is not None else ():
            event: dict[str, Any] = {
                "genset.backend": step.backend,
                "genset.outcome": step.word,
                "genset.attempt.seconds": (step.milliseconds or 0) / 1000,
            }
            span.add_event("genset.attempt", event, timestamp=ended - int((now - step.at) * NANOSECONDS))
        span.set_attributes(_attributes(record))
        if status >= 500 or (word and status == 200):
            span.set_status(Status(StatusCode.ERROR, word))
        if self._ended - self._exporter.seen >= self._most:
            self._counts["lost"] += 1
        else:
            self._ended += 1
            span.end(ended)
        if self._retired and not self._open:
            self._close_later()

    def retire(self) -> None:
        """Closes when all begun spans have ended, because another object has taken its place."""
        self._retired = True
        if not self._open:
            self._close_later()

    def close(self) -> None:
        """Sends what is left; blocks for as long as the bounds say at most."""
        thread, within = self._close_later(), self._bounds.close
        thread.join(within)
        if thread.is_alive():
            log.warning("Lost the last spans: the collector did not answer within %g s", within)
            self._exporter.shutdown()

    def _close_later(self) -> threading.Thread:
        if self._closing is None:
            self._closing = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
            self._closing.start()
        return self._closing

    def _now(self) -> int:
        return int(self._wall() * NANOSECONDS)


class _Counting(SpanExporter):
    """Counts what became of spans. `seen` are those that the exporter was given."""

    def __init__(self, exporter: SpanExporter, counts: dict[str, int]) -> None:
        self._exporter = exporter
        self._counts = counts
        self.seen = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._counts["exported" if result is SpanExportResult.SUCCESS else "lost"] += len(spans)
            self.seen += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _parent(headers: Mapping[bytes, bytes]) -> Any:
    """Returns the context of the caller's span. Its traceparent is known to be valid."""
    _, trace, span, flags = headers[TRACEPARENT].split(b"-")[:4]
    state = TraceState.from_header([headers[TRACESTATE].decode()]) if TRACESTATE in headers else None
    context = SpanContext(int(trace, 16), int(span, 16), True, TraceFlags(int(flags, 16)), state)
    return set_span_in_context(NonRecordingSpan(context))


def _attributes(record: Record) -> dict[str, Any]:
    """Returns the attributes that are known at the end of a request."""
    attributes: dict[str, Any] = {"http.response.status_code": record.status, "genset.route": record.route}
    if record.word:
        attributes["error.type"] = record.word
    if record.consumer is not None:
        attributes["genset.consumer"] = record.consumer.name
        if record.consumer.team:
            attributes["genset.team"] = record.consumer.team
    machine = record.routed
    if machine is not None and machine.candidate is not None and machine.endpoint is not None:
        asked = machine.candidate.backend.uses.asked
        attributes |= {
            "gen_ai.provider.name": asked.provider,
            "gen_ai.response.model": record.told_model or asked.model,
            "server.address": machine.endpoint.host,
            "server.port": machine.endpoint.port,
            "genset.backend": asked.backend,
            "genset.tier": machine.candidate.tier,
            "genset.attempts": machine.attempts,
        }
        if machine.reason:
            attributes["genset.reason"] = machine.reason
        if machine.continuations:
            attributes["genset.continuations"] = machine.continuations
    given, made = record.tokens
    if given:
        attributes["gen_ai.usage.input_tokens"] = given
    if made:
        attributes["gen_ai.usage.output_tokens"] = made
    if record.spending is not None and (cost := record.spending.told()):
        attributes["genset.cost"] = cost
    if record.first_token and not record.in_one_piece:
        attributes["gen_ai.response.time_to_first_chunk"] = record.first_token - record.received
    return attributes


def _resource(policy: PolicyRef, instance: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the attributes of this process, except for those that the environment sets."""
    said = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    wanted = {
        "service.namespace": policy.namespace,
        "service.instance.id": instance,
        "service.version": __version__,
        "genset.policy": policy.name,
    }
    if "OTEL_SERVICE_NAME" not in environment:
        wanted["service.name"] = "genset-router"
    return {name: value for name, value in wanted.items() if value and f"{name}=" not in said}


def _named(environment: Mapping[str, str], what: str) -> bool:
    return any(f"OTEL_EXPORTER_OTLP_{kind}{what}" in environment for kind in ("", "TRACES_"))
