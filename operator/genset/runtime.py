"""The operator is put together and run here: connection, leader election, watches, queue, resync, health.

Above handlers and controllers, which do not know each other's wiring; below the command line.

A session is everything that may write: it begins when this process leads and ends, all of it at once, when the Lease is
lost, when one of its parts fails, or at the stop. A new session starts from nothing but the API server.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from genset import names, watches
from genset.controllers import outages, resync, secrets, upgrades
from genset.controllers.demand import SETTLE_SECONDS, DemandBook, watch_demand
from genset.controllers.health import Address, HealthServer
from genset.controllers.inbox import Inbox
from genset.controllers.keys import Key
from genset.controllers.model_deployment import ModelDeploymentController
from genset.controllers.preset import PresetKeeper
from genset.controllers.queue import WorkQueue
from genset.controllers.reconciler import Reconciler
from genset.controllers.references import References
from genset.controllers.route_policy import RoutePolicyController
from genset.controllers.servers import ServerBook
from genset.controllers.session import Session, now
from genset.controllers.surroundings import Surroundings
from genset.controllers.surroundings import poll as surroundings_poll
from genset.controllers.upgrades import Upgrades
from genset.desired.context import Settings
from genset.kube.apply import Applier
from genset.kube.client import ApiError, ApiServer, LeadershipLost, load_configuration
from genset.kube.echoes import Echoes
from genset.kube.lease import LeaderElection, OwnPod, Timings
from genset.kube.metrics import Metrics
from genset.kube.probe import Prober
from genset.kube.recorder import Recorder
from genset.kube.site import SiteOptions, SiteReader
from genset.kube.status import StatusWriter
from genset.stopping import Signals, until
from genset.watches import Reach, ReachChanged

log = logging.getLogger(__name__)

SERVED_PAUSE = 3.0  # seconds between looks for something that can be watched
RESTART_PAUSE = 2.0  # seconds before a failed session starts again; doubles up to ...
LONGEST_RESTART_PAUSE = 30.0
FAILED_SESSIONS = 5  # in a row: the process is unhealthy and better started anew


@dataclass(frozen=True)
class Options:
    """The options are what `genset operator` was told."""

    settings: Settings
    site: SiteOptions = field(default_factory=SiteOptions)
    namespaces: tuple[str, ...] = ()  # empty: the whole cluster
    kubeconfig: Path | None = None
    context: str | None = None
    resync_seconds: float = 300.0
    secrets_seconds: float = secrets.PERIOD_SECONDS
    outages_seconds: float = outages.PERIOD_SECONDS
    upgrade_idle_seconds: float = upgrades.IDLE_SECONDS
    workers: int = 16
    health: Address | None = None
    metrics: Address | None = None
    leader_election: bool = True
    lease_name: str = names.LEASE_NAME
    lease_seconds: float = 15.0
    identity: str = "genset-operator"
    pod: OwnPod | None = None


@dataclass
class _Health:
    """This is what the health checks look at."""

    queue: WorkQueue[Key] | None = None  # of the session, while there is one
    ready: bool = False
    waiting: str = ""  # why nothing, or not everything, can be watched
    failures: int = 0  # failed sessions in a row
    last_failure: str = ""


@dataclass
class Operator:
    """An operator is one operator process. `run` it once."""

    options: Options
    rng: random.Random = field(default_factory=random.Random)
    meters: Metrics = field(default_factory=Metrics)
    demand_settle: float = SETTLE_SECONDS

    def __post_init__(self) -> None:
        self._state = _Health()
        self._election: LeaderElection | None = None
        self._listeners: list[HealthServer] = []
        self.health_port = 0  # where it really listens, once it does
        self.metrics_port = 0
        self.started = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, or SIGTERM or SIGINT arrive. Raises what no restart of a session can heal."""
        options = self.options
        configuration = await load_configuration(options.kubeconfig, options.context)
        api = ApiServer(configuration, self.meters, rng=self.rng)
        lease_api = ApiServer(configuration, self.meters, rng=self.rng)
        signals = Signals(stop)
        signals.install()
        try:
            await self._listen()
            self.started.set()
            await until(stop, self._work(api, lease_api, signals), name="operator")
        finally:
            signals.remove()
            for listener in self._listeners:
                await listener.stop()
            await api.close()
            await lease_api.close()
        log.info("Stopped")

    @property
    def queue(self) -> WorkQueue[Key] | None:
        """Returns the work queue of the running session; None while there is none."""
        return self._state.queue

    # -- leading ------------------------------------------------------------------------------------------------------

    async def _work(self, api: ApiServer, lease_api: ApiServer, signals: Signals) -> None:
        async def lead() -> None:
            await self._sessions(api, signals)

        options = self.options
        if not options.leader_election:
            self.meters.leader.set(1)
            await lead()
            return
        self._election = LeaderElection(
            lease_api,
            self.meters,
            namespace=options.settings.operator_namespace,
            name=options.lease_name,
            identity=options.identity,
            timings=Timings.of(options.lease_seconds),
            rng=self.rng,
            pod=options.pod,
        )
        api.fence(self._election.held)
        await self._election.run(lead)

    async def _sessions(self, api: ApiServer, signals: Signals) -> None:
        """Runs one session after the other, until cancelled."""
        pause = RESTART_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._session(api, signals)
                reason = "the watches ended"
                counts = True
            except* LeadershipLost:
                reason, counts = "the Lease was lost", True
            except* ReachChanged as changes:
                reason, counts, pause = str(_leaves(changes)[0]), False, RESTART_PAUSE
            except* Exception as failures:
                causes, counts = _leaves(failures), True
                reason = "; ".join(" ".join(str(item).split()) or type(item).__name__ for item in causes)
                if not all(type(item).__module__.startswith("kopf.") for item in causes):  # Kopf has logged its own
                    log.error("A part of the operator failed", exc_info=failures)
            if time.monotonic() - began > 2 * LONGEST_RESTART_PAUSE:
                pause, self._state.failures = RESTART_PAUSE, 0
            self._state.failures += counts
            self._state.last_failure = reason
            log.warning("Session ended (%s), starts again in %.0f s", reason, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_RESTART_PAUSE)

    async def _session(self, api: ApiServer, signals: Signals) -> None:
        """Runs everything that may write. Returns or raises when any part of it ends."""
        options, meters = self.options, self.meters
        asked: tuple[str | None, ...] = options.namespaces or (None,)
        reach = Reach(api, meters, asked)
        missing = await self._served(reach, asked)
        namespaces = watches.pick(asked, missing)
        for why in missing.values():
            log.warning("Serves the other namespaces: %s", why)
        surroundings = await self._surroundings(api)
        queue: WorkQueue[Key] = WorkQueue(meters, rng=self.rng)
        references, echoes, prober = References(), Echoes(), Prober(meters)
        recorder = Recorder(api, meters, options.identity, monotonic=time.monotonic)
        session = Session(
            api=api,
            surroundings=surroundings,
            queue=queue,
            references=references,
            applier=Applier(
                api, meters, echoes, identity=f"{options.settings.operator_namespace}/{options.lease_name}"
            ),
            status=StatusWriter(api, meters, echoes),
            echoes=echoes,
            recorder=recorder,
            prober=prober,
            servers=ServerBook(),
            upgrades=Upgrades(api, prober, clock=time.monotonic, idle_seconds=options.upgrade_idle_seconds),
            demand=DemandBook(references, time.time, settle=self.demand_settle),
            metrics=meters,
            now=now,
        )
        policies = RoutePolicyController(session)
        reconcile = Reconciler(
            queue,
            meters,
            {
                names.MODEL_DEPLOYMENT: ModelDeploymentController(session).reconcile,
                names.ROUTE_POLICY: policies.reconcile,
            },
        )
        inbox = Inbox(queue, references, echoes, meters)
        named = tuple(name for name in namespaces if name is not None)
        everything = partial(resync.resync, api, queue, references, namespaces)
        self._state.queue, self._state.ready = queue, True
        meters.serving.set(1)
        log.info("Session started in %s", ", ".join(named) or "all namespaces")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(queue.run(options.workers, reconcile), name="queue")
                group.create_task(recorder.run(), name="recorder")
                group.create_task(secrets.poll(api, references, queue, period=options.secrets_seconds), name="secrets")
                group.create_task(
                    resync.keep_resyncing(
                        api, queue, references, namespaces, meters, seconds=options.resync_seconds, rng=self.rng
                    ),
                    name="resync",
                )
                group.create_task(
                    surroundings_poll(surroundings, everything, period=options.secrets_seconds), name="surroundings"
                )
                group.create_task(
                    outages.poll(policies.outages, prober, queue, period=options.outages_seconds), name="outages"
                )
                group.create_task(watch_demand(session.demand, prober, queue), name="demand")
                group.create_task(watches.run(inbox, api, named, signals.install), name="watches")  # Kopf sets its own
                group.create_task(reach.keep_looking(missing), name="reach")
                if options.site.preset is not None:
                    report = options.settings.operator_namespace, f"{options.lease_name}-continuity"
                    keeper = PresetKeeper(api, surroundings, *options.site.preset, report)
                    group.create_task(keeper.keep(), name="preset")
        finally:
            queue.close()
            session.close()
            self._state.queue, self._state.ready = None, False
            meters.serving.set(0)
            await prober.close()

    async def _surroundings(self, api: ApiServer) -> Surroundings:
        """Returns what is known of where resources are, once the site could be read: else pods would lose what they have."""
        options = self.options
        reader = SiteReader(api, options.site, options.settings.operator_namespace)
        found = Surroundings(api, options.settings, reader, time.monotonic)
        while True:
            try:
                await found.look()
                return found
            except (ApiError, ValueError) as error:
                log.error("Could not read the site's settings yet: %s", str(error).rstrip("."))
            await asyncio.sleep(SERVED_PAUSE)

    async def _served(self, reach: Reach, namespaces: Sequence[str | None]) -> dict[str | None, str]:
        """Waits until something can be watched: the chart's CRDs and roles may come after us. Returns what cannot, and why."""
        state, told = self._state, ""
        while True:
            try:
                missing = await reach.look()
                state.waiting = "; ".join(missing.values())
                if len(missing) < len(namespaces):
                    return missing
            except ApiError as error:
                state.waiting = f"cannot list the resources: {' '.join(error.message.split())}"
            if state.waiting != told:
                told = state.waiting
                log.warning("Serves nothing and goes on trying: %s", told)
            await asyncio.sleep(SERVED_PAUSE)

    # -- health -------------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Listens for health and metrics, with one listener if their addresses are the same."""
        by_address: dict[Address, HealthServer] = {}
        if self.options.health is not None:
            listener = by_address.setdefault(self.options.health, HealthServer(self.options.health))
            listener.add_check("/healthz", self.unhealthy)
            listener.add_check("/readyz", self.unready)
        if self.options.metrics is not None:
            listener = by_address.setdefault(self.options.metrics, HealthServer(self.options.metrics))
            listener.add_metrics("/metrics", self.meters.registry)
        for address, listener in by_address.items():
            await listener.start()
            self._listeners.append(listener)
            if address == self.options.health:
                self.health_port = listener.port
            if address == self.options.metrics:
                self.metrics_port = listener.port

    def unhealthy(self) -> str | None:
        """Says why the process should be started anew."""
        state = self._state
        if state.queue is not None and (stalled := state.queue.stalled()):
            return f"work stalled: {stalled}"
        if state.failures >= FAILED_SESSIONS:
            return f"{state.failures} sessions failed in a row, the last one because {state.last_failure}"
        return None

    def unready(self) -> str | None:
        """Says why this replica does not do its part: leading, or waiting for the Lease within sight of the API server."""
        if self._state.ready:
            return None
        if self._election is None:
            return self._state.waiting or "not started"
        if self._election.held():
            return self._state.waiting or "starting"
        silence = asyncio.get_running_loop().time() - self._election.last_answer
        return (
            None
            if silence < self.options.lease_seconds * 2
            else self._election.trouble or "no answer from the API server"
        )


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for item in group.exceptions:
        found.extend(_leaves(item) if isinstance(item, BaseExceptionGroup) else [item])
    return found
