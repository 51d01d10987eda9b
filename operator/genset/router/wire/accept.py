"""Takes clients' connections as they come: all that wait, not one.

libuv takes one connection per turn of the event loop (its pull request 3696, since 1.45). A turn is as long as its
work, tens of milliseconds on a router that is full, so a thousand clients that come at once (a service was restarted, a
node was lost) would wait for seconds before their requests are even read.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import socket
from collections.abc import Callable

ACCEPTED_AT_ONCE = 64  # per turn, so that running answers are not kept waiting either
FULL_SECONDS = 1.0  # without a free file descriptor, until the next try
#: What a process runs out of: accept(2).
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


class Acceptor:
    """Listens; every connection gets a protocol of its own from `make`."""

    def __init__(self, make: Callable[[], asyncio.Protocol]) -> None:
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self.accepted_at = -math.inf  # when somebody last came, by the loop's clock
        self._opening: set[asyncio.Task[None]] = set()  # the loop keeps no reference to them

    async def listen(self, host: str, port: int, backlog: int) -> int:
        """On all addresses of `host`; the port, which is chosen where `port` is 0. Raises OSError."""
        kind, passive = socket.SOCK_STREAM, socket.AI_PASSIVE
        for family, _, _, _, address in await self._loop.getaddrinfo(host or None, port, type=kind, flags=passive):
            listening = socket.create_server((address[0], self.port or port), family=family, backlog=backlog)
            listening.setblocking(False)
            self._listening.append(listening)
            self._loop.add_reader(listening, self._accept, listening)
        return self.port

    @property
    def port(self) -> int:
        return int(self._listening[0].getsockname()[1]) if self._listening else 0

    def close(self) -> None:
        """No further connections; those that were taken live on."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        self._listening.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # the client has left already
            except OSError as problem:
                if problem.errno not in FULL:
                    raise
                log.warning("Failed to accept a connection: %s; tried again every second", problem.strerror)
                self._loop.remove_reader(listening)
                self._loop.call_later(FULL_SECONDS, self._go_on, listening)
                return
            self.accepted_at = self._loop.time()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _go_on(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError as problem:
            log.debug("Failed to take a connection: %s", problem)
            connection.close()
