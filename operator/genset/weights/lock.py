"""The lock sees to one download per volume and model, however many pods share the volume.

Two guards, because network file systems differ:

* `flock` on `<folder>/lock`. The kernel releases it with the process, so a killed puller never blocks the next one.
  Linux passes it on to NFS servers, but mounts with `nolock` (and some FUSE drivers) keep it local to the node.
* A heartbeat in `<folder>/holder.json`, which covers those: the holder counts up every few seconds, and whoever sees
  another pod's count move waits. Staleness is judged by the watcher's own clock (the count did not move for
  STALE_SECONDS), so clocks of nodes may differ. It also carries the bytes on disk, so that waiting pods can report
  the download's progress.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genset.weights.own_file import open_own, read_own
from genset.weights.progress import ProgressLog

_log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 3.0
STALE_SECONDS = 20.0
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True)
class LockHolder:
    """The holder is who downloads, and how far it is."""

    name: str  # pod name: the host name inside a pod
    beat: int
    bytes: int = 0
    total_bytes: int = 0


@contextmanager
def exclusive(
    folder: Path,
    *,
    name: str,
    progress: ProgressLog,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    stale_seconds: float = STALE_SECONDS,
) -> Iterator[None]:
    """Waits until no other pod downloads into `folder`, then holds it."""
    descriptor = open_own(folder / "lock", os.O_RDWR | os.O_CREAT, 0o664)
    try:
        _acquire(descriptor, folder, name, progress, stale_seconds)
        with _heartbeat(folder, name, progress, heartbeat_seconds):
            yield
    finally:
        os.close(descriptor)


def try_lock(folder: Path) -> int | None:
    """Returns a descriptor that holds the lock of a folder, or None if somebody is at work there.

    Close it to release.
    """
    try:
        descriptor = open_own(folder / "lock", os.O_RDWR | os.O_CREAT, 0o664)
    except OSError:
        return None
    if _flock(descriptor) and read_holder(folder) is None:
        return descriptor
    os.close(descriptor)
    return None


def read_holder(folder: Path) -> LockHolder | None:
    try:
        return LockHolder(**json.loads(read_own(folder / "holder.json")))
    except (OSError, ValueError, TypeError):
        return None


def _acquire(
    descriptor: int,
    folder: Path,
    name: str,
    progress: ProgressLog,
    stale_seconds: float,
) -> None:
    seen: LockHolder | None = None
    seen_at = time.monotonic()
    announced = False
    while True:
        free = _flock(descriptor)
        holder = read_holder(folder)
        if free and (holder is None or holder.name == name):
            return  # a holder of our own name is an earlier run in this pod, which is over
        if holder is None or seen is None or (holder.name, holder.beat) != (seen.name, seen.beat):
            seen, seen_at = holder, time.monotonic()
        if free and time.monotonic() - seen_at >= stale_seconds:
            _log.warning("Took over from %s, which did not move for %.0f s", seen.name if seen else "?", stale_seconds)
            return
        if free:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # others may judge for themselves
        who = holder.name if holder else "another pod"
        if not announced:
            _log.info("Waited for %s, which downloads the same model to this volume", who)
            announced = True
        progress.update(
            received=holder.bytes if holder else None,
            total_bytes=holder.total_bytes if holder else None,
            message=f"Waits for {who}, which downloads the same model to this volume",
        )
        time.sleep(min(0.5, stale_seconds / 4))


def _flock(descriptor: int) -> bool:
    """Returns True if the lock is ours, or if the file system has no locks and the heartbeat must do."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


@contextmanager
def _heartbeat(folder: Path, name: str, progress: ProgressLog, seconds: float) -> Iterator[None]:
    path = folder / "holder.json"
    stopped = threading.Event()
    start = time.time_ns()  # a count that an earlier run of this pod can't have used

    def write(beat: int) -> None:
        snapshot = progress.snapshot()
        holder = {"name": name, "beat": beat, "bytes": snapshot.received, "total_bytes": snapshot.total_bytes}
        fresh = folder / "holder.json.new"
        try:
            with os.fdopen(open_own(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as stream:
                stream.write(json.dumps(holder))
            fresh.replace(path)
        except OSError as error:  # a full disk must not end a download that a resize could save
            _log.debug("Failed to write the heartbeat %s: %s", path, error)

    def beat() -> None:
        count = start
        while not stopped.wait(seconds):
            count += 1
            write(count)

    write(start)
    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(timeout=5)
        path.unlink(missing_ok=True)
