"""The router's data plane without sockets and without time: real exchange, machine, backends and HTTP parsers on fakes.

`FakeTransport` stands in for a socket, `FakeRouter` for the process around an exchange, `FakeClient` for the client's
connection; everything else is the router itself. Upstream bytes arrive as a cut says: in the server's own pieces, in one, or
in slivers, and end by FIN, RST, silence, garbage or an error inside the stream.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from genset.contracts.router_config import BackendConfig, ColdStartConfig, FailoverConfig, UrlTarget
from genset.router.backends.backend import Backend
from genset.router.backends.credentials import Credentials
from genset.router.backends.failures import FailureBook
from genset.router.backends.mask import Mask
from genset.router.dialects.openai.api import Api
from genset.router.exchange.exchange import Exchange
from genset.router.exchange.record import Record
from genset.router.http.request import Request
from genset.router.http.upstream import UpstreamConnection
from genset.router.machine.decisions import Candidate
from genset.router.machine.machine import RequestMachine
from tests.cuts.authors import Author
from tests.cuts.streams import Recorded
from tests.support.router_config import made

How = Literal["fin", "rst", "stall", "garbage", "noise", "error"]
HOWS: tuple[How, ...] = ("fin", "rst", "stall", "garbage", "noise", "error")
GARBAGE = b"\x00\x01 no HTTP here \xff\r\n\r\n"
NOISE = b"\x00}\n\n\xff\xfe{\n"  # ends an event where it stands, as no JSON, and begins another
ERROR = b'data: {"error":{"message":"The model crashed","type":"server_error","code":500}}\n\n'
STALL_SECONDS = 1.0
SWEEP_SECONDS = 0.4
_CREDENTIALS = Credentials({}, "nowhere")

#: What a server does with a request: bytes in the pieces in which they arrive, with seconds between them where a number
#: stands, then how it ends (None: well).
Play = tuple[Sequence[bytes | float], How | None]
Server = Callable[[dict[str, Any]], Play]


def cut(stream: Recorded, at: int, how: How, pieces: int) -> Play:
    """The stream up to byte `at` of what goes over the wire, and then `how`.

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
    """An error event after the part of the payload that is within `at`; well framed, as the server would do it."""
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
    """The socket of one upstream connection."""

    def __init__(self, world: World, backend: Backend) -> None:
        self.world = world
        self.backend = backend
        self.connection: UpstreamConnection | None = None

    def write(self, data: bytes) -> None:
        assert self.connection is not None
        self.world.pending.append((self.connection, self.backend, data))

    def abort(self) -> None:
        self.connection = None

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class EndlessIdle(list[Any]):
    """Connections that are always there, so that an attempt needs no event loop."""

    def __init__(self, world: World, backend: Backend) -> None:
        super().__init__()
        self._world, self._backend = world, backend

    def __bool__(self) -> bool:
        return True

    def pop(self, *_: Any) -> UpstreamConnection:
        transport = FakeTransport(self._world, self._backend)
        connection = UpstreamConnection(self._backend.endpoints[0])
        connection.connection_made(transport)  # type: ignore[arg-type]
        transport.connection = connection
        return connection

    def append(self, _: Any) -> None: ...


class FakeClient:
    """The client's connection: keeps what is written."""

    def __init__(self) -> None:
        self.transport = self
        self.paused = False
        self.got: list[bytes] = []
        self.finished: bool | None = None

    def write(self, data: bytes) -> None:
        self.got.append(data)

    def finish(self, keep_alive: bool, now: float) -> None:
        self.finished = keep_alive

    def collects(self, size: int) -> bool:
        return True

    def drop_collected(self) -> None:
        pass


