"""A connection to an endpoint writes a request, has the response read, and tells the exchange about it.

It is kept alive between requests, in `Endpoint.idle`. One `data_received` becomes at most one call of the exchange for the body,
so that many small chunks in one segment cost one write to the client.

A connection belongs to one message at a time. What a server sends behind a complete one, or before it was asked, could
only be taken for the next client's answer: the message is delivered, and the connection dropped, never kept for another.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, final

from genset.router.backends.endpoint import Endpoint
from genset.router.compiled import mypyc_attr
from genset.router.http.flow_control import FlowControl
from genset.router.http.outbox import Outbox
from genset.router.http.response_reader import ResponseReader
from genset.router.http.turn import READS_BETWEEN_LOOKS, Turn

RUNNING_READS: Final = 2  # of a body; before, an answer is begun, which nobody is to wait for
IDLE_CONNECTIONS: Final = 256  # kept per endpoint


@mypyc_attr(allow_interpreted_subclasses=True)
class Listener(ABC):
    """A listener hears of the response to one request, as it arrives."""

    __slots__ = ()

    @abstractmethod
    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """Takes status and headers, whose names are in lower case."""

    @abstractmethod
    def on_body(self, data: bytes) -> None:
        """Takes a part of the body."""

    @abstractmethod
    def on_end(self, verified: bool) -> None:
        """Is told that the response is complete; unless `verified`, only because the connection has ended."""

    @abstractmethod
    def on_upstream_lost(self, detail: str, *, stale: bool) -> None:
        """Is told that the response will not be complete. `stale`: a kept connection was lost before any byte of it."""


@final
class UpstreamConnection(asyncio.Protocol):
    """A connection to an endpoint serves one request after another.

    `listener` is what it works for; None while it is idle, or while it only runs out. `direct`, if set, takes whole chunks
    as they come: the listener's running stream. `reused`: it has answered a request before. `since`: when it began to be
    idle, or to run out, by the router's clock.
    """

    __slots__ = (
        "_asked",
        "_between",
        "_flow",
        "_outbox",
        "_runs",
        "_turn",
        "closed",
        "direct",
        "endpoint",
        "listener",
        "reader",
        "reused",
        "since",
        "transport",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.transport: Any = None
        self.reader = ResponseReader()
        self.listener: Listener | None = None
        self.direct: Callable[[bytes], bool] | None = None
        self.closed = False
        self.reused = False
        self.since = 0.0
        self._flow = FlowControl()
        self._between = False  # the parser stands between two chunks of a running stream
        self._runs = 0  # reads of this body so far, up to where it is a running stream
        self._turn: Turn | None = None
        self._outbox: Outbox | None = None
        self._asked = 0  # flushes of the outbox before the request went into it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._flow.made(transport)

    def made_over(self, raw: asyncio.BaseTransport) -> None:
        """Takes the transport that TLS is spoken over, which is the one that rests."""
        self._flow.made_over(raw)

    @property
    def complete(self) -> bool:
        """Returns whether the response is at its end."""
        return self.reader.complete

    def begin(self, listener: Listener, request: bytes, outbox: Outbox) -> None:
        """Sends one request (head and body)."""
        self.listener = listener
        self.direct = None
        self._between = False
        self._runs = 0
        self.reader.begin(reused=self.reused)
        self._outbox, self._asked, self._turn = outbox, outbox.flushes, outbox.turn
        outbox.write(self.transport, request)

    def drop(self) -> None:
        """Closes at once; whatever the server still works on is cancelled by that."""
        self.listener = self.direct = None
        self._end()
        if self.transport is not None:
            self.transport.abort()

    def leave(self, now: float) -> bool:
        """Ends the work for the listener, which has all it needs. True: back to the pool; False: closed, or still running out."""
        self.listener = self.direct = None
        if self.closed:
            return False
        self._flow.resume()
        if not self.reader.complete:
            self.since = now  # the end of the body is usually in flight; the sweep closes what does not come
            return False
        return self._pool_or_drop(now)

    def pass_chunks(self, raw: Callable[[bytes], bool]) -> None:
        """From here on whole chunks go to `raw` as they come; what it does not take is read as before."""
        self.direct = raw

    def pause(self) -> None:
        """Reads no more for now: the client does not read."""
        self._flow.pause()

    def resume(self) -> None:
        """Reads on: the client does."""
        self._flow.resume()

    def _pool_or_drop(self, now: float) -> bool:
        """Keeps the connection for another request if it may be kept, and says whether it is."""
        endpoint = self.endpoint
        if not self.reader.keep or endpoint.gone or len(endpoint.idle) >= IDLE_CONNECTIONS:
            self.drop()
            return False
        self.reused = True
        self.since = now
        self._flow.read_again()
        endpoint.idle.append(self)
        return True

    def _end(self) -> None:
        self.closed = True
        self.reader.end()
        self._flow.end()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        turn, direct = self._turn, self.direct
        if turn is not None and (direct is not None or self._runs >= RUNNING_READS):
            reads = turn.reads = turn.reads + 1
            if (turn.long or reads % READS_BETWEEN_LOOKS == 0) and turn.is_long():
                self._flow.rest(turn)
        if direct is not None and self._between and direct(data):
            return
        reader = self.reader
        if not reader.expects:
            self.drop()  # bytes that belong to no request
            self._forget()
            return
        begins = not reader.heard
        if begins:
            outbox = self._outbox
            if outbox is not None and outbox.flushes == self._asked:
                self._lost("sent something before it was asked")
                return
            reader.heard = True
            if self._is_known(data):
                return
        problem = reader.feed(data)
        if reader.take_head() and self.listener is not None:
            self.listener.on_head(reader.status, reader.headers)
        if problem:
            self._lost(problem)
            return
        if begins and reader.keep:
            self.endpoint.known.learn(data, reader.headers)
        between = reader.is_between_chunks(data)
        self._deliver()
        self._between = between and self.direct is not None and not reader.complete

    def _is_known(self, data: bytes) -> bool:
        """Returns whether this is a whole answer under a head that the endpoint sent before. It has been told then."""
        listener = self.listener
        found = self.endpoint.known.find(data) if listener is not None else None
        if listener is None or found is None:
            return False
        head, body = found
        self.reader.take_known(head.headers, body)
        listener.on_head(200, head.headers)
        self._deliver()
        return True

    def eof_received(self) -> None:
        if self.listener is not None and self.reader.ends_here():
            self._deliver(verified=False)

    def connection_lost(self, problem: BaseException | None) -> None:
        self.closed = True
        self._flow.end()
        self._forget()
        if self.listener is not None and not self.reader.complete:
            self._lost("closed the connection" if problem is None else f"broke the connection ({problem})")

    def pause_writing(self) -> None:
        """Does nothing: a request is written once, and its size is bounded on arrival."""

    def resume_writing(self) -> None:
        """Does nothing either."""

    def _deliver(self, verified: bool = True) -> None:
        listener, reader = self.listener, self.reader
        data = reader.take_body()
        if data:
            self._runs += 1
            if listener is not None:
                listener.on_body(data)
        if not reader.complete or self.listener is not listener:
            return  # not at its end; or the exchange has left, and perhaps the next one has begun
        if listener is not None:
            listener.on_end(verified)
        elif not self.closed:
            self._pool_or_drop(self.since)

    def _lost(self, detail: str) -> None:
        listener, stale = self.listener, self.reused and not self.reader.heard
        self.drop()
        if listener is not None:
            listener.on_upstream_lost(detail, stale=stale)

    def _forget(self) -> None:
        if self in self.endpoint.idle:
            self.endpoint.idle.remove(self)
