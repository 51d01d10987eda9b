"""A run is one drill in one router: peace, the fault, the recovery, and what was measured of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from genset.continuity.drills.judge import not_in_peace, verdict
from genset.continuity.drills.measure import FaultWindow, measure
from genset.contracts.drill import DrillOrder, DrillPhase, DrillReport, Measured
from genset.router.backends.backend import Backend
from genset.router.dialects.openai.api import Api
from genset.router.drills.asking import Asking, drill_requests
from genset.router.drills.live import LiveShare
from genset.router.drills.world import DrillWorld

TICK_SECONDS: Final = 0.02  # between two looks: by so much times are wrong
MEASURE_SECONDS: Final = 0.25  # between two reckonings, which take longer with each request
SETTLE_SECONDS: Final = 2.0  # in which what was asked in peace has to be answered before the fault


@dataclass(frozen=True, slots=True)
class RunTimes:
    """The times are seconds. `baseline`: in which peace has to show. `recovery`: for what was taken away to answer again."""

    baseline: float = 20.0
    recovery: float = 90.0


DEFAULT: Final = RunTimes()

log = logging.getLogger(__name__)


class Aborted(Exception):
    """The run has ended before its end. The message says why."""


class DrillRun:
    """A run tells how far it is by `report`. `outage` names a real outage that is going on; "" if there is none.

    `live` diverts requests of clients while the fault is there; None: they meet nothing of it.
    """

    def __init__(
        self,
        order: DrillOrder,
        world: DrillWorld,
        outage: Callable[[], str],
        times: RunTimes = DEFAULT,
        live: LiveShare | None = None,
    ) -> None:
        self.order = order
        self.report = DrillReport(order.id, DrillPhase.BASELINE)
        self._world = world
        self._outage = outage
        self._times = times
        self._live = live
        self._why = ""  # it is to end
        self._faults = 0.0, 0.0  # when the fault began and was lifted
        self._detected: float | None = None
        self._measured_at = 0.0

    def abort(self, why: str) -> None:
        """Ends the run at the next look."""
        self._why = self._why or why

    async def go(self) -> None:
        """Runs to its end, whatever that is. `report` is complete then."""
        world = self._world
        try:
            phase, why = await self._go()
        except Aborted as problem:
            phase, why = DrillPhase.ABORTED, str(problem)
        except Exception:
            log.exception("Failed to run drill %s", self.order.name)
            phase, why = DrillPhase.ABORTED, "the router failed; its log tells how"
        finally:
            if self._live is not None:
                self._live.leave(world.stop)
            else:
                world.stop()
        self.report = DrillReport(self.order.id, phase, why, self._measured())

    async def _go(self) -> tuple[DrillPhase, str]:
        world, order = self._world, self.order
        taken = world.takes(frozenset(order.takes))
        self._look()
        await world.start()
        asked = drill_requests(world, order)
        if not asked:
            raise Aborted("no route asks first for what the drill takes away")
        asking = Asking(world, order, asked)
        task = asyncio.get_running_loop().create_task(asking.go_on())
        patience = 0.0  # of a run that is called off: nobody waits for its answers
        try:
            await self._peace({request.route for request in asked})
            await self._fault(taken)
            await self._recovery(taken)
            patience = SETTLE_SECONDS
        finally:
            task.cancel()
            await asking.settle(patience)
        return verdict(self._measured(), order.objective, world.faults.met)

    async def _peace(self, routes: set[str]) -> None:
        now = self._world.shared.now
        until = now() + self._times.baseline
        while why := not_in_peace(self._world.observer.probes, routes, self.order.takes, now()):
            if now() >= until:
                raise Aborted(f"it did not begin: {why}")
            await self._tick()

    async def _fault(self, taken: list[Backend]) -> None:
        world = self._world
        now = world.shared.now
        began = now()
        self._faults = began, began + self.order.seconds
        self._at(DrillPhase.FAULT)
        world.faults.begin()
        if self._live is not None:
            self._live.begin()
        while now() < self._faults[1]:
            if self._detected is None and not any(_is_asked(backend, now()) for backend in taken):
                self._detected = now()
            self._at(DrillPhase.FAULT)
            await self._tick()
        self._faults = began, now()
        if self._live is not None:
            self._live.end()
        world.faults.end()

    async def _recovery(self, taken: list[Backend]) -> None:
        now = self._world.shared.now
        until = now() + self._times.recovery
        while now() < until:
            self._at(DrillPhase.RECOVERY)
            if self.report.measured.give_back is not None:
                return
            await self._tick()

    async def _tick(self) -> None:
        await asyncio.sleep(TICK_SECONDS)
        self._look()

    def _look(self) -> None:
        if self._why:
            raise Aborted(self._why)
        if real := self._outage():
            raise Aborted(f"a real outage: {real}")
        if self._live is not None and self._live.why_stop:
            raise Aborted(self._live.why_stop)

    def _at(self, phase: DrillPhase) -> None:
        now = self._world.shared.now()
        if phase != self.report.phase or now - self._measured_at >= MEASURE_SECONDS:
            self._measured_at = now
            self.report = DrillReport(self.order.id, phase, "", self._measured())

    def _measured(self) -> Measured:
        began, lifted = self._faults
        if not began:
            return Measured()
        return measure(self._world.observer.probes, FaultWindow(began, lifted, self._detected), self.order.takes)


def _is_asked(backend: Backend, now: float) -> bool:
    """Returns whether a chat would be sent there first."""
    return backend.admits(now) and backend.refusals.of(Api.CHAT.path, now) is None
