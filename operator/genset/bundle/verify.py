"""A bundle is verified offline: each byte of the file is held against a digest, or is the only right one in its place.

Blobs are held against their names, the index against the table of contents, headers and padding against what they have to be;
every blob that is named has to be there, and nothing else may be. What no check of a file can find is another bundle in its
place: for that there are the bundle's digest, and a signature.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from genset.bundle import archive, layout
from genset.bundle.archive import ArchiveMember
from genset.bundle.errors import BundleError
from genset.contracts.bundle import Blob, Contents

_SMALL = 8 << 20  # bytes of a manifest, or of the table


@dataclass(frozen=True)
class Opened:
    """An opened bundle is known by its table, and where each blob lies."""

    path: Path
    table: Contents
    own: Blob  # the artifact that holds the table: its digest stands for the bundle
    files: Mapping[str, Blob]
    members: Mapping[str, ArchiveMember]  # by digest
    sha256: str = ""  # of the whole file

    def read(self, digest: str) -> bytes:
        """Returns a small blob."""
        with self.path.open("rb") as stream:
            return _small(stream, self.members, digest)


def verify(path: Path, told: Callable[[int, int], None] = lambda done, total: None) -> Opened:
    """Reads all of a bundle. Raises BundleError, which names what is wrong with it. `told` hears of bytes read, of how many."""
    try:
        with path.open("rb") as stream:
            length = os.fstat(stream.fileno()).st_size
            whole = hashlib.sha256()
            found: dict[str, ArchiveMember] = {}
            at = 0
            for member in archive.members(stream):
                if member.name in found:
                    raise BundleError(f"{member.name} is there twice")
                found[member.name] = member
                whole.update(archive.header(member.name, member.size))
                _held(stream, member, whole, lambda done: told(done, length))
                at = member.end
            _end(stream, at, whole)
            opened = _opened(path, stream, found, whole.hexdigest())
            _closed(stream, opened)
            return opened
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror or error}") from error
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _held(stream: BinaryIO, member: ArchiveMember, whole: hashlib._Hash, told: Callable[[int], None]) -> None:
    """Holds a member's bytes against the digest in its name."""
    hasher = hashlib.sha256()
    at = member.start
    for piece in archive.content(stream, member):
        hasher.update(piece)
        whole.update(piece)
        at += len(piece)
        told(at)
    found = f"sha256:{hasher.hexdigest()}"
    if member.digest and member.digest != found:
        raise BundleError(f"blob {member.digest} was changed: its bytes have the digest {found}")
    padding = archive.padding_of(stream, member)
    if padding.strip(b"\0"):
        raise BundleError(f"bytes behind {member.name} were changed")
    whole.update(padding)


def _end(stream: BinaryIO, at: int, whole: hashlib._Hash) -> None:
    stream.seek(at)
    rest = stream.read(2 * archive.BLOCK + 1)
    if rest != bytes(2 * archive.BLOCK):
        raise BundleError("its end was changed or cut off: copy it again")
    whole.update(rest)


def _opened(path: Path, stream: BinaryIO, found: Mapping[str, ArchiveMember], sha256: str) -> Opened:
    for name in (archive.LAYOUT, archive.INDEX):
        if name not in found:
            raise BundleError(f"it has no {name}: it is no bundle, or one that was never finished")
    strangers = [name for name, one in found.items() if not one.digest and name not in (archive.LAYOUT, archive.INDEX)]
    if strangers:
        raise BundleError(f"{strangers[0]!r} does not belong in a bundle")
    if b"".join(archive.content(stream, found[archive.LAYOUT])) != archive.LAYOUT_CONTENT:
        raise BundleError("oci-layout was changed")
    blobs = {one.digest: one for one in found.values() if one.digest}
    index = b"".join(archive.content(stream, found[archive.INDEX]))
    table, own, files = layout.table_of(index, lambda digest: _small(stream, blobs, digest))
    return Opened(path, table, own, files, blobs, sha256)


def _closed(stream: BinaryIO, opened: Opened) -> None:
    """Walks from the index to every blob: each has to be there, and of the right size; nothing else may be."""
    reached = walk(
        opened.members,
        [opened.own, *(one.root for one in opened.table.artifacts)],
        lambda d: _small(stream, opened.members, d),
    )
    left = opened.members.keys() - reached
    if left:
        raise BundleError(f"blob {min(left)} belongs to nothing that is in the bundle")


def walk(there: Mapping[str, ArchiveMember], roots: list[Blob], read: Callable[[str], bytes]) -> set[str]:
    """Returns the digests of all blobs that roots lead to. Raises BundleError for one that is missing, or has another size."""
    reached: set[str] = set()
    pending = [(blob, False) for blob in roots]
    while pending:
        blob, optional = pending.pop()
        member = there.get(blob.digest)
        if member is None:
            if optional:
                continue
            raise BundleError(f"blob {blob.digest} ({blob.media_type}) is missing")
        if member.size != blob.size:
            raise BundleError(f"blob {blob.digest} has {member.size} bytes, and {blob.size} are named")
        if blob.digest in reached:
            continue
        reached.add(blob.digest)
        if "manifest" in blob.media_type or "image.index" in blob.media_type:
            inner = list(layout.references(read(blob.digest), blob.media_type))
            if not any(one.digest in there for one, _ in inner):
                raise BundleError(f"nothing of what {blob.digest} names is there")
            pending.extend(inner)
    return reached


def _small(stream: BinaryIO, there: Mapping[str, ArchiveMember], digest: str) -> bytes:
    member = there.get(digest)
    if member is None:
        raise BundleError(f"blob {digest} is missing")
    if member.size > _SMALL:
        raise BundleError(f"blob {digest} has {member.size} bytes, which no manifest has")
    return b"".join(archive.content(stream, member))
