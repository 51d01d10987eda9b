"""The reader downloads one file: resumable, verified, synced. It is the same for every kind of source.

* Bytes go to `NAME.partial`; the hash is computed while they stream. A partial file of an earlier run is hashed first
  and continued with Range. If-Range with the strong ETag of the first part keeps two versions from being mixed; a URL
  that is pinned to a commit needs none. A server without ranges, or with a changed file, starts from zero.
* What can't be a model is refused as soon as its first bytes are seen, before gigabytes of a login page's neighbours
  are read; the whole header is checked before the file gets its final name.
* A checksum that differs deletes the partial file. If any part of it came from an earlier attempt, or the server did
  not say how long the file is, one clean download follows; otherwise the ETag is remembered, so that the kubelet's
  restarts don't download the same wrong file again and again.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

import httpx

from genset.api.modeldeployment import Reason
from genset.sizing import gguf
from genset.weights.client import check_status, get
from genset.weights.failure import WeightsFailure, size_text, unreachable
from genset.weights.origin import Hasher, RemoteFile
from genset.weights.own_file import open_own, read_own
from genset.weights.own_names import NOTES, PARTIAL, REJECTED
from genset.weights.progress import ProgressLog
from genset.weights.retry import Attempts, Retry, Transient
from genset.weights.volume import disk_errors, write_synced

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20  # bytes per write
_LOOK_BYTES = 64 << 20  # written between two looks at the free space
_HEAD = 64  # bytes that tell a model from a web page
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+|\*)$")
_UNSATISFIED = re.compile(r"^bytes \*/(\d+)$")


class Mismatch(Exception):
    """A mismatch means that the bytes are not those that the checksum promises."""


class DiskRoom(Protocol):
    """A room is where files are written: it says whether more fits, and whether so much may come at all."""

    def require(self, needed: int, *, what: str) -> None: ...
    def bound(self, size: int, *, what: str, at_least: bool = False) -> None: ...


class Reader:
    """A reader fetches files over one HTTP client. `login` tells people where credentials are given."""

    def __init__(
        self, client: httpx.Client, room: DiskRoom, progress: ProgressLog, retry: Retry, *, login: str
    ) -> None:
        self._client = client
        self._room = room
        self._progress = progress
        self._retry = retry
        self._login = login

    def fetch(self, remote: RemoteFile, target: Path, *, before: int, check: Callable[[Path], None]) -> None:
        """Makes `target` the verified file. `before`: bytes of the model that are already there (for progress).

        `check` looks at the complete file before it gets its name, and raises a WeightsFailure if it is no model.
        """
        with disk_errors(target), _Partial(remote, target, self._progress, before) as partial:
            self._refuse_known(partial)
            self._download(partial)
            self._progress.update(state="verifying")
            try:
                check(partial.path)
            except WeightsFailure:
                partial.discard()
                raise
            partial.finish()
            self._progress.update(state="downloading")

    def _download(self, partial: _Partial) -> None:
        attempts = Attempts(self._retry, self._progress)
        clean_tries = 0
        while not partial.complete:
            try:
                self._attempt(partial, attempts)
                partial.verify()
            except Transient as trouble:
                attempts.wait(trouble)
            except Mismatch as mismatch:
                again = (partial.resumed or partial.total is None) and clean_tries == 0
                if not again:
                    partial.reject()
                    raise WeightsFailure(Reason.CHECKSUM_MISMATCH, _mismatch_text(partial.remote, mismatch)) from None
                clean_tries += 1
                _log.warning("Started %s anew: %s", partial.remote.name, mismatch)
                partial.discard()

    def _attempt(self, partial: _Partial, attempts: Attempts) -> None:
        """Makes one request, as far as it goes."""
        remote = partial.remote
        with get(self._client, *remote.request(), partial.range_headers()) as response:
            if response.status_code == 416:
                partial.unsatisfied(response.headers.get("content-range", ""))
                return
            check_status(response, remote.shown, login=self._login)
            encoding = response.headers.get("content-encoding", "identity")
            if encoding != "identity":
                raise WeightsFailure(
                    Reason.DOWNLOAD_FAILED,
                    f"{remote.shown} came compressed ({encoding}) although that was declined; serve the file as it is",
                )
            partial.begin(response)
            if partial.total is not None:
                self._bounded(partial, partial.total)
                self._room.require(partial.total - partial.offset, what=remote.name)
            looked_at = partial.offset
            for chunk in response.iter_raw():  # as it arrives: what is buffered here would be lost with the connection
                if partial.total is None:
                    self._bounded(partial, partial.offset + len(chunk), at_least=True)
                if partial.offset + len(chunk) >= looked_at + _LOOK_BYTES:  # others write to the disk, too
                    looked_at = partial.offset
                    left = _LOOK_BYTES if partial.total is None else partial.total - partial.offset
                    self._room.require(left, what=remote.name)
                partial.write(chunk)
                attempts.succeeded()
        if partial.total is not None and partial.offset < partial.total:
            raise Transient(unreachable(f"{remote.shown} ended after {partial.offset} of {partial.total} bytes"))
        partial.ended = True

    def _bounded(self, partial: _Partial, size: int, *, at_least: bool = False) -> None:
        """Lets a file that makes the model larger than it may be go, with every byte of it."""
        try:
            self._room.bound(partial.before + size, what=partial.remote.shown, at_least=at_least)
        except WeightsFailure:
            partial.discard()
            partial.path.unlink(missing_ok=True)
            raise

    def _refuse_known(self, partial: _Partial) -> None:
        """Refuses a file that was downloaded whole and was wrong, and that the server still has: it is not downloaded
        again."""
        etag = partial.rejected_etag()
        if not etag:
            return
        remote = partial.remote
        try:
            with get(self._client, *remote.request(), {"range": "bytes=0-0"}) as response:
                same = response.status_code in (200, 206) and response.headers.get("etag") == etag
        except Transient:
            return  # the download itself waits and tries again
        if same:
            raise WeightsFailure(
                Reason.CHECKSUM_MISMATCH, _mismatch_text(remote, "the server still has the file of before")
            )


def _mismatch_text(remote: RemoteFile, detail: object) -> str:
    return (
        f"{remote.shown} is not the file that was asked for: {detail}; nothing of it was kept: correct the checksum, "
        "or have the file replaced at its source"
    )


class _Partial:
    """This is the file in work: `NAME.partial` and, beside it, the validator of the version that its bytes come from."""

    def __init__(self, remote: RemoteFile, target: Path, progress: ProgressLog, before: int) -> None:
        self.remote = remote
        self.path = target.with_name(target.name + PARTIAL)
        self.offset = 0
        self.total = remote.size
        self.resumed = False
        self.ended = False  # the server said that this was all
        self._target = target
        self._notes = target.with_name(target.name + NOTES)
        self._rejected = target.with_name(target.name + REJECTED)
        self._progress = progress
        self.before = before
        self._etag = ""
        self._sealed = False
        self._head = b""
        self._hasher: Hasher = remote.checksum.hasher(remote.size)
        self._stream: BinaryIO

    def __enter__(self) -> _Partial:
        descriptor = open_own(self.path, os.O_RDWR | os.O_CREAT)
        self._stream = os.fdopen(descriptor, "r+b", buffering=0)
        self._progress.update(file=self.remote.name)
        self._resume()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def complete(self) -> bool:
        """Returns whether every byte is there and the checksum agreed."""
        return self.ended

    def _resume(self) -> None:
        """Hashes what an earlier run left."""
        size = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(0)
        if not size:
            return
        if self.total is not None and size > self.total:
            self._restart()
            return
        self._etag = self._read_etag()
        self._progress.update(state="verifying")
        while chunk := self._stream.read(_CHUNK):
            self._take(chunk)
        self.resumed = True
        self._progress.update(state="downloading")
        _log.info("Resumed %s at %s", self.remote.name, size_text(self.offset))
        if self.offset == self.total:
            try:
                self.verify()
                self.ended = True
            except Mismatch as mismatch:
                _log.warning("Started %s anew: %s", self.remote.name, mismatch)
                self.discard()

    def range_headers(self) -> dict[str, str]:
        if not self.offset:
            return {}
        headers = {"range": f"bytes={self.offset}-"}
        if self._etag and not self.remote.pinned:
            headers["if-range"] = self._etag
        return headers

    def begin(self, response: httpx.Response) -> None:
        """Learns from the response's headers where its body belongs and how long the file is."""
        etag = response.headers.get("etag", "")
        strong = etag if etag.startswith('"') else ""
        if self.remote.etag and etag and etag != self.remote.etag:
            self._restart()
            raise Transient(unreachable(f"{self.remote.shown} was replaced after it was looked at."))
        self._sealed = response.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
        length = response.headers.get("content-length", "")
        total: int | None = int(length) if length.isdigit() else None
        if response.status_code == 206:
            match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
            other_version = self._etag and strong and strong != self._etag and not self.remote.pinned
            if not match or int(match[1]) != self.offset or other_version:
                self._restart()
                raise Transient(unreachable(f"{self.remote.shown} answered with a part that was not asked for."))
            total = None if match[3] == "*" else int(match[3])
            self.resumed = True
        elif self.offset:
            _log.info("Started %s anew: the server sent the whole file", self.remote.name)
            self._restart()
        if self.remote.size is not None and total is not None and total != self.remote.size:
            raise Mismatch(f"it has {total} bytes instead of {self.remote.size}")
        self.total = self.remote.size if self.remote.size is not None else total
        if self.remote.size is None and self.total is not None:
            self._progress.update(total_bytes=self.before + self.total)
        if strong != self._etag:
            self._etag = strong
            write_synced(self._notes, json.dumps({"etag": strong}).encode())

    def write(self, chunk: bytes) -> None:
        if self.total is not None and self.offset + len(chunk) > self.total:
            raise Mismatch(f"it has more than {self.total} bytes")
        view = memoryview(chunk)
        while view:
            view = view[self._stream.write(view) :]
        self._take(chunk)

    def unsatisfied(self, content_range: str) -> None:
        """Takes a 416: either everything is there already, or the file at the source is another one."""
        match = _UNSATISFIED.match(content_range)
        if match and int(match[1]) == self.offset:
            self.total = self.offset
            self.ended = True
            return
        self._restart()
        raise Transient(unreachable(f"{self.remote.shown} has no such part any more."))

    def verify(self) -> None:
        """Compares the checksum. Raises Mismatch, and then nothing counts as complete."""
        if self._sealed and self.remote.checksum.algorithm == "md5":
            return  # the ETag of what KMS encrypts is no checksum; size and version agreed
        found = self._hasher.hexdigest()
        expected = self.remote.checksum.value
        if found != expected:
            self.ended = False
            raise Mismatch(f"its {self.remote.checksum.algorithm} is {found}, expected {expected}")

    def finish(self) -> None:
        """Gives the verified file its name. Raises WeightsFailure if somebody has put another in its place meanwhile."""
        os.fsync(self._stream.fileno())
        self.path.replace(self._target)
        if not os.path.samestat(self._target.lstat(), os.fstat(self._stream.fileno())):
            self._target.unlink(missing_ok=True)
            raise WeightsFailure(
                Reason.DOWNLOAD_FAILED,
                f"Somebody replaced {self.path} while it was verified; find out who else writes to the volume",
            )
        self._notes.unlink(missing_ok=True)

    def discard(self) -> None:
        """Deletes every byte, so that nothing wrong can be resumed or served."""
        self._restart()
        self._notes.unlink(missing_ok=True)

    def reject(self) -> None:
        etag = self._etag
        self.discard()
        self.path.unlink(missing_ok=True)
        if etag:
            write_synced(self._rejected, json.dumps({"etag": etag, "url": self.remote.shown}).encode())

    def rejected_etag(self) -> str:
        try:
            noted = json.loads(read_own(self._rejected))
            return str(noted["etag"]) if noted["url"] == self.remote.shown else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _restart(self) -> None:
        self._stream.seek(0)
        self._stream.truncate(0)
        self.offset = 0
        self.total = self.remote.size
        self.resumed = False
        self.ended = False
        self._etag = ""
        self._head = b""
        self._hasher = self.remote.checksum.hasher(self.remote.size)
        self._progress.update(received=self.before)

    def _take(self, chunk: bytes) -> None:
        if len(self._head) < _HEAD and not self.remote.path:
            self._head = (self._head + chunk)[:_HEAD]
            if len(self._head) >= len(gguf.MAGIC) and not self._head.startswith(gguf.MAGIC):
                head = self._head
                self.discard()
                raise WeightsFailure(
                    Reason.NOT_GGUF,
                    f"{self.remote.shown} is not a GGUF model: it is {gguf.looks_like(head)}; check the source",
                )
        self._hasher.update(chunk)
        self.offset += len(chunk)
        self._progress.update(received=self.before + self.offset)

    def _read_etag(self) -> str:
        try:
            return str(json.loads(read_own(self._notes))["etag"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
