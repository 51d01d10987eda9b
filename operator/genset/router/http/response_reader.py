"""Makes head and body of the bytes that a server sends, one response at a time, and bounds what is no body.

The parser hands out bodies piece by piece. What a server sends behind a complete response, or what only looks like its
end, must not be taken for the next one: the reader says so by `keep`.
"""

from __future__ import annotations

from typing import Any, Final, final

import httptools

HEAD_BYTES: Final = 64 * 1024  # of an upstream's response, and of what it sends inside a body without adding to it
_END_BYTES: Final = 6  # of a message's end and of a line end behind it


class _BehindTheEnd(Exception):
    """Stops the parser at the first byte of a message that nobody asked for."""


@final
class ResponseReader:
    """A response reader owns the parser of httptools, whose callbacks it has.

    `status` and `headers` are those of the response once `has_head`. `heard`: a byte of it has arrived. `complete`: it is
    at its end. `keep`: the connection may then be kept.
    """

    __slots__ = (
        "_bare_bytes",
        "_end",
        "_framed",
        "_head_is_new",
        "_parser",
        "_pieces",
        "complete",
        "has_head",
        "headers",
        "heard",
        "keep",
        "status",
    )

    def __init__(self) -> None:
        self._parser: Any = None
        self._pieces: list[bytes] = []  # of the body, since the connection last took them
        self._bare_bytes = 0  # arrived since the last piece of a body
        self._end = b""  # the last bytes that the parser got
        self._framed = False  # the response says where its body ends
        self._head_is_new = False  # the connection has not taken it
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.has_head = False
        self.heard = False
        self.complete = False
        self.keep = False

    def begin(self, *, reused: bool) -> None:
        """Begins anew: a request is sent, whose response follows. `reused`: the connection has brought one before."""
        if self._parser is None or not reused:
            self._parser = httptools.HttpResponseParser(self)  # goes on to the next message by itself
        self._bare_bytes = 0
        self._end = b""
        self.headers = {}
        self._framed = self._head_is_new = self.has_head = self.heard = self.complete = self.keep = False

    def end(self) -> None:
        """Lets go of the parser: the connection is closed."""
        self._parser = None

    @property
    def expects(self) -> bool:
        """Returns whether a byte that comes now belongs to a response."""
        return self._parser is not None and not self.complete

    def feed(self, data: bytes) -> str:
        """Reads on. Returns what is wrong, in words that go on a sentence; empty if nothing is."""
        end = data if len(data) > _END_BYTES else self._end + data  # that of the message, if it ends here
        self._end = end[-_END_BYTES:]
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            if not self.complete:
                return f"sent no valid HTTP ({type(problem).__name__})"
            self.keep = False
        if self.keep and self.complete:
            chunked = b"transfer-encoding" in self.headers
            self.keep = is_end(end, b"" if chunked else self._last_piece())
        if not self._pieces and not self.complete:
            self._bare_bytes += len(data)
            if self._bare_bytes > HEAD_BYTES:
                part = "chunk header or trailer" if self.has_head else "response head"
                return f"sent a {part} of more than 64 KiB"
        return ""

    def take_known(self, headers: dict[bytes, bytes], body: bytes) -> None:
        """Takes a whole response that was known without the parser."""
        self.heard = self.has_head = self._head_is_new = self._framed = self.complete = self.keep = True
        self.status = 200
        self.headers = headers
        if body:
            self._pieces.append(body)

    def take_head(self) -> bool:
        """Returns whether there is a head that was not taken yet. It is taken then."""
        new = self._head_is_new
        self._head_is_new = False
        return new

    def take_body(self) -> bytes:
        """Returns what has come of the body since it was last taken."""
        pieces = self._pieces
        count = len(pieces)
        if count == 0:
            return b""
        data = pieces[0] if count == 1 else b"".join(pieces)
        pieces.clear()
        self._bare_bytes = 0
        return data

    def is_between_chunks(self, data: bytes) -> bool:
        """Returns whether the parser stands between two chunks, after this read and before its body is taken.

        It does if a piece of the body ended with its event, two bytes before the end of the read: these can only be the
        chunk's own line end. (A size line holds no LF before its CRLF.)
        """
        return data.endswith(b"\n\n\r\n") and self._last_piece().endswith(b"\n\n")

    def ends_here(self) -> bool:
        """Ends the body if it ends with the connection, whose other side is closed. Says whether it does."""
        if not self.has_head or self._framed or self.complete:
            return False
        self.complete = True
        self.keep = False
        return True

    def _last_piece(self) -> bytes:
        """Returns the piece of the body that came last in this read; empty if none has come."""
        return self._pieces[-1] if self._pieces else b""

    # Callbacks of httptools

    def on_message_begin(self) -> None:
        if self.complete:
            raise _BehindTheEnd

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:  # trailers: nobody reads them
            return
        name = name.lower()
        if (name == b"content-encoding" or name == b"transfer-encoding") and name in self.headers:
            value = b"%b, %b" % (self.headers[name], value)  # several lines are one list (RFC 9110, 5.3)
        self.headers[name] = value
        if name == b"content-length" or name == b"transfer-encoding":
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: the real response follows
            self.headers = {}
            self._framed = False
            return
        self.status = status
        self.has_head = self._head_is_new = True
        headers = self.headers
        if b"transfer-encoding" in headers and headers[b"transfer-encoding"] != b"chunked":
            self._framed = add_transfer_codings(headers)

    def on_body(self, data: bytes) -> None:
        if self.has_head:  # a 1xx has none
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        if not self.has_head:  # of a 1xx
            return
        self.complete = True
        headers = self.headers
        self.keep = self._parser.should_keep_alive()
        if self.keep and b"connection" in headers and b"transfer-encoding" in headers:
            self.keep = self._parser.get_http_version() != "1.0"  # which knows no chunks (RFC 9112, 6.1)


def add_transfer_codings(headers: dict[bytes, bytes]) -> bool:
    """Adds the transfer codings other than chunks to the content codings, as those that were done last.

    So they are undone, or fail, like these. Returns whether chunks say where the body ends.
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
    """Returns whether a read in which a message ended holds no line ends behind it, which the parser skips without a word.

    `data`: the read, with what came before it if it is shorter than such an end. `body`: the last piece of a body with a
    content-length; empty if the message ended with an empty line.
    """
    if body:
        return data.endswith(body[-8:])
    return data.endswith(b"\r\n\r\n") and not data.endswith(b"\n", 0, -4)
