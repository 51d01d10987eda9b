"""What is overdue is looked after ten times a second, so that no request needs a timer: requests, places, what runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from genset.router.errors import FULL_SECONDS, error
from genset.router.exchange.exchange import Exchange
from genset.router.exchange.reception import Reception
from genset.router.shared import Shared

BUSY_SECONDS: Final = 0.02  # by which a sweep may be late; beyond that, events wait as well
RUN_OUT_SECONDS: Final = 2.0  # for the end of an upstream body of which everything needed has come

log = logging.getLogger(__name__)


def look_after(shared: Shared, reception: Reception, abandon: Callable[[Exchange], None]) -> None:
    """Ends what is overdue. `abandon` takes a request at which the router itself has failed."""
    now = shared.now()
    busy = shared.clock.busy
    for exchange in list(reception.exchanges):
        try:
            if busy > BUSY_SECONDS and exchange.record.routed is not None:
                exchange.record.routed.looked_away(busy)
            exchange.expire(now)
        except Exception:
            log.exception("Failed to look after request %s", exchange.record.identity.decode())
            abandon(exchange)
    for exchange in reception.gate.overdue(now):
        wait = reception.gate.queue_seconds
        exchange.give_up(
            error(
                "router_queue_timeout",
                f"no place became free within {wait:g} s (limits.queueSeconds)",
                retry_after=FULL_SECONDS,
            )
        )
    for connection in list(shared.running_out):
        if connection.closed or connection.complete or connection.listener is not None:
            shared.running_out.discard(connection)
        elif now - connection.since > RUN_OUT_SECONDS:
            connection.drop()
