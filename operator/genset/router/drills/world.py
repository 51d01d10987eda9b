"""The world of a drill is a second view of the backends of one table, in which a fault may be injected.

Breakers, outage switches, pools, connections, failure books and the gate are its own: what the fault does to them, requests of
clients never see. What it shares is nothing that failover decides by: the loop and the clock, names that DNS has given,
credentials, the demand for models at rest, which a drill wakes as an outage would, and the books of what is used and what leaves
the house.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass

from genset.contracts.backend_config import BackendConfig
from genset.contracts.drill import DrillOrder
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.backends.deadlines import AnswerTimeouts
from genset.router.backends.demand import Demands
from genset.router.clock import SWEEP_SECONDS
from genset.router.drills.drill_observer import DrillObserver
from genset.router.drills.faulty_connector import FaultyConnector
from genset.router.drills.wire import CUT_AFTER_EVENTS, Faults
from genset.router.exchange.reception import Reception
from genset.router.exchange.record import Record
from genset.router.http.client_timeouts import ClientTimeouts
from genset.router.http.downstream import ClientConnection
from genset.router.http.outbox import Outbox
from genset.router.machine.patience import Timeouts
from genset.router.routing.gate import most_body_bytes, room_bytes
from genset.router.routing.table import Table
from genset.router.shared import Configured, Shared
from genset.router.watch.endpoint_watch import Watcher
from genset.router.watch.identity_watch import IdentityWatch
from genset.router.watch.outage_watch import OutageWatch
from genset.router.watch.overdue import look_after
from genset.router.watch.verify import VerifyTimeouts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Around:
    """This is the router around a drill: what its world shares, and how it is made.

    `used` books what a request of a drill has used, by its name; `paid` what a cloud has answered to the router itself. `hide`
    keeps a token secret. `proof` is the file of the pod's own identity.
    """

    shared: Shared
    demands: Demands
    used: Callable[[Record, float, str], None]
    paid: Callable[[Backend, str, bytes], None]
    hide: Callable[[bytes], None]
    proof: str
    shortcuts: bool
    attempts: Timeouts
    answers: AnswerTimeouts
    clients: ClientTimeouts
    verify: VerifyTimeouts
    cloud_probe: float


class DrillWorld:
    """A world is used between `start` and `stop`. `table` is its own, with backends of its own."""

    def __init__(self, around: Around, live: Table, credentials: Credentials, order: DrillOrder) -> None:
        loop, shared = asyncio.get_running_loop(), around.shared
        self._around = around
        self._credentials = credentials
        # Streams of clients break off before anything of them has gone out: nobody might be able to write on.
        self.faults = Faults(order.fault, CUT_AFTER_EVENTS if order.live is None else 0)
        self.observer = DrillObserver(lambda record, now: around.used(record, now, order.name))
        self.connector = FaultyConnector(shared.connector.resolver, Outbox(loop), self.faults)
        self.connector.guard(shared.connector.off_limits)
        self.shared = Shared(loop, shared.clock, shared.wall, self.connector, self.observer)
        self.outages = OutageWatch(shared.now, shared.wall, around.cloud_probe)
        self.reception = Reception(self.shared, self.observer, random.random, around.attempts)
        backends = {config.name: self._backend(config) for config in live.config.backends}
        self._adapters = {
            name: {
                adapter: self._backend(backend.config.model_copy(update={"model": adapter}), backend)
                for adapter in backend.config.adapters
            }
            for name, backend in backends.items()
            if backend.config.adapters
        }
        self.table = Table(live.config, backends, live.hash, self._adapters)
        self._take()
        self._watchers: list[Watcher] = []
        self._sweep: asyncio.Task[None] | None = None

    def view_of(self, backend: Backend) -> Backend:
        """Returns this world's view of a backend that serves clients."""
        whole = self.table.backends[backend.name]
        return self._adapters[backend.name][backend.config.model] if backend.is_adapter else whole

    def takes(self, names: frozenset[str]) -> list[Backend]:
        """Says whose connections meet the fault. Returns these backends."""
        taken = [backend for name, backend in self.table.backends.items() if name in names]
        adapters = [one for name, found in self._adapters.items() if name in names for one in found.values()]
        self.faults.take(frozenset(backend.target for backend in (*taken, *adapters)))
        return taken

    async def start(self) -> None:
        """Looks at the backends, as a router that begins does."""
        self._watchers = [self._watcher(backend) for backend in self.table.backends.values()]
        await asyncio.gather(*(watcher.start() for watcher in self._watchers))
        self.outages.take(self.table.backends)
        self._sweep = self.shared.loop.create_task(self._sweep_forever())

    def stop(self) -> None:
        """Ends everything, the requests of the drill included."""
        if self._sweep is not None:
            self._sweep.cancel()
        self.faults.stop()
        for connection in list(self.shared.connections):
            connection.close()
        for watcher in self._watchers:
            watcher.stop()
        self.outages.stop()

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Returns a connection to this world. Nobody else can have one: no port leads here."""
        ours, theirs = socket.socketpair()
        loop = self.shared.loop
        await loop.create_connection(
            lambda: ClientConnection(self.shared, self.reception.receive, self._around.clients), sock=theirs
        )
        return await asyncio.open_connection(sock=ours)

    def _take(self) -> None:
        config, configured = self.table.config, self._around.shared.configured
        self.reception.take(self.table, config.limits)
        self.shared.record_egress(self._around.shared.egress)
        self.shared.record_usage(self._around.shared.records_usage)
        self.shared.spend_by(self._around.shared.budgets)
        self.shared.take(
            Configured(
                configured.mask,
                configured.site,
                matched_headers=configured.matched_headers,
                most_body_bytes=config.limits.max_body_bytes,
                room_bytes=room_bytes(config.limits),
            ),
            most_body_bytes(config.limits),
        )

    def _backend(self, config: BackendConfig, whole: Backend | None = None) -> Backend:
        around = self._around
        wakes = config.local.wakes if config.local is not None else None
        return Backend(
            config,
            self._credentials,
            random.random,
            switch=self.outages.switch_of(config.kind),
            demand=around.demands.of(wakes) if wakes else None,
            shortcuts=around.shortcuts,
            timeouts=around.answers,
            whole=whole,
        )

    def _watcher(self, backend: Backend) -> Watcher:
        around, shared = self._around, self.shared
        identity: IdentityWatch | None = None
        if backend.target.identity is not None:
            identity = IdentityWatch(backend, shared.connector, around.proof, around.hide)
        return Watcher(
            backend,
            shared.connector,
            shared.now,
            random.random,
            around.verify,
            adapters=self._adapters.get(backend.name, {}),
            identity=identity,
            paid=around.paid,
        )

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                look_after(self.shared, self.reception, self.reception.abandon)
                self.outages.sweep(self.shared.connector)
            except Exception:
                log.exception("Failed to look after a drill")
