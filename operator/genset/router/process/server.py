"""The router as a process: listeners, the table in force, the sweep, drain.

Everything runs on one event loop in one process; a pod is scaled by replicas. Nothing here knows of Kubernetes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final

from genset.router.backends.backend import Backend
from genset.router.backends.balance.prompt import beginning_of
from genset.router.backends.credentials import MissingCredential
from genset.router.backends.demand import Demands
from genset.router.backends.failures import FailureBook
from genset.router.backends.mask import Mask, secrets_of
from genset.router.clock import Clock
from genset.router.dialects.openai.api import PATHS
from genset.router.errors import BROKEN_SECONDS, UNCONFIGURED_SECONDS, ConfigRejected, ErrorAnswer, error
from genset.router.exchange.exchange import Exchange
from genset.router.exchange.local_answers import answer_error, answer_other
from genset.router.exchange.record import Record
from genset.router.http import bodies
from genset.router.http import trace_context as context
from genset.router.http.accept import Acceptor
from genset.router.http.connect import Connector, Resolver
from genset.router.http.cors import Cors
from genset.router.http.downstream import ClientConnection
from genset.router.http.heavy import HeavyLine
from genset.router.http.holding import Holding
from genset.router.http.origin import origin_of
from genset.router.http.outbox import Outbox
from genset.router.http.request import DEADLINE_HEADER, Request, patience
from genset.router.http.request_id import request_id
from genset.router.http.scarce import close_somebody
from genset.router.http.upstream import UpstreamConnection
from genset.router.machine.machine import RequestMachine
from genset.router.process.admin import AdminConnection, AdminPort
from genset.router.process.announce import introduction, taken
from genset.router.process.exposition import exposition
from genset.router.process.options import ServerOptions as ServerOptions
from genset.router.process.reload import POLL_SECONDS, Loaded, Source, check
from genset.router.process.sweep import sweep_forever
from genset.router.routing.gate import ROUTER_FULL, UNTIL_CONFIGURED_BYTES, Gate, most_body_bytes, room_bytes
from genset.router.routing.hops import HOPS_HEADER, new_site, refusal
from genset.router.routing.shares import Shares
from genset.router.routing.table import Table, answer_tokens, estimate_tokens
from genset.router.telemetry.journal import Journal
from genset.router.telemetry.metrics import Metrics
from genset.router.telemetry.wanted import Traces
from genset.router.watch.endpoint_watch import Watcher
from genset.router.watch.outage_watch import OutageWatch
from genset.times import rfc3339

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
ADMIN_BACKLOG: Final = 128
DRAIN_LOOK_SECONDS: Final = 0.05
LATECOMER_SECONDS = 1.0  # after the grace: nobody new for so long, and the Service has forgotten us
LATECOMERS_MOST_SECONDS = 15.0  # since SIGTERM


class Router:
    """`table` is None until the first configuration was taken."""

    def __init__(
        self,
        source: Source,
        options: ServerOptions,
        *,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.clock = Clock(now, self._stood_still)
        self.wall = wall
        self.loop: asyncio.AbstractEventLoop
        self.table: Table | None = None
        self.config_error: str | None = None
        self.credentials_hash = ""
        self.loaded_at = ""
        self.draining = False
        self.site = new_site()
        self.metrics = Metrics()
        self.mask = Mask()  # of the keys that are in use
        self.failures = FailureBook()
        self.cors: Cors | None = None  # where the policy lets web pages in
        self.journal = Journal(wall)
        self.outages = OutageWatch(self.now, wall)
        self.demands = Demands()
        self.began = self.now()
        self.gate: Gate[Exchange] = Gate(Exchange.begin, lambda then: self.loop.call_soon(then), self._evict)
        self.heavy = HeavyLine(
            lambda then: self.loop.call_soon(then), lambda after, then: self.loop.call_later(after, then)
        )
        self.exchanges: set[Exchange] = set()
        self.connections: set[ClientConnection] = set()
        self.admin_connections: set[AdminConnection] = set()
        self.running_out: set[UpstreamConnection] = set()
        self.most_body_bytes = 1024 * 1024  # until a configuration says otherwise
        self.budget = Shares(UNTIL_CONFIGURED_BYTES)  # bytes that are held for clients, bodies above all
        self.room_bytes = 3 * UNTIL_CONFIGURED_BYTES  # for bodies and what becomes of them
        self.matched_headers: frozenset[bytes] = frozenset()  # that routes look at
        self.connector: Connector
        self.outbox: Outbox
        self.listen_port = 0
        self.admin_port = 0
        self._source = source
        self._fingerprint: object = None  # of the source, as it was last loaded
        self._options = options
        self._chance = chance
        self._watchers: dict[str, Watcher] = {}
        self._credentials_used: dict[str, object] = {}
        self._traces = Traces(self.metrics.spans, options.environment, wall)
        self._acceptor: Acceptor | None = None
        self._admin_acceptor: Acceptor | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._hangup = asyncio.Event()
        self._listening = False

    @property
    def buffered_bytes(self) -> int:
        """That are held for clients."""
        return self.budget.taken

    # Time

    def now(self) -> float:
        """Seconds by the clock that deadlines are measured with."""
        return self.clock.now()

    def _stood_still(self, seconds: float) -> None:
        """The clock skipped them; how long a request took its client did not."""
        log.warning("Stood still for %.1f s: this process did not run. Every deadline is later by as much", seconds)
        for exchange in self.exchanges:
            exchange.record.stood_still(seconds)

    # Life

    async def load(self) -> None:
        """The first configuration, or why there is none. ConfigRejected if there must be one."""
        self.loop = asyncio.get_running_loop()
        self.outbox = Outbox(self.loop)
        self.connector = Connector(Resolver(), self.outbox)
        self.journal.open(self._options.access_log)
        self._fingerprint = self._source.fingerprint()
        if not await self.reload() and self._options.must_load:
            self.connector.resolver.close()
            raise ConfigRejected(self.config_error)

    async def listen(self) -> None:
        """Takes clients from here on; begins the sweep."""
        if self._options.admin is not None:
            admin = AdminPort(self, exposition(self))
            host, port = self._options.admin
            self._admin_acceptor = Acceptor(admin.connect, lambda: close_somebody(self), keeps_back=False)
            self.admin_port = await self._admin_acceptor.listen(host, port, ADMIN_BACKLOG)
        host, port = self._options.listen
        self._acceptor = Acceptor(lambda: ClientConnection(self), lambda: close_somebody(self))
        self.listen_port = await self._acceptor.listen(host, port, BACKLOG)
        self._listening = True
        self._tasks = [
            self.loop.create_task(self._watch_source()),
            self.loop.create_task(sweep_forever(self)),
        ]
        config = self.table.config if self.table else None
        for line in introduction(self._options, config, self.listen_port, self.admin_port):
            self._options.tell(line)

    async def stop(self) -> None:
        """Ends everything at once; what still runs is cut."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for acceptor in (self._acceptor, self._admin_acceptor):
            if acceptor is not None:
                acceptor.close()
        for exchange in list(self.exchanges):
            exchange.give_up(error("router_draining", "the router is going away"))
        for connection in list(self.connections):
            connection.close()
        for admin in list(self.admin_connections):
            admin.close()
        for watcher in self._watchers.values():
            watcher.stop()
        self.outages.stop()
        self.connector.resolver.close()
        await asyncio.sleep(0)
        await self._traces.close()
        self.journal.close()

    async def drain(self) -> None:
        """Readiness off at once; new connections for the grace, and for as long as they come; running answers to their
        end, or `drainSeconds`.

        A request that is still arriving will be answered, and an answer that its client is still reading is part of it.
        """
        self.draining = True
        log.info("Began to drain with %d requests in work", len(self.exchanges))
        started = self.now()
        await asyncio.sleep(self._options.drain_grace)
        most = self.table.config.limits.drain_seconds if self.table else 0.0
        if self._acceptor is not None:
            # A node that has much to do follows a Service late. Who came to a pod that is gone would wait in vain.
            latest = min(most, LATECOMERS_MOST_SECONDS)
            while self.loop.time() - self._acceptor.accepted_at < LATECOMER_SECONDS and self.now() - started < latest:
                await asyncio.sleep(DRAIN_LOOK_SECONDS)
            self._acceptor.close()
        while True:
            for connection in list(self.connections):
                connection.close_idle()
            if self.now() - started >= most or not (self.exchanges or any(c.busy for c in self.connections)):
                break
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
        log.info("Drained with %d requests left", len(self.exchanges))

    def hang_up(self) -> None:
        """SIGHUP: look for a new configuration now, changed or not."""
        self._hangup.set()

    def why_not_ready(self) -> str:
        if self.draining:
            return "draining"
        if self.table is None:
            return f"no configuration: {self.config_error}"
        return self.journal.unlogged or ("" if self._listening else "starting")

    # Configuration

    async def reload(self) -> bool:
        """Takes the source's configuration if it can be served wholly; else keeps the last good one."""
        try:
            loaded = self._source.load()
            check(loaded.config, self._options.listen, self.listen_port, self._options.environment)
            backends, fresh = self._backends(loaded)
            await self._traces.take(loaded.config)
            watchers = {name: Watcher(backends[name], self.connector, self.now, self._chance) for name in fresh}
            await asyncio.gather(*(watcher.start() for watcher in watchers.values()))
            self._swap(loaded, backends, watchers)
        except Exception as problem:
            return self._reject(problem)
        return True

    def _reject(self, problem: Exception) -> bool:
        """Why what came is not served; what is served stays. A fault of ours does no more than a bad configuration."""
        if isinstance(problem, ConfigRejected | MissingCredential):
            why = str(problem)
            if why != self.config_error and not (self._options.must_load and self.table is None):
                log.error("Rejected the configuration: %s", why)
        else:
            why = "the configuration could not be loaded; see the router's log"
            log.error("Failed to load the configuration", exc_info=problem)
        self.config_error = why
        self.metrics.reload_failures += 1
        return False

    def _backends(self, loaded: Loaded) -> tuple[dict[str, Backend], list[str]]:
        """Backends of a configuration: those of the table in force where nothing about them changed, and new ones."""
        old = self.table.backends if self.table else {}
        backends: dict[str, Backend] = {}
        fresh: list[str] = []
        for config in loaded.config.backends:
            kept = old.get(config.name)
            used = loaded.credentials.used_by(config.url)
            if kept is not None and kept.config == config and self._credentials_used.get(config.name) == used:
                backends[config.name] = kept
            else:
                numbers, switch = self.metrics.backend(config.name), self.outages.switch_of(config.kind)
                wakes = config.local.wakes if config.local else None
                demand = self.demands.of(wakes) if wakes else None
                backends[config.name] = Backend(config, loaded.credentials, self._chance, numbers, switch, demand)
                fresh.append(config.name)
        return backends, fresh

    def _swap(self, loaded: Loaded, backends: dict[str, Backend], watchers: dict[str, Watcher]) -> None:
        limits = loaded.config.limits
        self.table = Table(loaded.config, backends, loaded.hash)
        if loaded.config.site is not None:
            self.site = loaded.config.site.encode()
        self.outages.take(backends)
        self.mask = Mask(secrets_of(backends.values()), self.mask.secrets)
        self.failures.keep(backends)
        config = loaded.config
        self.cors = Cors(config.cors.allowed_origins) if config.cors is not None else None
        self.journal.take(config)
        self.gate.set_limits(limits)
        self.most_body_bytes = limits.max_body_bytes
        self.budget.most = most_body_bytes(limits)
        self.room_bytes = room_bytes(limits)
        self.matched_headers = frozenset(
            header.name.encode() for route in loaded.config.routes for header in route.match.headers
        )
        self._credentials_used = {
            config.name: loaded.credentials.used_by(config.url) for config in loaded.config.backends
        }
        for name in list(self._watchers):
            if name not in backends or name in watchers:
                self._watchers.pop(name).stop()
        self._watchers.update(watchers)
        self.credentials_hash = loaded.credentials.hash
        self.loaded_at = rfc3339(self.wall())
        self.config_error = None
        self.metrics.reloads += 1
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

    # Requests

    def receive(self, client: ClientConnection, request: Request) -> None:
        """One whole request."""
        headers = request.headers
        identity = request_id(headers.get(b"x-request-id"))
        path = request.path
        api = PATHS.get(path)
        if self.journal.unlogged:
            answer = error("router_log_unavailable", self.journal.unlogged, retry_after=BROKEN_SECONDS)
            answer_error(self, client, request, identity, answer)
            return
        if api is None or request.method != b"POST":
            answer_other(self, client, request, path, identity)
            return
        table = self.table
        if table is None:
            answer = error(
                "router_not_configured", f"no configuration yet: {self.config_error}", retry_after=UNCONFIGURED_SECONDS
            )
            answer_error(self, client, request, identity, answer)
            return
        parsed: Any = client.unpack(request) if request.coding else None
        if parsed is None:
            parsed = bodies.parsed(request.body, self.room_bytes, self.buffered_bytes)
        if isinstance(parsed, ErrorAnswer):
            answer_error(self, client, request, identity, parsed)
            return
        model = parsed.get("model") if isinstance(parsed, dict) else None
        if not isinstance(model, str) or not model:
            answer = error("caller_missing_model", "the body must be a JSON object with a model name in `model`")
            answer_error(self, client, request, identity, answer)
            return
        now = self.now()
        stream = api.streams and parsed.get("stream") is True
        record = Record(identity, client.address, headers, api.asked, api.operation, model, now, stream=stream)
        exchange = Exchange(self, client, request, api, parsed, record)
        client.exchange = exchange
        self.exchanges.add(exchange)
        if model in table.named:
            record.named = model
        record.trace = context.take(headers)
        tracing = self._traces.tracing
        if tracing is not None:
            tracing.begin(record, self.mask)
        tokens = estimate_tokens(parsed)
        looped = refusal(headers.get(HOPS_HEADER), self.site)
        plan = looped or table.plan(model, tokens, answer_tokens(parsed), headers, self._chance)
        if isinstance(plan, ErrorAnswer):
            exchange.answer_error(plan)
            return
        route = plan.route
        record.route = route.name
        record.routed = machine = RequestMachine(
            plan.candidates,
            route.failover,
            now + patience(headers.get(DEADLINE_HEADER), route.total_seconds),
            stream=stream,
            input_tokens=tokens,
            random=self._chance,
            skipped=plan.skipped,
            cold_start=route.cold_start,
        )
        machine.origin = request.payer
        machine.body = request.body
        machine.path = api.path
        if route.reads_prompt:
            machine.prompt = beginning_of(parsed, route.prefix_tokens)
        if route.wait_when_full:
            machine.wait_when_full = True
        exchange.placed = record.placed = True
        if not self.gate.enter(exchange, now, request.payer):
            exchange.placed = record.placed = False
            exchange.answer_error(ROUTER_FULL)
        exchange.forget_tree()

    def payer_of(self, client: Holding, headers: dict[bytes, bytes]) -> str:
        """Whose share of what is scarce a request takes, and whose testimony it is: behind proxies, the client's."""
        return origin_of(self.journal.client_of(client.address, headers))

    def finished(self, exchange: Exchange, now: float) -> None:
        """The exchange has ended: frees its place, books it, logs it."""
        self.exchanges.discard(exchange)
        record = exchange.record
        self.metrics.finished(record, now)
        self.journal.ended(record, now)
        if record.span is not None:
            record.span.end(record, now)
        if exchange.placed:
            exchange.placed = False
            self.gate.leave(exchange, exchange.request.payer)

    def refused(
        self, client: ClientConnection, headers: dict[bytes, bytes], identity: bytes, asked: str, answer: ErrorAnswer
    ) -> None:
        """A request that never became whole was refused."""
        self.metrics.refused[answer.kind.word] += 1
        self.journal.told(client.address, headers, identity, asked, answer.status, answer)

    def _evict(self, exchange: Exchange) -> None:
        self.metrics.made_way["line"] += 1
        exchange.give_up(ROUTER_FULL)
