"""The volume says where the weights lie, and what makes them complete.

    INTO/<hash>/                     one FetchSpec (see `spec`)
        lock, holder.json            see `lock`
        incoming-<content>/          in work: NAME.partial (resumable), NAME (verified), NAME.json (validator)
        current/                     the model that the engine reads, with complete.json
        <content>/                   an earlier model of a mutable revision, complete, too

A model appears as a whole: its folder is renamed to `current` only when every file is verified, synced to disk and
recorded in complete.json. No symbolic links: some shared file systems (SMB) have none. When a mutable revision moves
on, `current` is renamed to its content's name first; a rename does not disturb pods that have the files open. A crash
between the two renames is repaired by `restored`.

Nothing complete is deleted on a shared volume, because other pods may be reading it. Only with `exclusive` (no other
pod can mount the volume: ReadWriteOncePod) do other models go, and only when their space is needed. Partial downloads
that nobody works on go after a day, or at once when their space is needed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from genset.api.modeldeployment import Reason
from genset.contracts.puller import FetchSpec
from genset.weights.failure import WeightsFailure, size_text
from genset.weights.lock import try_lock
from genset.weights.origin import Checksum, Resolved
from genset.weights.own_file import is_folder, open_own, open_to_read, own_folder, read_own
from genset.weights.own_names import MARKER

_log = logging.getLogger(__name__)

_INCOMING = "incoming-"
_FOLDER = re.compile(r"^[0-9a-f]{16}$")
_STALE_PARTIAL_SECONDS = 24 * 3600.0
_CHUNK = 1 << 20  # bytes read at a time
_RESERVE = 256 << 10  # bytes left free for markers and directories
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class PlacedFile:
    """This is one verified file.

    Size and mtime (nanoseconds) prove later, without reading it, that nobody changed it.
    """

    name: str
    size: int
    mtime: int
    algorithm: str
    checksum: str
    origin: str  # name at the source


@dataclass(frozen=True)
class Model:
    """A model is complete and verified on the volume: this is the content of complete.json."""

    content: str
    revision: str
    files: tuple[PlacedFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


FreeBytes = Callable[[Path], int]


def free_bytes(path: Path) -> int:
    """Returns the bytes that an unprivileged user may still write."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


