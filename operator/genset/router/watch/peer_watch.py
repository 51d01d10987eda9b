"""A peer watch asks the other routers of the policy, twice a second, what consumers have used of their limits there."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Final

from genset.contracts.backend_config import DnsEndpoints
from genset.contracts.router_admin import LIMITS_PATH
from genset.router.access.consumer import Consumer
from genset.router.access.sharing import EXCHANGE_SECONDS, Sharing
from genset.router.http.connect import Resolver

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 0.8  # for a router's whole answer
ANSWER_BYTES: Final = 1024 * 1024  # that are read of it
MOST_ASKED: Final = 100  # routers; a policy has no more


class PeerWatch:
    """A peer watch keeps `sharing` up to date. `limited`: consumers that have limits. `now`: seconds of the router's clock."""

    def __init__(
        self,
        limited: Callable[[], list[Consumer]],
        sharing: Sharing,
        peers: DnsEndpoints,
        resolver: Resolver,
        now: Callable[[], float],
    ) -> None:
        self._limited = limited
        self._sharing = sharing
        self._peers = peers
        self._resolver = resolver
        self._now = now
        self._heard = -1
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._exchange_forever())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _exchange_forever(self) -> None:
        while True:
            try:
                await self._exchange()
            except Exception:
                log.exception("Failed to exchange what consumers have used")
            await asyncio.sleep(EXCHANGE_SECONDS)

    async def _exchange(self) -> None:
        try:
            addresses = (await self._resolver.addresses(self._peers.host))[:MOST_ASKED]
        except OSError:
            addresses = ()
        await asyncio.gather(*(self._ask(address) for address in addresses))
        heard = self._sharing.settle(self._limited(), self._now())
        if heard != self._heard:
            log.info("Shares limits and budgets with %d other routers", heard)
        self._heard = heard

    async def _ask(self, address: str) -> None:
        """Asks one router. One that does not answer, or not as one that knows the token, counts as silent."""
        nonce = secrets.token_hex(16)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(address, self._peers.port, limit=ANSWER_BYTES)
                head = f"GET {LIMITS_PATH}{nonce} HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n"
                writer.write(head.encode())
                status = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read(ANSWER_BYTES)
                while more := await reader.read(ANSWER_BYTES - len(body)):
                    body += more
            if status.startswith(b"HTTP/1.1 200 "):
                self._sharing.hear(body, nonce.encode(), self._now())
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
            return
        finally:
            if writer is not None:
                writer.close()
