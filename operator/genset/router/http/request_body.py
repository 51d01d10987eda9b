"""The body of a request arrives in pieces, which become one whole."""

from __future__ import annotations

import ctypes
from typing import Any, Final, final

LARGE_BYTES: Final = 4 * 1024 * 1024  # of a body, behind which memory is tidied up: that takes milliseconds
PIECES_AT_ONCE: Final = 1024  # an object for two bytes takes twenty times as many

#: glibc keeps what was freed below something that is still there, here a body's pieces beside the whole, until it is told to
#: give that back. Other C libraries have no such function.
_give_back: Final[Any] = getattr(ctypes.CDLL(None), "malloc_trim", None)


@final
class ArrivingBody:
    """A body is that of one request at a time, of those that come over a connection.

    `size`: bytes that have come. `announced`: bytes by the content-length; 0 if the body comes in chunks. `most`: bytes that
    it may have.
    """

    __slots__ = ("_joined", "_pieces", "announced", "most", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._joined = 0  # how many of the pieces, the first ones, were many small ones
        self.announced = 0
        self.most = 0
        self.size = 0

    @property
    def pieces(self) -> int:
        """Returns how many objects hold the body."""
        return len(self._pieces)

    def begin(self, announced: int, most: int) -> None:
        """Takes what the head says of the body: the head is there."""
        self.announced = announced
        self.most = most

    def counts(self, size: int) -> bool:
        """Counts bytes that have come, and says whether the body may have as many."""
        self.size += size
        return self.size <= self.most

    def add(self, piece: bytes) -> None:
        """Keeps a piece, which has been counted."""
        pieces = self._pieces
        pieces.append(piece)
        if len(pieces) - self._joined >= PIECES_AT_ONCE:
            pieces[self._joined :] = [b"".join(pieces[self._joined :])]
            self._joined += 1

    def take(self) -> bytes:
        """Returns the whole body, which is kept here no longer."""
        pieces = self._pieces
        count = len(pieces)
        if count == 0:
            return b""
        body = pieces[0] if count == 1 else b"".join(pieces)
        self.drop()
        if len(body) > LARGE_BYTES and _give_back is not None:
            _give_back(0)
        return body

    def drop(self) -> None:
        """Forgets what has come."""
        self._pieces.clear()
        self._joined = 0
        self.size = 0
