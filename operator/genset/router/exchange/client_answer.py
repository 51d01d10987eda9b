"""The answer to a client is a head and a body, or events and comments, framed as the client's HTTP version wants them."""

from __future__ import annotations

from typing import Final, final

from genset.router.errors import ErrorAnswer
from genset.router.exchange.answer_headers import early_head, error_head, good_head
from genset.router.http.downstream import ClientConnection
from genset.router.http.request import Request
from genset.router.machine.machine import RequestMachine
from genset.router.shared import Shared

COPIED_BYTES: Final = 64 * 1024  # of a whole answer: one write is cheaper than two


@final
class ClientAnswer:
    """A client answer is either one whole answer, or a stream that is opened, fed and closed.

    `client` is the connection that it goes out on. `stream`: the client asked for a stream. `head_sent`: the client has
    the status and the headers of one, so that only its events can still say what goes wrong. `last_events`: what is sent
    next ends the stream, and the end of the body goes out with it.
    """

    __slots__ = ("_body_ended", "_request", "_shared", "client", "head_sent", "identity", "last_events", "stream")

    def __init__(
        self, shared: Shared, client: ClientConnection, request: Request, identity: bytes, *, stream: bool
    ) -> None:
        self._shared = shared
        self._request = request
        self.client = client
        self.identity = identity
        self.stream = stream
        self.head_sent = False
        self.last_events = False
        self._body_ended = False

    # Whole answers

    def whole(self, machine: RequestMachine, headers: dict[bytes, bytes], body: bytes, more: bytes = b"") -> bool:
        """An answer that is no stream, from the machine's candidate, goes out. `headers` are the upstream's.

        `more` are header lines. Returns whether the client's connection stays open.
        """
        keep, mask = self.keeps_alive(), self._shared.configured.mask
        more += self._connection_header(keep)
        head = good_head(machine, self.identity, b"application/json", headers, mask, more)
        if len(body) <= COPIED_BYTES:
            self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        else:
            self.client.drop_collected()  # from here on it is counted as unread
            self.client.write(b"%bcontent-length: %d\r\n\r\n" % (head, len(body)))
            self.client.write(body)
        return keep

    def error(self, machine: RequestMachine | None, answer: ErrorAnswer, upstream_id: bytes = b"") -> bool:
        """An error goes out as a whole answer. `machine` is None if no route took the request.

        `upstream_id`: a header line with the upstream's own id of the request. Returns whether the client's connection
        stays open.
        """
        keep, body = self.keeps_alive(), self._shared.configured.mask.hide(answer.body())
        head = error_head(machine, self.identity, answer, upstream_id, self._connection_header(keep))
        self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        return keep

    # Streams

    def open_stream(self, machine: RequestMachine, headers: dict[bytes, bytes], out: bytes, more: bytes = b"") -> None:
        """Status, headers and the first events of the machine's candidate go out in one write. `more` are header lines."""
        more += self._connection_header(self.keeps_alive())
        mask = self._shared.configured.mask
        self._open(good_head(machine, self.identity, b"text/event-stream", headers, mask, more), out)

    def send_events(self, out: bytes) -> None:
        """Whole events of a stream that is open go out."""
        if self._request.version_10:
            self.client.write(out)
        elif self.last_events:
            self._body_ended = True
            self.client.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(out), out))
        else:
            self.client.write(b"%x\r\n%b\r\n" % (len(out), out))

    def close_stream(self) -> None:
        """The body of the stream ends."""
        if not self._request.version_10 and not self._body_ended:
            self.client.write(b"0\r\n\r\n")

    def comment(self, words: bytes) -> None:
        """A waiting client hears a sign of life: one line that readers of event streams skip (WHATWG HTML, 9.2.6).

        No blank line follows, because some clients make an event of it, without data, and fail on that (openai-go,
        openai-python). Comments stand between two events only.
        """
        out = b": %b\n" % words
        if self.head_sent:
            self.send_events(out)
        else:
            self._open(early_head(self.identity, self._connection_header(self.keeps_alive())), out)

    def _open(self, head: bytes, out: bytes) -> None:
        self.head_sent = True
        if self._request.version_10:
            self.client.write(b"%bcache-control: no-cache\r\n\r\n%b" % (head, out))
        else:
            self._body_ended = self.last_events
            self.client.write(
                b"%bcache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n%b"
                % (head, len(out), out, b"0\r\n\r\n" if self.last_events else b"")
            )

    # The client's connection

    @property
    def takes_raw_chunks(self) -> bool:
        """Returns whether a chunk of an upstream's body may go out as it came, frame and all."""
        return not self._request.version_10

    def keeps_alive(self) -> bool:
        """Returns whether the client's connection stays open after the answer."""
        request = self._request
        return request.keep_alive and not self._shared.draining and not (request.version_10 and self.stream)

    def _connection_header(self, keep: bool) -> bytes:
        """The end of a head: whether the connection stays open, and what browsers want to know."""
        line = b""
        if not keep:
            line = b"connection: close\r\n"
        elif self._request.version_10:
            line = b"connection: keep-alive\r\n"
        cors = self._shared.configured.cors
        return line if cors is None else line + cors.lines(self._request.headers)
