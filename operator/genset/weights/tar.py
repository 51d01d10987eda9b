"""Archives are read as a stream of members, and nothing of them is believed: names, lengths and kinds are the reader's to judge.

Python's own tarfile makes links and devices, and keeps extended headers of any length in memory. Here a header is read
(POSIX ustar with pax records, and GNU long names), everything is bounded, and the bytes of regular files are handed out.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import zstandard

BLOCK = 512
MOST_MEMBERS = 200_000  # of one archive; images of an operating system have some ten thousand
_EXTENDED_BYTES = 1 << 20  # of a pax header or a long name
_NAME_CHARACTERS = 4_096
_CHUNK = 1 << 20
_MOST_EXPANSION = 100  # times its own size; weights hardly become smaller by compression
_SMALL = 64 << 20  # bytes that any archive may unpack to
_WINDOW_BYTES = 1 << 27  # of Zstandard, as its own command line bounds it


class BadArchive(ValueError):
    """An archive is broken, or asks for more than it may. The message says what is wrong."""


class Bytes(Protocol):
    """This is what an archive is read from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Member:
    """A member is one entry: `kind` is file, folder, link or other."""

    name: str
    kind: str
    size: int


class Bounded:
    """This reads forward, counts, and ends what unpacks to more than it may."""

    def __init__(self, stream: Bytes, most: int) -> None:
        self._stream = stream
        self._most = most
        self.position = 0

    def read(self, size: int) -> bytes:
        """Returns up to `size` bytes; fewer only at the end."""
        parts: list[bytes] = []
        left = size
        while left:
            part = self._stream.read(left)
            if not part:
                break
            parts.append(part)
            left -= len(part)
            self.position += len(part)
            if self.position > self._most:
                raise BadArchive(f"it unpacks to more than {self._most} bytes")
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        found = self.read(size)
        if len(found) < size:
            raise BadArchive(f"it is cut off after {self.position} bytes")
        return found

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.exactly(min(size, _CHUNK)))


@contextmanager
def opened(path: Path, form: str) -> Iterator[Bounded]:
    """Opens an archive: tar, tar+gzip or tar+zstd. Raises BadArchive, and OSError of the disk."""
    most = path.stat().st_size * (1 if form == "tar" else _MOST_EXPANSION) + _SMALL
    with path.open("rb") as raw:
        stream: Any = raw
        if form == "tar+gzip":
            stream = gzip.GzipFile(fileobj=raw)
        elif form == "tar+zstd":
            decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
            stream = decompressor.stream_reader(raw, read_across_frames=True)
        try:
            yield Bounded(stream, most)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise BadArchive(f"it cannot be decompressed: {error}") from error


def members(stream: Bounded) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yields each member with its bytes, which may be left unread. Raises BadArchive."""
    extended: dict[str, str] = {}
    for count in range(MOST_MEMBERS * 3):  # with headers of headers
        head = stream.read(BLOCK)
        if not head.strip(b"\0"):
            return  # the end: two blocks of zeros, or nothing at all
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise BadArchive(f"entry {count + 1} is no header of a tar archive ({error})") from error
        if info.size < 0:
            raise BadArchive(f"entry {count + 1} has a length below zero")
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            data = _extended(stream, info)
            if info.type == tarfile.XHDTYPE:
                extended |= _records(data)
            elif info.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
            continue
        member = _member(info, extended)
        extended = {}
        unread = [member.size]
        yield member, _content(stream, unread)
        stream.skip(unread[0] + -member.size % BLOCK)
    raise BadArchive(f"it has more than {MOST_MEMBERS} entries")


def _content(stream: Bounded, unread: list[int]) -> Iterator[bytes]:
    while unread[0]:
        chunk = stream.exactly(min(unread[0], _CHUNK))
        unread[0] -= len(chunk)
        yield chunk


def _extended(stream: Bounded, info: tarfile.TarInfo) -> bytes:
    if info.size > _EXTENDED_BYTES:
        raise BadArchive(f"an extended header has {info.size} bytes")
    data = stream.exactly(info.size)
    stream.skip(-info.size % BLOCK)
    return data


def _records(data: bytes) -> dict[str, str]:
    """Reads pax records: `LENGTH KEY=VALUE` and a line feed each (POSIX.1-2001, pax Interchange Format)."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        digits, blank, _ = data[at : at + 20].partition(b" ")
        if not blank or not digits.isdigit() or not len(digits) + 1 < int(digits) <= len(data) - at:
            break  # padding, or nonsense: what counts has been read, or is missed as a bad name or length
        key, _, value = data[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at += int(digits)
    return found


def _member(info: tarfile.TarInfo, extended: dict[str, str]) -> Member:
    size = extended.get("size", "")
    if size and not (size.isascii() and size.isdigit() and len(size) < 19):
        raise BadArchive("a length in an extended header is no number")
    name = extended.get("path", info.name)
    if len(name) > _NAME_CHARACTERS:
        raise BadArchive(f"a name has {len(name)} characters")
    sparse = info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in extended)
    if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE) and not sparse and not name.endswith("/"):
        kind = "file"
    elif info.type == tarfile.DIRTYPE or name.endswith("/"):
        kind = "folder"
    else:
        kind = "link" if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "other"
    # Links, folders and devices have no bytes, whatever their length says (POSIX, ustar); sparse files have.
    length = int(size) if size else info.size
    return Member(name, kind, length if kind == "file" or sparse else 0)