class Volume:
    """A volume is the folder of one spec, and its neighbours when space is short."""

    def __init__(self, spec: FetchSpec, *, free: FreeBytes = free_bytes, now: Callable[[], float] = time.time) -> None:
        self.folder = Path(spec.folder)
        self.current = self.folder / "current"
        self._spec = spec
        self._names = spec.names
        self._free = free
        self._now = now

    def prepare(self) -> None:
        """Makes the folder. A volume that can't be written to is named with its remedy."""
        with disk_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            own_folder(self.folder)
            if not is_folder(self.current):
                self.current.unlink(missing_ok=True)

    def complete(self) -> Model | None:
        """Returns the model in `current` if it is as it was when it was verified.

        Takes milliseconds and needs no lock.
        """
        return self._intact(self.current)

    def restored(self) -> Model | None:
        """Returns `complete`, after putting the newest complete model back if a crash came between two renames.

        Only for the holder of the lock: to anybody else, a model that is being replaced looks the same.
        """
        if not self.current.exists():
            whole = [folder for folder in self._contents(self.folder) if self._intact(folder)]
            if whole:
                newest = max(whole, key=lambda folder: (folder / MARKER).stat().st_mtime)
                _log.info("Put back %s", newest)
                newest.rename(self.current)
        return self.complete()

    def reverify(self) -> Model | None:
        """Reads the files of `current` again when only their times differ (a restored snapshot, a copied volume)."""
        model = _read_marker(self.current)
        if model is None or not self._is_ours(model):
            return None
        files = []
        for file in model.files:
            path = self.current / file.name
            hasher = Checksum(file.algorithm, file.checksum).hasher(file.size)
            try:
                with open_to_read(path) as stream:
                    status = os.fstat(stream.fileno())
                    if status.st_size != file.size:
                        return None
                    while chunk := stream.read(_CHUNK):
                        hasher.update(chunk)
            except OSError:
                return None
            if hasher.hexdigest() != file.checksum:
                _log.warning("Found %s damaged", path)
                return None
            files.append(replace(file, mtime=status.st_mtime_ns))
        model = replace(model, files=tuple(files))
        with disk_errors(self.current):
            write_synced(self.current / MARKER, json.dumps(asdict(model), indent=1).encode())
        return model

    def incoming(self, resolved: Resolved) -> Path:
        """Returns the folder for this download; leftovers of others for the same spec go."""
        folder = self.folder / f"{_INCOMING}{resolved.content}"
        for other in self.folder.glob(f"{_INCOMING}*"):
            if other != folder:
                _log.info("Removed the partial download %s", other)
                shutil.rmtree(other, ignore_errors=True)
        with disk_errors(folder):
            own_folder(folder)
        return folder

    def earlier(self, resolved: Resolved) -> Model | None:
        """Returns the same content from before, put back in place without a download."""
        folder = self.folder / resolved.content
        if self._intact(folder) is None:
            return None
        self._install(folder)
        return self.complete()

    def publish(self, folder: Path, resolved: Resolved) -> Model:
        """Makes a folder of verified files the current model, in one step for whoever opens it."""
        files = []
        names = self._names or [remote.path for remote in resolved.files]
        with disk_errors(folder):
            for name, remote in zip(names, resolved.files, strict=True):
                status = (folder / name).lstat()
                checksum = remote.checksum
                files.append(
                    PlacedFile(
                        name, status.st_size, status.st_mtime_ns, checksum.algorithm, checksum.value, remote.name
                    )
                )
            model = Model(resolved.content, resolved.revision, tuple(files))
            _only(folder, {folder / name for name in names})
            write_synced(folder / MARKER, json.dumps(asdict(model), indent=1).encode())
            sync_folder(folder)
            shutil.rmtree(self.folder / resolved.content, ignore_errors=True)  # the same, but found changed
            self._install(folder)
        return model

    def require(self, needed: int, *, what: str) -> None:
        """Raises DiskFull unless `needed` more bytes fit, after making what room it may."""
        with disk_errors(self.folder):
            if self._room() >= needed + _RESERVE:
                return
            self.sweep(now=True)
            if self._spec.exclusive:
                self._remove_others(needed)
            free = self._room()
        if free >= needed + _RESERVE:
            return
        raise disk_full(
            f"{what} needs {size_text(needed)} ({needed} bytes) more and a little room beside it, the volume has "
            f"{size_text(free)} ({free} bytes) free{self._others_text()}"
        )

    def bound(self, size: int, *, what: str, at_least: bool = False) -> None:
        """Raises SourceTooLarge if a model of `size` bytes is larger than it may be."""
        most = self._spec.max_size
        if most and size > most:
            found = "" if at_least else f"{size_text(size)} ({size} bytes) in all, "
            raise WeightsFailure(
                Reason.SOURCE_TOO_LARGE,
                f"{what} has {found}more than the {size_text(most)} ({most} bytes) that may be downloaded: raise "
                "spec.source.maxSize (spec.cache.size if there is none), or name a smaller file",
            )

    def _room(self) -> int:
        """Returns the bytes that may still be written: what the file system has, within the bound of the volume."""
        free = self._free(self.folder)
        if not self._spec.volume_size:
            return free
        used = sum(path.lstat().st_blocks * 512 for path in self.folder.parent.rglob("*"))
        return min(free, self._spec.volume_size - used)

    def sweep(self, *, now: bool = False) -> None:
        """Removes partial downloads of other specs that nobody works on: old ones, or all when space is short."""
        for folder in self._neighbours():
            partials = list(folder.glob(f"{_INCOMING}*"))
            if not partials or not (now or self._age(folder) > _STALE_PARTIAL_SECONDS):
                continue
            descriptor = try_lock(folder)
            if descriptor is None:
                continue
            try:
                for partial in partials:
                    _log.info("Removed the abandoned partial download %s", partial)
                    shutil.rmtree(partial, ignore_errors=True)
            finally:
                os.close(descriptor)

    def _install(self, folder: Path) -> None:
        if self.current.exists():
            old = _read_marker(self.current)
            aside = self.folder / (old.content if old else f"{_INCOMING}broken")
            shutil.rmtree(aside, ignore_errors=True)
            self.current.rename(aside)
        folder.rename(self.current)
        sync_folder(self.folder)
        shutil.rmtree(self.folder / f"{_INCOMING}broken", ignore_errors=True)

    def _intact(self, folder: Path) -> Model | None:
        model = _read_marker(folder)
        if model is None or not self._is_ours(model):
            return None
        for file in model.files:
            try:
                status = (folder / file.name).lstat()
            except OSError:
                return None
            if not stat.S_ISREG(status.st_mode) or status.st_size != file.size or status.st_mtime_ns != file.mtime:
                _log.warning("Found %s changed since it was verified", folder / file.name)
                return None
        return model

    def _is_ours(self, model: Model) -> bool:
        """Returns whether its files are those that the engine looks for; a folder's may have any name."""
        return not self._names or [file.name for file in model.files] == self._names

    def _neighbours(self) -> Iterator[Path]:
        for folder in self.folder.parent.iterdir():
            if folder != self.folder and _FOLDER.match(folder.name) and is_folder(folder):
                yield folder

    def _contents(self, folder: Path) -> Iterator[Path]:
        """Returns the folders of earlier complete models of a spec."""
        if is_folder(folder):
            yield from (entry for entry in folder.iterdir() if _FOLDER.match(entry.name) and is_folder(entry))

    def _age(self, folder: Path) -> float:
        newest = 0.0
        for path in folder.glob(f"{_INCOMING}*/*"):
            try:
                newest = max(newest, path.lstat().st_mtime)
            except OSError:
                continue
        return self._now() - newest

    def _remove_others(self, needed: int) -> None:
        """Deletes other complete models until `needed` fits. Only for a volume that no other pod can have mounted."""
        removable = list(self._contents(self.folder))
        for folder in self._neighbours():
            removable += [*self._contents(folder), *([folder / "current"] if is_folder(folder / "current") else [])]
        for folder in sorted(removable, key=lambda path: path.stat().st_mtime):
            if self._room() >= needed + _RESERVE:
                return
            _log.info("Removed the model %s to make room", folder)
            shutil.rmtree(folder, ignore_errors=True)

    def _others_text(self) -> str:
        others = []
        for folder in (self.folder, *self._neighbours()):
            models = [_read_marker(entry) for entry in (*self._contents(folder), folder / "current")]
            others += [model for model in models if model]
        if not others:
            return ""
        names = ", ".join(f"{model.files[0].origin} ({size_text(model.size)})" for model in others[:5])
        return f"; models already there: {names}"


