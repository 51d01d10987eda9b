"""The console is put together here, and runs until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

import genset
from genset import names
from genset.console.app import Console
from genset.console.ledger_asked import LedgerAsked
from genset.console.oidc import IdentityProvider, ProviderOptions
from genset.console.reviews import Reviews
from genset.console.visits import Visits
from genset.console.watchtower import Watchtower
from genset.kube.client import ApiServer, load_configuration
from genset.kube.metrics import Metrics
from genset.listening import listen
from genset.off_limits import OffLimits
from genset.stopping import Signals, until

log = logging.getLogger(__name__)

CONNECTIONS: Final = 512  # at once; further ones are told to come again
HEAD_BYTES: Final = 16 * 1024  # of a request
GRACE_SECONDS: Final = 3


@dataclass(frozen=True)
class ConsoleOptions:
    """The options say where the console listens, what it looks at, and who may come."""

    listen: tuple[str, int]
    namespaces: Sequence[str] = ()
    kubeconfig: Path | None = None
    context: str | None = None
    ledger_url: str = ""
    ledger_token_file: Path | None = None
    provider: ProviderOptions | None = None
    router_admin_port: int = names.ROUTER_ADMIN_PORT
    off_limits: OffLimits | None = None


async def run(options: ConsoleOptions) -> None:
    """Serves pages until SIGTERM. Raises OSError."""
    stop = asyncio.Event()
    Signals(stop).install()
    await serve(options, stop)


async def serve(options: ConsoleOptions, stop: asyncio.Event, listening: Callable[[int], None] | None = None) -> None:
    """Serves pages until `stop` is set. Raises OSError. `listening` is told the port."""
    configuration = await load_configuration(options.kubeconfig, options.context)
    api = ApiServer(configuration, Metrics(), user_agent=f"genset-console/{genset.__version__}")
    ledger = LedgerAsked(options.ledger_url, options.ledger_token_file)
    reviews = Reviews(api)
    visits = Visits(reviews.who)
    tower = Watchtower(api, ledger, options.namespaces, options.off_limits, options.router_admin_port)
    provider = IdentityProvider(options.provider) if options.provider is not None else None
    server = _Server(_config(Console(tower, reviews, visits, provider)))
    try:
        sockets = listen(*options.listen)
        port = int(sockets[0].getsockname()[1])
        log.info("Listened on port %d", port)
        if listening is not None:
            listening(port)
        looking = asyncio.create_task(_look(tower, visits), name="console-looks")
        try:
            await until(stop, server.serve(sockets), "console")
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    finally:
        await ledger.close()
        await api.close()


async def _look(tower: Watchtower, visits: Visits) -> None:
    await asyncio.gather(tower.look_forever(), visits.review_forever())


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(console: Console) -> uvicorn.Config:
    # h11 bounds what it holds of a head; the other parser that uvicorn knows does not.
    return uvicorn.Config(
        console.app, http="h11", loop="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        limit_concurrency=CONNECTIONS, h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_SECONDS, proxy_headers=False,
    )  # fmt: skip
