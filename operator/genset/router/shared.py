"""Shared is what all requests of one router have in common: loop and clock, what is scarce, common configuration.

Connections and requests know this object, and nothing of the process around it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from genset.router.access.consumers import Consumers
from genset.router.access.sharing import Sharing
from genset.router.backends.failures import FailureBook
from genset.router.backends.mask import Mask
from genset.router.budgets.budget_book import BudgetBook
from genset.router.clock import Clock
from genset.router.errors import ErrorAnswer
from genset.router.http.callers import Proxies, client_of
from genset.router.http.connect import Connector
from genset.router.http.cors import Cors
from genset.router.http.egress import EgressBook
from genset.router.http.heavy import HeavyLine
from genset.router.http.holder import Holder
from genset.router.http.origin import origin_of
from genset.router.http.outbox import Outbox
from genset.router.http.upstream import UpstreamConnection
from genset.router.routing.gate import UNTIL_CONFIGURED_BYTES
from genset.router.routing.hops import new_site
from genset.router.routing.shares import Shares


@dataclass(frozen=True, slots=True)
class Unrouted:
    """An unrouted request is one that no route has seen: refused, broken off, or answered by the router itself."""

    peer: str  # the address that has connected
    headers: Mapping[bytes, bytes]
    identity: bytes  # x-request-id
    asked: str  # method and path
    status: int
    error: ErrorAnswer | None = None  # None: it was answered well
    consumer: str = ""  # who asked, as far as that is known
    team: str = ""


class Observer(ABC):
    """An observer hears of requests for which no backend was asked, and of decisions about connections."""

    @abstractmethod
    def refused(self, request: Unrouted) -> None:
        """Hears that a request was refused before it was complete."""

    @abstractmethod
    def answered(self, request: Unrouted) -> None:
        """Hears that the router itself has answered a whole request."""

    @abstractmethod
    def made_way(self, what: str, count: int) -> None:
        """Hears that `count` others made way for a client, for lack of `what`: `body`, `connection` or `line`."""

    @abstractmethod
    def continued(self, outcome: str) -> None:
        """Hears how the continuation of a broken stream went: `completed`, or why there was none."""


@final
class Configured:
    """Configured is what a configuration says of all requests.

    `mask` hides the keys in use. `site` names this router to others. `matched_headers` are those that routes look at.
    `cors` is None if no web page may call. `consumers` is None if anybody may ask, `sharing` if
    nothing is shared with other routers.
    """

    __slots__ = (
        "consumers", "cors", "mask", "matched_headers", "most_body_bytes", "proxies", "room_bytes", "sharing", "site",
    )  # fmt: skip

    def __init__(
        self,
        mask: Mask,
        site: bytes,
        *,
        cors: Cors | None = None,
        proxies: Proxies | None = None,
        matched_headers: frozenset[bytes] = frozenset(),
        most_body_bytes: int = 1024 * 1024,
        room_bytes: int = 3 * UNTIL_CONFIGURED_BYTES,
        consumers: Consumers | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self.mask = mask
        self.site = site
        self.cors = cors
        self.proxies = proxies  # proxies whose X-Forwarded-For is believed
        self.matched_headers = matched_headers
        self.most_body_bytes = most_body_bytes  # largest body of one request
        self.room_bytes = room_bytes  # for all bodies together, and what is made of them
        self.consumers = consumers
        self.sharing = sharing

    def hide_with(self, mask: Mask) -> None:
        """Takes another mask, which knows a key that has come since."""
        self.mask = mask

    def payer_of(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Returns whose share a request takes, and whose testimony it is; behind trusted proxies, the client's."""
        return origin_of(client_of(self.proxies, peer, headers))


@final
class Shared:
    """Shared holds the loop, the clock, what is scarce and the configuration. `wall` is the time of day in seconds.

    `configured` has the defaults until a configuration is taken.
    """

    __slots__ = (
        "budget",
        "budgets",
        "clock",
        "configured",
        "connections",
        "connector",
        "draining",
        "egress",
        "failures",
        "heavy",
        "loop",
        "observer",
        "outbox",
        "records_usage",
        "running_out",
        "wall",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        wall: Callable[[], float],
        connector: Connector,
        observer: Observer,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.wall = wall
        self.connector = connector
        self.outbox: Outbox = connector.outbox
        self.observer = observer
        self.configured = Configured(Mask(), new_site())
        self.budget = Shares(UNTIL_CONFIGURED_BYTES)  # bytes held for clients, mostly bodies
        self.heavy = HeavyLine(
            lambda then: self.loop.call_soon(then), lambda after, then: self.loop.call_later(after, then)
        )
        self.budgets: BudgetBook | None = None  # what may be spent; None: anything
        self.failures = FailureBook()
        self.connections: set[Holder] = set()
        self.running_out: set[UpstreamConnection] = set()  # nobody waits for the end of their answer
        self.egress: EgressBook | None = None  # the record of what leaves the house, if the policy wants one
        self.records_usage = False  # somebody keeps the books, also of requests without a price
        self.draining = False

    def now(self) -> float:
        """Returns seconds of the clock by which deadlines are measured."""
        return self.clock.now()

    def take(self, configured: Configured, held_bytes: int) -> None:
        """Takes a configuration, and how many bytes it allows to hold for clients."""
        self.configured = configured
        self.budget.resize(held_bytes)

    def record_egress(self, egress: EgressBook | None) -> None:
        """Takes the record of what leaves the house, as a configuration wants it."""
        self.egress = egress

    def record_usage(self, wanted: bool) -> None:
        """Takes whether a configuration wants records of what each request has used."""
        self.records_usage = wanted

    def spend_by(self, budgets: BudgetBook | None) -> None:
        """Takes what may be spent, as a configuration says."""
        self.budgets = budgets

    def drain(self) -> None:
        """Ends keep-alive: from here on connections are closed after their answer."""
        self.draining = True
