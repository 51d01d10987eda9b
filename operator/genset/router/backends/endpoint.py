"""An endpoint is one address of a backend, with what its probes and its requests say of it.

No IO: `watch.endpoint_watch` probes it, and `http` connects to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, final

from genset.router.backends.breaker import Breaker
from genset.router.backends.demand import Demand
from genset.router.backends.known_head import KnownHeads
from genset.router.backends.line import Line

GOOD_PROBES: Final = 2  # consecutive good probes that bring an endpoint back
BAD_PROBES: Final = 2  # consecutive probes refused, or answered with anything but a 2xx
LATE_PROBES: Final = 3  # consecutive probes timed out: a busy server may be slow to answer one
BUSY_SECONDS: Final = 10.0  # after an answered request, in which a late probe only shows a busy server


@final
class _ProbeCount:
    """A probe count keeps the consecutive probes of one endpoint and judges its health by them.

    `loaded` are the adapters that it has told of, with the numbers that it knows them by; None: it has told of none yet.
    `senses`: what it has told that its model perceives; None: it has not told.
    """

    __slots__ = ("_bad", "_good", "_late", "healthy", "last_good", "loaded", "senses")

    def __init__(self) -> None:
        self._bad = 0
        self._good = 0
        self._late = 0
        self.healthy: bool | None = None
        self.last_good = 0.0
        self.loaded: Mapping[str, int] | None = None
        self.senses: frozenset[str] | None = None

    def good(self, now: float) -> None:
        self._bad = self._late = 0
        self._good += 1
        self.last_good = now
        if self.healthy is None or self._good >= GOOD_PROBES:
            self.healthy = True

    def bad(self, *, late: bool) -> None:
        self._good = 0
        self._late += late
        self._bad += not late
        if self.healthy is None or self._bad >= BAD_PROBES or self._late >= LATE_PROBES:
            self.healthy = False

    def doubt(self) -> None:
        self.healthy = False
        self._good = 0


@final
class Endpoint:
    """An endpoint is one address of a backend. Times are monotonic seconds."""

    __slots__ = (
        "_probes",
        "breaker",
        "demand",
        "gone",
        "heads",
        "host",
        "idle",
        "in_flight",
        "known",
        "last_success",
        "line",
        "name",
        "port",
        "seed",
    )

    def __init__(
        self, host: str, port: int, breaker: Breaker, line: Line | None = None, demand: Demand | None = None
    ) -> None:
        self.host = host
        self.port = port
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.seed = int.from_bytes(blake2b(self.name.encode(), digest_size=8).digest())  # the same in every router
        self.line = line  # the backend's, if its endpoints are bounded: woken when a place becomes free
        self.demand = demand  # the deployment's, if it can rest
        self.breaker = breaker
        self.in_flight = 0
        self.idle: list[Any] = []  # kept-alive connections, newest last; managed by `http`
        self.heads: dict[Any, bytes] = {}  # fixed parts of request heads; managed by `exchange`
        self.known = KnownHeads()  # of its answers, for `http.upstream`
        self.gone = False  # no longer an address of the backend: it drains
        self.last_success = -BUSY_SECONDS
        self._probes = _ProbeCount()

    @property
    def healthy(self) -> bool | None:
        """Returns what the probes say; None if the endpoint was not probed yet, or is never probed."""
        return self._probes.healthy

    @property
    def loaded(self) -> Mapping[str, int] | None:
        """Returns the adapters that it has loaded, with its numbers of them; None if it has not told of any yet."""
        return self._probes.loaded

    def has_loaded(self, adapters: Mapping[str, int]) -> None:
        """Takes what it tells of its adapters."""
        self._probes.loaded = adapters

    @property
    def senses(self) -> frozenset[str] | None:
        """Returns what it has told that its model perceives ("vision", "audio"); None if it has not told."""
        return self._probes.senses

    def perceives(self, senses: frozenset[str] | None) -> None:
        """Takes what it tells of what its model perceives."""
        self._probes.senses = senses

    def enter(self) -> None:
        """Counts a request that takes a place at this endpoint."""
        self.in_flight += 1

    def leave(self) -> None:
        """Counts a request that has ended, whatever its outcome, and offers its place to whoever waits for one."""
        self.in_flight -= 1
        if self.line:
            self.line.wake()

    def retire(self) -> None:
        """Marks that this is no longer an address of the backend: requests that run there finish, no new ones are sent."""
        self.gone = True

    def doubt(self) -> None:
        """Makes the endpoint unhealthy until probes say otherwise, because a request was lost there."""
        self._probes.doubt()

    def probe(self, good: bool, now: float, *, late: bool) -> None:
        """Books the result of one probe."""
        if good:
            self._probes.good(now)
        elif not late or now - self.last_success >= BUSY_SECONDS:
            self._probes.bad(late=late)

    def probed_since(self, now: float) -> None:
        """Notes when probing of this endpoint began."""
        self._probes.last_good = now

    def is_dead(self, now: float, seconds: float) -> bool:
        """Returns whether probes have failed for at least `seconds`."""
        return self.healthy is False and now - self._probes.last_good >= seconds
