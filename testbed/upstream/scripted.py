"""ScriptedUpstream is a fake model server that fails on command, over real sockets, and remembers what it saw.

It stands in for the failures of model servers and clouds, which cannot be had on demand. Every POST is answered by the
next step of a script (see steps.py), or by the step that a `choose` function picks; health probes are answered apart,
so that they never use up a step. Tests assert on what it received and on when a client left, not on calls.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.upstream.connection import Connection, reset_on_close
from testbed.upstream.steps import Answer, OnAccept, Status, Step
from testbed.upstream.tls import Authority

Choose = Callable[["Received"], Step | None]


@dataclass(eq=False)
class Received:
    """A received request, as it arrived, and what became of it. Times are the loop's clock, in seconds."""

    number: int
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    step: Step | None = None
    finished_at: float | None = None
    client_left_at: float | None = None  # when the client's side closed before the answer was finished
    bytes_sent: int = 0  # of the body, without HTTP framing
    chunks_sent: int = 0  # content chunks

    @property
    def json(self) -> Any:
        """Returns the body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass
class ScriptedUpstream:
    """A ScriptedUpstream is an OpenAI-compatible server on a free port of the loopback, driven by a script.

    - script: steps for POST requests, in order. default: the step of every request after them.
    - choose: asked first; a step that it returns does not use up the script.
    - accept: what happens to the first connections, in order (None: serve). every_accept: to all later ones.
    - health: what GET /health, /v1/models and other GETs answer (None: 200).
    - own: requests of the router's own, which carry nothing of a client's; they take no step of the script.
    - backlog: connections that wait to be accepted; accepts_after: seconds in which none is.
    - tls: the CA that signs its certificate; `names` are what clients dial it by.
    """

    script: Iterable[Step] = ()
    default: Step = field(default_factory=Answer)
    choose: Choose | None = None
    accept: Iterable[OnAccept | None] = ()
    every_accept: OnAccept | None = None
    health: Status | None = None
    tls: Authority | None = None
    names: Sequence[str] = ("127.0.0.1", "localhost")
    host: str = "127.0.0.1"
    backlog: int = 1024
    accepts_after: float = 0.0
    model: str = "scripted"

    requests: list[Received] = field(default_factory=list, init=False)
    probes: list[Received] = field(default_factory=list, init=False)
    own: list[Received] = field(default_factory=list, init=False)
    accepted: int = field(default=0, init=False)
    refused_handshakes: int = field(default=0, init=False)
    port: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._script: deque[Step] = deque(self.script)
        self._accept: deque[OnAccept | None] = deque(self.accept)
        self._open: set[Connection] = set()
        self._held: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._acceptor: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._context = self.tls.server_context(*self.names) if self.tls else None

    # -- life

    async def __aenter__(self) -> ScriptedUpstream:
        self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    def listen(self) -> None:
        """Opens the port; the same one again after stop_listening or kill."""
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.every_accept and self.every_accept.how == "never-read":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # fills at once instead of after megabytes
        listener.bind((self.host, self.port))
        listener.listen(self.backlog)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._acceptor = asyncio.get_running_loop().create_task(self._accept_all(listener))

    async def stop_listening(self) -> None:
        """Refuses new connections from now on; open ones go on."""
        if self._acceptor:
            self._acceptor.cancel()
            await asyncio.wait([self._acceptor])
            self._acceptor = None
        if self._listener:
            self._listener.close()
            self._listener = None

    async def kill(self, reset: bool = True) -> None:
        """Closes the port and cuts every connection, as when the process is killed (by FIN with reset=False)."""
        await self.stop_listening()
        for connection in list(self._open):
            connection.cut(reset=reset)
        for sock in self._held:
            sock.close()
        self._held.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what tests read and steer

    @property
    def address(self) -> str:
        """Returns HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Returns the root, without a path."""
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def base_url(self) -> str:
        """Returns what an OpenAI client is given: the URL up to and with /v1."""
        return f"{self.url}/v1"

    @property
    def open_connections(self) -> int:
        """Counts connections that neither side has closed."""
        return len(self._open) + len(self._held)

    @property
    def busy(self) -> int:
        """Counts requests that are being answered."""
        return sum(1 for r in self.requests if r.finished_at is None and r.client_left_at is None)

    def then(self, *steps: Step) -> None:
        """Appends steps to the script."""
        self._script.extend(steps)

    def always(self, step: Step) -> None:
        """Forgets the rest of the script, and plays this step from now on."""
        self._script.clear()
        self.default = step

    async def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Waits until the condition holds, for at most `within` seconds; it is tested whenever something happens here."""
        async with asyncio.timeout(within):
            while not condition():
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), 0.05)
                except TimeoutError:
                    continue

    # -- what connections call

    def notice(self) -> None:
        """Notes that something changed that a test may be waiting for."""
        self._changed.set()

    def record(self, connection: int, method: str, path: str, headers: dict[str, str], body: bytes) -> Received:
        """Keeps one request and decides its step."""
        kept = self.requests if method == "POST" else self.probes
        if method == "POST" and "x-request-id" not in headers and headers.get("user-agent") == "genset":
            kept = self.own
        now = asyncio.get_running_loop().time()
        received = Received(len(kept), connection, method, path, headers, body, now)
        received.step = self._step(received) if kept is not self.own else self._step_of_own(received)
        kept.append(received)
        self.notice()
        return received

    def _step(self, received: Received) -> Step:
        chosen = self.choose(received) if self.choose else None
        if chosen is not None:
            return chosen
        if received.method != "POST":
            if self.health is not None:
                return self.health
            models = [{"id": self.model, "object": "model", "created": 0, "owned_by": "test"}]
            listed = received.path.endswith("/models")
            return Status(200, {"object": "list", "data": models} if listed else {"status": "ok"})
        return self._script.popleft() if self._script else self.default

    def _step_of_own(self, received: Received) -> Step:
        """Returns the step for a request of the router's own, which takes none of the script: that is for clients'."""
        return (self.choose(received) if self.choose else None) or self.default

    def closed(self, connection: Connection) -> None:
        """Notes that a connection is gone."""
        self._open.discard(connection)
        self.notice()

    # -- accepting

    async def _accept_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.accepts_after)
        while True:
            sock, _ = await loop.sock_accept(listener)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            how = self._accept.popleft() if self._accept else self.every_accept
            task = loop.create_task(self._hold(sock, how) if how else self._serve(sock, self.accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self.notice()

    async def _serve(self, sock: socket.socket, number: int) -> None:
        loop = asyncio.get_running_loop()
        connection = Connection(self, sock, number)
        self._open.add(connection)
        try:
            await loop.connect_accepted_socket(lambda: connection, sock, ssl=self._context)
        except (OSError, ConnectionError):  # the client refused the handshake, or left during it
            self.refused_handshakes += 1
            sock.close()
            self.closed(connection)
            return
        await connection.run()

    async def _hold(self, sock: socket.socket, how: OnAccept) -> None:
        loop = asyncio.get_running_loop()
        if how.how == "reset":
            reset_on_close(sock)
        if how.how in ("reset", "close"):
            sock.close()
            return
        self._held.append(sock)
        if how.how == "never-read":
            return
        try:
            while await loop.sock_recv(sock, 65536):
                if how.how == "garbage":
                    await loop.sock_sendall(sock, how.data)
        except OSError:
            pass
        finally:
            if sock in self._held:
                self._held.remove(sock)
            sock.close()
            self.notice()
