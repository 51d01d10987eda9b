"""The health server answers what a kubelet and Prometheus ask of the operator: /healthz, /readyz and /metrics.

/healthz fails when work no longer flows, so that the kubelet restarts the process; an API server that is away is no
reason. /readyz tells whether this replica does its part: it leads and its watches have listed everything, or it waits
for the Lease and could take over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from genset.addresses import ServerName, host_and_port
from genset.listening import EVERY_ADDRESS, listen

log = logging.getLogger(__name__)

Check = Callable[[], str | None]  # what is wrong; None: nothing


@dataclass(frozen=True)
class Address:
    """An address says where to listen: host `::` is every address of both families, port 0 any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Reads HOST:PORT, :PORT or [V6]:PORT; "" and "0" turn the listener off."""
        if text in ("", "0"):
            return None
        found = host_and_port(text)
        if found is None:
            raise ValueError(f"{text!r} is no address; write HOST:PORT, e.g. [::]:8081, or 0 for none")
        return cls(found[0] or EVERY_ADDRESS, found[1])


class HealthServer:
    """A health server is one HTTP listener with a few GET paths."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._app = web.Application()
        self._runner: web.AppRunner | None = None
        self.port = 0

    def add_check(self, path: str, check: Check) -> None:
        """Adds a path that answers 200 `ok`, or 503 with what is wrong."""

        async def answer(_: web.Request) -> web.Response:
            wrong = check()
            return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)

        self._app.router.add_get(path, answer)

    def add_metrics(self, path: str, registry: CollectorRegistry) -> None:
        """Adds a path that answers the registry in Prometheus' text format."""

        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

        self._app.router.add_get(path, answer)

    async def start(self) -> None:
        """Listens, or raises OSError."""
        runner = web.AppRunner(self._app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await runner.setup()
        for listening in listen(self._address.host, self._address.port):
            await web.SockSite(runner, listening).start()
        self._runner = runner
        self.port = runner.addresses[0][1]
        log.info("Listened on %s", ServerName(self._address.host, self.port).shown(with_port=True))

    async def stop(self) -> None:
        """Closes the listener and its connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
