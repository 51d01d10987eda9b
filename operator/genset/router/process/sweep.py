"""The sweep looks at everything that may be overdue, ten times a second, so that no request needs a timer."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from genset.router.clock import SWEEP_SECONDS
from genset.router.errors import error
from genset.router.exchange.exchange import Exchange
from genset.router.process.admin import AdminPort
from genset.router.process.parts import Parts
from genset.router.watch.overdue import look_after

SLOW_SWEEP_ROUNDS: Final = 10  # connections and idle pools are swept once a second
IDLE_UPSTREAM_SECONDS: Final = 60.0  # after which an idle connection to a backend is closed

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
    look_after(parts.shared, parts.reception, lambda exchange: _abandon(parts, exchange))
    parts.outages.sweep(parts.shared.connector)


def _sweep_slowly(parts: Parts) -> None:
    now = parts.shared.now()
    parts.telemetry.metrics.look(now)
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
