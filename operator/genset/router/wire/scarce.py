"""Who makes way where something is scarce: descriptors, or room for bodies. Always of the client that holds most of it.

Looked for only where nothing is left, so that one address (a proxy, a cluster's gateway) gets everything as long as
nobody else wants it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from genset.router.server import Router
    from genset.router.wire.downstream import ClientConnection

#: Of all connections so many are closed together where one is to be: the next newcomers then find room without a search.
SHARE_CLOSED: Final = 256


def slowest_body(connections: Iterable[ClientConnection], now: float) -> ClientConnection | None:
    """Of the client that holds most bytes, the connection whose body comes most slowly; None where no body arrives."""
    held: dict[str, int] = {}
    arriving: list[ClientConnection] = []
    for connection in connections:
        size = connection.held_bytes
        if size:
            held[connection.origin] = held.get(connection.origin, 0) + size
            if connection.brings_body:
                arriving.append(connection)
    found: ClientConnection | None = None
    most, slowest = 0, 0.0
    for connection in arriving:
        size, pace = held[connection.origin], connection.pace(now)
        if found is None or size > most or (size == most and pace < slowest):
            found, most, slowest = connection, size, pace
    return found


def close_oldest_idle(router: Router) -> bool:
    """Closes the connection that has been idle longest, of the client that has most of them. Whether there was one."""
    now = router.now()
    counts: dict[str, int] = {}
    idle: list[ClientConnection] = []
    for connection in router.connections:
        counts[connection.origin] = counts.get(connection.origin, 0) + 1
        if connection.is_idle(now):
            idle.append(connection)
    idle.sort(key=lambda connection: (-counts[connection.origin], connection.mark))
    closing = idle[: max(1, len(router.connections) // SHARE_CLOSED)]
    for connection in closing:
        connection.close()
    router.metrics.made_way["connection"] += len(closing)
    return bool(closing)
