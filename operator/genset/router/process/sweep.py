"""The sweep looks at everything that may be overdue, ten times a second, so that no request needs a timer."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from genset.router.clock import SWEEP_SECONDS
from genset.router.errors import FULL_SECONDS, error
from genset.router.exchange.exchange import Exchange
from genset.router.process.admin import AdminPort
from genset.router.process.parts import Parts

BUSY_SECONDS: Final = 0.02  # by which a sweep may be late; beyond that, events wait as well
SLOW_SWEEP_ROUNDS: Final = 10  # connections and idle pools are swept once a second
IDLE_UPSTREAM_SECONDS: Final = 60.0  # after which an idle connection to a backend is closed
RUN_OUT_SECONDS: Final = 2.0  # for the end of an upstream body of which everything needed has come

log = logging.getLogger(__name__)


async def sweep_forever(parts: Parts, admin: AdminPort) -> None:
    rounds = 0
    while True:
        parts.telemetry.metrics.loop_lag.observe(parts.shared.clock.swept())
        await asyncio.sleep(SWEEP_SECONDS)
        rounds += 1
        try:
            _sweep(parts)
            parts.telemetry.flush()
            if rounds % SLOW_SWEEP_ROUNDS == 0:
                _sweep_slowly(parts)
                admin.expire(parts.shared.now())
        except Exception:
            log.exception("Failed to sweep")


def _sweep(parts: Parts) -> None:
    now = parts.shared.now()
    busy = parts.shared.clock.busy
    for exchange in list(parts.reception.exchanges):
        try:
            if busy > BUSY_SECONDS and exchange.record.routed is not None:
                exchange.record.routed.looked_away(busy)
            exchange.expire(now)
        except Exception:
            log.exception("Failed to look after request %s", exchange.record.identity.decode())
            _abandon(parts, exchange)
    parts.outages.sweep(parts.shared.connector)
    for exchange in parts.reception.gate.overdue(now):
        wait = parts.reception.gate.queue_seconds
        exchange.give_up(
            error(
                "router_queue_timeout",
                f"no place became free within {wait:g} s (limits.queueSeconds)",
                retry_after=FULL_SECONDS,
            )
        )
    for connection in list(parts.shared.running_out):
        if connection.closed or connection.complete or connection.listener is not None:
            parts.shared.running_out.discard(connection)
        elif now - connection.since > RUN_OUT_SECONDS:
            connection.drop()


def _sweep_slowly(parts: Parts) -> None:
    now = parts.shared.now()
    parts.telemetry.metrics.fold()
    for client in list(parts.shared.connections):
        client.expire(now)
    table = parts.reception.table
    for backend in table.backends.values() if table is not None else ():
        for endpoint in backend.endpoints:
            for connection in [c for c in endpoint.idle if now - c.since > IDLE_UPSTREAM_SECONDS]:
                endpoint.idle.remove(connection)
                connection.drop()


def _abandon(parts: Parts, exchange: Exchange) -> None:
    """Ends a request at which the router itself has failed.

    Such a request must keep neither the sweep from the others, nor its client waiting.
    """
    try:
        exchange.give_up(error("router_internal", "the router failed; its log tells how"))
    except Exception:
        log.exception("Failed to end request %s", exchange.record.identity.decode())
        parts.reception.abandon(exchange)
        parts.telemetry.failed(exchange.record, error("router_internal", "the router failed; its log tells how"))
