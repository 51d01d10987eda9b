"""Chooses who makes way if something is scarce, descriptors or room for bodies: always of the client that holds most of it.

Nobody is chosen before nothing is left, so that one address (a proxy, a cluster's gateway) gets everything as long as
nobody else wants it.
"""

from __future__ import annotations

from typing import Final

from genset.router.http.holder import Holder, Worth
from genset.router.shared import Shared

#: Of all connections so many are closed together where one is to be: the next newcomers then find room without a search.
SHARE_CLOSED: Final = 256


def make_room(shared: Shared, origin: str, asking: Holder) -> None:
    """Has whoever holds most make way until a client holds no more bytes than it may, for as long as somebody can."""
    while shared.budget.is_over(origin):
        found = _most_held(shared)
        if found is None:
            return
        if found is not asking:
            shared.observer.made_way("body", 1)
        found.make_way()


def _most_held(shared: Shared) -> Holder | None:
    """Returns the connection that makes way, of the client that holds most bytes: that of the request that arrives most slowly.

    If none arrives, it is what has lain unread for longest, or the largest answer that is being collected.
    """
    held, now = shared.budget.held, shared.now()
    found: Holder | None = None
    most: tuple[int, int, float] = (0, 0, 0.0)
    for connection in shared.connections:
        gives = connection.gives(now)
        if gives is None:
            continue
        payer, kind, degree = gives
        rank = (held(payer), kind, degree)
        if found is None or rank > most:
            found, most = connection, rank
    return found


def close_somebody(shared: Shared) -> bool:
    """Closes connections of the client that has most of them, those first that matter least. Says whether there was one.

    What is half there or unread goes only of that client; of others, what is idle.
    """
    now = shared.now()
    counts: dict[str, int] = {}
    for connection in shared.connections:
        counts[connection.origin] = counts.get(connection.origin, 0) + 1
    most = max(counts.values(), default=0)
    closable: list[tuple[int, int, float, Holder]] = []
    for connection in shared.connections:
        worth, count = connection.worth(now), counts[connection.origin]
        if worth < (Worth.WORK if count == most else Worth.HALF):
            closable.append((-count, worth, connection.mark, connection))
    closable.sort(key=lambda found: found[:3])
    closing = closable[: max(1, len(shared.connections) // SHARE_CLOSED)]
    for _, _, _, connection in closing:
        connection.close_now()
    shared.observer.made_way("connection", len(closing))
    return bool(closing)
