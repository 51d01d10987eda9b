"""A live drill has a share of clients' requests take the drilled way, and lets none of them be lost by that.

Such a request is one like any other: consumer, limits, zones, budgets and records are its own. Only the backends that the
drill takes away are in its list as the drill's world has them, so that breakers and switches of the others hear nothing of the
fault. If nobody else answers it, the machine goes back to those backends as they are (`RequestMachine.go_back`). What would have
become of it in an outage counts: such a request is spared, not answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, final

from genset.continuity.drills.measure import Probe
from genset.contracts.drill import DrillOrder, LiveOrder
from genset.router.clock import SWEEP_SECONDS
from genset.router.drills.world import DrillWorld
from genset.router.exchange.diversion import Diversion
from genset.router.exchange.exchange import Exchange
from genset.router.exchange.reception import Reception
from genset.router.exchange.record import Record
from genset.router.http.connect import Connector
from genset.router.http.request import DEADLINE_HEADER, TIMEOUT_HEADER
from genset.router.machine.decisions import Candidate, Phase
from genset.router.routing.plan import Plan

DRILLED_SHARE: Final = 0.5  # of the time that its route gives a request, after which the drill lets it go
MOST_PER_SECOND: Final = 20  # of a router's requests: more would show nothing new, and each is kept until the end
LEAST_FOR_RATE: Final = 10  # requests that have ended, before a share of them says anything

log = logging.getLogger(__name__)


class _Tally:
    """A tally counts what has become of the requests that were taken, against what the order allows."""

    def __init__(self, live: LiveOrder) -> None:
        self._live = live
        self._ended, self._failed, self._lost = 0, 0, 0
        self._second, self._taken = 0, 0  # of the clock, and those taken in it

    def draws(self, now: float, chance: float) -> bool:
        """Draws whether a request is taken. `chance`: a number in [0, 1) that the lot has given it."""
        if 100 * chance >= self._live.share:
            return False
        second = int(now)
        self._second, self._taken = second, self._taken + 1 if second == self._second else 1
        return self._taken <= MOST_PER_SECOND

    def ended(self, *, failed: bool, lost: bool) -> None:
        """Counts one that has ended."""
        self._ended += 1
        self._failed += failed
        self._lost += lost

    def why_stop(self, spared: int) -> str:
        """Says why the drill has to end; "" if it has not. `spared`: those in work that were spared already."""
        live, lost = self._live, self._lost + spared
        if lost >= live.lost:
            return f"{lost} requests of clients would have been lost (stopWhen.lost is {live.lost})"
        if self._ended >= LEAST_FOR_RATE and 100 * self._failed >= live.error_rate * self._ended:
            told = f"stopWhen.errorRate is {live.error_rate}"
            return f"{self._failed} of {self._ended} requests of clients have failed ({told})"
        return ""


@final
class LiveShare(Diversion):
    """A live share diverts from `begin` to `end`. `chance` is uniform in [0, 1).

    `why_stop` says why the drill has to end; "" if it has not.
    """

    def __init__(
        self,
        order: DrillOrder,
        live: LiveOrder,
        world: DrillWorld,
        reception: Reception,
        connector: Connector,
        chance: Callable[[], float],
    ) -> None:
        self.line = b"x-genset-drill: %b\r\n" % order.name.encode()
        self.why_stop = ""
        self._order = order
        self._tally = _Tally(live)
        self._world = world
        self._reception = reception
        self._connector = connector
        self._chance = chance
        self._views: dict[Candidate, Candidate] = {}
        self._running: set[Exchange] = set()
        self._let_go: set[Exchange] = set()  # the fault was lifted before anybody had answered them
        self._on = False
        self._then: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    # What the reception asks

    def takes(self, plan: Plan, record: Record) -> bool:
        """Takes a share of the requests whose first choice is taken away, unless their clients are in a hurry: what time the
        drill needs, the route gives them once more."""
        if plan.candidates[0].backend.name not in self._order.takes:
            return False
        if TIMEOUT_HEADER in record.headers or DEADLINE_HEADER in record.headers:
            return False
        if not self._tally.draws(record.received, self._chance()):
            return False
        plan.go_through([self._view_of(candidate) for candidate in plan.candidates])
        record.takes_part(self._order.name)
        return True

    def follows(self, exchange: Exchange) -> None:
        self._running.add(exchange)

    def _view_of(self, candidate: Candidate) -> Candidate:
        backend = candidate.backend
        if backend.name not in self._order.takes:
            return candidate
        view = self._views.get(candidate)
        if view is None:
            seen = self._world.view_of(backend)
            view = Candidate(seen, candidate.tier, candidate.evidence, candidate.zone, candidate)
            self._views[candidate] = view
            self._connector.detour((seen.target,), self._world.connector)
        return view

    # What the run does

    def begin(self) -> None:
        """Diverts what comes from now on."""
        self._on = True
        self._reception.divert(self)
        self._task = self._world.shared.loop.create_task(self._look_forever())

    def end(self) -> None:
        """Diverts nothing any more, and lets those go whom nobody answers yet."""
        if self._on:
            self._on = False
            self._reception.divert(None)
            self._look()
            for exchange in list(self._running):
                if exchange.machine.phase == Phase.SELECT or _is_from_there(exchange):
                    self._let_go.add(exchange)
                    exchange.go_back()

    def leave(self, then: Callable[[], None]) -> None:
        """Calls `then`, which ends the drill's world, as soon as no answer to a client comes from there."""
        self.end()
        if any(_is_from_there(exchange) for exchange in self._running):
            self._then = then
        else:
            then()

    # Those that it has taken

    async def _look_forever(self) -> None:
        while self._on or self._running:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self._look()
            except Exception:
                log.exception("Failed to look after the requests of drill %s", self._order.name)
        self._connector.detour([view.backend.target for view in self._views.values()], None)
        if self._then is not None:
            self._then()

    def _look(self) -> None:
        """Counts those that have ended, and lets those go that the drill has had for long enough."""
        now = self._world.shared.now()
        for exchange in list(self._running):
            if exchange.ended:
                self._running.discard(exchange)
                self._count(exchange, now)
            elif now - exchange.record.received >= DRILLED_SHARE * exchange.machine.settings.total_seconds:
                exchange.go_back()
        self.why_stop = self._tally.why_stop(sum(self._is_spared(exchange) for exchange in self._running))

    def _is_spared(self, exchange: Exchange) -> bool:
        """Returns whether the request went back to what is taken away, although the fault was there."""
        return not exchange.machine.facts.drilled and exchange not in self._let_go

    def _count(self, exchange: Exchange, now: float) -> None:
        record, machine, spared = exchange.record, exchange.machine, self._is_spared(exchange)
        self._let_go.discard(exchange)
        whole = not record.word and record.status == 200
        if record.word.startswith(("caller_", "policy_")) and not spared:
            gone = record.word == "caller_gone" and not record.first_token  # perhaps the drill took too long
            if gone:
                self._tally.ended(failed=True, lost=False)
            return
        candidate = machine.candidate
        probe = Probe(
            record.route,
            record.received,
            record.first_token or (now if whole else None),
            now,
            whole,
            candidate.backend.name if candidate is not None else "",
            candidate.tier if candidate is not None else 0,
            machine.continuing,
            True,
            spared,
        )
        self._world.observer.heard(probe)
        self._tally.ended(failed=not probe.answered, lost=not probe.answered)


def _is_from_there(exchange: Exchange) -> bool:
    candidate = exchange.machine.candidate
    return candidate is not None and candidate.real is not None
