"""Counts what the router holds for the answers to one client, from the request in work to the bytes that it has not read."""

from __future__ import annotations

from typing import final

from genset.router.http.origin import Peer
from genset.router.http.request import Request
from genset.router.routing.shares import Shares


@final
class Answering:
    """What an answer holds is counted in the budget: its request, what is collected of it, and what is unread of it.

    `unread`: bytes that waited for the client when we last looked. `collected`: bytes of a whole answer that has not gone
    out yet. `paused`: the client reads more slowly than we write. `served` counts the requests that have begun.
    """

    __slots__ = ("_budget", "_peer", "_request", "collected", "paused", "served", "unread")

    def __init__(self, budget: Shares, peer: Peer) -> None:
        self._budget = budget
        self._peer = peer
        self._request: Request | None = None
        self.collected = 0
        self.paused = False
        self.served = 0
        self.unread = 0

    @property
    def held(self) -> int:
        """Returns how many bytes count in the budget."""
        return self.unread + self.collected + (self._request.held if self._request is not None else 0)

    def begin(self, request: Request) -> None:
        """Takes the request in work, which counts as long as it is answered."""
        self._request = request
        self.served += 1

    def end(self) -> None:
        """Gives back what the request and its answer held: it has been answered, or will not be."""
        if self.collected:
            self.drop_collected()
        request, self._request = self._request, None
        if request is not None and request.held:
            self._budget.give(request.payer, request.held)

    def collect(self, size: int) -> str:
        """Counts the bytes of a whole answer that have come so far. Returns whose share they take."""
        payer = self._payer
        self._budget.take(payer, size - self.collected)
        self.collected = size
        return payer

    def drop_collected(self) -> None:
        """Gives back what was collected: the answer goes out, or will not."""
        if self.collected:
            self._budget.give(self._payer, self.collected)
            self.collected = 0

    def pause(self, unread: int) -> None:
        """Notes that too many bytes wait for the client."""
        self.paused = True
        self.count_unread(unread)

    def resume(self, unread: int) -> None:
        """Notes that the client has read most of what waited for it."""
        self.paused = False
        self.count_unread(unread)

    def count_unread(self, size: int) -> None:
        """Counts the bytes that wait for the client now."""
        if size != self.unread:
            self._budget.take(self._peer.origin, size - self.unread)
            self.unread = size

    @property
    def _payer(self) -> str:
        return self._request.payer if self._request is not None else self._peer.origin
