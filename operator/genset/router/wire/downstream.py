"""One client connection: begins requests in their turn, writes answers, feels the client leave.

Reading never stops while a request is in work, because only a read tells that the client has left; what a pipelining
client sends meanwhile is kept up to 64 KiB. An EOF counts as leaving: a client that dies sends nothing else. A client
that does not read its answers gets no further ones, and its upstream is paused: what is unsent has a bound.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from genset.router.accesslog import asked
from genset.router.callers import peer_of
from genset.router.codings import ACCEPTED
from genset.router.errors import ErrorAnswer, error
from genset.router.evidence import NOSNIFF, reason_phrase, request_id
from genset.router.wire.arriving import Arriving, Stage
from genset.router.wire.request import BROKEN

if TYPE_CHECKING:
    from genset.router.server import Router
    from genset.router.wire.exchange import Exchange

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


class ClientConnection(Arriving):
    """`exchange` is the request in work."""

    __slots__ = (
        "_pending",
        "_pumping",
        "_unsent",
        "_working_bytes",
        "address",
        "exchange",
        "paused",
    )

    def __init__(self, router: Router) -> None:
        super().__init__(router)
        self.address = ""  # host of the peer
        self.exchange: Exchange | None = None
        self.paused = False  # the client reads more slowly than we write
        self.address = ""  # of whoever has connected
        self._pumping = False
        self._pending = b""
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
        self.address = peer_of(transport.get_extra_info("peername"))
        self.transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        self.mark = self.router.now()
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
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
        self._take(data)
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
        identity = request_id(self._headers.get(b"x-request-id"))
        shown = asked(self._parser.get_method() if self._url and self._parser is not None else b"", self._url)
        self.router.refused(self, self._headers, identity, shown, answer)
        more = (
            answer.headers() if self.router.cors is None else answer.headers() + self.router.cors.lines(self._headers)
        )
        body = answer.body()
        if answer.status == 415:
            more += b"accept-encoding: %b\r\n" % ACCEPTED  # RFC 9110, 15.5.16
        self.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
            b"%bconnection: close\r\n\r\n%b"
            % (answer.status, reason_phrase(answer.status), len(body), identity, NOSNIFF + more, body)
        )
        self._linger()

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
