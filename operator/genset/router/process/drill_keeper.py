"""The drill keeper looks for orders of drills, runs them one at a time, and writes down how each has ended."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace

import orjson
from pydantic import ValidationError

from genset.contracts.drill import RUN, DrillOrder, DrillPhase, DrillReport, record_hash
from genset.router.backends.breaker import State
from genset.router.backends.credentials import Credentials
from genset.router.drills.live import LiveShare
from genset.router.drills.run import DEFAULT, DrillRun, RunTimes
from genset.router.drills.world import Around, DrillWorld
from genset.router.exchange.reception import Reception
from genset.router.http.egress import spool_line
from genset.router.process.reload import POLL_SECONDS, ConfigSource
from genset.router.process.spool_keeper import SpoolKeeper
from genset.router.routing.table import Table
from genset.router.watch.outage_watch import OutageWatch

log = logging.getLogger(__name__)


class DrillKeeper:
    """The keeper runs what its source orders. `report` is how far that is; None while nothing is ordered.

    An order that is there when the router starts is not run: the router has not seen its beginning.
    """

    def __init__(
        self,
        source: ConfigSource,
        around: Around,
        reception: Reception,
        outages: OutageWatch,
        kept: SpoolKeeper,
        times: RunTimes = DEFAULT,
    ) -> None:
        self.kept = kept
        self._source = source
        self._around = around
        self._reception = reception
        self._outages = outages
        self._times = times
        self._credentials: Credentials | None = None
        self._order: bytes | None = None
        self._run: DrillRun | None = None
        self._ended: DrillReport | None = None
        self._task: asyncio.Task[None] | None = None
        self._number = 0

    @property
    def report(self) -> DrillReport | None:
        return self._run.report if self._run is not None else self._ended

    def take(self, table: Table, credentials: Credentials) -> None:
        """Takes what a configuration in force has. One that says something else ends a drill."""
        before, self._credentials = self._reception.table, credentials
        if self._run is not None and before is not None and before.hash != table.hash:
            self._run.abort("the policy's configuration was changed")

    def start(self) -> None:
        """Takes note of the order that is there before the router has been."""
        self._order = self._source.drill()
        if self._order is not None and (order := _read(self._order)) is not None:
            self._finish(order, DrillReport(order.id, DrillPhase.ABORTED, "this router has started in mid-drill"))

    async def keep(self) -> None:
        """Looks for orders until cancelled."""
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                self._look()
        finally:
            if self._task is not None:
                self._task.cancel()

    def _look(self) -> None:
        found = self._source.drill()
        if found == self._order:
            return
        self._order = found
        if self._run is not None:
            self._run.abort("it was called off" if found is None else "another drill was ordered")
        else:
            self._ended = None
            self._begin()

    def _begin(self) -> None:
        """Begins what is ordered, unless another run has still to end."""
        order = _read(self._order) if self._order is not None else None
        table = self._reception.table
        if order is None or table is None or self._credentials is None:
            return
        log.info("Began drill %s (%s): takes %s away, %s", order.name, order.id, ", ".join(order.takes), order.fault)
        world = DrillWorld(self._around, table, self._credentials, order)
        live: LiveShare | None = None
        if order.live is not None:
            connector = self._around.shared.connector
            live = LiveShare(order, order.live, world, self._reception, connector, random.random)
        self._run = DrillRun(order, world, self._outage, self._times, live)
        self._task = asyncio.get_running_loop().create_task(self._go(self._run))

    async def _go(self, run: DrillRun) -> None:
        ordered = self._order
        await run.go()
        self._run = self._task = None
        self._finish(run.order, run.report)
        if self._order != ordered:  # it was told meanwhile to do something else
            self._ended = None
            self._begin()

    def _finish(self, order: DrillOrder, report: DrillReport) -> None:
        """Writes down how a run has ended, as evidence."""
        told = {"order": orjson.loads(order.canonical_json()), "phase": report.phase, "why": report.why}
        told["measured"] = report.measured.to_document()
        told["router"] = self._around.shared.configured.site.decode()
        self._number += 1
        line = {
            "kind": RUN,
            "n": self._number,
            "time": round(self._around.shared.wall(), 3),
            "request": order.id,
            **told,
        }
        body = orjson.dumps(line, option=orjson.OPT_SORT_KEYS)
        table = self._reception.table
        if table is not None:
            self.kept.opened(table.config.policy).add(spool_line(body), self._around.shared.now())
        self._ended = replace(report, evidence=record_hash(body))
        log.info("Ended drill %s (%s): %s %s", order.name, order.id, report.phase, report.why)

    def _outage(self) -> str:
        """Names what is really down, as the router sees it that serves clients."""
        down = next(self._outages.down(), None)
        if down is not None:
            return f"{down.scope} {down.backend} {down.detail}".replace("  ", " ")
        table, now = self._reception.table, self._around.shared.now()
        for name, backend in table.backends.items() if table is not None else ():
            if backend.breaker.view(now) is State.OPEN:
                return f"backend {name} is passed over"
        return ""


def _read(text: bytes) -> DrillOrder | None:
    try:
        return DrillOrder.from_json(text)
    except ValidationError as problem:
        log.error("Ignored the order of a drill that this router cannot read: %s", problem.errors()[:1])
        return None
