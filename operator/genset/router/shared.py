"""What all requests of one router have in common: loop and clock, what is scarce, and what the configuration says of all.

Connections and requests know this object, and nothing of the process around it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import final

from genset.router.backends.failures import FailureBook
from genset.router.backends.mask import Mask
from genset.router.clock import Clock
from genset.router.errors import ErrorAnswer
from genset.router.http.callers import Proxies, client_of
from genset.router.http.connect import Connector
from genset.router.http.cors import Cors
from genset.router.http.heavy import HeavyLine
from genset.router.http.holder import Holder
from genset.router.http.origin import origin_of
from genset.router.http.outbox import Outbox
from genset.router.http.upstream import UpstreamConnection
from genset.router.routing.gate import UNTIL_CONFIGURED_BYTES
from genset.router.routing.hops import new_site
from genset.router.routing.shares import Shares


class Observer(ABC):
    """What hears of requests that no backend was asked for, and of what was decided about connections."""

    @abstractmethod
    def refused(
        self, peer: str, headers: Mapping[bytes, bytes], identity: bytes, asked: str, answer: ErrorAnswer
    ) -> None:
        """A request that never became whole was refused. `peer` is the address of whoever has connected."""

    @abstractmethod
    def told(
        self,
        peer: str,
        headers: Mapping[bytes, bytes],
        identity: bytes,
        asked: str,
        status: int,
        answer: ErrorAnswer | None,
    ) -> None:
        """The router itself has answered a whole request, with this error or well."""

    @abstractmethod
    def made_way(self, what: str, count: int) -> None:
        """So many made way for another client, because of what was scarce: `body`, `connection` or `line`."""

    @abstractmethod
    def continued(self, outcome: str) -> None:
        """A broken stream was written on by somebody else (`completed`), or why not."""


@final
class Configured:
    """What a configuration says of all requests. `mask` hides the keys that are in use; `site` names this router to
    others; `matched_headers` are those that routes look at; `cors` is None if no web page may call."""

    __slots__ = ("cors", "mask", "matched_headers", "most_body_bytes", "proxies", "room_bytes", "site")

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
    ) -> None:
        self.mask = mask
        self.site = site
        self.cors = cors
        self.proxies = proxies  # whose X-Forwarded-For is believed
        self.matched_headers = matched_headers
        self.most_body_bytes = most_body_bytes  # of one request
        self.room_bytes = room_bytes  # for bodies and what becomes of them

    def payer_of(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Whose share of what is scarce a request takes, and whose testimony it is: behind proxies, the client's."""
        return origin_of(client_of(self.proxies, peer, headers))


@final
class Shared:
    """`wall` is the time of day in seconds. Until a configuration is taken, `configured` has the defaults."""

    __slots__ = (
        "budget",
        "clock",
        "configured",
        "connections",
        "connector",
        "draining",
        "failures",
        "heavy",
        "loop",
        "observer",
        "outbox",
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
        self.budget = Shares(UNTIL_CONFIGURED_BYTES)  # bytes that are held for clients, bodies above all
        self.heavy = HeavyLine(
            lambda then: self.loop.call_soon(then), lambda after, then: self.loop.call_later(after, then)
        )
        self.failures = FailureBook()
        self.connections: set[Holder] = set()
        self.running_out: set[UpstreamConnection] = set()  # whose answer's end nobody waits for
        self.draining = False

    def now(self) -> float:
        """Seconds by the clock that deadlines are measured with."""
        return self.clock.now()

    def take(self, configured: Configured, held_bytes: int) -> None:
        """Follows a configuration, by which so many bytes may be held for clients."""
        self.configured = configured
        self.budget.resize(held_bytes)

    def drain(self) -> None:
        """From here on connections are not kept alive."""
        self.draining = True
