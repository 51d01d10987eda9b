"""The archive is the one file of a bundle: a tar whose every byte follows from the names and contents of its members.

So a header is nothing that anybody may choose: each member has one right header, and a file with another one is refused.
Members lie one behind the other, so that a file that was cut, wherever, goes on from its last whole member.
Sizes above 8 GiB are written as GNU tar does (base 256), which takes no second header.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from genset.bundle.errors import BundleError

BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 20
LAYOUT, INDEX = "oci-layout", "index.json"
LAYOUT_CONTENT = b'{"imageLayoutVersion":"1.0.0"}'
_BLOBS = "blobs/sha256/"
_END = b"\0" * (2 * BLOCK)


@dataclass(frozen=True)
class ArchiveMember:
    """A member is one file in the archive. `start` is where its content begins."""

    name: str
    start: int
    size: int

    @property
    def digest(self) -> str:
        """Returns the digest that its name promises; "" if it is no blob."""
        return f"sha256:{self.name.removeprefix(_BLOBS)}" if self.name.startswith(_BLOBS) else ""

    @property
    def end(self) -> int:
        return self.start + -(-self.size // BLOCK) * BLOCK


def name_of(digest: str) -> str:
    """Returns the name of a blob in an OCI layout."""
    return f"{_BLOBS}{digest.removeprefix('sha256:')}"


def header(name: str, size: int) -> bytes:
    """Returns the only right header of a member."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def members(stream: BinaryIO) -> Iterator[ArchiveMember]:
    """Yields members up to the archive's end. Raises BundleError for a header that is not the right one, and for a file that
    ends too soon."""
    length = stream.seek(0, os.SEEK_END)
    at = 0
    while True:
        stream.seek(at)
        found = stream.read(BLOCK)
        if found == bytes(BLOCK):
            return
        member = _member(found, at)
        if member.end > length:
            raise BundleError(f"it ends within {member.name}, of {member.size} bytes: it was cut off, copy it again")
        yield member
        at = member.end


def _member(found: bytes, at: int) -> ArchiveMember:
    if len(found) < BLOCK:
        raise BundleError(f"it ends after {at + len(found)} bytes, without an end: it was cut off, copy it again")
    try:
        info = tarfile.TarInfo.frombuf(found, "utf-8", "strict")
        right = header(info.name, info.size)
    except (tarfile.TarError, UnicodeError, ValueError) as error:
        raise BundleError(f"byte {at} begins no member of a bundle ({error}): it was changed") from error
    if right != found or info.size < 0:
        raise BundleError(f"the header of {info.name[:200]!r} was changed")
    return ArchiveMember(info.name, at + BLOCK, info.size)


def content(stream: BinaryIO, member: ArchiveMember) -> Iterator[bytes]:
    """Yields the content of a member, piece by piece."""
    stream.seek(member.start)
    left = member.size
    while left:
        piece = stream.read(min(CHUNK, left))
        if not piece:
            raise BundleError(f"it ends within {member.name}: it was cut off, copy it again")
        left -= len(piece)
        yield piece


def padding_of(stream: BinaryIO, member: ArchiveMember) -> bytes:
    """Returns the bytes behind a member's content, which must be zeros."""
    stream.seek(member.start + member.size)
    return stream.read(member.end - member.start - member.size)


class ArchiveWriter:
    """A writer appends members to `path`. What whole members an earlier run left there are kept; the rest is cut off.

    Nothing is a bundle before its index is in it, which `close_with` writes last.
    """

    def __init__(self, path: Path) -> None:
        """Raises BundleError if somebody else writes there."""
        self._path = path
        self.there: dict[str, ArchiveMember] = {}
        self._stream = self._open()
        self._take_over()

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def has(self, digest: str) -> bool:
        return name_of(digest) in self.there

    def read(self, digest: str) -> bytes:
        """Returns a blob that is there, as a whole."""
        return b"".join(content(self._stream, self.there[name_of(digest)]))

    def add(self, data: bytes) -> str:
        """Adds a small blob, unless it is there, and returns its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if not self.has(digest):
            self._append(name_of(digest), len(data), iter((data,)))
        return digest

    def add_file(self, path: Path, digest: str) -> None:
        """Adds a file whose digest is known, unless it is there. Raises BundleError if it has another one."""
        if self.has(digest):
            return
        hasher = hashlib.sha256()

        def read() -> Iterator[bytes]:
            with path.open("rb") as source:
                while piece := source.read(CHUNK):
                    hasher.update(piece)
                    yield piece

        member = self._append(name_of(digest), path.stat().st_size, read())
        if f"sha256:{hasher.hexdigest()}" != digest:
            self._cut(member)
            raise BundleError(f"{path} changed while it was read: run the command again")

    def drop_all_but(self, digests: set[str]) -> None:
        """Leaves out blobs that an earlier run had other use for. Needs room for what stays."""
        wanted = {name_of(digest) for digest in digests} | {LAYOUT}
        if self.there.keys() <= wanted:
            return
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        with ArchiveWriter(fresh) as other:
            for name, member in self.there.items():
                if name in wanted and name != LAYOUT:
                    other._append(name, member.size, content(self._stream, member))
            kept = other.there
        fresh.replace(self._path)
        self._stream.close()
        self._stream, self.there = self._open(), kept

    def _open(self) -> BinaryIO:
        stream = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            raise BundleError(f"{self._path} is being written by another genset bundle create: wait for it") from error
        return stream

    def close_with(self, index: bytes) -> None:
        """Writes the index and the archive's end, to the disk."""
        self._append(INDEX, len(index), iter((index,)))
        self._stream.write(_END)
        os.fsync(self._stream.fileno())

    def _take_over(self) -> None:
        at = 0
        try:
            for member in members(self._stream):
                if member.name == INDEX or (at == 0 and member.name != LAYOUT):
                    break
                self.there[member.name] = member
                at = member.end
        except BundleError:
            pass  # of a run that was ended while it wrote this member
        self._stream.truncate(at)
        self._stream.seek(at)
        if not at:
            self._append(LAYOUT, len(LAYOUT_CONTENT), iter((LAYOUT_CONTENT,)))

    def _append(self, name: str, size: int, pieces: Iterator[bytes]) -> ArchiveMember:
        start = self._stream.seek(0, os.SEEK_END)
        member = ArchiveMember(name, start + BLOCK, size)
        self._write(header(name, size))
        written = 0
        for piece in pieces:
            self._write(piece)
            written += len(piece)
        if written != size:
            self._cut(member)
            raise BundleError(f"{name} has {written} bytes instead of {size}: run the command again")
        self._write(bytes(member.end - start - BLOCK - size))
        os.fsync(self._stream.fileno())
        self.there[name] = member
        return member

    def _cut(self, member: ArchiveMember) -> None:
        self.there.pop(member.name, None)
        self._stream.truncate(member.start - BLOCK)
        self._stream.seek(0, os.SEEK_END)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._stream.write(view) :]
