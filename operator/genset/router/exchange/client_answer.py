"""The client's side of an exchange: heads, events and comments, framed as the client's HTTP version wants them."""

from __future__ import annotations

from typing import Final

from genset.router.exchange.answer_headers import early_head
from genset.router.http.downstream import ClientConnection
from genset.router.http.holder import Work
from genset.router.http.request import Request
from genset.router.shared import Shared

COPIED_BYTES: Final = 64 * 1024  # of a whole answer: one write is cheaper than two


class Outgoing(Work):
    """`stream`: the client asked for one. `head_sent`: it has the status and headers of one. `last_events`: what is sent
    next ends it, and the end of the body goes with it."""

    __slots__ = ("_body_ended", "client", "head_sent", "identity", "last_events", "request", "shared", "stream")

    def __init__(
        self, shared: Shared, client: ClientConnection, request: Request, identity: bytes, *, stream: bool
    ) -> None:
        self.shared = shared
        self.client = client
        self.request = request
        self.identity = identity
        self.stream = stream
        self.head_sent = False
        self.last_events = False
        self._body_ended = False

    def write_whole(self, head: bytes, body: bytes) -> None:
        """An answer that is no stream. A large body is not copied once more."""
        if len(body) <= COPIED_BYTES:
            self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        else:
            self.client.drop_collected()  # from here on it is counted as unread
            self.client.write(b"%bcontent-length: %d\r\n\r\n" % (head, len(body)))
            self.client.write(body)

    def open_stream(self, head: bytes, out: bytes) -> None:
        """Status, headers and first events in one write."""
        self.head_sent = True
        if self.request.version_10:
            self.client.write(b"%bcache-control: no-cache\r\n\r\n%b" % (head, out))
        else:
            self._body_ended = self.last_events
            self.client.write(
                b"%bcache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n%b"
                % (head, len(out), out, b"0\r\n\r\n" if self.last_events else b"")
            )

    def send_events(self, out: bytes) -> None:
        """Whole events of a stream that is open."""
        if self.request.version_10:
            self.client.write(out)
        elif self.last_events:
            self._body_ended = True
            self.client.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(out), out))
        else:
            self.client.write(b"%x\r\n%b\r\n" % (len(out), out))

    def close_stream(self) -> None:
        """The end of the body."""
        if not self.request.version_10 and not self._body_ended:
            self.client.write(b"0\r\n\r\n")

    def comment(self, words: bytes) -> None:
        """A sign of life to a client that waits: one line that readers of event streams skip (WHATWG HTML, 9.2.6).

        No blank line follows. Some clients make an event of it, without data, and fail on that (openai-go, openai-python).
        Only between two events.
        """
        out = b": %b\n" % words
        if self.head_sent:
            self.send_events(out)
        else:
            self.open_stream(early_head(self.identity, self.connection_header(self.keeps_alive())), out)

    def keeps_alive(self) -> bool:
        """Whether the client's connection stays open after the answer."""
        return self.request.keep_alive and not self.shared.draining and not (self.request.version_10 and self.stream)

    def connection_header(self, keep: bool) -> bytes:
        """The end of a head: whether the connection stays, and what browsers want to know."""
        line = b""
        if not keep:
            line = b"connection: close\r\n"
        elif self.request.version_10:
            line = b"connection: keep-alive\r\n"
        cors = self.shared.configured.cors
        return line if cors is None else line + cors.lines(self.request.headers)
