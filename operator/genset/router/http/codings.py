"""Undoes content codings (RFC 9110, 8.4.1): compressed bodies become plain, piece by piece and within bounds. Pure.

Upstreams are told that only plain answers are taken (`accept-encoding: identity`). Some gateways compress all the same,
and some clients compress what they send. A compressed body may be a thousand times as large when it is unpacked, so
nothing is unpacked further than somebody wants to have it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final, final

import zstandard

PIECE_BYTES: Final = 64 * 1024  # unpacked at a time
SLICE_BYTES: Final = 16 * 1024  # given to zlib at a time: it copies what it leaves
ZSTD_SLICE_BYTES: Final = 256  # a block of 128 KiB can take 4 bytes, and the library knows no bound of its own
ZSTD_WINDOW_BYTES: Final = 8 * 1024 * 1024  # most that a sender may ask for (RFC 9659)
MOST_MEMBERS: Final = 10_000  # parts that were compressed by themselves, in one body
FREE_BYTES: Final = 1024 * 1024  # that any answer may unpack to
MOST_RATIO: Final = 100  # beyond these, of unpacked to received; text of events is packed 5 to 30 times
ACCEPTED: Final = b"gzip, deflate, zstd, identity"  # of requests

_GZIP: Final = 31  # zlib's word for its header and window
_ZLIB: Final = 15
_RAW: Final = -15
_SHOWN_CHARACTERS: Final = 64
_NAMES: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "zstd": "zstd"}  # x-gzip: RFC 9110, 8.4.1.3


class CodingError(Exception):
    """A body cannot be unpacked. The text goes on a sentence that names whose body it is."""


class UnknownCodingError(CodingError):
    """The coding is none of those that are known here, or there are several."""


class TooLargeError(CodingError):
    """A body unpacks to more than it may."""


def is_plain(header: bytes) -> bool:
    """Returns whether a Content-Encoding names no coding at all."""
    return not _codings(header)


def _codings(header: bytes) -> list[str]:
    words = [word.strip() for word in header.decode("latin-1").lower().split(",")]
    return [word for word in words if word and word != "identity"]


@final
class Decoder:
    """A decoder unpacks one body. `complete`: what has come so far may be all of it.

    `most`: bytes that it may unpack to. None: as many as it wants, but no more than MOST_RATIO times what has come.
    """

    __slots__ = (
        "_head",
        "_members",
        "_most",
        "_name",
        "_received",
        "_unpacked",
        "_zlib",
        "_zstd",
        "_zstds",
        "complete",
    )

    def __init__(self, header: bytes, most: int | None = None) -> None:
        codings = _codings(header)
        name = _NAMES.get(codings[0]) if len(codings) == 1 else None
        if name is None:
            shown = header[:_SHOWN_CHARACTERS].decode("latin-1")
            raise UnknownCodingError(f"in content-encoding {shown!r}")
        self._name = name
        self._most = most
        self._received = 0
        self._unpacked = 0
        self._members = 0
        self._head = b""  # of a deflate body, until one can tell its two forms apart
        self._zlib: Any = None  # of the member that has begun
        self._zstd: Any = None
        self._zstds: Any = None  # makes them
        self.complete = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Unpacks the next bytes. Raises CodingError."""
        self._received += len(data)
        size = ZSTD_SLICE_BYTES if self._name == "zstd" else SLICE_BYTES
        for start in range(0, len(data), size):
            rest = data[start : start + size]
            while rest:
                if self._name == "zstd":
                    yield from self._of_zstd(rest)
                    rest = self._left_of_zstd()
                    continue
                if not self._in_member():
                    rest = self._begin_zlib(rest)
                    if not self._in_member():
                        break
                yield from self._of_zlib(rest)
                rest = self._left_of_zlib()

    def _in_member(self) -> bool:
        return self._zlib is not None

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise TooLargeError(f"of more than {MOST_MEMBERS} parts in {self._name}")
        self.complete = False

    def _count(self, piece: bytes) -> bytes:
        self._unpacked += len(piece)
        if self._most is not None:
            if self._unpacked > self._most:
                raise TooLargeError(f"that unpacks to more than {self._most} bytes")
        elif self._unpacked > FREE_BYTES + MOST_RATIO * self._received:
            raise TooLargeError(f"that unpacks to more than {MOST_RATIO} times its size")
        return piece

    def _begin_zlib(self, data: bytes) -> bytes:
        """Looks for the beginning of a member, and returns what follows; without one as long as too little is here."""
        if self._name == "gzip":
            if self._members:
                data = data.lstrip(b"\0")  # padding between members and behind them: tape blocks, some CDNs
            if data:
                self._begin_member()
                self._zlib = zlib.decompressobj(_GZIP)
            return data
        if self._members:
            raise CodingError("with bytes behind its end")
        data, self._head = self._head + data, b""
        self.complete = False
        if len(data) < 2:
            self._head = data
            return data
        # "deflate" is zlib's format (RFC 9110, 8.4.1.2); some send what is inside of it, without the two bytes before.
        wrapped = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
        self._begin_member()
        self._zlib = zlib.decompressobj(_ZLIB if wrapped else _RAW)
        return data

    def _of_zlib(self, data: bytes) -> Iterator[bytes]:
        unpacker = self._zlib
        while True:
            try:
                piece: bytes = unpacker.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise CodingError(f"that is no valid {self._name}") from None
            if piece:
                yield self._count(piece)
            data = unpacker.unconsumed_tail
            if unpacker.eof or (not data and len(piece) < PIECE_BYTES):
                return

    def _left_of_zlib(self) -> bytes:
        if not self._zlib.eof:
            return b""
        left: bytes = self._zlib.unused_data
        self._zlib = None
        self.complete = True
        return left

    def _of_zstd(self, data: bytes) -> Iterator[bytes]:
        if self._zstd is None:
            self._begin_member()
            if self._zstds is None:
                self._zstds = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
            self._zstd = self._zstds.decompressobj()
        try:
            piece: bytes = self._zstd.decompress(data)
        except zstandard.ZstdError:
            raise CodingError("that is no valid zstd") from None
        if piece:
            yield self._count(piece)

    def _left_of_zstd(self) -> bytes:
        if not self._zstd.eof:
            return b""
        left: bytes = self._zstd.unused_data
        self._zstd = None
        self.complete = True
        return left


def unpacked(header: bytes, body: bytes, most: int) -> bytes:
    """Unpacks a body that is here as a whole, to at most `most` bytes. Raises CodingError."""
    decoder = Decoder(header, most)
    plain = b"".join(decoder.pieces(body))
    if not decoder.complete:
        raise CodingError(f"whose {header[:_SHOWN_CHARACTERS].decode('latin-1')} is cut off")
    return plain
