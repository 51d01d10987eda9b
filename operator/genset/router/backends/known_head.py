"""A known head is a response head that the router recognises by its bytes, without the HTTP parser.

A server sends every answer under the same head, except for the content-length. A head that the parser accepted is kept;
an answer that begins with the same bytes and has arrived as a whole means the same. If any other byte differs,
something is missing or more follows, the answer goes to the parser. Pure.
"""

from __future__ import annotations

import re
from typing import Final, final

_MOST_HEAD_BYTES: Final = 2048  # longest head that is kept
_MOST_DIGITS: Final = 9
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_STATUS: Final = b"HTTP/1.1 200 "
#: These change how the message or the connection is read.
_NOT_KEPT: Final = (b"expect", b"trailer", b"upgrade", b"content-encoding")
_MOST_DIGITS_OF_SIZE: Final = 3
_DIGITS: Final = [b"0123456789abcdef".find(byte) for byte in range(256)]  # -1: none
_RETURN: Final = ord("\r")
_NEWLINE: Final = ord("\n")


@final
class KnownHead:
    """A known head is the head of a 200. `headers` is what the parser made of it, without content-length."""

    __slots__ = ("_before", "_behind", "chunked", "headers")

    def __init__(self, before: bytes, behind: bytes, chunked: bool, headers: dict[bytes, bytes]) -> None:
        self._before = before  # up to the digits of content-length; the whole head if `chunked`
        self._behind = behind  # from the end of these digits to the end of the head
        self.chunked = chunked
        self.headers = headers

    def body(self, data: bytes) -> bytes | None:
        """Returns the body; None if `data` is anything but one whole answer under this head."""
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
    """KnownHeads holds at most two heads of one endpoint: the last with a content-length, and the last with chunks."""

    __slots__ = ("_heads", "_unlike")

    def __init__(self) -> None:
        self._heads: list[KnownHead] = []
        self._unlike = 0  # whole answers under no known head, since the last one that was

    def find(self, data: bytes) -> tuple[KnownHead, bytes] | None:
        """Returns the head and the body, if `data` is one whole answer under a known head."""
        for head in self._heads:
            body = head.body(data)
            if body is not None:
                self._unlike = 0
                return head, body
        return None

    def learn(self, data: bytes, headers: dict[bytes, bytes]) -> None:
        """Learns the head of an answer that had no known one: only of the 1st, 2nd, 4th, 8th … in a row."""
        self._unlike += 1
        if self._unlike & (self._unlike - 1):
            return
        head = learn(data, headers)
        if head is not None:
            self._heads = [head, *(other for other in self._heads if other.chunked != head.chunked)]


def learn(data: bytes, headers: dict[bytes, bytes]) -> KnownHead | None:
    """Returns the head of an answer that the parser accepted and after which the connection is kept.

    None if the status is not 200, or the framing is not the plainest of HTTP/1.1.
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
    """The body of whole chunks, with the last one and no trailers behind them; None of anything else.

    Compiled code reads a byte in a tenth of the time of a search; a line that is looked up must be made first, and hashed.
    """
    position, length = 0, len(data)
    chunks: list[bytes] = []
    while True:
        size, line = 0, position  # where the line with the size ends
        while line < length and (digit := _DIGITS[data[line]]) >= 0:
            size = 16 * size + digit
            line += 1
            if line - position > _MOST_DIGITS_OF_SIZE:
                return None
        begin, end = line + 2, line + 2 + size
        if line == position or end + 2 > length or data[line] != _RETURN or data[line + 1] != _NEWLINE:
            return None
        if data[end] != _RETURN or data[end + 1] != _NEWLINE:
            return None
        position = end + 2
        if not size:
            return b"".join(chunks) if position == length else None
        chunks.append(data[begin:end])
