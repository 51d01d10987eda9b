"""What one client connection holds of the router's memory, counted in the budget that all clients share.

Bodies and large heads count from their first bytes until their requests are answered; so do requests that wait behind
another one, what is not parsed yet, what the client has not read, and an answer that is collected before it goes out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from genset.router.http.request import Request
from genset.router.shared import Shared

#: What objects take beside the bytes in them, measured: a request, a line of its head.
REQUEST_BYTES: Final = 640
LINE_BYTES: Final = 200


class Holding(asyncio.Protocol):
    """`address`: the peer's host. `origin`: whose share the connection takes. `payer`: whose share the request takes that
    is arriving; behind proxies it is another one."""

    __slots__ = (
        "_body_bytes",
        "_collected_bytes",
        "_head_held",
        "_pending",
        "_queue",
        "_unread_bytes",
        "_working",
        "address",
        "origin",
        "payer",
        "shared",
        "transport",
    )

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.transport: Any = None
        self.address = ""  # host of the peer
        self.origin = ""
        self.payer = ""
        self._body_bytes = 0  # of the request that is arriving
        self._head_held = 0  # of its head, as far as that counts
        self._queue: deque[Request] = deque()
        self._working: Request | None = None  # that is being answered
        self._pending = b""  # came behind what is being answered, and is not parsed yet
        self._unread_bytes = 0  # that waited for the client when we last looked
        self._collected_bytes = 0  # of a whole answer that has not gone out yet

    @property
    def held_bytes(self) -> int:
        """All that counts."""
        working = self._working.held if self._working is not None else 0
        queued = sum(request.held for request in self._queue)
        arriving = self._body_bytes + self._head_held
        return arriving + queued + working + len(self._pending) + self._unread_bytes + self._collected_bytes

    @property
    def unread(self) -> int:
        """Bytes that one side has sent and the other one has not taken."""
        return self._unread_bytes + len(self._pending) + REQUEST_BYTES * len(self._queue)

    def _hold_head(self, size: int) -> None:
        """From now on so much counts for the head of the request that is arriving."""
        self.shared.budget.take(self.payer, size - self._head_held)
        self._head_held = size

    def _drop_body(self) -> None:
        self.shared.budget.give(self.payer, self._body_bytes + self._head_held)
        self._body_bytes = self._head_held = 0

    def _drop_queue(self) -> None:
        for request in self._queue:
            self.shared.budget.give(request.payer, request.held)
        self._queue.clear()

    def _drop_working(self) -> None:
        working, self._working = self._working, None
        if working is not None and working.held:
            self.shared.budget.give(working.payer, working.held)

    def _keep_pending(self, data: bytes) -> None:
        self.shared.budget.take(self.origin, len(data) - len(self._pending))
        self._pending = data

    def _count_unread(self, size: int) -> None:
        if size != self._unread_bytes:
            self.shared.budget.take(self.origin, size - self._unread_bytes)
            self._unread_bytes = size

    @property
    def _answered(self) -> str:
        """Whose share the answer takes that comes."""
        return self._working.payer if self._working is not None else self.origin

    def _hold_collected(self, size: int) -> str:
        """So much of a whole answer has come; whose share it takes."""
        payer = self._answered
        self.shared.budget.take(payer, size - self._collected_bytes)
        self._collected_bytes = size
        return payer

    def drop_collected(self) -> None:
        """The answer goes out, or will not."""
        if self._collected_bytes:
            self.shared.budget.give(self._answered, self._collected_bytes)
            self._collected_bytes = 0

    def _drop_all(self) -> None:
        self._drop_body()
        self._drop_queue()
        self.drop_collected()
        self._drop_working()
        self._keep_pending(b"")
        self._count_unread(0)