class _Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Timers only."""

    def __init__(self, world: World) -> None:
        self._world = world

    def call_later(self, delay: float, call: Callable[..., None], *args: Any) -> _Handle:
        handle = _Handle()
        timers = self._world.timers
        heapq.heappush(timers, (self._world.time + delay, len(timers), handle, call, args))
        return handle


class _Metrics:
    def __init__(self) -> None:
        self.continuations: Counter[str] = Counter()


class _Outbox:
    """Sends at once: a turn of this world has one event."""

    def __init__(self) -> None:
        self.flushes = 0
        self.turn = None

    def write(self, transport: Any, data: bytes) -> None:
        self.flushes += 1
        transport.write(data)


class FakeRouter:
    """What an exchange asks of the process around it."""

    draining = False
    cors = None
    site = b"here"

    def __init__(self, world: World) -> None:
        self._world = world
        self.loop = FakeLoop(world)
        self.outbox = _Outbox()
        self.metrics = _Metrics()
        self.mask = Mask()
        self.failures = FailureBook()
        self.running_out: set[Any] = set()
        self.ends: list[tuple[int, str]] = []

    def now(self) -> float:
        return self._world.time

    def wall(self) -> float:
        return 1_790_000_000.0 + self._world.time

    def finished(self, exchange: Exchange, now: float) -> None:
        self.ends.append((exchange.record.status, exchange.record.word))


@dataclass(frozen=True)
class Site:
    """One backend of a case: how it is configured, and what its server does with each request."""

    name: str
    server: Server
    continuation: str = "Anchor"
    kind: Literal["local", "cloud"] = "local"


class World:
    """One request through the data plane, from its first decision to its end. `run` returns what the client got."""

    def __init__(self, sites: list[Site], **failover: Any) -> None:
        self.time = 1000.0
        self.pending: list[tuple[UpstreamConnection, Backend, bytes]] = []
        self.timers: list[tuple[float, int, _Handle, Callable[..., None], tuple[Any, ...]]] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.router = FakeRouter(self)
        self.client = FakeClient()
        self._servers = {site.name: site.server for site in sites}
        self._backends = [self._backend(site) for site in sites]
        deadlines = {"stall_seconds": STALL_SECONDS, "first_token_seconds": STALL_SECONDS}
        self._settings = made(FailoverConfig, **{**deadlines, **failover})

    def _backend(self, site: Site) -> Backend:
        url = UrlTarget(base_url=f"http://{site.name}.test/v1", provider="openAICompatible")
        config = made(BackendConfig, name=site.name, kind=site.kind, model="m", continuation=site.continuation, url=url)
        backend = Backend(config, _CREDENTIALS, lambda: 0.5)
        backend.endpoints[0].idle = EndlessIdle(self, backend)
        return backend

    def run(self, body: dict[str, Any], api: Api = Api.CHAT) -> bytes:
        """Raises AssertionError where the request hangs."""
        raw = orjson.dumps(body)
        request = Request(b"POST", b"/v1" + api.path.encode(), {}, raw, True, False)
        stream = body.get("stream") is True
        record = Record(b"req-1", "", {}, api.asked, api.operation, body["model"], self.time, stream=stream)
        exchange = Exchange(self.router, self.client, request, api, body, record)  # type: ignore[arg-type]
        candidates = [Candidate(backend, tier, b"") for tier, backend in enumerate(self._backends)]
        record.routed = RequestMachine(
            candidates,
            self._settings,
            self.time + 60,
            stream=exchange.stream,
            input_tokens=10,
            random=lambda: 0.5,
            cold_start=made(ColdStartConfig),
        )
        end = self.time + 70
        exchange.begin()
        while not exchange.ended:
            assert self.time < end, (
                f"hangs: {exchange.machine.phase!r}, {[step.told() for step in exchange.machine.trail]}"
            )
            if self.pending:
                self._serve(*self.pending.pop(0))
            elif self.timers and self.timers[0][0] <= self.time:
                *_, handle, call, args = heapq.heappop(self.timers)
                if not handle.cancelled:
                    call(*args)
            else:
                self.time += SWEEP_SECONDS
                exchange.expire(self.time)
        assert self.client.finished is not None, "the client's connection was never told of the end"
        in_flight = [backend.endpoints[0].in_flight for backend in self._backends]
        assert in_flight == [0] * len(in_flight), f"in_flight is left at {in_flight}"
        return b"".join(self.client.got)

    def _serve(self, connection: UpstreamConnection, backend: Backend, data: bytes) -> None:
        if connection.closed:
            return
        body = orjson.loads(data.partition(b"\r\n\r\n")[2])
        self.requests.append((backend.name, body))
        self._play(connection, *self._servers[backend.name](body))

    def _play(self, connection: UpstreamConnection, pieces: Sequence[bytes | float], how: How | None) -> None:
        for number, piece in enumerate(pieces):
            if connection.closed:
                return
            if isinstance(piece, bytes):
                connection.data_received(piece)
            else:
                self.router.loop.call_later(piece, self._play, connection, pieces[number + 1 :], how)
                return
        if how == "stall" or connection.closed:
            return
        if how == "rst":
            connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
        elif how is not None:
            connection.eof_received()
            if not connection.closed:
                connection.connection_lost(None)


def writer(author: Author) -> Server:
    """A server that answers well."""
    return lambda body: ([author.respond(body)], None)
