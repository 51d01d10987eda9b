"""The admin port: /-/healthy /-/ready /-/config /-/state /-/demand /metrics, for the operator, the kubelet and Prometheus.

A port of its own, never on the client Service: what it shows (addresses, names) is not for clients.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import httptools
import orjson

from genset.router.breaker import Breaker
from genset.router.evidence import NOSNIFF, reason_phrase

if TYPE_CHECKING:
    from collections.abc import Callable

    from genset.router.backend import Backend
    from genset.router.server import Router

REQUEST_BYTES = 16 * 1024
JSON = b"application/json"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class AdminConnection(asyncio.Protocol):
    """One connection to the admin port; answers GET, one request after another."""

    def __init__(self, router: Router, metrics: Callable[[], bytes]) -> None:
        self._router = router
        self._metrics = metrics
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._router.admin_connections.add(self)

    def connection_lost(self, problem: BaseException | None) -> None:
        self._router.admin_connections.discard(self)
        self._parser = None

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._answer(400, TEXT, b"not HTTP/1.1\n", keep=False)
            return
        if self._bytes > REQUEST_BYTES:
            self._answer(413, TEXT, b"too large\n", keep=False)

    def on_message_begin(self) -> None:
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        self._bytes = 0
        keep = self._parser.should_keep_alive()
        if self._parser.get_method() not in (b"GET", b"HEAD"):
            self._answer(405, TEXT, b"only GET\n", keep=keep)
            return
        path = self._url.split(b"?", 1)[0]
        router = self._router
        if path == b"/-/healthy":
            self._answer(200, TEXT, b"ok\n", keep=keep)
        elif path == b"/-/ready":
            why_not = router.why_not_ready()
            self._answer(503 if why_not else 200, TEXT, (why_not or "ok").encode() + b"\n", keep=keep)
        elif path == b"/-/config":
            self._answer(200, JSON, router.mask.hide(orjson.dumps(config_view(router))), keep=keep)
        elif path == b"/-/state":
            self._answer(200, JSON, orjson.dumps(shown_state(router)), keep=keep)
        elif path == b"/-/demand":
            self._answer(200, JSON, orjson.dumps(demand_view(router)), keep=keep)
        elif path == b"/metrics":
            self._answer(200, TEXT, self._metrics(), keep=keep)
        else:
            self._answer(404, TEXT, b"unknown path\n", keep=keep)

    def _answer(self, status: int, content_type: bytes, body: bytes, *, keep: bool) -> None:
        self._transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%bcontent-length: %d\r\nconnection: %b\r\n\r\n"
            % (status, reason_phrase(status), content_type, NOSNIFF, len(body), b"keep-alive" if keep else b"close")
        )
        if self._parser is None or self._parser.get_method() != b"HEAD":
            self._transport.write(body)
        if not keep:
            self._transport.close()


def config_view(router: Router) -> dict[str, Any]:
    """What the operator compares with the configuration that it wrote, and what it tells of outages."""
    table = router.table
    policy = table.config.policy if table else None
    return {
        "hash": table.hash if table else "",
        "credentialsHash": router.credentials_hash,
        "generation": policy.generation if policy else 0,
        "namespace": policy.namespace if policy else "",
        "name": policy.name if policy else "",
        "site": router.site.decode(),
        "loadedAt": router.loaded_at,
        "error": router.config_error,
        "outages": router.outages.view(),
        "unknown": router.outages.unknown(),
    }


def demand_view(router: Router) -> dict[str, Any]:
    """Who asks for deployments that can rest. Read every second: small, and cheap while nobody waits."""
    backends = router.table.backends.values() if router.table else ()
    awaited = [exchange.machine.cold for exchange in router.exchanges if exchange.waits_for_waking]
    waiting = Counter(backend.wakes for backend in awaited if backend is not None and backend.wakes is not None)
    wakeable = [backend.wakes for backend in backends if backend.wakes]
    return router.demands.view(router.now(), router.began, wakeable, waiting)


def shown_state(router: Router) -> dict[str, Any]:
    """What the router knows, without its keys. Failures are masked already, and too many to be searched each time."""
    shown: dict[str, Any] = orjson.loads(router.mask.hide(orjson.dumps(state_view(router))))
    for name, backend in shown["backends"].items():
        backend["failures"] = router.failures.view(name)
    return shown


def state_view(router: Router) -> dict[str, Any]:
    """What the router knows about its backends, now."""
    now = router.now()
    backends = router.table.backends.values() if router.table else ()
    return {
        "draining": router.draining,
        "inFlight": router.gate.in_flight,
        "queued": router.gate.queued,
        "connections": len(router.connections),
        "outages": router.outages.view(),
        "accessLog": router.journal.view(),
        "backends": {backend.name: _backend_view(backend, now) for backend in backends},
    }


def _backend_view(backend: Backend, now: float) -> dict[str, Any]:
    return {
        "kind": backend.config.kind,
        "admits": backend.admits(now) and not backend.refusals.known,
        "whyNot": "" if backend.admits(now) and not backend.refusals.known else backend.why_not(now),
        "detail": "; ".join(refusal.detail for refusal in backend.refusals.all(now)),
        "breaker": _breaker_view(backend.breaker, now),
        "queued": len(backend.line),
        "endpoints": [
            {
                "address": endpoint.name,
                "healthy": endpoint.healthy,
                "inFlight": endpoint.in_flight,
                "idleConnections": len(endpoint.idle),
                "breaker": _breaker_view(endpoint.breaker, now),
            }
            for endpoint in backend.endpoints
        ],
    }


def _breaker_view(breaker: Breaker, now: float) -> dict[str, Any]:
    state = breaker.view(now)
    return {
        "state": str(state),
        "cause": str(breaker.cause),
        "openForSeconds": round(max(0.0, breaker.open_until - now), 1),
    }
