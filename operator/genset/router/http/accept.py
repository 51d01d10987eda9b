"""Takes clients' connections as they come: all that wait, and not only one in each turn of the event loop.

libuv takes one connection per turn of the event loop (its pull request 3696, since 1.45). A turn is as long as its
work, tens of milliseconds on a router that is full, so a thousand clients that come at once (a service was restarted, a
node was lost) would wait for seconds before their requests are even read.

A process has only so many file descriptors. Some of them are kept back, for connections to backends and for the admin
port: whoever comes when only these are left takes the place of a connection that has been idle for long, or waits.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import resource
import socket
import ssl
from collections.abc import Callable

from genset.listening import listen

ACCEPTED_AT_ONCE = 64  # per turn, so that running answers are not kept waiting either
FULL_SECONDS = 1.0  # without a free file descriptor, until the next try
HANDSHAKE_SECONDS = 10.0  # for a client to end its TLS handshake
FREED_SECONDS = 0.02  # until a descriptor is free whose connection was just closed
MOST_KEPT_BACK = 256  # descriptors; of few, a quarter
#: What a process runs out of: accept(2).
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger(__name__)


def _no_room() -> bool:
    return False


class Acceptor:
    """An acceptor listens, and gives every connection a protocol of its own, which `make` makes.

    `make_room` closes a connection that nobody needs, if there is one, and says whether it did. `keeps_back`: whether
    some descriptors are left for other uses.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        make_room: Callable[[], bool] = _no_room,
        *,
        keeps_back: bool = True,
    ) -> None:
        self._make = make
        self._make_room = make_room
        self._keeps_back = keeps_back
        self._told_full = False
        self._tls: ssl.SSLContext | None = None
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self.port = 0  # of all of them, once there is one
        self.accepted_at = -math.inf  # when somebody last came, by the loop's clock
        self._opening: set[asyncio.Task[None]] = set()  # the loop keeps no reference to them

    async def listen(self, host: str, port: int, backlog: int) -> int:
        """Listens on all addresses of `host`; `::` is every one of both families. Returns the port, which is chosen if
        `port` is 0. Raises OSError."""
        for listening in await self._loop.run_in_executor(None, listen, host, port, backlog):  # a name may need DNS
            listening.setblocking(False)
            self._listening.append(listening)
            self.port = int(listening.getsockname()[1])
            self._loop.add_reader(listening, self._accept, listening)
        return self.port

    def secure(self, context: ssl.SSLContext | None) -> None:
        """Has connections that come from here on speak TLS; None: plain. Those that stand go on as they are."""
        self._tls = context

    def close(self) -> None:
        """Takes no further connections; those that were taken live on."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        self._listening.clear()

    def _accept(self, listening: socket.socket) -> None:
        last = self._last_descriptor()
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
                self._wait(listening, problem.strerror or "no descriptor is left")
                return
            self.accepted_at = self._loop.time()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            scarce = connection.fileno() >= last
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
            if scarce and not self._make_room():
                self._wait(listening, "the last descriptors are kept for backends and the admin port")
                return

    def _last_descriptor(self) -> float:
        """Returns the descriptor with which all are in use but those kept back: the kernel gives out the lowest that is free."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if not self._keeps_back or soft == resource.RLIM_INFINITY:
            return math.inf
        return soft - min(MOST_KEPT_BACK, soft // 4)

    def _wait(self, listening: socket.socket, why: str) -> None:
        """Accepts nothing until a descriptor is free, whether one can be freed now or not."""
        freed = self._make_room()
        if not freed and not self._told_full:
            self._told_full = True
            log.warning("Failed to accept a connection: %s; tried again every second", why)
        self._loop.remove_reader(listening)
        self._loop.call_later(FREED_SECONDS if freed else FULL_SECONDS, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening not in self._listening:
            return
        if self._is_full():
            self._wait(listening, "no descriptor is left")
        else:
            self._told_full = False
            self._loop.add_reader(listening, self._accept, listening)

    def _is_full(self) -> bool:
        """Returns whether the next connection would get a descriptor that is kept back, or none."""
        try:
            free = os.dup(self._listening[0].fileno())
        except OSError:
            return True
        os.close(free)
        return free >= self._last_descriptor()

    async def _open(self, connection: socket.socket) -> None:
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(self._make, connection)
            else:
                await self._loop.connect_accepted_socket(
                    self._make, connection, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
                )
        except OSError as problem:  # ssl.SSLError is one
            log.debug("Failed to take a connection: %s", problem)
            connection.close()
