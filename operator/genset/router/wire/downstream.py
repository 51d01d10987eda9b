"""One client connection: parses requests, bounds what a client may send, writes answers, feels the client leave.

Reading never stops while a request is in work, because only a read tells that the client has left; what a pipelining
client sends meanwhile is kept up to 64 KiB. An EOF counts as leaving: a client that dies sends nothing else. A client
that does not read its answers gets no further ones, and its upstream is paused: what is unsent has a bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools

from genset.router.errors import ErrorAnswer, error
from genset.router.evidence import reason_phrase
from genset.router.telemetry.context import TRACESTATE, TRACESTATE_BYTES
from genset.router.wire.request import BROKEN, Request, head_without_offers

if TYPE_CHECKING:
    from genset.router.server import Router
    from genset.router.wire.exchange import Exchange

HEAD_BYTES: Final = 64 * 1024  # request line and headers
PENDING_BYTES: Final = 64 * 1024  # pipelined behind a request in work
HEAD_SECONDS = 15.0  # from the first byte of a request to the end of its headers
BODY_SECONDS = 30.0  # without a byte of the body
BODY_BYTES_PER_SECOND: Final = (
    240  # least pace of a body, once the times above are over: else a trickle holds a place for hours
)
IDLE_SECONDS = 75.0  # kept alive between requests
LINGER_SECONDS = 2.0  # reading on after an early answer, so that the client can read it
WRITE_SECONDS = 120.0  # a client that takes not one byte of what waits for it for so long is gone
WRITE_HIGH_BYTES: Final = 256 * 1024  # unsent to a client before its upstream is paused
WRITE_LOW_BYTES: Final = 64 * 1024


class Stage:
    """How far the parser is. A request in work (`exchange`) is apart from it: the next one may be half parsed."""

    IDLE: Final = 0
    HEAD: Final = 1
    BODY: Final = 2
    LINGER: Final = 3
    CLOSED: Final = 4


class ClientConnection(asyncio.Protocol):
    """`exchange` is the request in work."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_declining",
        "_head_bytes",
        "_headers",
        "_limit",
        "_parser",
        "_parsing",
        "_pending",
        "_pumping",
        "_queue",
        "_since",
        "_unsent",
        "_url",
        "_working_bytes",
        "exchange",
        "mark",
        "paused",
        "router",
        "served",
        "stage",
        "transport",
    )

    def __init__(self, router: Router) -> None:
        self.router = router
        self.transport: Any = None
        self.exchange: Exchange | None = None
        self.stage = Stage.IDLE
        self.mark = 0.0  # when the stage began, or last made progress
        self.paused = False  # the client reads more slowly than we write
        self.served = 0
        self._parser: Any = httptools.HttpRequestParser(self)
        self._parsing = False
        self._pumping = False
        self._declining = False
        self._queue: deque[Request] = deque()
        self._pending = b""
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._limit = 0
        self._since = 0.0  # when the request that is arriving began
        self._unsent = 0  # bytes that waited for the client when the sweep last looked
        self._working_bytes = 0  # body of the request in work

    # What the exchange does with a connection

    def write(self, data: bytes) -> None:
        self.router.outbox.write(self.transport, data)

    def finish(self, keep_alive: bool) -> None:
        """The exchange has written its whole answer."""
        self.exchange = None
        self.router.buffered_bytes -= self._working_bytes
        self._working_bytes = 0
        if self.stage == Stage.CLOSED:
            return
        if not keep_alive:
            self._linger()
            return
        self.mark = self.router.now()
        if (self._queue or self._pending) and not self._parsing:
            self._pump()

    @property
    def busy(self) -> bool:
        """Whether a request is arriving or in work, or an answer is still on its way."""
        if self.exchange is not None or self.stage == Stage.HEAD or self.stage == Stage.BODY:
            return True
        return self.stage != Stage.CLOSED and self._unsent_bytes() > 0

    def close_idle(self) -> None:
        """Drain: if nothing is in work here, nothing should begin."""
        if self.stage == Stage.IDLE and not self.busy:
            self.close()

    def close(self) -> None:
        """After what was written."""
        self.router.outbox.flush()
        self.transport.close()

    def _unsent_bytes(self) -> int:
        self.router.outbox.flush()
        unsent: int = self.transport.get_write_buffer_size()
        return unsent

    def _linger(self) -> None:
        """Closes after the answer, reading on for a moment: closing over unread bytes would reset the connection."""
        self.stage = Stage.LINGER
        self.mark = self.router.now()
        self._drop_queue()
        self._pending = b""
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.router.outbox.flush()
            self.transport.write_eof()
        else:
            self.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        self.mark = self.router.now()
        self.router.connections.add(self)

    def connection_lost(self, problem: BaseException | None) -> None:
        self.stage = Stage.CLOSED
        self.router.connections.discard(self)
        self._drop_body()
        self._drop_queue()
        self.router.buffered_bytes -= self._working_bytes
        self._working_bytes = 0
        self._parser = None
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_gone()

    def eof_received(self) -> None:
        """The transport closes itself, and `connection_lost` follows."""

    def data_received(self, data: bytes) -> None:
        if self.stage >= Stage.LINGER:
            return
        if self.exchange is not None or self.paused:
            self._pending += data
            if len(self._pending) > PENDING_BYTES:
                self.transport.pause_reading()
            return
        self._feed(data)
        if self._queue:
            self._pump()

    def pause_writing(self) -> None:
        self.paused = True
        self.mark = self.router.now()
        if self.exchange is not None:
            self.exchange.client_slow()

    def resume_writing(self) -> None:
        self.paused = False
        if self.exchange is not None:
            self.exchange.client_caught_up()
        elif self._queue or self._pending:
            self._pump()

    # Parsing

    def _feed(self, data: bytes) -> None:
        stage = self.stage
        if stage == Stage.HEAD:
            self._head_bytes += len(data)
        else:
            self._head_bytes = 0  # a head that begins in this read is counted from the next one on
            if stage == Stage.BODY:
                self.mark = self.router.now()
        self._parsing = True
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._feed_past_offers(data, upgrade.args[0])
        except httptools.HttpParserError:
            self._refuse(error("caller_bad_request", "the request is not valid HTTP/1.1"))
        self._parsing = False
        if self.stage == Stage.HEAD and self._head_bytes > HEAD_BYTES:
            self._refuse(error("caller_headers_too_large", f"request line and headers exceed {HEAD_BYTES} bytes"))

    def _feed_past_offers(self, data: bytes, offset: int) -> None:
        while True:
            data = data[offset:]
            if self._declining:
                self._decline_upgrade()
            if not data:
                return
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                offset = upgrade.args[0]

    def _decline_upgrade(self) -> None:
        """The parser takes such a request for finished before its body: a fresh one reads the head without the offer."""
        self._declining = False
        head = head_without_offers(self._parser.get_method(), self._url, self._headers)
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)

    def _pump(self) -> None:
        """Begins the next request that is complete, if none is in work and the client has taken its answers."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self.exchange is None and self.stage < Stage.LINGER and not self.paused:
                if self._queue:
                    request = self._queue.popleft()
                    if request is BROKEN:
                        self._refuse(error("caller_bad_request", "the request is not valid HTTP/1.1"))
                        break
                    self.served += 1
                    self._working_bytes = len(request.body)
                    self.router.receive(self, request)
                elif self._pending:
                    data, self._pending = self._pending, b""
                    self.transport.resume_reading()
                    self._feed(data)
                else:
                    break
        finally:
            self._pumping = False

    def _refuse(self, answer: ErrorAnswer) -> None:
        """Answers a request that never became whole, and closes."""
        if self.stage >= Stage.LINGER:
            return
        if self._queue:
            self._queue.append(BROKEN)  # after what came before it
            return
        self._drop_body()
        self.router.refused(answer)
        body = answer.body()
        self.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (answer.status, reason_phrase(answer.status), len(body), body)
        )
        self._linger()

    def _drop_body(self) -> None:
        self.router.buffered_bytes -= self._body_bytes
        self._body_bytes = 0
        self._body.clear()

    def _drop_queue(self) -> None:
        self.router.buffered_bytes -= sum(len(request.body) for request in self._queue)
        self._queue.clear()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self.stage = Stage.HEAD if self.stage < Stage.LINGER else self.stage
        self.mark = self._since = self.router.now()
        self._headers = {}
        self._url = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers
        name = name.lower()
        if name == TRACESTATE and name in headers:  # a list, in as many lines as there are vendors
            value = b"%b,%b" % (headers[name][:TRACESTATE_BYTES], value)
        if self.stage == Stage.HEAD:  # trailers have no say in how a request is treated (RFC 9110, 6.5.1)
            headers[name] = value

    def on_headers_complete(self) -> None:
        if self.stage >= Stage.LINGER:
            return
        self.stage = Stage.BODY
        self._limit = self.router.most_body_bytes
        length = self._headers.get(b"content-length")
        if length is not None and int(length) > self._limit:
            self._too_large()
        elif b"expect" in self._headers and self._expects_continue():
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _expects_continue(self) -> bool:
        """A client behind others in the pipeline learns it when its turn has come, from the answer itself."""
        expected = self._headers[b"expect"].lower() == b"100-continue" and self._parser.get_http_version() == "1.1"
        return expected and not self._queue

    def on_body(self, data: bytes) -> None:
        if self.stage >= Stage.LINGER:
            return
        self._body_bytes += len(data)
        self.router.buffered_bytes += len(data)
        if self._body_bytes > self._limit:
            self._too_large()
            return
        if self.router.buffered_bytes > self.router.most_buffered_bytes:
            self._refuse(error("router_overloaded", "the router holds too many request bodies", retry_after=1))
            return
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self.stage >= Stage.LINGER:
            return
        parser = self._parser
        headers = self._headers
        if (
            b"upgrade" in headers
            and (b"content-length" in headers or b"transfer-encoding" in headers)
            and parser.should_upgrade()
        ):
            self._declining = True  # the body follows; see _decline_upgrade
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._body_bytes = 0  # counted on until the request is answered
        keep_alive = parser.should_keep_alive()
        # Only HTTP/1.1 keeps a connection unasked, and the parser's answer to which version it is takes its time.
        version_10 = not (keep_alive and b"connection" not in headers) and parser.get_http_version() == "1.0"
        self._queue.append(Request(parser.get_method(), self._url, headers, body, keep_alive, version_10))
        self.stage = Stage.IDLE

    def _too_large(self) -> None:
        self._refuse(error("caller_body_too_large", f"the request body exceeds {self._limit} bytes (limits.maxBody)"))

    # The sweep

    def expire(self, now: float) -> None:
        """Called about once a second: closes what has taken too long."""
        unsent = self._unsent_bytes()
        if unsent != self._unsent:  # the client takes some: no other clock runs meanwhile
            self._unsent = unsent
            self.mark = now
        stage, age = self.stage, now - self.mark
        if unsent:
            if age > WRITE_SECONDS:
                self.transport.abort()
        elif self.exchange is not None:
            pass
        elif stage == Stage.IDLE:
            if age > IDLE_SECONDS:
                self.close()
        elif stage == Stage.HEAD:
            if age > HEAD_SECONDS:
                self._refuse(error("caller_timeout", f"the request's headers took more than {HEAD_SECONDS:g} s"))
        elif stage == Stage.BODY:
            if age > BODY_SECONDS:
                self._refuse(error("caller_timeout", f"no byte of the request's body came for {BODY_SECONDS:g} s"))
            elif self._body_bytes < (now - self._since - HEAD_SECONDS - BODY_SECONDS) * BODY_BYTES_PER_SECOND:
                self._refuse(
                    error("caller_timeout", f"the request's body came at less than {BODY_BYTES_PER_SECOND} bytes/s")
                )
        elif stage == Stage.LINGER and age > LINGER_SECONDS:
            self.transport.abort()
