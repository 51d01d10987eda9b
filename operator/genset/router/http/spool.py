"""A spool keeps lines on the router's own disk: they outlive the process, in whichever moment it is killed.

Segments are files that are mapped into memory. A line is there for whoever reads the file as soon as it is copied, whatever
becomes of the process; a second later at most it is on the disk itself (`sync`, from a thread), so the death of a node takes a
second of lines. Room is taken from the disk when a segment is begun, so a full disk is noticed between lines, never inside one.
The oldest segments go when there are too many. Decided in docs/adr/0018-egress-record.md.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import threading
from pathlib import Path
from typing import Final, final

from genset.contracts.usage import PREFIX, SUFFIX

SEGMENT_BYTES: Final = 1024 * 1024
SEGMENTS: Final = 48  # of one spool, all incarnations together; a pod's /tmp holds 64 MiB
SEGMENTS_LEFT: Final = (
    8  # full ones that wait for the next sync; with more of them, whoever adds a line waits for the disk
)
RETRY_SECONDS: Final = 1.0  # between two looks whether there is room again

log = logging.getLogger(__name__)


@final
class Spool:
    """A spool belongs to one process. `opening` is the first line of each of its segments.

    `failing` says why no line can be kept; empty if it can. `lost` counts segments that made way.
    """

    __slots__ = (
        "_acknowledged",
        "_current",
        "_folder",
        "_left",
        "_lock",
        "_map",
        "_number",
        "_opening",
        "_place",
        "_retry_at",
        "_segments",
        "_stem",
        "failing",
        "lost",
    )

    def __init__(self, folder: Path, identity: str, opening: bytes, *, prefix: str = PREFIX) -> None:
        """`prefix`: of the names of its files, KIND-."""
        self._folder = folder
        self._opening = opening
        self._stem = f"{prefix}{identity}-"
        self._segments = SEGMENTS
        self._acknowledged: set[str] = set()  # segments that somebody else has: it is no loss if they make way
        self._current = ""  # name of the segment that is written
        self._left: list[mmap.mmap] = []  # full segments that the next sync brings to the disk and closes
        self._lock = threading.Lock()  # for whoever closes segments; nobody who adds a line takes it
        self._map: mmap.mmap | None = None
        self._place = 0
        self._number = 0
        self._retry_at = 0.0
        self.failing = ""
        self.lost = 0

    def add(self, line: bytes, now: float) -> bool:
        """Keeps a line. Returns whether it is kept; `failing` then says why not. `now`: seconds, monotonic."""
        segment, place = self._map, self._place
        end = place + len(line)
        if segment is None or end > SEGMENT_BYTES:
            segment = self._begin(now)
            if segment is None:
                return False
            place = self._place
            end = place + len(line)
        segment[place:end] = line
        self._place = end
        return True

    def resize(self, segments: int) -> None:
        """Keeps at most so many segments from the next one on."""
        self._segments = segments

    @property
    def _kind(self) -> str:
        return self._stem.partition("-")[0]

    @property
    def current(self) -> tuple[str, int]:
        """Returns the name of the segment that is written, or was last, and how many of its bytes are whole lines.

        Whoever lists the folder before he asks sees no other segment that is still written.
        """
        return self._current, self._place

    def acknowledge(self, name: str) -> None:
        """Somebody else has this segment, which stays until its room is needed."""
        if name.startswith(self._kind):
            self._acknowledged.add(name)

    def fail(self, why: str) -> None:
        """There is no place for lines, and there will be none."""
        self.failing = why
        self._retry_at = math.inf

    def look(self, now: float) -> None:
        """Begins a segment if none could be begun before: who is refused for want of one does not try by himself."""
        if self._map is None or self.failing:
            self._begin(now)

    def sync(self) -> None:
        """Waits until all lines are on the disk. Called by a thread."""
        with self._lock:
            try:
                while self._left:
                    segment = self._left.pop(0)
                    try:
                        segment.flush()
                    finally:
                        segment.close()
                current = self._map
                if current is not None:
                    current.flush()
            except (OSError, ValueError) as problem:
                self.failing = f"cannot be written to the disk ({problem})"

    def names(self) -> list[str]:
        """Returns the names of the segments, of all incarnations, the oldest first."""
        prefix = f"{self._kind}-"
        try:
            found = [path for path in self._folder.iterdir() if path.name.startswith(prefix) and path.suffix == SUFFIX]
            return [path.name for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))]
        except OSError:
            return []

    def content(self, name: str) -> bytes | None:
        """Returns a segment up to its last line; None if there is no such one."""
        if name not in self.names():
            return None
        try:
            return (self._folder / name).read_bytes().rstrip(b"\0")
        except OSError:
            return None

    def close(self) -> None:
        self.sync()
        with self._lock:
            if self._map is not None:
                self._map.close()
                self._map = None

    def _begin(self, now: float) -> mmap.mmap | None:
        """Begins the next segment, with its first line; None while there is no room for it."""
        if now < self._retry_at:
            return None
        self._retry_at = now + RETRY_SECONDS
        try:
            self._make_way()
            made = self._mapped()
        except OSError as problem:
            told = f"{self._folder}: {problem.strerror or problem}"
            if told != self.failing:
                log.error("Cannot keep %s records: %s", self._kind, told)
            self.failing = told
            self._leave(None)
            return None
        if self.failing:
            log.warning("Keeps %s records again", self._kind)
        self._retry_at, self.failing = 0.0, ""
        self._leave(made)
        made[: len(self._opening)] = self._opening
        self._place = len(self._opening)
        return made

    def _leave(self, following: mmap.mmap | None) -> None:
        """Goes on with another segment, or with none."""
        before, self._map = self._map, following
        if before is not None:
            self._left.append(before)
            if len(self._left) > SEGMENTS_LEFT:  # they hold their room on the disk, also when their names are gone
                self.sync()

    def _mapped(self) -> mmap.mmap:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        # Before it is there: whoever lists the folder must not take it for one that is full.
        self._place, self._current = 0, f"{self._stem}{self._number:06d}{SUFFIX}"
        path = self._folder / self._current
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            os.posix_fallocate(descriptor, 0, SEGMENT_BYTES)  # a hole in a mapped file would be a signal, not an error
            return mmap.mmap(descriptor, SEGMENT_BYTES)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def _make_way(self) -> None:
        for name in self.names()[: 1 - self._segments or None]:
            (self._folder / name).unlink(missing_ok=True)
            if name in self._acknowledged:
                self._acknowledged.remove(name)
            else:
                self.lost += 1
