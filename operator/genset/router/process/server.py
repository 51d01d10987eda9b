"""The router is composed here: listeners, the table in force, the sweep, the drain.

Everything runs on one event loop in one process; a pod is scaled by replicas. Nothing here knows of Kubernetes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from genset.contracts.backend_config import BackendConfig
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials, MissingCredential
from genset.router.backends.demand import Demands
from genset.router.backends.mask import Mask, secrets_of
from genset.router.clock import Clock
from genset.router.drills.world import Around
from genset.router.errors import ConfigRejected, error
from genset.router.exchange.reception import Reception
from genset.router.http.accept import Acceptor
from genset.router.http.callers import Proxies
from genset.router.http.connect import Connector, Resolver
from genset.router.http.cors import Cors
from genset.router.http.downstream import ClientConnection
from genset.router.http.outbox import Outbox
from genset.router.http.scarce import close_somebody
from genset.router.process.admin import AdminPort
from genset.router.process.admission import Admission, Prepared
from genset.router.process.announce import introduction, taken
from genset.router.process.budget_keeper import BudgetKeeper
from genset.router.process.drill_keeper import DrillKeeper
from genset.router.process.egress_keeper import EgressKeeper
from genset.router.process.exposition import exposition
from genset.router.process.ledger_sender import LedgerSender
from genset.router.process.options import ServerOptions as ServerOptions
from genset.router.process.parts import Parts
from genset.router.process.reload import POLL_SECONDS, ConfigSource, LoadedConfig, check, is_in_pod, off_limits
from genset.router.process.spool_keeper import SpoolKeeper
from genset.router.process.sweep import sweep_forever
from genset.router.process.usage_keeper import UsageKeeper
from genset.router.routing.gate import most_body_bytes, room_bytes
from genset.router.routing.sensitive import prepare
from genset.router.routing.table import Table
from genset.router.routing.zones import reachable
from genset.router.shapes.cues import prepared as prepare_cues
from genset.router.shapes.language import model as language_model
from genset.router.shared import Configured, Shared
from genset.router.telemetry.journal import Journal
from genset.router.telemetry.metrics import Metrics
from genset.router.telemetry.observer import Telemetry
from genset.router.telemetry.wanted import Traces
from genset.router.watch.endpoint_watch import Watcher
from genset.router.watch.identity_watch import VARIABLE, IdentityWatch
from genset.router.watch.outage_watch import OutageWatch
from genset.times import rfc3339

log = logging.getLogger(__name__)

BACKLOG: Final = 4096  # connections that the kernel holds until they are accepted
ADMIN_BACKLOG: Final = 128  # connections to the admin port that the kernel holds until they are accepted
DRAIN_LOOK_SECONDS: Final = 0.05  # between two looks whether a drain is done
BUDGETS_SECONDS: Final = 3.0  # that a start waits for the ledger's word on what was spent
LATECOMER_SECONDS = 1.0  # after the grace, without a new connection: then the Service has forgotten this pod
LATECOMERS_MOST_SECONDS = 15.0  # after SIGTERM, in which new connections are taken at most


class Router:
    """A router is everything of one router put together; it exists within a running event loop.

    `load` takes its first configuration, `listen` lets clients in.
    """

    def __init__(
        self,
        source: ConfigSource,
        options: ServerOptions,
    ) -> None:
        self._source = source
        self._fingerprint: object = None  # of the source, when it was last loaded
        self._options = options
        loop, bounds, wall = asyncio.get_running_loop(), options.bounds, time.time
        metrics = Metrics()
        traces = Traces(metrics.spans, options.environment, wall, bounds.traces)
        telemetry = Telemetry(metrics, Journal(wall, bounds.log), traces)
        connector = Connector(Resolver(), Outbox(loop))
        self.shared = Shared(loop, Clock(time.monotonic, self._stood_still), wall, connector, telemetry)
        self.reception = Reception(self.shared, telemetry, random.random, bounds.attempts)
        spools = [
            SpoolKeeper(kind, options.spool, options.environment, wall, time.monotonic)
            for kind in ("egress", "usage", "drill")
        ]
        outages, demands = OutageWatch(self.shared.now, wall, bounds.cloud_probe), Demands()
        around = self._around(demands, telemetry)
        self.parts = Parts(
            self.shared,
            self.reception,
            telemetry,
            outages,
            EgressKeeper(spools[0]),
            UsageKeeper(spools[1]),
            LedgerSender(options.spool, lambda: [one.spool for one in spools if one.spool is not None]),
            BudgetKeeper(options.spool, spools[1].incarnation, wall, self.shared.now),
            demands,
            DrillKeeper(source, around, self.reception, outages, spools[2], bounds.drills),
        )
        self.admin = AdminPort(self.parts, exposition(self.parts), bounds.admin)
        self._watchers: dict[str, Watcher] = {}
        self._credentials_used: dict[str, object] = {}
        self._admission = Admission(wall, self.shared.now, connector.resolver)
        self._acceptor = Acceptor(
            lambda: ClientConnection(self.shared, self.reception.receive, bounds.clients),
            lambda: close_somebody(self.shared),
        )
        self._admin_acceptor = Acceptor(self.admin.connect, lambda: close_somebody(self.shared), keeps_back=False)
        self._tasks: list[asyncio.Task[None]] = []
        self._hangup = asyncio.Event()

    def _around(self, demands: Demands, telemetry: Telemetry) -> Around:
        """Returns what a drill shares with the router."""
        options = self._options
        bounds, proof = options.bounds, options.environment.get(VARIABLE, "")
        return Around(
            self.shared,
            demands,
            telemetry.drilled,
            telemetry.paid,
            self._hide,
            proof,
            options.shortcuts,
            bounds.attempts,
            bounds.answers,
            bounds.clients,
            bounds.verify,
            bounds.cloud_probe,
        )

    @property
    def listen_port(self) -> int:
        """Returns the port that clients connect to; 0 until there is one."""
        return self._acceptor.port

    @property
    def admin_port(self) -> int:
        return self._admin_acceptor.port

    def _stood_still(self, seconds: float) -> None:
        log.warning("Stood still for %.1f s: this process did not run. Every deadline is later by as much", seconds)
        self.reception.stood_still(seconds)

    # Life cycle

    async def load(self) -> None:
        """Takes the first configuration, or notes why there is none. Raises ConfigRejected if there must be one."""
        self.parts.telemetry.journal.open(self._options.access_log)
        self._fingerprint = self._source.fingerprint()
        if not await self.reload() and self._options.must_load:
            self.shared.connector.resolver.close()
            raise ConfigRejected(self.reception.problem)

    async def listen(self) -> None:
        """Takes clients from now on, and begins to sweep."""
        options, loop = self._options, self.shared.loop
        if self.shared.budgets is not None:
            await self._hear_of_budgets()
        if options.admin is not None:
            await self._admin_acceptor.listen(*options.admin, ADMIN_BACKLOG)
        await self._acceptor.listen(*options.listen, BACKLOG)
        self.parts.listening = True
        self.parts.drills.start()
        self._tasks = [
            loop.create_task(self._watch_source()),
            loop.create_task(self.parts.egress.kept.keep()),
            loop.create_task(self.parts.usage.kept.keep()),
            loop.create_task(self.parts.drills.kept.keep()),
            loop.create_task(self.parts.drills.keep()),
            loop.create_task(self.parts.ledger.send_forever()),
            loop.create_task(self.parts.budgets.keep()),
            loop.create_task(sweep_forever(self.parts, self.admin)),
        ]
        table = self.reception.table
        config = table.config if table is not None else None
        for line in introduction(options, config, self.listen_port, self.admin_port):
            options.tell(line)

    async def _hear_of_budgets(self) -> None:
        """Asks the ledger what was spent before anybody is let in; without it, this router goes by what it knows."""
        try:
            async with asyncio.timeout(BUDGETS_SECONDS):
                await self.parts.ledger.round()
        except TimeoutError:
            log.warning("Did not hear from the ledger what was spent of budgets")

    async def stop(self) -> None:
        """Ends everything at once; what still runs is cut off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._acceptor.close()
        self._admin_acceptor.close()
        for exchange in list(self.reception.exchanges):
            exchange.give_up(error("router_draining", "the router is shutting down; send the request again"))
        for connection in list(self.shared.connections):
            connection.close()
        self.admin.close()
        for watcher in self._watchers.values():
            watcher.stop()
        self.parts.outages.stop()
        self._admission.stop()
        self.shared.connector.resolver.close()
        await asyncio.sleep(0)
        await self.parts.telemetry.close()
        await self.parts.ledger.finish()
        self.parts.egress.kept.close()
        self.parts.usage.kept.close()
        self.parts.budgets.close()
        self.parts.drills.kept.close()

    async def drain(self) -> None:
        """Drains the router: it is not ready any more, takes late connections, and lets running answers end.

        New connections are taken during the grace, and for as long as they keep coming; answers may run until
        `drainSeconds`. A request that is still arriving will be answered, and an answer that its client is still
        reading counts as running.
        """
        shared, exchanges = self.shared, self.reception.exchanges
        shared.drain()
        log.info("Began to drain with %d requests in work", len(exchanges))
        started = shared.now()
        await asyncio.sleep(self._options.drain_grace)
        table = self.reception.table
        most = table.config.limits.drain_seconds if table is not None else 0.0
        # A busy node follows a Service late, and a client that came to a pod that is gone would wait in vain.
        latest = min(most, LATECOMERS_MOST_SECONDS)
        while shared.loop.time() - self._acceptor.accepted_at < LATECOMER_SECONDS and shared.now() - started < latest:
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
        self._acceptor.close()
        while True:
            for connection in list(shared.connections):
                connection.close_idle()
            if shared.now() - started >= most or not (exchanges or any(c.busy for c in shared.connections)):
                break
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
        log.info("Drained with %d requests left", len(exchanges))

    def hang_up(self) -> None:
        """Looks for a new configuration now, changed or not (SIGHUP)."""
        self._hangup.set()

    # Configuration

    async def reload(self) -> bool:
        """Takes the source's configuration if all of it can be served; otherwise the last good one stays."""
        connector, options = self.shared.connector, self._options
        guarded = connector.off_limits
        watchers: dict[str, Watcher] = {}
        try:
            loaded = self._source.load()
            loaded = replace(loaded, config=reachable(loaded.config))
            check(loaded.config, options.listen, self.listen_port, options.environment)
            forbidden = off_limits(loaded.config, not options.must_load, options.environment)
            admitted = self._admission.prepare(loaded.config, loaded.credentials, forbidden)
            connector.guard(forbidden)  # before the watchers of new backends dial
            backends, fresh = self._backends(loaded)
            if any(route.sensitive is not None for route in loaded.config.routes):
                await asyncio.to_thread(prepare, loaded.config)
            if any(route.match.shape is not None and route.match.shape.languages for route in loaded.config.routes):
                await asyncio.to_thread(language_model)
            if any(route.match.shape is not None and route.match.shape.tasks for route in loaded.config.routes):
                await asyncio.to_thread(prepare_cues)
            await self.parts.telemetry.traces.take(loaded.config, forbidden, loaded.credentials)
            adapters = self._adapters(backends, fresh, loaded.credentials)
            watchers = {name: self._watcher(backends[name], adapters.get(name, {})) for name in fresh}
            await asyncio.gather(*(watcher.start() for watcher in watchers.values()))
            self._swap(loaded, backends, watchers, adapters, admitted)
            self._acceptor.secure(admitted.tls)
        except Exception as problem:
            connector.guard(guarded)
            for name, watcher in watchers.items():
                if self._watchers.get(name) is not watcher:  # nobody else would end it
                    watcher.stop()
            return self._reject(problem)
        return True

    def _reject(self, problem: Exception) -> bool:
        """Notes why a new configuration is not served; the old one stays.

        A fault of the router itself does no more than a bad configuration.
        """
        if isinstance(problem, ConfigRejected | MissingCredential):
            why = str(problem)
            if why != self.reception.problem and not (self._options.must_load and self.reception.table is None):
                log.error("Rejected the configuration: %s", why)
        else:
            why = "the configuration could not be loaded; see the router's log"
            log.error("Failed to load the configuration", exc_info=problem)
        self.reception.reject(why)
        self.parts.telemetry.metrics.rejected()
        return False

    def _backends(self, loaded: LoadedConfig) -> tuple[dict[str, Backend], list[str]]:
        """Returns the backends of a configuration, and the names of the new ones.

        A backend of the table in force is kept if nothing about it has changed.
        """
        table = self.reception.table
        old = table.backends if table is not None else {}
        backends: dict[str, Backend] = {}
        fresh: list[str] = []
        for config in loaded.config.backends:
            kept = old.get(config.name)
            used = loaded.credentials.used_by(config.url)
            if kept is not None and kept.config == config and self._credentials_used.get(config.name) == used:
                backends[config.name] = kept
            else:
                backends[config.name] = self._backend(config, loaded.credentials)
                fresh.append(config.name)
        return backends, fresh

    def _adapters(
        self, backends: Mapping[str, Backend], fresh: Collection[str], credentials: Credentials
    ) -> dict[str, dict[str, Backend]]:
        """Returns the backends of adapters, by the backend's name and theirs. They are kept for as long as it is."""
        table = self.reception.table
        made: dict[str, dict[str, Backend]] = {}
        for name, backend in backends.items():
            if not backend.config.adapters:
                continue
            if name not in fresh and table is not None:
                made[name] = dict(table.adapters[name])
                continue
            made[name] = {
                adapter: self._backend(backend.config.model_copy(update={"model": adapter}), credentials, backend)
                for adapter in backend.config.adapters
            }
        return made

    def _backend(self, config: BackendConfig, credentials: Credentials, whole: Backend | None = None) -> Backend:
        """Makes a backend; its numbers, its outage switch and its demand have outlived earlier ones of its name.

        `whole` is the one of which it is an adapter.
        """
        parts, options = self.parts, self._options
        numbers, switch = parts.telemetry.metrics.backend(config.name), parts.outages.switch_of(config.kind)
        wakes = config.local.wakes if config.local else None
        return Backend(
            config,
            credentials,
            random.random,
            numbers,
            switch,
            parts.demands.of(wakes) if wakes else None,
            shortcuts=options.shortcuts,
            timeouts=options.bounds.answers,
            whole=whole,
        )

    def _watcher(self, backend: Backend, adapters: Mapping[str, Backend]) -> Watcher:
        table = self.reception.table
        before = table.backends.get(backend.name) if table is not None else None
        shared = self.shared
        options = self._options
        asks = is_in_pod(not options.must_load, options.environment)
        identity: IdentityWatch | None = None
        if backend.target.identity is not None:
            proof = options.environment.get(VARIABLE, "")
            identity = IdentityWatch(backend, shared.connector, proof, self._hide)
        return Watcher(
            backend,
            shared.connector,
            shared.now,
            random.random,
            options.bounds.verify,
            asks=asks,
            adapters=adapters,
            before=before.pool if before is not None else None,
            identity=identity,
            paid=self.parts.telemetry.paid,
            accounts=self.parts.outages.accounts,
        )

    def _hide(self, secret: bytes) -> None:
        """Has a key hidden that has come since the configuration was taken."""
        configured = self.shared.configured
        configured.hide_with(Mask([secret], configured.mask.secrets))

    def _swap(
        self,
        loaded: LoadedConfig,
        backends: dict[str, Backend],
        watchers: dict[str, Watcher],
        adapters: Mapping[str, Mapping[str, Backend]],
        admitted: Prepared,
    ) -> None:
        config, configured = loaded.config, self.shared.configured
        limits, table = config.limits, Table(config, backends, loaded.hash, adapters)
        consumers = self._admission.take(admitted)
        self.parts.drills.take(table, loaded.credentials)
        self.reception.take(table, limits)
        self.parts.outages.take(backends)
        self.shared.record_egress(self.parts.egress.take(config))
        usage = self.parts.usage.take(config)
        self.parts.telemetry.keep_usage(usage)
        self.shared.record_usage(usage is not None)
        self.parts.ledger.take(config.ledger, loaded.credentials)
        budgets = self.parts.budgets.take(config)
        self.shared.spend_by(budgets)
        if self._admission.sharing is not None:
            self._admission.sharing.spend_by(budgets)
        self.parts.telemetry.keep_budgets(budgets)
        self.parts.ledger.ask(budgets, f"{config.policy.namespace}/{config.policy.name}")
        self.shared.failures.keep(backends)
        proxies = Proxies(config.trusted_proxies) if config.trusted_proxies else None
        self.parts.telemetry.journal.take(config, proxies)
        self.shared.take(
            Configured(
                Mask(secrets_of(backends.values()), configured.mask.secrets),
                config.site.encode() if config.site is not None else configured.site,
                cors=Cors(config.cors.allowed_origins) if config.cors is not None else None,
                proxies=proxies,
                matched_headers=frozenset(h.name.encode() for route in config.routes for h in route.match.headers),
                most_body_bytes=limits.max_body_bytes,
                room_bytes=room_bytes(limits),
                consumers=consumers,
                sharing=self._admission.sharing,
            ),
            most_body_bytes(limits),
        )
        self._credentials_used = {
            config.name: loaded.credentials.used_by(config.url) for config in loaded.config.backends
        }
        for name in list(self._watchers):
            if name not in backends or name in watchers:
                self._watchers.pop(name).stop()
        self._watchers.update(watchers)
        self.parts.taken(loaded.credentials.hash, rfc3339(self.shared.wall()))
        self.parts.telemetry.metrics.took(config)
        log.info("%s", taken(config, loaded.hash))

    async def _watch_source(self) -> None:
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._hangup.wait()
            except TimeoutError:
                current = self._source.fingerprint()
                if current == self._fingerprint:
                    continue
                self._fingerprint = current
            self._hangup.clear()
            await self.reload()
