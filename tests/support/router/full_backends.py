"""Full backends have endpoints with as many requests as they may; here others wait for them. No sockets, no time."""

from __future__ import annotations

from typing import Any

from genset.contracts.route_config import ColdStartConfig, FailoverConfig
from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.line import Line
from genset.router.backends.lines import Rank
from genset.router.backends.outcomes import Failure, Outcome
from genset.router.machine.decisions import INTERRUPTED, Answer, Candidate, Interrupt, Try, Wait
from genset.router.machine.facts import Facts
from genset.router.machine.failover_settings import FailoverSettings
from genset.router.machine.machine import RequestMachine
from testbed.router_config import made
from tests.support.router import machines


def house(pods: int = 1, bound: int | None = 1, **balancing: Any) -> Backend:
    return machines.house(pods=pods, bound=bound, **balancing)


def cloud(bound: int | None = None, name: str = "cloud", **balancing: Any) -> Backend:
    return machines.cloud(name, bound=bound, **balancing)


class FakeWire:
    """Stands in for the exchange: does what is decided, and remembers that it was woken."""

    def __init__(
        self,
        *backends: Backend,
        tiers: list[int] | None = None,
        wait: bool = False,
        deadline: float = 600.0,
        origin: str = "",
        rank: int = Rank.NORMAL,
        prompt: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        placed = zip(backends, tiers or range(len(backends)), strict=True)
        candidates = [Candidate(backend, tier, b"") for backend, tier in placed]
        facts = Facts(
            candidates,
            FailoverSettings(made(FailoverConfig, **more), wait_when_full=wait),
            deadline,
            streams=True,
            input_tokens=10,
            random=lambda: 0.5,
            cold_start=made(ColdStartConfig),
            origin=origin,
            prompt=prompt,
            rank=rank,
        )
        self.machine = RequestMachine(facts)
        self.machine.when_free(self._woken)
        self.endpoint: Endpoint | None = None
        self.woken = False
        self.decision: Any = None

    def _woken(self) -> None:
        self.woken = True

    def _do(self, decision: Any) -> str:
        self.decision = decision
        if isinstance(decision, Try):
            self.endpoint = decision.endpoint
            self.endpoint.enter()
            self.machine.connecting()
            return decision.candidate.backend.name
        if isinstance(decision, Wait):
            return f"{decision.reason} until {decision.until:g}"
        if isinstance(decision, Interrupt):
            return f"interrupt {decision.kind.word}"
        assert isinstance(decision, Answer)
        return f"{decision.answer.status} {decision.answer.kind.word}"

    def is_first_in(self, line: Line) -> bool:
        return line.first is not None and line.first is self.machine.candidates.waiter

    def stands_in(self, line: Line) -> bool:
        waiter = self.machine.candidates.waiter
        return waiter is not None and (waiter in line._waiting or waiter in line._ahead)

    def vacate(self) -> None:
        endpoint, self.endpoint = self.endpoint, None
        if endpoint is not None:
            endpoint.leave()

    def begin(self, now: float = 0.0) -> str:
        return self._do(self.machine.begin(now))

    def resume(self, now: float) -> str:
        self.woken = False
        return self._do(self.machine.resume(now))

    def commit(self, now: float) -> None:
        """Gives the client its first token."""
        self.machine.sent(now)
        self.machine.head()
        self.machine.committed(now)

    def failed(self, now: float, outcome: Outcome = Outcome.UNREACHABLE, **more: Any) -> str:
        self.vacate()
        return self._do(self.machine.failed(now, Failure(outcome, "failed", **more)))

    def broke(self, now: float) -> str:
        self.vacate()
        return self._do(self.machine.broke(now, Failure(Outcome.INTERRUPTED, "failed"), INTERRUPTED))

    def done(self, now: float) -> None:
        self.vacate()
        self.machine.succeeded(now)


def busy(backend: Backend, count: int | None = None) -> None:
    """Has all endpoints work on `count` requests of others (as many as they may, if None)."""
    for endpoint in backend.endpoints:
        endpoint.in_flight = count if count is not None else (backend.config.balancing.max_in_flight_per_endpoint or 0)
