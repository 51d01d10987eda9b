"""One connection to an endpoint: writes a request, parses the response, tells the exchange about it.

Kept alive between requests in `Endpoint.idle`. The parser hands out bodies piece by piece; one `data_received` becomes
at most one call of the exchange, so that many small chunks in one segment cost one write to the client.

A connection belongs to one message at a time. What a server sends behind a complete one, or before it was asked, could
only be taken for the next client's answer: the message is delivered, and the connection dropped, never kept for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import httptools

from genset.router.backends.endpoint import Endpoint
from genset.router.http.outbox import Outbox
from genset.router.http.turn import READS_BETWEEN_LOOKS, Turn

HEAD_BYTES: Final = 64 * 1024  # of an upstream's response, and of what it sends inside a body without adding to it
RUNNING_READS: Final = 2  # of a body; before, an answer is begun, which nobody is to wait for
IDLE_CONNECTIONS: Final = 256  # kept per endpoint


class Listener(Protocol):
    """What an exchange hears of its upstream connection."""

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_end(self, verified: bool) -> None: ...
    def on_upstream_lost(self, detail: str, *, stale: bool) -> None: ...


_END_BYTES: Final = 6  # of a message's end and of a line end behind it


class _BehindTheEnd(Exception):
    """Stops the parser at the first byte of a message that nobody asked for."""


class UpstreamConnection(asyncio.Protocol):
    """`listener` is the exchange that the connection works for; None while idle, or while it only runs out."""

    __slots__ = (
        "_asked",
        "_bare_bytes",
        "_between",
        "_body",
        "_end",
        "_framed",
        "_head_done",
        "_headers",
        "_heard",
        "_held",
        "_keep",
        "_outbox",
        "_parser",
        "_raw",
        "_rests",
        "_runs",
        "_turn",
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
        self._bare_bytes = 0  # arrived since the last piece of a body
        self._end = b""  # the last bytes that the parser got
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
        self._held = False  # not read, because its client does not read
        self._rests = False  # not read before its turn comes; see `turn`
        self._runs = 0  # reads of this body so far, up to where it is a running stream
        self._raw: Any = None  # the socket's own transport, under TLS
        self._turn: Turn | None = None
        self._outbox: Outbox | None = None
        self._asked = 0  # flushes of the outbox before the request went into it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self._raw is None:
            self._raw = transport

    def made_over(self, raw: asyncio.BaseTransport) -> None:
        """TLS is spoken over this transport, which is the one to stop when nothing is to be read."""
        self._raw = raw

    def begin(self, listener: Listener, request: bytes, outbox: Outbox) -> None:
        """Sends one request (head and body)."""
        self.listener = listener
        self._reset()
        self._heard = False
        self._outbox, self._asked, self._turn = outbox, outbox.flushes, outbox.turn
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

    def pass_chunks(self, raw: Callable[[bytes], bool]) -> None:
        """From here on whole chunks go to `raw` as they come; what it does not take is read as before."""
        self.direct = raw

    def pause(self) -> None:
        if not self._held and not self.closed:
            self._held = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._held and not self.closed:
            self._held = False
            if not (self._rests and self._raw is self.transport):
                self.transport.resume_reading()

    def read_again(self) -> None:
        """Its turn has come, or somebody needs it before."""
        if self._rests:
            self._rests = False
            if not self.closed and not self._raw.is_closing() and not (self._held and self._raw is self.transport):
                self._raw.resume_reading()

    def _pool(self, now: float) -> None:
        self.reused = True
        self.since = now
        self.read_again()
        self.endpoint.idle.append(self)

    def _reset(self) -> None:
        if self._parser is None or not self.reused:
            self._parser = httptools.HttpResponseParser(self)  # goes on to the next message by itself
        self._headers = {}
        self._end = b""
        self._bare_bytes = self._runs = 0
        self._head_done = self.complete = self._framed = self._between = self._keep = False
        self.direct = None

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        turn, direct = self._turn, self.direct
        if turn is not None and (direct is not None or self._runs >= RUNNING_READS):
            reads = turn.reads = turn.reads + 1
            if (turn.long or reads % READS_BETWEEN_LOOKS == 0) and turn.is_long() and not self._rests:
                self._rest(turn)
        if direct is not None and self._between and direct(data):
            return
        parser = self._parser
        if parser is None or self.complete:
            self.drop()  # bytes that belong to no request
            self._forget()
            return
        begins = not self._heard
        if begins:
            outbox = self._outbox
            if outbox is not None and outbox.flushes == self._asked:
                self._lost("sent something before it was asked")
                return
            self._heard = True
            if self._is_known(data):
                return
        end = data if len(data) > _END_BYTES else self._end + data  # that of the message, if it ends here
        self._end = end[-_END_BYTES:]
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            if not self.complete:
                self._lost(f"sent no valid HTTP ({type(problem).__name__})")
                return
            self._keep = False
        if self._keep and self.complete and not is_end(end, b"" if self._is_chunked() else self._last_piece()):
            self._keep = False
        if not self._body and not self.complete:
            self._bare_bytes += len(data)
            if self._bare_bytes > HEAD_BYTES:
                part = "chunk header or trailer" if self._head_done else "response head"
                self._lost(f"sent a {part} of more than 64 KiB")
                return
        if begins and self._keep:
            self.endpoint.known.learn(data, self._headers)
        # A body piece that ended with its event, two bytes before the end of this read: they can only be the chunk's own
        # line end, so the parser stands between two chunks. (A size line holds no LF before its CRLF.)
        between = data.endswith(b"\n\n\r\n") and self._last_piece().endswith(b"\n\n")
        self._deliver()
        self._between = between and self.direct is not None and not self.complete

    def _rest(self, turn: Turn) -> None:
        if not self._raw.is_closing():
            self._rests = True
            self._raw.pause_reading()
            turn.rest(self)

    def _is_chunked(self) -> bool:
        return b"transfer-encoding" in self._headers

    def _last_piece(self) -> bytes:
        """The piece of the body that came last in this read; empty if none has come."""
        return self._body[-1] if self._body else b""

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
            self._bare_bytes = 0
            self._runs += 1
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

    def on_message_begin(self) -> None:
        if self.complete:
            raise _BehindTheEnd

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:  # trailers: nobody reads them
            return
        name = name.lower()
        if (name == b"content-encoding" or name == b"transfer-encoding") and name in self._headers:
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
        headers = self._headers
        if b"transfer-encoding" in headers and headers[b"transfer-encoding"] != b"chunked":
            self._framed = add_transfer_codings(headers)
        if self.listener is not None:
            self.listener.on_head(status, headers)

    def on_body(self, data: bytes) -> None:
        if self._head_done:  # a 1xx has none
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser is None or self._parser.get_status_code() < 200:
            return
        self.complete = True
        headers = self._headers
        self._keep = self._parser.should_keep_alive()
        if self._keep and b"connection" in headers and b"transfer-encoding" in headers:
            self._keep = self._parser.get_http_version() != "1.0"  # which knows no chunks (RFC 9112, 6.1)


def add_transfer_codings(headers: dict[bytes, bytes]) -> bool:
    """What the body went through on the way, besides chunks, was done last: it is undone, or fails, as the content codings.

    Whether chunks say where it ends.
    """
    codings = [word.strip() for word in headers[b"transfer-encoding"].lower().split(b",")]
    chunked = codings[-1] == b"chunked"
    if chunked:
        del codings[-1]
    if codings:
        before = headers.get(b"content-encoding", b"")
        headers[b"content-encoding"] = b", ".join([before, *codings] if before else codings)
    return chunked


def is_end(data: bytes, body: bytes) -> bool:
    """Whether a read in which a message ended holds no line ends behind it, which the parser skips without a word.

    `data`: the read, with what came before it if it is shorter than such an end. `body`: the last piece of a body with a
    content-length; empty if the message ended with an empty line.
    """
    if body:
        return data.endswith(body[-8:])
    return data.endswith(b"\r\n\r\n") and not data.endswith(b"\n", 0, -4)
