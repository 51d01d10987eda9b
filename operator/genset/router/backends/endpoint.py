"""One address of a backend: what its probes and its requests say of it. No IO: `endpoints` probes, the wire sends."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, final

from genset.router.backends.breaker import Breaker
from genset.router.backends.demand import Demand
from genset.router.backends.known_head import KnownHeads
from genset.router.backends.line import Line

GOOD_PROBES: Final = 2  # that bring an endpoint back
BAD_PROBES: Final = 2  # refused or not 2xx
LATE_PROBES: Final = 3  # timed out: a busy server may be slow to answer a probe
BUSY_SECONDS: Final = 10.0  # a server that answered a request so recently is not ill because a probe was late


@final
class _Probes:
    """The probes of one endpoint in a row, and what they say."""

    __slots__ = ("_bad", "_good", "_late", "healthy", "last_good")

    def __init__(self) -> None:
        self._bad = 0
        self._good = 0
        self._late = 0
        self.healthy: bool | None = None
        self.last_good = 0.0

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
    """One address of a backend."""

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
        self.line = line  # of the backend, where its endpoints have a bound: to be woken when a place becomes free
        self.demand = demand  # of the deployment, where it can rest
        self.breaker = breaker
        self.in_flight = 0
        self.idle: list[Any] = []  # keep-alive connections, newest last; the wire's own
        self.heads: dict[Any, bytes] = {}  # fixed parts of request heads; the wire's own
        self.known = KnownHeads()  # of its answers, for `http.upstream`
        self.gone = False  # no longer an address of the backend: drains
        self.last_success = -BUSY_SECONDS
        self._probes = _Probes()

    @property
    def healthy(self) -> bool | None:
        """What the probes say; None: not probed yet, or never."""
        return self._probes.healthy

    def enter(self) -> None:
        """A request takes a place there."""
        self.in_flight += 1

    def leave(self) -> None:
        """It has ended, however: whoever waits for a place may have it."""
        self.in_flight -= 1
        if self.line:
            self.line.wake()

    def retire(self) -> None:
        """It is no longer an address of the backend: it finishes what it works on, and nobody is sent there."""
        self.gone = True

    def doubt(self) -> None:
        """A request was lost there: probes must say that it is well before another one goes there."""
        self._probes.doubt()

    def probe(self, good: bool, now: float, *, late: bool = False) -> None:
        """Books one probe."""
        if good:
            self._probes.good(now)
        elif not late or now - self.last_success >= BUSY_SECONDS:
            self._probes.bad(late=late)

    def probed_since(self, now: float) -> None:
        """Its probes begin."""
        self._probes.last_good = now

    def is_dead(self, now: float, seconds: float) -> bool:
        """Whether its probes have failed for so long."""
        return self.healthy is False and now - self._probes.last_good >= seconds
