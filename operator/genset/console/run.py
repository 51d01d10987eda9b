"""The console is put together here, and runs until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
from genset.stopping import Signals

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
        await _all(server, sockets, (tower.look_forever(), visits.review_forever()), stop)
    finally:
        await ledger.close()
        await api.close()


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _all(
    server: _Server, sockets: list[socket.socket], work: Iterable[Coroutine[Any, Any, None]], stop: asyncio.Event
) -> None:
    """Serves and looks until the stop. If one of them ends, all do: pages of a console that does not look would be old, and look
    live. Streams of pages are cut off after a moment; whoever has them open asks for them again."""
    async with asyncio.TaskGroup() as tasks:
        looking = [tasks.create_task(one) for one in work]
        serving, stopping = tasks.create_task(server.serve(sockets)), tasks.create_task(stop.wait())
        await asyncio.wait({serving, stopping, *looking}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        for one in (stopping, *looking):
            one.cancel()


def _config(console: Console) -> uvicorn.Config:
    # h11 bounds what it holds of a head; the other parser that uvicorn knows does not.
    return uvicorn.Config(
        console.app, http="h11", loop="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        limit_concurrency=CONNECTIONS, h11_max_incomplete_event_size=HEAD_BYTES, timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_SECONDS, proxy_headers=False,
    )  # fmt: skip
