"""Heads that a server sends again and again: known by their bytes, its answers are read without the HTTP parser.

A server sends every answer under the same head, but for the length of what follows. A head that the parser took is kept;
an answer that begins with the same bytes and is here as a whole says the same. If a byte differs anywhere else, if
something is missing or more follows, the answer goes to the parser. Pure.
"""

from __future__ import annotations

import re
from typing import Final, final

_MOST_HEAD_BYTES: Final = 2048  # of a head that is kept
_MOST_DIGITS: Final = 9
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_STATUS: Final = b"HTTP/1.1 200 "
#: With these a message is read in another way, or the connection.
_NOT_KEPT: Final = (b"expect", b"trailer", b"upgrade", b"content-encoding")
#: How a chunk of each length is announced, as servers write it (RFC 9112, 7.1); longer ones cost the parser little.
_SIZES: Final = [b"%x" % size for size in range(4096)]


@final
class KnownHead:
    """A head with status 200. `headers`: what the parser made of it, but for the content-length."""

    __slots__ = ("_before", "_behind", "chunked", "headers")

    def __init__(self, before: bytes, behind: bytes, chunked: bool, headers: dict[bytes, bytes]) -> None:
        self._before = before  # the digits of content-length; with `chunked` all of it
        self._behind = behind
        self.chunked = chunked
        self.headers = headers

    def body(self, data: bytes) -> bytes | None:
        """What follows the head; None if `data` is anything but one whole answer under this head."""
        if not data.startswith(self._before):
            return None
        start, size = len(self._before), len(data)
        if self.chunked:
            return _of_chunks(data[start:])
        length, end = 0, start
        while end < size and 48 <= data[end] <= 57:
            length = 10 * length + data[end] - 48
            end += 1
        begin = end + len(self._behind)
        if not 0 < end - start <= _MOST_DIGITS or length != size - begin or data[end:begin] != self._behind:
            return None
        return data[begin:]


@final
class KnownHeads:
    """The heads of one endpoint: the last one with a length, and the last one of an answer in chunks."""

    __slots__ = ("_heads", "_unlike")

    def __init__(self) -> None:
        self._heads: list[KnownHead] = []
        self._unlike = 0  # whole answers, since the last that was under one of them

    def find(self, data: bytes) -> tuple[KnownHead, bytes] | None:
        """The head and the body, if `data` is one whole answer under one of the heads."""
        for head in self._heads:
            body = head.body(data)
            if body is not None:
                self._unlike = 0
                return head, body
        return None

    def learn(self, data: bytes, headers: dict[bytes, bytes]) -> None:
        """Takes the head of an answer that was under none; ever more rarely while none comes again."""
        self._unlike += 1
        if self._unlike & (self._unlike - 1):
            return
        head = learn(data, headers)
        if head is not None:
            self._heads = [head, *(other for other in self._heads if other.chunked != head.chunked)]


def learn(data: bytes, headers: dict[bytes, bytes]) -> KnownHead | None:
    """The head of an answer that the parser took, and after which the connection is kept.

    None if its status is another than 200, or its framing is not the plainest of HTTP/1.1.
    """
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or end > _MOST_HEAD_BYTES or not data.startswith(_STATUS) or any(name in headers for name in _NOT_KEPT):
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    kept = {name: value for name, value in headers.items() if name != b"content-length"}
    lengths = list(_LENGTH.finditer(data, 0, end))
    if b"transfer-encoding" in headers:
        if lengths or headers[b"transfer-encoding"] != b"chunked":
            return None
        known = KnownHead(data[:end], b"", True, kept)
    else:
        if len(lengths) != 1:
            return None
        known = KnownHead(data[: lengths[0].start(1)], data[lengths[0].end(1) : end], False, kept)
    return known if known.body(data) is not None else None


def _of_chunks(data: bytes) -> bytes | None:
    """The body of whole chunks of which none holds a CRLF, with the last one and no trailers behind them."""
    parts = data.split(b"\r\n")
    last = len(parts) - 3
    if last < 0 or last & 1 or parts[last] != b"0" or parts[last + 1] or parts[last + 2]:
        return None
    chunks: list[bytes] = []
    for number in range(0, last, 2):
        chunk = parts[number + 1]
        size = len(chunk)
        if not 0 < size < 4096 or parts[number] != _SIZES[size]:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
