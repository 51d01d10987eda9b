"""One connection to an endpoint: writes a request, parses the response, tells the exchange about it.

Kept alive between requests in `Endpoint.idle`. The parser hands out bodies piece by piece; one `data_received` becomes
at most one call of the exchange, so that many small chunks in one segment cost one write to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import httptools

from genset.router.endpoint import Endpoint
from genset.router.wire.outbox import Outbox

HEAD_BYTES: Final = 64 * 1024  # of an upstream's response
IDLE_CONNECTIONS: Final = 256  # kept per endpoint


class Listener(Protocol):
    """What an exchange hears of its upstream connection."""

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_end(self, verified: bool) -> None: ...
    def on_upstream_lost(self, detail: str, *, stale: bool) -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """`listener` is the exchange that the connection works for; None while idle, or while it only runs out."""

    __slots__ = (
        "_between",
        "_body",
        "_framed",
        "_head_bytes",
        "_head_done",
        "_headers",
        "_heard",
        "_keep",
        "_parser",
        "_reading",
        "closed",
        "complete",
        "direct",
        "endpoint",
        "listener",
        "reused",
        "since",
        "transport",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.transport: Any = None
        self.listener: Listener | None = None
        self.closed = False
        self.reused = False  # has answered a request before
        self.since = 0.0  # idle or running out since
        self._parser: Any = None
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._head_done = False
        self._framed = False  # the response says where its body ends
        self._heard = False  # a byte of this response has arrived
        self.complete = False
        self.direct: Callable[[bytes], bool] | None = (
            None  # takes whole chunks as they come: the listener's running stream
        )
        self._between = False  # the parser stands between two chunks of a running stream
        self._keep = False
        self._body: list[bytes] = []
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def begin(self, listener: Listener, request: bytes, outbox: Outbox) -> None:
        """Sends one request (head and body)."""
        self.listener = listener
        self._reset()
        self._heard = False
        outbox.write(self.transport, request)

    def drop(self) -> None:
        """Closes at once; whatever the server still works on is cancelled by that."""
        self.listener = self.direct = None
        self.closed = True
        self._parser = None
        if self.transport is not None:
            self.transport.abort()

    def leave(self, now: float) -> bool:
        """The exchange has all it needs. True: back to the pool; False: closed, or still running out."""
        self.listener = self.direct = None
        if self.closed:
            return False
        self.resume()
        if not self.complete:
            self.since = now  # the end of the body is usually in flight; the sweep closes what does not come
            return False
        if not self._keep or self.endpoint.gone or len(self.endpoint.idle) >= IDLE_CONNECTIONS:
            self.drop()
            return False
        self._pool(now)
        return True

    def pause(self) -> None:
        if self._reading and not self.closed:
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self._reading and not self.closed:
            self._reading = True
            self.transport.resume_reading()

    def _pool(self, now: float) -> None:
        self.reused = True
        self.since = now
        self.endpoint.idle.append(self)

    def _reset(self) -> None:
        if self._parser is None or not self.reused:
            self._parser = httptools.HttpResponseParser(self)  # goes on to the next message by itself
        self._headers = {}
        self._head_bytes = 0
        self._head_done = self.complete = self._framed = self._between = self._keep = False
        self.direct = None

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if (direct := self.direct) is not None and self._between and direct(data):
            return
        parser = self._parser
        if parser is None or self.complete:
            self.drop()  # bytes that belong to no request
            self._forget()
            return
        begins, self._heard = not self._heard, True
        if begins and self._is_known(data):
            return
        if not self._head_done:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._lost(f"sent no valid HTTP ({type(problem).__name__})")
            return
        if not self._head_done and self._head_bytes > HEAD_BYTES:
            self._lost("sent a response head of more than 64 KiB")
            return
        if begins and self._keep:
            self.endpoint.known.learn(data, self._headers, may_be_chunked=True)
        # A body piece that ended with its event, two bytes before the end of this read: they can only be the chunk's own
        # line end, so the parser stands between two chunks. (A size line holds no LF before its CRLF.)
        between = data.endswith(b"\n\n\r\n") and bool(self._body) and self._body[-1].endswith(b"\n\n")
        self._deliver()
        self._between = between and self.direct is not None and not self.complete

    def _is_known(self, data: bytes) -> bool:
        """Whether this is a whole answer under a head that the endpoint sent before. It has been told then."""
        listener = self.listener
        found = self.endpoint.known.find(data) if listener is not None else None
        if listener is None or found is None:
            return False
        head, body = found
        self._head_done = self._framed = self.complete = self._keep = True
        listener.on_head(200, head.headers)
        if body:
            self._body.append(body)
        self._deliver()
        return True

    def eof_received(self) -> None:
        if self.listener is not None and self._head_done and not self._framed and not self.complete:
            self.complete = True  # a body that ends with the connection
            self._keep = False
            self._deliver(verified=False)

    def connection_lost(self, problem: BaseException | None) -> None:
        self.closed = True
        self._forget()
        if self.listener is not None and not self.complete:
            self._lost("closed the connection" if problem is None else f"broke the connection ({problem})")

    def pause_writing(self) -> None:
        """Nothing to do: a request is written once, and its size is bounded on arrival."""

    def resume_writing(self) -> None:
        pass

    def _deliver(self, verified: bool = True) -> None:
        listener = self.listener
        if self._body:
            data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body.clear()
            if listener is not None:
                listener.on_body(data)
        if not self.complete or self.listener is not listener:
            return  # not at its end; or the exchange has left, and perhaps the next one has begun
        if listener is not None:
            listener.on_end(verified)
        elif not self.closed:
            if self._keep and not self.endpoint.gone and len(self.endpoint.idle) < IDLE_CONNECTIONS:
                self._pool(self.since)
            else:
                self.drop()

    def _lost(self, detail: str) -> None:
        listener, stale = self.listener, self.reused and not self._heard
        self.drop()
        if listener is not None:
            listener.on_upstream_lost(detail, stale=stale)

    def _forget(self) -> None:
        if self in self.endpoint.idle:
            self.endpoint.idle.remove(self)

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:  # trailers: nobody reads them, and nothing bounds them
            return
        name = name.lower()
        if name == b"content-encoding" and name in self._headers:
            value = b"%b, %b" % (self._headers[name], value)  # several lines are one list (RFC 9110, 5.3)
        self._headers[name] = value
        if name == b"content-length" or name == b"transfer-encoding":
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: the real response follows
            self._headers = {}
            self._framed = False
            return
        self._head_done = True
        if self.listener is not None:
            self.listener.on_head(status, self._headers)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser is None or self._parser.get_status_code() < 200:
            return
        self.complete = True
        self._keep = self._parser.should_keep_alive()