def _only(folder: Path, kept: set[Path]) -> None:
    """Removes whatever else lies in a folder, and below."""
    for entry in sorted(folder.rglob("*"), reverse=True):
        if entry.is_dir() and not entry.is_symlink():
            if not any(path.is_relative_to(entry) for path in kept):
                entry.rmdir()
        elif entry not in kept:
            entry.unlink()


def _read_marker(folder: Path) -> Model | None:
    try:
        raw = json.loads(read_own(folder / MARKER))
        return Model(raw["content"], raw["revision"], tuple(PlacedFile(**file) for file in raw["files"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_synced(path: Path, content: bytes) -> None:
    """Writes a small file so that after a crash it is there as a whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(open_own(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder durable, if the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        _log.debug("Failed to sync %s: %s", folder, error)
    finally:
        os.close(descriptor)


def disk_full(message: str) -> WeightsFailure:
    return WeightsFailure(
        Reason.DISK_FULL,
        f"{message}; enlarge spec.cache.size, or give the pod a volume (spec.cache) if it has none",
        permanent=False,  # volumes grow and neighbours leave without a change to the pod
    )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns errors of the file system into failures with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(f"The volume was full while {path} was written") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise WeightsFailure(
                Reason.DOWNLOAD_FAILED,
                f"{path} can't be written by user {os.getuid()}: {error.strerror}; the volume must be writable for the "
                "pod's fsGroup: check its storage class, or set fsGroup with spec.podTemplate",
            ) from error
        raise WeightsFailure(
            Reason.DOWNLOAD_FAILED, f"{path}: {error.strerror or error}; check the volume", permanent=False
        ) from error
