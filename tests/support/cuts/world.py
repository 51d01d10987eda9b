"""This world is the router's data plane without sockets and without time, from the client's bytes to the answer's end.

`FakeTransport` stands in for sockets and `FakeLoop` for the event loop; everything else is the router itself, compiled
if it is. Upstream bytes arrive as a cut says: in the server's own pieces, in one, or in slivers, and end by FIN, RST,
silence, garbage or an error inside the stream.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import orjson

from genset.contracts.backend_config import BackendConfig, UrlTarget
from genset.contracts.route_config import FailoverConfig, RouteConfig, WeightedBackend
from genset.contracts.router_config import PolicyRef, RouterConfig
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.clock import Clock
from genset.router.dialects.openai.api import Api
from genset.router.exchange.reception import Reception
from genset.router.http.connect import Connector, Resolver
from genset.router.http.downstream import ClientConnection
from genset.router.http.outbox import Outbox
from genset.router.http.upstream import UpstreamConnection
from genset.router.routing.table import Table
from genset.router.shared import Shared
from genset.router.telemetry.journal import Journal
from genset.router.telemetry.metrics import Metrics
from genset.router.telemetry.observer import Telemetry
from genset.router.telemetry.wanted import Traces
from testbed.router_config import made
from tests.support.cuts.authors import Author
from tests.support.cuts.streams import Recorded

How = Literal["fin", "rst", "stall", "garbage", "noise", "error"]
HOWS: tuple[How, ...] = ("fin", "rst", "stall", "garbage", "noise", "error")
GARBAGE = b"\x00\x01 no HTTP here \xff\r\n\r\n"
NOISE = b"\x00}\n\n\xff\xfe{\n"  # ends an event where it stands, which is not JSON, and begins another one
ERROR = b'data: {"error":{"message":"The model crashed","type":"server_error","code":500}}\n\n'
STALL_SECONDS = 1.0
SWEEP_SECONDS = 0.4
FRESH = 4  # connections: more than one turn asks for
_CREDENTIALS = Credentials({}, "nowhere")
_RESOLVER = Resolver()  # nothing is asked of it

#: What a server does with a request: bytes in the pieces in which they arrive, with numbers between them for pauses in
#: seconds, and then how it ends (None: well).
Play = tuple[Sequence[bytes | float], How | None]
Server = Callable[[dict[str, Any]], Play]


def cut(stream: Recorded, at: int, how: How, pieces: int) -> Play:
    """Returns the stream up to byte `at` of what goes over the wire, and then `how`.

    `pieces`: 0 as the server wrote them, 1 all at once, more: that many bytes at a time.
    """
    data = stream.wire[:at]
    if how == "error":
        return _split(stream, _with_error(stream, at), pieces), None if stream.chunked else "fin"
    if how == "garbage":
        data += GARBAGE
    elif how == "noise":
        data += NOISE
    return _split(stream, data, pieces), how


def _split(stream: Recorded, data: bytes, pieces: int) -> list[bytes]:
    if pieces == 1:
        return [data]
    if pieces > 1:
        return [data[at : at + pieces] for at in range(0, len(data), pieces)]
    whole = bisect_right(stream.edges, len(data))
    rest = data[stream.edges[whole - 1] if whole else 0 :]
    return [*stream.framed[:whole], rest] if stream.wire.startswith(data) else [data]


def _with_error(stream: Recorded, at: int) -> bytes:
    """Returns an error event after the part of the payload that is within `at`; well framed, as the server would do it."""
    number = bisect_right(stream.edges, at)
    if number == 0:
        return stream.head + _last_chunk(stream, ERROR)
    before = b"".join(stream.framed[:number])
    if number > len(stream.chunks):
        return before
    start = stream.edges[number - 1]
    prefix = len(b"%x\r\n" % len(stream.chunks[number - 1])) if stream.chunked else 0
    part = stream.chunks[number - 1][: max(0, at - start - prefix)]
    return before + _last_chunk(stream, part + ERROR)


def _last_chunk(stream: Recorded, data: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if stream.chunked else data


class FakeTransport:
    """A fake transport is the socket of one connection. `written` is called with what goes out."""

    def __init__(self, written: Callable[[bytes], None]) -> None:
        self._written = written
        self._closing = False

    def write(self, data: bytes) -> None:
        self._written(data)

    def abort(self) -> None:
        self._closing = True

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 40_000) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class _Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """A fake loop holds what is to be called soon, and timers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.soon: deque[Callable[[], None]] = deque()

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> _Handle:
        handle = _Handle()
        timers = self._world.timers
        heapq.heappush(timers, (self._world.time + delay, next(self._world.numbers), handle, call, args))
        return handle


@dataclass(frozen=True)
class Site:
    """A site is one backend of a case: how it is configured, and what its server does with each request."""

    name: str
    server: Server
    continuation: str = "Anchor"
    kind: Literal["local", "cloud"] = "local"
    provider: str = "openAICompatible"
    model: str = "m"


