"""The sweep: no timer per request or per chunk; ten times a second everything that may be overdue is looked at."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from genset.router.clock import SWEEP_SECONDS
from genset.router.errors import FULL_SECONDS, error

if TYPE_CHECKING:
    from genset.router.exchange.exchange import Exchange
    from genset.router.process.server import Router

BUSY_SECONDS: Final = 0.02  # by which a sweep may be late; from there on events wait as well
SLOW_SWEEP_ROUNDS: Final = 10  # connections and idle pools: once a second
IDLE_UPSTREAM_SECONDS: Final = 60.0
RUN_OUT_SECONDS: Final = 2.0  # an upstream body's end after we had all we need

log = logging.getLogger(__name__)


async def sweep_forever(router: Router) -> None:
    rounds = 0
    while True:
        router.metrics.loop_lag.observe(router.clock.swept())
        await asyncio.sleep(SWEEP_SECONDS)
        rounds += 1
        try:
            _sweep(router)
            router.metrics.log_lines_dropped += router.journal.flush()
            if rounds % SLOW_SWEEP_ROUNDS == 0:
                _sweep_slowly(router)
        except Exception:
            log.exception("Failed to sweep")


def _sweep(router: Router) -> None:
    now = router.now()
    busy = router.clock.busy
    for exchange in list(router.exchanges):
        try:
            if busy > BUSY_SECONDS and exchange.record.routed is not None:
                exchange.record.routed.looked_away(busy)
            exchange.expire(now)
        except Exception:
            log.exception("Failed to look after request %s", exchange.identity.decode())
            _abandon(router, exchange)
    router.outages.sweep(router.connector)
    for exchange in router.gate.overdue(now):
        wait = router.gate.queue_seconds
        exchange.give_up(
            error("router_queue_timeout", f"no place became free within {wait:g} s", retry_after=FULL_SECONDS)
        )
    for connection in list(router.running_out):
        if connection.closed or connection.complete or connection.listener is not None:
            router.running_out.discard(connection)
        elif now - connection.since > RUN_OUT_SECONDS:
            connection.drop()


def _sweep_slowly(router: Router) -> None:
    now = router.now()
    router.metrics.fold()
    for client in list(router.connections):
        client.expire(now)
    for admin in list(router.admin_connections):
        admin.expire(now)
    for backend in router.table.backends.values() if router.table else ():
        for endpoint in backend.endpoints:
            for connection in [c for c in endpoint.idle if now - c.since > IDLE_UPSTREAM_SECONDS]:
                endpoint.idle.remove(connection)
                connection.drop()


def _abandon(router: Router, exchange: Exchange) -> None:
    """A fault of our own: it must not keep the sweep from all the other requests, nor the client waiting."""
    try:
        exchange.give_up(error("router_internal", "the router failed; its log tells how"))
    except Exception:
        log.exception("Failed to end request %s", exchange.identity.decode())
        router.exchanges.discard(exchange)
        router.metrics.answered(exchange.record.route, 500, "router_internal")
        failed = error("router_internal", "the router failed; its log tells how")
        router.journal.told(
            exchange.client.address, exchange.request.headers, exchange.identity, exchange.record.asked, 500, failed
        )
        exchange.abandon()
        if exchange.placed:
            exchange.placed = False
            router.gate.leave(exchange, exchange.request.payer)
