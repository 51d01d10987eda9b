"""The answer to a client is a head and a body, or events and comments, framed as the client's HTTP version wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, final

from genset.router.access.limit_headers import OTHERS
from genset.router.dialects.client import ClientWriter
from genset.router.errors import ErrorAnswer, ErrorKind, in_band
from genset.router.exchange.answer_headers import early_head, error_head, estimate_head, good_head
from genset.router.framing import size_line
from genset.router.http.downstream import ClientConnection
from genset.router.http.request import Request
from genset.router.machine.answer_room import room_of
from genset.router.machine.machine import RequestMachine
from genset.router.shared import Shared

_FIRST_LETTERS: Final = frozenset(name[:1] for name in OTHERS)
COPIED_BYTES: Final = 64 * 1024  # of a whole answer: one write is cheaper than two


@final
class ClientAnswer:
    """A client answer is either one whole answer, or a stream that is opened, fed and closed.

    `client` is the connection that it goes out on. `stream`: the client asked for a stream. `head_sent`: the client has
    the status and the headers of one, so that only its events can still say what goes wrong. `last_events`: what is sent
    next ends the stream, and the end of the body goes out with it. `writer`: who writes all this for a client that speaks
    another API than OpenAI's; None for most.
    """

    __slots__ = (
        "_body_ended",
        "_limited",
        "_lines",
        "_passed_type",
        "_request",
        "_shared",
        "client",
        "head_sent",
        "identity",
        "last_events",
        "stream",
        "takes_raw_chunks",
        "writer",
    )

    def __init__(
        self,
        shared: Shared,
        client: ClientConnection,
        request: Request,
        identity: bytes,
        writer: ClientWriter | None = None,
        limits: bytes = b"",
        *,
        stream: bool,
    ) -> None:
        """`limits` are the header lines that tell the consumer its own, in place of those of a backend."""
        self._shared = shared
        self._request = request
        self.client = client
        self.identity = identity
        self.stream = stream
        self.head_sent = False
        self.last_events = False
        self._body_ended = False
        self._passed_type = b""  # of a body that goes on as it is
        self.writer = writer
        #: The header line that clients of other APIs look for.
        self._lines = limits if writer is None else b"request-id: %b\r\n%b" % (identity, limits)
        self._limited = bool(limits)
        #: Whether a chunk of an upstream's body may go out as it came, frame and all.
        self.takes_raw_chunks = writer is None and not request.version_10

    def tells(self, line: bytes) -> None:
        """Adds a header line to the answer, whatever that will be."""
        self._lines += line

    # Whole answers

    def written(self, body: bytes) -> bytes:
        """Returns a whole answer as the client's API writes it. Raises ValueError if it is none."""
        return body if self.writer is None else self.writer.whole(body)

    def whole(self, machine: RequestMachine, headers: dict[bytes, bytes], body: bytes, more: bytes = b"") -> bool:
        """An answer that is no stream, from the machine's candidate, goes out. `headers` are the upstream's.

        `more` are header lines. Returns whether the client's connection stays open.
        """
        keep, mask = self.keeps_alive(), self._shared.configured.mask
        more += self._connection_header(keep)
        head = good_head(machine, self.identity, b"application/json", self._told(headers), mask, more)
        if len(body) <= COPIED_BYTES:
            self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        else:
            self.client.drop_collected()  # from here on it is counted as unread
            self.client.write(b"%bcontent-length: %d\r\n\r\n" % (head, len(body)))
            self.client.write(body)
        return keep

    def estimate(self, machine: RequestMachine | None, body: bytes) -> bool:
        """The router's own guess goes out, because no backend could be asked. Returns whether the connection stays open."""
        keep = self.keeps_alive()
        head = estimate_head(machine, self.identity, self._connection_header(keep))
        self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        return keep

    def error(self, machine: RequestMachine | None, answer: ErrorAnswer, upstream_id: bytes = b"") -> bool:
        """An error goes out as a whole answer. `machine` is None if no route took the request.

        `upstream_id`: a header line with the upstream's own id of the request. Returns whether the client's connection
        stays open.
        """
        keep = self.keeps_alive()
        if self.writer is None:
            body = answer.body()
        else:
            told = self.writer.error(answer, self.identity, _room(machine, answer))
            answer, body = replace(answer, status_override=told.status), told.body
        body = self._shared.configured.mask.hide(body)
        head = error_head(machine, self.identity, answer, upstream_id, self._connection_header(keep))
        self.client.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        return keep

    # Streams

    def pass_body(self, content_type: bytes) -> None:
        """What comes next is the beginning of a body of this type, and no stream of events."""
        self._passed_type = content_type
        self.writer = None

    def open_stream(self, machine: RequestMachine, headers: dict[bytes, bytes], out: bytes, more: bytes = b"") -> None:
        """Status, headers and the first events of the machine's candidate go out in one write. `more` are header lines."""
        more += self._connection_header(self.keeps_alive())
        mask = self._shared.configured.mask
        written = out if self.writer is None else self.writer.events(out)
        kind = self._passed_type or b"text/event-stream"
        self._open(good_head(machine, self.identity, kind, self._told(headers), mask, more), written)

    def send_events(self, out: bytes) -> None:
        """Whole events of a stream that is open go out."""
        if not self.takes_raw_chunks:
            self._send(out if self.writer is None else self.writer.events(out))
        elif self.last_events:
            self._body_ended = True
            self.client.write(b"%b%b\r\n0\r\n\r\n" % (size_line(len(out)), out))
        else:
            self.client.write(b"%b%b\r\n" % (size_line(len(out)), out))

    def send_evidence(self, told: bytes, out: bytes) -> None:
        """The first events of an answer follow signs of life: who gives it is told in a comment before them.

        No blank line: clients have taken a comment of its own for an event (openai-go before 3.43).
        """
        if self.writer is None:
            self.send_events(b": %b\n%b" % (told, out))
        else:
            self._send(b": %b\n%b" % (told, self.writer.events(out)))

    def break_off(self, kind: ErrorKind, message: str, attempts: Sequence[str], *, partial: bool) -> bool:
        """The stream ends before its answer does: an error is its last event. Returns whether the connection stays open.

        Clients of other APIs than OpenAI's take an answer for whole whose body ends well, whatever its last event was, so
        that theirs does not end, and the connection closes. One whose body has ended stays: its head did not say that it
        would close, and a client that asks again at once on it would meet the close instead of an answer (undici).
        """
        hide = self._shared.configured.mask.hide
        if self._passed_type:  # nothing can be told in it: its end is missing
            if self._request.version_10:
                self.client.cut_off()
            return False
        if self.writer is None:
            self.send_events(hide(in_band(kind, message, attempts, partial=partial)))
            self.close_stream()
            return self.keeps_alive()
        self.last_events = False
        self._send(hide(self.writer.broken(kind, message, attempts, partial=partial)))
        return False

    def close_stream(self) -> None:
        """The body of the stream ends."""
        if not self._request.version_10 and not self._body_ended:
            self.client.write(b"0\r\n\r\n")

    def comment(self, words: bytes) -> None:
        """A waiting client hears a sign of life: one line that readers of event streams skip (WHATWG HTML, 9.2.6).

        No blank line follows, because some clients make an event of it, without data, and fail on that (openai-go,
        openai-python). Comments stand between two events only.
        """
        out = b": %b\n" % words if self.writer is None else self.writer.sign_of_life()
        if self.head_sent:
            self._send(out)
        else:
            self._open(early_head(self.identity, self._connection_header(self.keeps_alive())), out)

    def _send(self, out: bytes) -> None:
        """What the client gets next goes out. Nothing is no chunk: an empty one would end the body."""
        if self._request.version_10:
            self.client.write(out)
            return
        end = b""
        if self.last_events:
            self._body_ended = True
            end = b"0\r\n\r\n"
        if out:
            self.client.write(b"%b%b\r\n%b" % (size_line(len(out)), out, end))
        elif end:
            self.client.write(end)

    def _open(self, head: bytes, out: bytes) -> None:
        self.head_sent = True
        if self._request.version_10:
            self.client.write(b"%bcache-control: no-cache\r\n\r\n%b" % (head, out))
        elif not out:
            self.client.write(b"%bcache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n" % head)
        else:
            self._body_ended = self.last_events
            self.client.write(
                b"%bcache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n%b%b\r\n%b"
                % (head, size_line(len(out)), out, b"0\r\n\r\n" if self.last_events else b"")
            )

    def _told(self, headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Returns the upstream's headers, without its limits if the client has limits here."""
        if not self._limited:
            return headers
        for name in headers:
            if name[:1] in _FIRST_LETTERS and name.startswith(OTHERS):
                return {name: value for name, value in headers.items() if not name.startswith(OTHERS)}
        return headers

    # The client's connection

    def keeps_alive(self) -> bool:
        """Returns whether the client's connection stays open after the answer."""
        request = self._request
        return request.keep_alive and not self._shared.draining and not (request.version_10 and self.stream)

    def _connection_header(self, keep: bool) -> bytes:
        """The end of a head: lines of the client's API, whether the connection stays open, and what browsers want to know."""
        line = self._lines
        if not keep:
            line += b"connection: close\r\n"
        elif self._request.version_10:
            line += b"connection: keep-alive\r\n"
        cors = self._shared.configured.cors
        return line if cors is None else line + cors.lines(self._request.headers)


def _room(machine: RequestMachine | None, answer: ErrorAnswer) -> tuple[int, int] | None:
    """Returns the tokens of a prompt that is too long, and of the context, as the server told them, or else the estimate."""
    room = room_of(answer.told())
    if room is None:
        return None
    estimate = machine.input_tokens if machine is not None else 0
    return (estimate if room.least else room.prompt), room.context