class World:
    """A world leads one request through the data plane, from its bytes to the end of its answer.

    `run` returns what the client got.
    """

    def __init__(self, sites: list[Site], **failover: Any) -> None:
        self.time = 1000.0
        self.pending: list[tuple[UpstreamConnection, str, bytes]] = []
        self.timers: list[tuple[float, int, _Handle, Callable[..., None], tuple[Any, ...]]] = []
        self.numbers = itertools.count()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.loop = FakeLoop(self)
        self._servers = {site.name: site.server for site in sites}
        self._got: list[bytes] = []
        metrics = Metrics()
        self._observer = Telemetry(metrics, Journal(self._wall), Traces(metrics.spans, {}, self._wall))
        loop: Any = self.loop
        clock = Clock(lambda: self.time, lambda seconds: None)
        self.shared = Shared(loop, clock, self._wall, Connector(_RESOLVER, Outbox(loop)), self._observer)
        self.reception = Reception(self.shared, self._observer, lambda: 0.5)
        self._backends = {site.name: _backend(site) for site in sites}
        settings = {"stall_seconds": STALL_SECONDS, "first_token_seconds": STALL_SECONDS, "total_seconds": 60}
        config = made(
            RouterConfig,
            policy=made(PolicyRef, namespace="models", name="assistant"),
            backends=tuple(backend.config for backend in self._backends.values()),
            routes=(
                made(
                    RouteConfig,
                    name="route",
                    tiers=tuple((made(WeightedBackend, backend=site.name),) for site in sites),
                    failover=made(FailoverConfig, **{**settings, **failover}),
                ),
            ),
        )
        self.reception.take(Table(config, self._backends, "hash"), config.limits)

    def _wall(self) -> float:
        return 1_790_000_000.0 + self.time

    def run(self, body: dict[str, Any], api: Api = Api.CHAT) -> bytes:
        """Sends a request. Raises AssertionError if it hangs."""
        client = ClientConnection(self.shared, self.reception.receive)
        client.connection_made(FakeTransport(self._got.append))  # type: ignore[arg-type]
        raw = orjson.dumps(body)
        end = self.time + 70
        self._stock()
        head = f"POST /v1{api.path} HTTP/1.1\r\nhost: here\r\nx-request-id: req-1\r\ncontent-length: {len(raw)}\r\n\r\n"
        client.data_received(head.encode() + raw)
        while True:
            self._turn()
            if not self.reception.exchanges:
                break
            (exchange,) = self.reception.exchanges
            assert self.time < end, (
                f"hangs: {exchange.machine.phase!r}, {[step.told() for step in exchange.machine.trail]}"
            )
            self._stock()
            if self.pending:
                self._serve(*self.pending.pop(0))
            elif self.timers and self.timers[0][0] <= self.time:
                *_, handle, call, args = heapq.heappop(self.timers)
                if not handle.cancelled:
                    call(*args)
            else:
                self.time += SWEEP_SECONDS
                exchange.expire(self.time)
        assert client.exchange is None, "the client's connection was never told of the end"
        in_flight = [backend.endpoints[0].in_flight for backend in self._backends.values()]
        assert in_flight == [0] * len(in_flight), f"in_flight is left at {in_flight}"
        assert self.shared.budget.taken == 0, f"{self.shared.budget.taken} bytes of the request are still held"
        return b"".join(self._got)

    def _turn(self) -> None:
        """Ends a turn of the event loop: what was written goes out."""
        self.shared.outbox.flush()
        while self.loop.soon:
            self.loop.soon.popleft()()

    def _stock(self) -> None:
        """Gives each backend fresh connections, so that no attempt has to open one."""
        for backend in self._backends.values():
            (endpoint,) = backend.endpoints
            endpoint.idle[:] = [connection for connection in endpoint.idle if not connection.reused]
            while len(endpoint.idle) < FRESH:
                connection = UpstreamConnection(endpoint)
                asked = partial(self._asked, connection, backend.name)
                connection.connection_made(FakeTransport(asked))  # type: ignore[arg-type]
                endpoint.idle.append(connection)

    def _asked(self, connection: UpstreamConnection, backend: str, data: bytes) -> None:
        self.pending.append((connection, backend, data))

    def _serve(self, connection: UpstreamConnection, backend: str, data: bytes) -> None:
        if connection.closed:
            return
        body = orjson.loads(data.partition(b"\r\n\r\n")[2])
        self.requests.append((backend, body))
        self._play(connection, *self._servers[backend](body))

    def _play(self, connection: UpstreamConnection, pieces: Sequence[bytes | float], how: How | None) -> None:
        for number, piece in enumerate(pieces):
            if connection.closed:
                return
            if isinstance(piece, bytes):
                connection.data_received(piece)
                self._turn()
            else:
                self.loop.call_later(piece, self._play, connection, pieces[number + 1 :], how)
                return
        if how == "stall" or connection.closed:
            return
        if how == "rst":
            connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
        elif how is not None:
            connection.eof_received()
            if not connection.closed:
                connection.connection_lost(None)


def _backend(site: Site) -> Backend:
    url = UrlTarget(base_url=f"http://{site.name}.test/v1", provider=site.provider)
    way = {"kind": site.kind, "model": site.model, "continuation": site.continuation}
    config = made(BackendConfig, name=site.name, url=url, **way)
    return Backend(config, _CREDENTIALS, lambda: 0.5)


def writer(author: Author) -> Server:
    """Returns a server that answers well."""
    return lambda body: ([author.respond(body)], None)
