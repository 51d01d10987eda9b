"""An endpoint watch finds a backend's addresses by DNS once a second, and checks their health by active probes.

The last good set of addresses stays if DNS fails or answers with nothing: a broken name server must not take a house
down, and probes show which pods are really gone. Only an address that has failed its probes for a minute while DNS does
not list it is forgotten, because its IP may belong to someone else by then.

A deployment that can rest has no address on purpose, so for it an answer of "no such name" is believed at once. Its
last endpoint then finishes what it works on and gets nothing new, although it still answers its probes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Final

from genset.router.backends.account import Accounts
from genset.router.backends.backend import Backend
from genset.router.backends.endpoint import Endpoint
from genset.router.backends.pool import Pool
from genset.router.http.connect import ConnectFailed, Connector, NothingLeft
from genset.router.watch.adapter_watch import AdapterWatch
from genset.router.watch.identity_watch import IdentityWatch
from genset.router.watch.own_request import get
from genset.router.watch.sense_watch import SenseWatch, watched
from genset.router.watch.server_watch import ServerWatch
from genset.router.watch.verify import DEFAULT, Verifier, VerifyTimeouts

log = logging.getLogger(__name__)

RESOLVE_SECONDS: Final = 1.0  # between two lookups
RESOLVE_EMPTY_SECONDS = 0.25  # while there is no address and somebody waits: a model that is ready should serve at once
WAKING_SECONDS: Final = 600.0  # after the last request for a deployment at rest, in which it may still become ready
PROBE_SECONDS: Final = 1.0  # between two probes
PROBE_TIMEOUT_SECONDS: Final = 3.0
FIRST_LOOK_SECONDS: Final = 0.5  # for the first lookup, and again for the first probes, before a new backend serves
FORGET_SECONDS: Final = 60.0  # of failed probes, after which an address that DNS does not list is forgotten
#: The name server has answered, and the name does not exist or has no address (RFC 3493, 6.1). Any other error means
#: that it gave no good answer.
NO_NAME: Final = (socket.EAI_NONAME, socket.EAI_NODATA)


class Watcher:
    """A watcher runs the tasks that look after one backend.

    `start` returns when the first addresses and probe results are in, or after 1 s.
    """

    def __init__(
        self,
        backend: Backend,
        connector: Connector,
        now: Callable[[], float],
        random: Callable[[], float],
        verify_timeouts: VerifyTimeouts = DEFAULT,
        *,
        asks: bool = False,
        adapters: Mapping[str, Backend] | None = None,
        before: Pool | None = None,
        identity: IdentityWatch | None = None,
        paid: Callable[[Backend, str, bytes], None] | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        """Takes whether a server elsewhere is asked for completions: only an operator wants to know.

        `adapters` are the backends of its adapters; `before` is the pool that an earlier configuration had. `identity` keeps the
        backend's token fresh; None if it takes none. `paid` hears what a cloud has answered to the router itself;
        `accounts` hear what it has refused to it.
        """
        self._identity = identity
        self._backend = backend
        self._connector = connector
        self._now = now
        self._random = random
        self._tasks: list[asyncio.Task[None]] = []
        self._probes: dict[Endpoint, asyncio.Task[None]] = {}
        self._first_looks: list[asyncio.Future[None]] = []
        self._dns_failing = False
        self._verifiers = [
            Verifier(one, connector, now, random, verify_timeouts, paid, accounts)
            for one in (backend, *(adapters or {}).values())
        ]
        self._adapters = AdapterWatch(backend, adapters, connector, now, before) if adapters else None
        self._senses = SenseWatch(backend, connector, now, before) if watched(backend) else None
        elsewhere = backend.local and backend.config.url is not None
        self._server = ServerWatch(backend, connector, now) if asks and elsewhere else None

    async def start(self) -> None:
        if self._identity is not None:
            await self._identity.start()
        for verifier in self._verifiers:
            verifier.start()
        loop = asyncio.get_running_loop()
        if self._backend.config.local is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._resolve(), FIRST_LOOK_SECONDS)
            self._tasks.append(loop.create_task(self._resolve_forever()))
        elif self._senses is not None:
            self._senses.took()
        self._sync_probes()
        if self._probes:
            await asyncio.wait(self._first_looks, timeout=FIRST_LOOK_SECONDS)
        self._first_looks.clear()
        if self._server is not None:
            self._server.start()

    def stop(self) -> None:
        if self._identity is not None:
            self._identity.stop()
        for verifier in self._verifiers:
            verifier.stop()
        if self._server is not None:
            self._server.stop()
        for task in (*self._tasks, *self._probes.values()):
            task.cancel()
        for endpoint in self._backend.endpoints:
            endpoint.retire()
            for connection in list(endpoint.idle):
                connection.drop()
            endpoint.idle.clear()

    async def _resolve_forever(self) -> None:
        while True:
            await asyncio.sleep(RESOLVE_EMPTY_SECONDS if self._is_awaited() else RESOLVE_SECONDS)
            try:
                await self._resolve()
            except Exception:
                log.exception("Failed to look up the endpoints of backend %s", self._backend.name)

    def _is_awaited(self) -> bool:
        demand = self._backend.pool.demand
        if demand is None:
            return not self._backend.endpoints
        recently = demand.last is not None and self._now() - demand.last < WAKING_SECONDS
        return self._backend.pool.rests and recently

    async def _resolve(self) -> None:
        local = self._backend.config.local
        assert local is not None
        try:
            found = await self._connector.resolver.lookup(local.dns.host)
        except OSError as problem:
            if (
                self._backend.pool.demand is not None
                and isinstance(problem, socket.gaierror)
                and problem.errno in NO_NAME
            ):
                self._rest()
                return
            if not self._dns_failing:
                log.warning("Kept the endpoints of backend %s: DNS said %s", self._backend.name, problem)
            self._dns_failing = True
            self._forget_dead()
            return
        if self._dns_failing:
            log.info("Found the endpoints of backend %s again", self._backend.name)
        self._dns_failing = False
        self._take(found, local.dns.port)

    def _rest(self) -> None:
        self._dns_failing = False
        if self._backend.endpoints:
            log.info("Found backend %s at rest: DNS lists no endpoint any more", self._backend.name)
            self._set(())

    def _take(self, addresses: tuple[str, ...], port: int) -> None:
        known = {endpoint.host: endpoint for endpoint in self._backend.endpoints}
        if set(addresses) == set(known):
            return
        wanted = tuple(known.get(host) or self._backend.pool.make(host, port) for host in sorted(addresses))
        log.info(
            "Took %d endpoints of backend %s: %s", len(wanted), self._backend.name, " ".join(e.name for e in wanted)
        )
        self._set(wanted)

    def _forget_dead(self) -> None:
        if self._backend.target.health_path is None:
            return
        now = self._now()
        alive = tuple(e for e in self._backend.endpoints if not e.is_dead(now, FORGET_SECONDS))
        if len(alive) != len(self._backend.endpoints):
            log.info(
                "Forgot endpoints of backend %s that DNS does not list and probes do not reach", self._backend.name
            )
            self._set(alive)

    def _set(self, endpoints: tuple[Endpoint, ...]) -> None:
        before = self._backend.endpoints
        self._backend.pool.take(endpoints)
        if self._adapters is not None:
            self._adapters.took()
        if self._senses is not None:
            self._senses.took()
        for endpoint in before:
            if endpoint.gone:
                for connection in list(endpoint.idle):
                    connection.drop()
                endpoint.idle.clear()
        self._sync_probes()

    def _sync_probes(self) -> None:
        if self._backend.target.health_path is None:
            return
        for endpoint in list(self._probes):
            if endpoint not in self._backend.endpoints:
                self._probes.pop(endpoint).cancel()
        loop = asyncio.get_running_loop()
        for endpoint in self._backend.endpoints:
            if endpoint not in self._probes:
                endpoint.probed_since(self._now())
                looked: asyncio.Future[None] = loop.create_future()
                self._first_looks.append(looked)
                self._probes[endpoint] = loop.create_task(self._probe_forever(endpoint, looked))

    async def _probe_forever(self, endpoint: Endpoint, looked: asyncio.Future[None]) -> None:
        while True:
            try:
                await self._probe(endpoint)
            except Exception:
                log.exception("Failed to probe %s of backend %s", endpoint.name, self._backend.name)
            if not looked.done():
                looked.set_result(None)
            await asyncio.sleep(PROBE_SECONDS * (0.9 + 0.2 * self._random()))

    async def _probe(self, endpoint: Endpoint) -> None:
        backend = self._backend
        before = endpoint.healthy
        good = late = False
        detail = ""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                assert backend.target.health_path is not None
                status = (await get(self._connector, backend.target, endpoint, backend.target.health_path)).status
            good = 200 <= status < 300
            detail = f"answered {status}"
        except TimeoutError:
            late = True
            detail = "answered too late"
        except NothingLeft as problem:
            log.warning("Failed to probe %s of backend %s: %s", endpoint.name, backend.name, problem)
            return
        except (ConnectFailed, ConnectionError, OSError) as problem:
            detail = str(problem)
        backend.probed(endpoint, good, self._now(), late=late)
        if self._adapters is not None:
            await self._adapters.look(endpoint, good=good)
        if self._senses is not None:
            await self._senses.look(endpoint, good=good)
        if before is not endpoint.healthy:
            word = "healthy" if endpoint.healthy else "unhealthy"
            log.info("Found endpoint %s of backend %s %s: %s", endpoint.name, backend.name, word, detail)
