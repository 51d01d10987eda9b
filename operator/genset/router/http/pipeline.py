"""Holds what a client has sent behind the request in work: requests that are whole, in their order, and bytes behind them."""

from __future__ import annotations

from typing import Final, final

from genset.router.errors import ErrorAnswer
from genset.router.http.origin import Peer
from genset.router.http.request import BROKEN, REQUEST_BYTES, Request
from genset.router.routing.shares import Shares

PENDING_BYTES: Final = 64 * 1024  # pipelined behind a request in work


@final
class Pipeline:
    """A pipeline holds the requests of one connection that nobody has begun to answer.

    `requests` are whole; the last one is BROKEN if what came behind them was refused, with `refusal`. `pending` are bytes
    that are not parsed yet.
    """

    __slots__ = ("_budget", "_peer", "pending", "refusal", "requests")

    def __init__(self, budget: Shares, peer: Peer) -> None:
        self._budget = budget
        self._peer = peer
        self.requests: list[Request] = []
        self.pending = b""
        self.refusal: ErrorAnswer | None = None

    @property
    def held(self) -> int:
        """Returns how many bytes count in the budget."""
        return len(self.pending) + sum(request.held for request in self.requests)

    @property
    def unread(self) -> int:
        """Returns how many bytes, as they count, the client has sent of which nobody has made use."""
        return len(self.pending) + REQUEST_BYTES * len(self.requests)

    @property
    def is_full(self) -> bool:
        """Returns whether so much is pending that no more should be read."""
        return len(self.pending) > PENDING_BYTES

    def refuse(self, answer: ErrorAnswer) -> None:
        """Refuses what came behind the last request, in its turn."""
        self.refusal = answer
        self.requests.append(BROKEN)

    def keep(self, data: bytes) -> None:
        """Keeps these bytes as pending, instead of those that were."""
        self._budget.take(self._peer.origin, len(data) - len(self.pending))
        self.pending = data

    def take(self) -> bytes:
        """Takes the bytes that are pending out of it."""
        data = self.pending
        self.keep(b"")
        return data

    def drop(self) -> list[Request]:
        """Empties it, because none of its requests will be answered. Returns them."""
        dropped, self.requests = self.requests, []
        for request in dropped:
            self._budget.give(request.payer, request.held)
        return dropped
