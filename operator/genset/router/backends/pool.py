"""The pool of a backend's addresses knows which of them may take a request, and chooses one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, final

from genset.contracts.backend_config import BalancingConfig
from genset.router.backends.balance import STRATEGIES
from genset.router.backends.breaker import Breaker, State
from genset.router.backends.demand import Demand
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.histograms import BackendNumbers
from genset.router.backends.line import Line

_CLOSED: Final = State.CLOSED  # looking up an enumeration's member is slow, and `admit` runs for every request


@final
class Pool:
    """A pool holds the endpoints of one backend and the line before them. Times are monotonic seconds.

    `random` is uniform in [0, 1). `many`: DNS may return several addresses, so that one can fail while its siblings
    work. `probed`: active probes say which endpoints are healthy. `demand` is None for a backend that never rests.
    `prefix_tokens` is how much of a prompt the strategy reads, 0 if none. `parts` are the pools of the backend's adapters, by
    name: each has those of the endpoints on which its adapter is loaded, and the same line.
    """

    __slots__ = (
        "_choose",
        "_most",
        "_numbers",
        "_preset",
        "_probed",
        "_random",
        "_turn",
        "demand",
        "endpoints",
        "line",
        "many",
        "parts",
        "prefix_tokens",
    )

    def __init__(
        self,
        balancing: BalancingConfig,
        random: Callable[[], float],
        numbers: BackendNumbers,
        *,
        many: bool,
        probed: bool,
        demand: Demand | None,
        adapters: Sequence[str] = (),
        told: bool = False,
        line: Line | None = None,
    ) -> None:
        """`told`: endpoints tell which of the `adapters` they have loaded; else each has all of them. `line` is that of the pool
        of which this one is a part; None if it is a whole one."""
        strategy = STRATEGIES[balancing.strategy]
        self._choose = strategy.choose
        self.prefix_tokens = balancing.prefix_tokens if strategy.reads_prompt else 0
        self._most = balancing.max_in_flight_per_endpoint
        self._numbers = numbers
        self._probed = probed
        self._random = random
        self._turn = 0
        self.many = many
        self.demand = demand
        self.endpoints: tuple[Endpoint, ...] = ()
        if line is None:
            line = Line(balancing.max_queued if self._most is not None else 0, balancing.queue_seconds)
        self.line = line
        self._preset: dict[str, int] | None = None  # what each endpoint has loaded, if none of them tells
        if not told and adapters:
            self._preset = {name: number for number, name in enumerate(adapters)}
        self.parts: dict[str, Pool] = {
            name: Pool(balancing, random, numbers, many=many, probed=probed, demand=demand, line=self.line)
            for name in adapters
        }

    def make(self, host: str, port: int) -> Endpoint:
        breaker = Breaker(self._random, probed=self._probed, failback_seconds=0.0)
        made = Endpoint(host, port, breaker, self.line if self._most is not None else None, self.demand)
        if self._preset is not None:
            made.has_loaded(self._preset)
        return made

    def take(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Takes a new set of addresses. Requests at those that left run to their end."""
        for old in self.endpoints:
            if old not in endpoints:
                old.retire()
        self.endpoints = endpoints
        self.share_out()
        self.line.wake()

    def recall(self, before: Pool) -> None:
        """Takes over what endpoints have told an earlier pool of their adapters: they may be too busy to tell it again."""
        told = {endpoint.host: endpoint.loaded for endpoint in before.endpoints}
        for endpoint in self.endpoints:
            if endpoint.loaded is None and (loaded := told.get(endpoint.host)) is not None:
                endpoint.has_loaded(loaded)
        self.share_out()

    def recall_senses(self, before: Pool) -> None:
        """Takes over what endpoints have told an earlier pool of what their model perceives."""
        told = {endpoint.name: endpoint.senses for endpoint in before.endpoints}
        for endpoint in self.endpoints:
            if endpoint.senses is None:
                endpoint.perceives(told.get(endpoint.name))

    @property
    def senses(self) -> frozenset[str]:
        """A pool perceives what each endpoint says that has said anything: while a roll-out runs, the least of both."""
        told = [endpoint.senses for endpoint in self.endpoints if endpoint.senses is not None]
        return frozenset.intersection(*told) if told else frozenset()

    def share_out(self) -> None:
        """Gives each part the endpoints on which its adapter is loaded."""
        for name, part in self.parts.items():
            part.endpoints = tuple(e for e in self.endpoints if e.loaded is not None and name in e.loaded)

    @property
    def rests(self) -> bool:
        """A pool rests if no endpoint is healthy and a request would wake one.

        A backend that can be woken and has lost its endpoints looks the same.
        """
        return self.demand is not None and not any(e.healthy for e in self.endpoints)

    @property
    def may_answer(self) -> bool:
        """A pool may answer if it has an endpoint that no probe has found unhealthy."""
        return any(endpoint.healthy is not False for endpoint in self.endpoints)

    def admits(self, now: float) -> bool:
        """Returns whether a usable endpoint has a place, and nobody waits for it."""
        return any(self.is_usable(endpoint, now) for endpoint in self._with_place())

    def admit(self, now: float, key: int | None, *, first: bool) -> Endpoint | None:
        """Returns the endpoint for a request, or None if `admits` says no.

        `key` stands for the prompt and is needed if `prefix_tokens` is not 0. `first`: the request is first in line.
        """
        endpoints: Sequence[Endpoint] = self.endpoints
        if self._most is not None:
            endpoints = self._with_place(first=first)
        elif len(endpoints) == 1:
            endpoint = endpoints[0]
            well = endpoint.breaker.state is _CLOSED and endpoint.healthy is not False
            return endpoint if well or self.is_usable(endpoint, now) else None
        usable = [
            endpoint
            for endpoint in endpoints
            if (endpoint.healthy and endpoint.breaker.state is _CLOSED) or self.is_usable(endpoint, now)
        ]
        return self._chosen(usable, key)

    def is_full(self, now: float) -> bool:
        """Returns whether only the lack of a place keeps a request out.

        Every usable endpoint is at its bound, or others wait already.
        """
        most = self._most
        if most is None:
            return False
        well = [endpoint for endpoint in self.endpoints if self.is_usable(endpoint, now)]
        return bool(well) and (len(self.line) > 0 or all(endpoint.in_flight >= most for endpoint in well))

    def has_place(self) -> bool:
        """Returns whether any endpoint, usable or not, has a place for whoever is first in line."""
        return bool(self._with_place(first=True))

    def pick(self, now: float, key: int | None = None) -> Endpoint | None:
        """Returns the endpoint for a last resort: a usable one if possible, else any; None if none has a place."""
        there = self._with_place(first=True)
        return self._chosen([endpoint for endpoint in there if self.is_usable(endpoint, now)] or there, key)

    def sibling(self, now: float, avoid: Collection[Endpoint], key: int | None = None) -> Endpoint | None:
        """Returns another usable endpoint with a place; None if there is none."""
        there = self._with_place(first=True)
        return self._chosen([e for e in there if e not in avoid and self.is_usable(e, now)], key)

    def has_sibling(self, now: float, avoid: Collection[Endpoint]) -> bool:
        """Returns whether `sibling` would find an endpoint."""
        return any(e not in avoid and self.is_usable(e, now) for e in self._with_place(first=True))

    def has_other(self, endpoint: Endpoint, now: float) -> bool:
        """Returns whether another endpoint is usable, with a place or without."""
        return any(e is not endpoint and self.is_usable(e, now) for e in self.endpoints)

    def is_usable(self, endpoint: Endpoint, now: float) -> bool:
        """Returns whether this endpoint is usable as far as its probes and its breaker know."""
        healthy = endpoint.healthy
        if healthy:
            return endpoint.breaker.admits(now)
        if healthy is None:  # unknown: just started, or never probed
            if self._probed and any(other.healthy for other in self.endpoints):
                return False
            return endpoint.breaker.admits(now)
        return False

    def _chosen(self, among: Sequence[Endpoint], key: int | None) -> Endpoint | None:
        self._turn += 1
        return self._choose(among, self._turn, key, self._numbers) if among else None

    def _with_place(self, *, first: bool = False) -> Sequence[Endpoint]:
        """Returns the endpoints below their bound. There are none while others wait, except for the `first` of these."""
        most = self._most
        if most is None:
            return self.endpoints
        if self.line and not first:
            return ()
        return [endpoint for endpoint in self.endpoints if endpoint.in_flight < most]
